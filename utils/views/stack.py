"""Stacks: many models of one structure as one, with a leading model dimension everywhere.

The parts of a stack differ in numbers alone. What methods see is described in ``utils.types``.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from utils.types import SCM, Batch, Context, Decide

ELEMENTWISE = (nn.Tanh, nn.ReLU, nn.GELU, nn.Softplus, nn.Sigmoid, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Identity)


class UnstackableError(ValueError):
    """The parts do not form a stack."""


# --- models ----------------------------------------------------------------------------------------------------


class Stack(nn.Module):
    """m models of one structure as one: x (..., m, n, d) -> logits (..., m, n, k), each by its own parameters.

    Linear layers become one batched product; a model with other parameters goes through ``torch.func.vmap``.
    ``each`` are the models themselves, which keep the parameters they had until ``hand_back``.

    Raises:
        UnstackableError: models that keep state beside their parameters.
    """

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        self.each = tuple(models)
        names = [name for name, _ in models[0].named_buffers()]
        if names:
            raise UnstackableError(f"the model keeps state beside its parameters ({names[0]})")
        try:
            self.together = _stack_module(models)
        except _NotLinearError:
            self.together = Vmapped(models)
        self.train(models[0].training)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., m, n, *) -> (..., m, n, *)."""
        return by_model(self.together, x)

    @torch.no_grad()
    def hand_back(self) -> None:
        """Gives the models the parameters that the stack has now."""
        every = _by_name(self.together)
        for i, model in enumerate(self.each):
            own = {name: every[name][i][tuple(map(slice, p.shape))] for name, p in model.state_dict().items()}
            model.load_state_dict(own)


