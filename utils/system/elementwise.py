"""Functions of single numbers whose bits do not depend on how many are computed at once.

torch takes numbers by the handful, and the last ones, which fill no hand, one by one. Of ``sigmoid``, ``atanh``,
``softplus``, ``gelu``, ``silu``, ``elu`` and fractional powers their last bits are others then, and so are those of the
gradients that torch makes of a sigmoid: a model in a stack would not be the one that is trained alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_curved = False


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), with its relative precision and its gradient for large numbers of either sign."""
    return F.logsigmoid(x).exp()


def log_sigmoid(x: Tensor) -> Tensor:
    """-log(1 + exp(-x)), as torch computes it but, within ``for_curvature``, for the gradient of its gradient."""
    if not _curved or is_transformed():
        return F.logsigmoid(x)
    value: Tensor = _LogSigmoid.apply(x)
    return value


@contextmanager
def for_curvature() -> Iterator[None]:
    """Gradients of gradients of what is computed here have bits that depend on no other number either."""
    global _curved
    before, _curved = _curved, True
    try:
        yield
    finally:
        _curved = before


def is_transformed() -> bool:
    """Returns whether a transform of ``torch.func`` is at work, which goes through operations of torch alone."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def atanh(x: Tensor) -> Tensor:
    """The inverse of tanh."""
    return (torch.log1p(x) - torch.log1p(-x)) / 2


class _LogSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.logsigmoid(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        return slope * sigmoid(-x)
