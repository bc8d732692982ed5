"""The optimizer of a stack of models, each with its own learning rate and penalty."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from utils.system.optimizers import Flat, without_compiler

# optimizers whose update of a number depends on that number, its gradient and its own past alone
PER_PARAMETER = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
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

    All have the same bits. The many small tensors of one model cost more calls than numbers: they become one.
    """
    types = {p.dtype for p in stack.parameters() if p.requires_grad}
    if len(lr) == 1 and len(types) == 1:
        return _FlatOptimizer(stack, make_optimizer, lr[0], weight_decay[0])
    return _SlicedOptimizer(stack, make_optimizer, lr, weight_decay)


def treats_each_parameter_alone(make_optimizer: Make) -> bool:
    """Returns whether the optimizer of a stack is that of each of its models."""
    maker = getattr(make_optimizer, "func", make_optimizer)
    return maker.__module__.startswith("torch.optim") and maker.__name__ in PER_PARAMETER


class _FlatOptimizer:
    """That of a single model, (1, *), whose parameters lie in one buffer as long as each has a gradient in every step.

    A parameter without one is left as it is, which no step on the whole buffer does: from there on each is by itself.
    """

    def __init__(self, stack: nn.Module, make_optimizer: Make, lr: float, weight_decay: float):
        self.parameters = [p for p in stack.parameters() if p.requires_grad]
        self.flat = Flat(self.parameters)
        self.optimizer = without_compiler(make_optimizer)([self.flat.whole], lr=lr, weight_decay=weight_decay)
        self.apart: _SlicedOptimizer | None = None
        self.make_apart = partial(_SlicedOptimizer, stack, make_optimizer, [lr], [weight_decay])

    def step(self) -> None:
        if self.apart is None and any(p.grad is None for p in self.parameters):
            before = self.of_model(0)
            self.apart = self.make_apart()
            if before["optimizer"][0]:
                self.apart.take([before])
        if self.apart is not None:
            self.apart.step()
            return
        self.flat.collect()
        self.optimizer.step()

    def of_model(self, i: int) -> dict[str, Any]:
        if self.apart is not None:
            return self.apart.of_model(i)
        state = self.optimizer.state[self.flat.whole]
        by_key = {key: self._parts(value) for key, value in state.items()}
        return {
            "parameters": [p.data[i].clone() for p in self.parameters],
            "optimizer": [{key: of[k] for key, of in by_key.items()} for k in range(len(self.parameters))],
        }

    def _parts(self, value: Any) -> list[Any]:
        """The part of each parameter in an entry of the optimizer's state."""
        if not _per_number(value, self.flat.whole):
            return [_copied(value) for _ in self.parameters]
        return [part[0].clone() for part in self.flat.parts(value)]

    @torch.no_grad()
    def take(self, stored: Sequence[dict[str, Any]]) -> None:
        [of] = stored
        if len({frozenset(state) for state in of["optimizer"]}) > 1:  # a parameter that had no gradient yet
            self.apart = self.make_apart()
            self.apart.take(stored)
            return
        for p, value in zip(self.parameters, of["parameters"], strict=True):
            p[0].copy_(value)
        state = self.optimizer.state[self.flat.whole]
        for key, value in of["optimizer"][0].items():
            state[key] = value
            if _per_number(value, self.parameters[0][0]):
                state[key] = torch.zeros_like(self.flat.whole)
                for part, own in zip(self.flat.parts(state[key]), of["optimizer"], strict=True):
                    part[0].copy_(own[key])


class _SlicedOptimizer:
    """One on stacked parameters, with a group for each run of models of equal learning rate and penalty."""

    def __init__(self, stack: nn.Module, make_optimizer: Make, lr: Sequence[float], weight_decay: Sequence[float]):
        self.parameters = [p for p in stack.parameters() if p.requires_grad]
        kinds = list(zip(lr, weight_decay, strict=True))
        starts = [i for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]
        self.bounds = list(zip(starts, [*starts[1:], len(kinds)], strict=True))
        self.slices = [[nn.Parameter(p.data[a:b]) for p in self.parameters] for a, b in self.bounds]
        groups = [
            {"params": part, "lr": kinds[a][0], "weight_decay": kinds[a][1]}
            for part, (a, _) in zip(self.slices, self.bounds, strict=True)
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
                {key: _copied(value[i - a] if _per_number(value, own) else value) for key, value in state.items()}
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
                    if _per_number(value, own[0])
                    else value
                    for key, value in states[0].items()
                }


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _per_number(value: Any, like: Tensor) -> bool:
    """Returns whether a part of an optimizer's state has an entry for every number of a parameter, not one for all."""
    return isinstance(value, Tensor) and value.shape == like.shape and value.ndim > 0
