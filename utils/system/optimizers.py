"""Optimizers of torch without the imports that they do not need."""

from collections.abc import Callable
from functools import cache, partial
from inspect import isfunction, unwrap

import torch


def without_compiler(make_optimizer: Callable[..., torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Returns a maker of the same optimizer, whose calls do not import torch's compiler: over a second a process.

    torch wraps the methods of its optimizers in calls that import the compiler, only to tell it to keep out.
    """
    kind = getattr(make_optimizer, "func", make_optimizer)
    if not kind.__module__.startswith("torch.optim"):
        return make_optimizer
    return partial(_plain(kind), **getattr(make_optimizer, "keywords", {}))


@cache
def _plain(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The optimizer's class without these wrappers; steps keep torch's hooks, and no gradients."""
    bare = {n: unwrap(f) for n, f in vars(torch.optim.Optimizer).items() if isfunction(f) and hasattr(f, "__wrapped__")}
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(unwrap(kind.step))})
