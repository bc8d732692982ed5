"""Sound bounds of a network that cost one forward pass: how far its numbers move where features move so far.

In the L2 norm, a layer moves what it is given at most by its Lipschitz constant: a linear one by its spectral norm,
others by their steepest slope. That is looser than Taylor models are (``utils.adversary.taylor``), and enough for most
rows, which are decided by far. As there, ``torch`` calls the rules below, rounding is part of the distance, and what
has no rule raises ``NoBoundsError``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils.adversary.taylor import ROUNDINGS, NoBoundsError, Taylor
from utils.types import Predict

SQUARINGS = 3  # of a Gram matrix, whose norm is between those of its power 2^3
UPWARDS = 1 + 1e-3  # more than the rounding of such powers
STEEPEST_GELU = 1.13


class Near:
    """Numbers (..., p, c), each row of them within ``far`` (..., p) of ``value``, as they are computed."""

    def __init__(self, value: Tensor, far: Tensor):
        self.value = value
        self.far = far

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.value.ndim

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls the rule of a function of ``torch``."""
        rule = RULES.get(function)
        if rule is None:
            raise NoBoundsError(f"no Lipschitz constant is known of {getattr(function, '__name__', function)}()")
        return rule(*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        raise NoBoundsError(f"no Lipschitz constant is known of {name}")

    def __getitem__(self, where: Any) -> "Near":
        if where[0] is not Ellipsis or len(where) != 2 or isinstance(where[1], int):
            raise NoBoundsError("no Lipschitz constant is known of some of the rows alone")
        columns = torch.arange(self.value.shape[-1], device=self.value.device)[where[1]]
        often = int(columns.bincount().max()) if columns.ndim == 1 and len(columns) else 0
        if not often:
            raise NoBoundsError("no Lipschitz constant is known of columns chosen so")
        return Near(self.value[where], self.far if often == 1 else self.far * math.sqrt(often) * UPWARDS)


def bounds_near(predict: Predict, features: Taylor | Near) -> tuple[Tensor, Tensor] | None:
    """Lower and upper bounds (..., p, k) of a model over features (..., p, d); None where there is no rule."""
    try:
        logits: Any = predict(enclose(features) if isinstance(features, Taylor) else features)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a model may do anything with what is no tensor
        return None
    if not isinstance(logits, Near):
        return None
    far = logits.far.unsqueeze(-1)
    return logits.value - far, logits.value + far


def enclose(features: Taylor) -> Near:
    """The ball around the value of features (..., p, d) that holds them, the same for every model that they go to."""
    return Near(features.value, _distance(features))


def _distance(a: Taylor) -> Tensor:
    """The most (..., p) by which features (..., p, d) differ from their value in the L2 norm."""
    if not a.domain.whole:
        return (a.reach().size + a.rest).norm(dim=-1) * UPWARDS
    assert a.domain.radius is not None
    return spectral_norm(a.slope.movedim(0, -1)) * a.domain.radius + a.rest.norm(dim=-1) * UPWARDS


def spectral_norm(matrix: Tensor) -> Tensor:
    """An upper bound (...) of the spectral norm of matrices (..., a, b), at most min(a, b)^(1/32) of it.

    Of a Gram matrix G, norm(G) <= frobenius(G^8)^(1/8); its powers are divided by their traces, lest they vanish.
    """
    matrix = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mT
    power, tiny = matrix.mT @ matrix, torch.finfo(matrix.dtype).tiny
    size = power.new_ones(power.shape[:-2])  # also of matrices without a column, where nothing moves
    for step in range(SQUARINGS + 1):
        power = power @ power if step else power
        trace = power.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(tiny)
        power, size = power / trace[..., None, None], size * trace.pow(0.5**step)
    largest = size * power.square().sum((-2, -1)).pow(0.5 ** (SQUARINGS + 1))
    return largest.sqrt() * UPWARDS + tiny**0.5


def _rounding(a: Near, count: int) -> Tensor:
    """That of sums of products, ``count`` of them, of numbers of such a size (..., p), twice: here and at the value."""
    return 2 * (2 * count + ROUNDINGS) * torch.finfo(a.value.dtype).eps * (a.value.norm(dim=-1) + a.far)


def _linear(a: Near, weight: Tensor, bias: Tensor | None = None) -> Near:
    """(..., p, c) by a weight (..., o, c)."""
    if not isinstance(a, Near):
        raise NoBoundsError("no Lipschitz constant is known of a linear layer with weights that move")
    value = a.value @ weight.mT
    frobenius = weight.square().sum((-2, -1)).sqrt().unsqueeze(-1) + torch.finfo(weight.dtype).tiny ** 0.5
    far = spectral_norm(weight).unsqueeze(-1) * a.far + frobenius * _rounding(a, weight.shape[-1])
    if bias is None:
        return Near(value, far)
    value = value + bias
    return Near(value, far + 2 * ROUNDINGS * torch.finfo(value.dtype).eps * value.norm(dim=-1))


def _elementwise(function: Callable[[Tensor], Tensor], steepest: float) -> Callable[..., Near]:
    """The rule of an activation that no change of its input changes by more than so many times as much."""

    def rule(a: Near, **unused: Any) -> Near:
        if unused.pop("inplace", False) or unused.pop("approximate", "none") != "none" or unused:
            raise NoBoundsError(f"no Lipschitz constant is known of {unused}")
        sizes = math.sqrt(a.value.shape[-1]) * 2 * ROUNDINGS * torch.finfo(a.value.dtype).eps
        return Near(function(a.value), steepest * a.far + _rounding(a, 0) + sizes)

    return rule


RULES: Mapping[Any, Callable[..., Near]] = {
    F.linear: _linear,
    torch.bmm: lambda a, weight: _linear(a, weight.mT),
    torch.baddbmm: lambda bias, a, weight: _linear(a, weight.mT, bias),
    torch.tanh: _elementwise(torch.tanh, 1.0),
    torch.sigmoid: _elementwise(torch.sigmoid, 0.25),
    F.relu: _elementwise(torch.relu, 1.0),
    F.gelu: _elementwise(F.gelu, STEEPEST_GELU),
}
