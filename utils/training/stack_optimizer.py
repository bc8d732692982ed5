"""The optimizer of a stack of models, each with its own learning rate and penalty."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from utils.system.optimizers import without_compiler

# optimizers whose update of a number depends on that number, its gradient and its own past alone
PER_PARAMETER = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
OF_ALL = ("step", "mu_product", "eta", "mu")  # parts of their states that all numbers of a parameter share
# those of which torch's step on many tensors at a time gives the bits of steps on one after another
BY_FOREACH = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "RMSprop", "Rprop", "SGD")
Make = Callable[..., torch.optim.Optimizer]


class StackOptimizer(Protocol):
    """The optimizer of the parameters (m, *) of a stack."""

    parameters: list[nn.Parameter]

    def step(self) -> None:
        """Updates the parameters by their gradients, which are forgotten then."""
        ...

    def of_model(self, i: int) -> dict[str, Any]:
        """Parameters and optimizer state of one model, in tensors of their own."""
        ...

    def take(self, stored: Sequence[dict[str, Any]]) -> None:
        """Puts what ``of_model`` gave for each model, one after another, in the place of what there is."""
        ...


def optimizer_of(
    stack: nn.Module, make_optimizer: Make, lr: Sequence[float], weight_decay: Sequence[float]
) -> StackOptimizer:
    """The optimizer of a stack of m models with m learning rates, equal ones side by side, and m penalties.

    All have the same bits.
    """
    made = _Adam if _is_plain_adam(make_optimizer) else _SlicedOptimizer
    return made(stack, make_optimizer, lr, weight_decay)


def treats_each_parameter_alone(make_optimizer: Make) -> bool:
    """Returns whether the optimizer of a stack is that of each of its models."""
    maker = getattr(make_optimizer, "func", make_optimizer)
    return maker.__module__.startswith("torch.optim") and maker.__name__ in PER_PARAMETER


def _is_plain_adam(make_optimizer: Make) -> bool:
    """Returns whether the optimizer is torch's Adam with no other settings than its constants."""
    settings = getattr(make_optimizer, "keywords", {})
    return getattr(make_optimizer, "func", make_optimizer) is torch.optim.Adam and settings.keys() <= {"betas", "eps"}


class _Adam:
    """torch's Adam of models with learning rates and penalties of their own, in operations on all of them.

    Kingma & Ba 2015, algorithm 1, in the order of operations of ``torch.optim.Adam`` on many tensors, so with its bits.
    A parameter without a gradient is left as it is, which no step on all does: from there on each is by itself.
    """

    def __init__(self, stack: nn.Module, make_optimizer: Make, lr: Sequence[float], weight_decay: Sequence[float]):
        self.parameters = [p for p in stack.parameters() if p.requires_grad]
        self.apart: _SlicedOptimizer | None = None
        self.make_apart = partial(_SlicedOptimizer, stack, make_optimizer, lr, weight_decay)
        made = without_compiler(make_optimizer)([torch.zeros(1)], lr=lr[0], weight_decay=weight_decay[0])
        self.betas, self.eps = made.defaults["betas"], made.defaults["eps"]  # which torch has checked
        self.count = 0
        values = [p.data for p in self.parameters]
        self.averages, self.squares, self.scales = ([torch.zeros_like(p) for p in values] for _ in range(3))
        rates = _runs(lr)
        self.rates = [rate for rate, *_ in rates for _ in values]
        self.moved = [_slices(of, rates) for of in (values, self.averages, self.scales)]
        self.decays = [(decay, a, b, _slices(values, [(decay, a, b)])) for decay, a, b in _runs(weight_decay) if decay]

    @torch.no_grad()
    def step(self) -> None:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.apart is None and len(gradients) < len(self.parameters):
            self._part([self.of_model(i) for i in range(len(self.parameters[0]))])
        if self.apart is not None:
            self.apart.step()
            return
        for decay, a, b, own in self.decays:
            torch._foreach_add_([grad[a:b] for grad in gradients], own, alpha=decay)
        self.count += 1
        first, second = self.betas
        torch._foreach_lerp_(self.averages, gradients, 1 - first)
        torch._foreach_mul_(self.squares, second)
        torch._foreach_addcmul_(self.squares, gradients, gradients, 1 - second)
        torch._foreach_copy_(self.scales, self.squares)
        torch._foreach_sqrt_(self.scales)
        torch._foreach_div_(self.scales, (1 - second**self.count) ** 0.5)
        torch._foreach_add_(self.scales, self.eps)
        values, averages, scales = self.moved
        torch._foreach_addcdiv_(values, averages, scales, [-(rate / (1 - first**self.count)) for rate in self.rates])
        for p in self.parameters:
            p.grad = None

    def of_model(self, i: int) -> dict[str, Any]:
        if self.apart is not None:
            return self.apart.of_model(i)
        found: dict[str, Any] = {"parameters": [p.data[i].clone() for p in self.parameters], "optimizer": []}
        for average, square in zip(self.averages, self.squares, strict=True):
            own = {"exp_avg": average[i].clone(), "exp_avg_sq": square[i].clone()}
            found["optimizer"].append({"step": torch.tensor(float(self.count)), **own} if self.count else {})
        return found

    @torch.no_grad()
    def take(self, stored: Sequence[dict[str, Any]]) -> None:
        steps = {float(state.get("step", 0)) for of in stored for state in of["optimizer"]}
        if len(steps) > 1:  # a parameter had no gradient in some of them
            self._part(stored)
            return
        self.apart = None
        self.count = int(steps.pop())
        for k, p in enumerate(self.parameters):
            p.copy_(torch.stack([of["parameters"][k] for of in stored]))
            for name, values in (("exp_avg", self.averages), ("exp_avg_sq", self.squares)):
                if self.count:
                    values[k].copy_(torch.stack([of["optimizer"][k][name] for of in stored]))

    def _part(self, stored: Sequence[dict[str, Any]]) -> None:
        """Goes on with each parameter by itself."""
        self.apart = self.make_apart()
        self.apart.take(stored)


