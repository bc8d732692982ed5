"""Optimizers of torch without the imports that they do not need, and of parameters that lie together."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from inspect import isfunction, unwrap

import torch
from torch import Tensor, nn

ALIGNED = 64  # numbers between two beginnings of parameters in a buffer: memory of its own begins at 64 bytes


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


class Flat:
    """Parameters that lie in one buffer, of which an optimizer that treats each number alone takes one step in all.

    Each begins where memory that is allotted to it alone would, so that products by it have the same bits. All have a
    gradient in every step.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.shapes = [p.shape for p in parameters]
        self.sizes = [-(-p.numel() // ALIGNED) * ALIGNED for p in parameters]
        self.parameters = parameters
        self.whole = nn.Parameter(parameters[0].new_zeros(sum(self.sizes)))
        self.whole.grad = torch.zeros_like(self.whole)
        self.gradients = self.parts(self.whole.grad)
        for p, part in zip(parameters, self.parts(self.whole.data), strict=True):
            part.copy_(p.data)
            p.data = part

    def parts(self, whole: Tensor) -> list[Tensor]:
        """The parts of a tensor like the buffer that belong to each parameter, in its shape."""
        split = zip(whole.split(self.sizes), self.shapes, strict=True)
        return [part[: shape.numel()].view(shape) for part, shape in split]

    @torch.no_grad()
    def collect(self) -> None:
        """Takes the gradients of the parameters, which are forgotten then, as that of the buffer."""
        found = [p.grad for p in self.parameters]
        torch._foreach_copy_(self.gradients, found)  # type: ignore[arg-type]  # none is None
        for p in self.parameters:
            p.grad = None