def by_model(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The answers (..., m, n, *) of f, (m, n, *) -> (m, n, *), to x (..., m, n, *)."""
    if x.ndim == 3:
        return f(x)
    if len(x) == 1:  # fewer views, which cost more than small products
        return by_model(f, x.squeeze(0)).unsqueeze(0)
    front = x.movedim(-3, 0)
    y = f(front.reshape(len(front), -1, x.shape[-1]))
    return y.reshape(*front.shape[:-1], *y.shape[2:]).movedim(0, x.ndim - 3)


class _NotLinearError(Exception):
    """A layer that is neither linear nor elementwise."""


class StackedLinear(nn.Module):
    """m linear layers: x (m, n, i) -> (m, n, o), one batched product.

    A single input or output gets a second one of zeros. With one alone, libraries take another kernel for m = 1 than
    for more models; without, the bits of a model do not depend on the stack that it is part of. Layers of fewer inputs
    than others take the first ones; the others have to be 0, so that their weights, which are 0, are not trained.
    """

    def __init__(self, layers: Sequence[nn.Linear]):
        super().__init__()
        trained = layers[0].weight.requires_grad
        self.inputs, self.outputs = max(layer.in_features for layer in layers), layers[0].out_features
        self.spare = (0, int(self.outputs == 1), 0, int(self.inputs == 1))  # of the last dimension, of the one before
        weights = [F.pad(of.weight.detach().T, (0, 0, 0, self.inputs - of.in_features)) for of in layers]
        self.weight = nn.Parameter(F.pad(torch.stack(weights), self.spare).contiguous(), trained)
        biases = [layer.bias.detach().unsqueeze(0) for layer in layers if layer.bias is not None]
        learned = layers[0].bias is not None and layers[0].bias.requires_grad
        self.bias = nn.Parameter(F.pad(torch.stack(biases), self.spare[:2]), learned) if biases else None

    def forward(self, x: Tensor) -> Tensor:
        """(m, n, i) -> (m, n, o)."""
        if self.inputs == 1:
            x = F.pad(x, (0, 1))
        y = torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias, x, self.weight)
        return y[..., : self.outputs] if self.outputs == 1 else y

    def by_name(self, prefix: str) -> dict[str, Tensor]:
        """Parameters as those of the m layers, (m, *)."""
        bias = {} if self.bias is None else {f"{prefix}bias": self.bias[:, 0, : self.outputs]}
        return {f"{prefix}weight": self.weight[:, : self.inputs, : self.outputs].mT} | bias


class Vmapped(nn.Module):
    """m models of any layers without state: x (m, n, *) -> (m, n, *)."""

    def __init__(self, models: Sequence[nn.Module]):
        super().__init__()
        parameters, _ = stack_module_state(list(models))
        self.names = list(parameters)
        self.values = nn.ParameterList(nn.Parameter(p.detach()) for p in parameters.values())
        base = copy.deepcopy(models[0]).requires_grad_(False)
        self._call: Callable[..., Tensor] = lambda values, x: functional_call(base, values, (x,))

    def forward(self, x: Tensor) -> Tensor:
        """(m, n, *) -> (m, n, *)."""
        return vmap(self._call)(self.by_name(""), x)

    def by_name(self, prefix: str) -> dict[str, Tensor]:
        """Parameters as those of the m models, (m, *)."""
        return {f"{prefix}{name}": value for name, value in zip(self.names, self.values, strict=True)}


def _stack_module(models: Sequence[nn.Module]) -> nn.Module:
    """A module like each of the models, its linear layers stacked."""
    first = models[0]
    if isinstance(first, nn.Linear):
        return StackedLinear(models)  # type: ignore[arg-type]
    children = {name: child for name, child in first._modules.items() if child is not None}
    own = [id(child) for child in children.values() if next(child.parameters(), None) is not None]
    if len(set(own)) < len(own):  # one layer twice, which would become two
        raise _NotLinearError
    if next(first.parameters(recurse=False), None) is not None or not (children or isinstance(first, ELEMENTWISE)):
        raise _NotLinearError
    same = copy.copy(first)
    same._modules = {name: _stack_module([m.get_submodule(name) for m in models]) for name in children}
    return same


def _by_name(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Returns every parameter of the stacked models by its name in one of them, (m, *)."""
    if hasattr(module, "by_name"):  # a layer
        return module.by_name(prefix)  # type: ignore[operator]
    found: dict[str, Tensor] = {}
    for name, child in module.named_children():
        found |= _by_name(child, f"{prefix}{name}.")
    return found


# --- settings, causal models, contexts, rows -------------------------------------------------------------------


def together(values: Sequence[Any], name: str, device: torch.device | str = "cpu") -> Any:
    """One setting for all models of a stack: what is equal as it is, numbers that differ as (m, 1).

    Bound methods are those of one function, their arguments stacked in turn; modules become a ``Stack``, those without
    parameters one module with the buffers (m, *) of all.

    Raises:
        UnstackableError: values that differ otherwise, naming the setting.
    """
    first = values[0]
    if all(isinstance(v, nn.Module) for v in values):
        return Stack(values) if next(first.parameters(), None) is not None else _stack_states(values, name)
    if all(
        isinstance(v, partial) and v.func is first.func and v.keywords.keys() == first.keywords.keys() for v in values
    ):
        arguments = [together(of, name, device) for of in zip(*(v.args for v in values), strict=True)]
        keywords = {k: together([v.keywords[k] for v in values], f"{name}.{k}", device) for k in first.keywords}
        return partial(first.func, *arguments, **keywords)
    if all(v == first for v in values):
        return first
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return torch.tensor(values, dtype=torch.get_default_dtype(), device=device).unsqueeze(1)
    raise UnstackableError(f"{name} differs and is no number")


def _stack_states(modules: Sequence[nn.Module], name: str) -> nn.Module:
    """A module like each of these, its buffers (m, *). Raises UnstackableError where they differ otherwise."""
    first, buffers = modules[0], [dict(module.named_buffers()) for module in modules]
    if len({str([(key, value.shape) for key, value in of.items()]) for of in buffers}) > 1:
        raise UnstackableError(f"{name} has states of different sizes")
    if any(_plain(module) != _plain(first) for module in modules):
        raise UnstackableError(f"{name} differs and is no number")
    same = copy.copy(first)
    same._buffers = {key: torch.stack([of[key] for of in buffers]) for key in buffers[0]}
    return same


def _plain(module: nn.Module) -> dict[str, Any]:
    """Returns the attributes of a module beside its buffers."""
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def stack_scms(scms: Sequence[SCM]) -> SCM:
    """One SCM for the rows of all models, each with its own scaling and equations.

    Raises:
        UnstackableError: graphs, attributes or equations of different structure.
    """
    first = scms[0]
    for scm in scms:
        if _form(scm) != _form(first) or not torch.equal(scm.levels, first.levels):
            raise UnstackableError("the causal models have different graphs or sensitive attributes")
    equations = [
        of[0]._replace(push=together([e.push for e in of], "scm"), pull=together([e.pull for e in of], "scm"))
        for of in zip(*(scm.mechanisms for scm in scms), strict=True)
    ]
    constants: Any = {k: torch.stack([getattr(scm, k) for scm in scms]).unsqueeze(1) for k in ("loc", "scale", "unit")}
    if first.whole is not None:
        grids = zip(*(scm.whole for scm in scms if scm.whole is not None), strict=True)
        constants["whole"] = tuple(torch.stack(of).unsqueeze(1) for of in grids)
    constants["missing"] = {
        i: (flag, torch.stack([scm.missing[i][1] for scm in scms]).unsqueeze(1))
        for i, (flag, _) in first.missing.items()
    }
    return replace(first, mechanisms=tuple(equations), facts={}, **constants)


def _form(scm: SCM) -> tuple[Any, ...]:
    """The parts of an SCM that those of a stack have in common."""
    nodes = [(m.columns, m.parents, m.posterior) for m in scm.mechanisms]
    flags = {i: flag for i, (flag, _) in scm.missing.items()}
    return scm.names, nodes, scm.sensitive, scm.draws, scm.fresh, scm.whole is None, flags


def stack_contexts(contexts: Sequence[Context]) -> Context:
    """One context for all models, which keeps their own in ``each``."""
    first = contexts[0]
    device = first.scm.loc.device
    return replace(
        first,
        scm=stack_scms([ctx.scm for ctx in contexts]),
        attack=together([ctx.attack for ctx in contexts], "attack", device),
        epsilon=together([ctx.epsilon for ctx in contexts], "epsilon", device),
        decide=EachDecides([ctx.decide for ctx in contexts]),
        seed=tuple(ctx.own_seed for ctx in contexts),
        generator=tuple(g for ctx in contexts if isinstance(g := ctx.generator, torch.Generator)),
        each=tuple(contexts),
    )


def stack_batches(batches: Sequence[Batch]) -> Batch:
    """The rows of all models, (m, n, *). Raises UnstackableError where they are not equally many."""
    if len({batch.x.shape for batch in batches}) > 1:
        raise UnstackableError("the data sets have different numbers of rows or columns")
    return Batch(*(torch.stack(columns) for columns in zip(*batches, strict=True)))


class EachDecides:
    """The decisions of a stack: each model by its own thresholds."""

    def __init__(self, decides: Sequence[Decide]):
        self.decides = tuple(decides)
        self.monotone = all(decide.monotone for decide in decides)
        alike = len({type(decide) for decide in decides}) == 1
        self._margins = getattr(type(decides[0]), "margins", None) if alike else None  # of all at once

    def __call__(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., m, n, k), groups that broadcast to (..., m, n) -> labels (..., m, n)."""
        return self._each(logits, s, lambda decide, z, group: decide(z, group))

    def margin(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., m, n, 1), groups that broadcast to (..., m, n) -> margins (..., m, n)."""
        if self._margins is not None:
            margins: Tensor = self._margins(self.decides, logits)
            return margins
        return self._each(logits, s, lambda decide, z, group: decide.margin(z, group))

    def _each(self, logits: Tensor, s: Tensor, what: Callable[[Decide, Tensor, Tensor], Tensor]) -> Tensor:
        parts = zip(self.decides, logits.unbind(-3), s.expand(logits.shape[:-1]).unbind(-2), strict=True)
        return torch.stack([what(decide, z, group) for decide, z, group in parts], -2)