def _runs(values: Sequence[Any]) -> list[tuple[Any, int, int]]:
    """Runs of equal values: the value, the first place, and the one behind the last."""
    starts = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    return [(values[a], a, b) for a, b in zip(starts, [*starts[1:], len(values)], strict=True)]


def _slices(tensors: Sequence[Tensor], runs: Sequence[tuple[Any, int, int]]) -> list[Tensor]:
    """The part of each tensor (m, *) that belongs to each run, run by run."""
    return [tensor[a:b] for _, a, b in runs for tensor in tensors]


class _SlicedOptimizer:
    """One on stacked parameters, with a group for each run of models of equal learning rate and penalty."""

    def __init__(self, stack: nn.Module, make_optimizer: Make, lr: Sequence[float], weight_decay: Sequence[float]):
        self.parameters = [p for p in stack.parameters() if p.requires_grad]
        runs = _runs(list(zip(lr, weight_decay, strict=True)))
        self.bounds = [(a, b) for _, a, b in runs]
        self.slices = [[nn.Parameter(p.data[a:b]) for p in self.parameters] for a, b in self.bounds]
        groups = [
            {"params": part, "lr": rate, "weight_decay": decay}
            for part, ((rate, decay), *_) in zip(self.slices, runs, strict=True)
        ]
        maker = getattr(make_optimizer, "func", make_optimizer)
        chosen = {"foreach", "fused"} & getattr(make_optimizer, "keywords", {}).keys()
        many = {"foreach": True} if maker.__name__ in BY_FOREACH and not chosen else {}
        self.optimizer = without_compiler(make_optimizer)(groups, lr=lr[0], weight_decay=weight_decay[0], **many)

    def step(self) -> None:
        for part, (a, b) in zip(self.slices, self.bounds, strict=True):
            for own, p in zip(part, self.parameters, strict=True):
                own.grad = None if p.grad is None else p.grad[a:b]
        self.optimizer.step()
        for p in self.parameters:
            p.grad = None

    def of_model(self, i: int) -> dict[str, Any]:
        part, (a, _) = next((p, b) for p, b in zip(self.slices, self.bounds, strict=True) if b[0] <= i < b[1])
        return {
            "parameters": [own.data[i - a].clone() for own in part],
            "optimizer": [
                {key: _copied(value[i - a] if _per_number(key, value) else value) for key, value in state.items()}
                for own in part
                for state in (self.optimizer.state[own],)
            ],
        }

    @torch.no_grad()
    def take(self, stored: Sequence[dict[str, Any]]) -> None:
        for part, (a, b) in zip(self.slices, self.bounds, strict=True):
            for k, own in enumerate(part):
                own.copy_(torch.stack([of["parameters"][k] for of in stored[a:b]]))
                states = [of["optimizer"][k] for of in stored[a:b]]
                self.optimizer.state[own] = {
                    key: torch.stack([state[key] for state in states]).to(own.device)
                    if _per_number(key, value)
                    else value
                    for key, value in states[0].items()
                }


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _per_number(key: str, value: Any) -> bool:
    """Returns whether a part of an optimizer's state has an entry for every number of a parameter, not one for all."""
    return isinstance(value, Tensor) and key not in OF_ALL
