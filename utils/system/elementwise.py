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

MINUS_ONE = torch.tensor(-1.0)
LANES = 16 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 32  # numbers that torch takes at a time

tanh_backward = torch.ops.aten.tanh_backward.grad_input
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


def tanh_of_half_(z: Tensor) -> Tensor:
    """tanh(z / 2) of m models (m, n, q) on the CPU, in the place of z, as 2 / (1 + exp(-z)) - 1: off by 2e-7 at most.

    torch's sigmoid takes a quarter of the time of its tanh, and less than its parts, but its bits are those of a model
    alone only where the model's numbers are a multiple of those that torch takes at a time.
    """
    whole = z.shape[-2] * z.shape[-1] % LANES == 0
    share = z.sigmoid_() if whole else z.neg_().exp_().add_(1).reciprocal_()
    return torch.add(MINUS_ONE, share, alpha=2, out=z)


class _LogSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.logsigmoid(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        [x] = ctx.saved_tensors
        return slope * sigmoid(-x)
