"""Sound bounds by first-order Taylor models: numbers with slopes, and a remainder that holds all the rest.

A Taylor model (Berz and Hoffstätter 1998, Reliable Computing 4) is a value, a slope along each coordinate of a domain
and a remainder. It goes through a function as a tensor does: ``torch`` calls the rules below in place of its own
kernels, so structural equations and networks are bounded by the very code that computes them. An operation without a
rule raises ``NoBoundsError``, which names it.

Domains are parts of balls: all t in a box around a centre whose distance from the ball's centre is at most a radius.
What is linear reaches over a whole L2 ball the norm of its slopes times the radius, and over a part of it no more than
over the box.

Rounding is part of the remainder, in place of directed rounding: every sum of m products is taken to be off by
(2 m + k + 8) eps of the sum of their magnitudes, k the number of slopes, and every other operation by 8 eps of its
operands and its result. That covers the function and the bound itself, in any order of summation, at full precision of
the type (so not in TF32).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Union

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils.system.elementwise import atanh

ROUNDINGS = 8
BISECTIONS = 12
NARROW = 0.05  # an interval whose chord is known to fewer digits than its tangent
WEIGHTS = 7.0  # logarithm of the largest weight of a ball beside the norm of the slopes, and of its inverse
GELU_TURN = 2.0  # the second derivative of GELU, phi(z) (2 - z^2), falls from 0 to here on either side, then grows
LOG_2 = 0.6931472  # the most that softplus is above ReLU
SOFTPLUS_LINEAR = 20.0  # from here on torch's softplus is the identity
SOFTPLUS_STEP = 2.1e-9  # and log(1 + exp(-20)) is what it leaves out
GELU_BELOW = 0.17004  # the most that GELU is below ReLU


class NoBoundsError(AttributeError, ValueError):
    """No rule bounds an operation, as a setting asks for; whoever only looks whether it is there finds it is not."""


class Reach(NamedTuple):
    """The most by which sum_i slope_i (t_i - centre_i) falls below 0 and exceeds it, and a bound of its roundings."""

    below: Tensor
    above: Tensor
    size: Tensor  # of sum_i abs(slope_i (t_i - centre_i)), at every t


class Domain(NamedTuple):
    """The points t of p boxes, each cut by a ball: abs(t - centre) <= half, and norm(t) <= radius where that is L2."""

    centre: Tensor  # (k, p)
    half: Tensor  # (k, p), >= 0
    radius: Tensor | None  # (p,) of an L2 ball around 0; None: the boxes as they are
    whole: bool = False  # whether the boxes hold all of the L2 balls, around the same centre

    def rows(self, keep: Tensor) -> "Domain":
        """The domains of some rows."""
        radius = None if self.radius is None else self.radius[keep]
        return Domain(self.centre[:, keep], self.half[:, keep], radius, self.whole)

    def reach(self, slope: Tensor) -> Reach:
        """That of slopes (k, p, *)."""
        shape = *self.half.shape, *(1,) * (slope.ndim - self.half.ndim)
        if self.radius is None:
            size = _total(slope, self.half.reshape(shape))
            return Reach(size, size, size)
        norm = _length(slope) * self.radius.reshape(shape[1:])
        if self.whole:
            return Reach(norm, norm, len(slope) ** 0.5 * norm)
        size = _total(slope, self.half.reshape(shape))
        offset = (slope * self.centre.reshape(shape)).sum(0)
        # the distance that the ball leaves is a difference, whose terms have their own rounding
        norm = norm + (len(slope) + ROUNDINGS) * torch.finfo(slope.dtype).eps * (norm + size)
        return Reach(torch.minimum(size, norm + offset), torch.minimum(size, norm - offset), size)

    def largest(self, slope: Tensor) -> tuple[Tensor, Tensor]:
        """The largest sum_i slope_i (t_i - centre_i) of slopes (k, p), and a point t (k, p) near which it is reached.

        As exact as needed where the box cuts the ball too: by weak duality max slope t <= max over the box of
        (slope t - m t^2 / 2) + m radius^2 / 2 for every m >= 0, of which bisection finds the best.
        """
        low, high = self.centre - self.half, self.centre + self.half
        reach = self.reach(slope)
        if self.radius is None:
            return reach.above, torch.where(slope > 0, high, low)
        steep = _length(slope)
        if self.whole:
            return reach.above, self.radius * slope / steep
        best, least, most = reach.above, torch.full_like(steep, -WEIGHTS), torch.full_like(steep, WEIGHTS)
        size = reach.size + (slope * self.centre).abs().sum(0)  # ends of boxes are rounded as their centres are
        squared, rounding = self.radius.square(), (len(slope) + ROUNDINGS) * torch.finfo(slope.dtype).eps
        for _ in range(BISECTIONS):
            middle = (least + most) / 2
            weight = middle.exp() * steep / self.radius
            point = torch.minimum(torch.maximum(slope / weight, low), high)
            length = point.square().sum(0)
            bound = (slope * (point - self.centre)).sum(0) + weight * (squared - length) / 2
            best = torch.minimum(best, bound + rounding * (size + weight * (squared + length)))
            outside = length > squared
            least, most = torch.where(outside, middle, least), torch.where(outside, most, middle)
        return best, point


def _total(slope: Tensor, half: Tensor) -> Tensor:
    """The sum over slopes (k, *), rounded up."""
    return (slope.abs() * half).sum(0) * _upwards(slope)


def _length(slope: Tensor) -> Tensor:
    """The norm of slopes (k, *), rounded up; squares may be too small to be told from 0."""
    least = len(slope) * torch.finfo(slope.dtype).tiny
    # ten times faster than linalg.vector_norm; what is added leaves a gradient where all slopes are 0
    return (slope.square().sum(0) + least).sqrt() * _upwards(slope) + least**0.5


def _upwards(slope: Tensor) -> float:
    """A factor by which a sum of as many numbers >= 0 as there are slopes is no smaller than in exact arithmetic."""
    return 1 + (len(slope) + ROUNDINGS) * torch.finfo(slope.dtype).eps


class Taylor:
    """Numbers within ``rest`` of ``value + sum_i slope_i (t_i - centre_i)`` at every t of a domain."""

    def __init__(self, value: Tensor, slope: Tensor, rest: Tensor, domain: Domain):
        self.value = value  # (p, *)
        self.slope = slope  # (k, p, *)
        self.rest = rest  # (p, *), >= 0
        self.domain = domain

    # --- as a tensor -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> torch.Size:
        """That of the numbers, (p, *)."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions, of which the first is that of the domains."""
        return self.value.ndim

    @property
    def dtype(self) -> torch.dtype:
        """That of the numbers."""
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        """That of the numbers."""
        return self.value.device

    def __len__(self) -> int:
        return len(self.value)

    def numel(self) -> int:
        """The number of numbers that it is made of."""
        return self.value.numel() * (len(self.slope) + 2)

    def element_size(self) -> int:
        """Bytes of each."""
        return self.value.element_size()

    def __getattr__(self, name: str) -> Any:
        rule = METHODS.get(name)
        if rule is None:
            raise NoBoundsError(f"no bounds are known of {name.strip('_')}()")
        return partial(rule, self)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls the rule of a function of ``torch``."""
        rule = FUNCTIONS.get(function)
        if rule is None:
            name = getattr(function, "__name__", str(function))
            raise NoBoundsError(f"no bounds are known of {name.strip('_')}()")
        return rule(*args, **(kwargs or {}))

    def __getitem__(self, where: Any) -> "Taylor":
        where = where if isinstance(where, tuple) else (where,)
        if where[0] is not Ellipsis and where[0] != slice(None):
            raise NoBoundsError("no bounds are known of some of the rows alone")
        behind = where if where[0] is Ellipsis else (slice(None), *where)
        return Taylor(self.value[where], self.slope[behind], self.rest[where], self.domain)

    def __bool__(self) -> bool:
        raise NoBoundsError("no bounds are known of a choice by what the radius moves")

    def __eq__(self, other: object) -> bool:
        raise NoBoundsError("no bounds are known of a comparison with what the radius moves")

    __hash__ = None  # type: ignore[assignment]  # as nothing has that is not known to be equal

    def _in_place(self, other: "Number") -> "Taylor":  # noqa: ARG002
        raise NoBoundsError("no bounds are known of an operation in place")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place

    def __neg__(self) -> "Taylor":
        return _negate(self)

    def __add__(self, other: "Number") -> "Taylor":
        return _add(self, other)

    __radd__ = __add__

    def __sub__(self, other: "Number") -> "Taylor":
        return _subtract(self, other)

    def __rsub__(self, other: "Number") -> "Taylor":
        return _subtract(other, self)

    def __mul__(self, other: "Number") -> "Taylor":
        return _multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: "Number") -> "Taylor":
        return _divide(self, other)

    def __pow__(self, exponent: float) -> "Taylor":
        return _power(self, exponent)

    # --- as a bound --------------------------------------------------------------------------------------------

    def rows(self, keep: Tensor) -> "Taylor":
        """The numbers of some rows, on their domains."""
        return Taylor(self.value[keep], self.slope[:, keep], self.rest[keep], self.domain.rows(keep))

    def reach(self) -> Reach:
        """The reach of the slopes, (p, *) each."""
        return self.domain.reach(self.slope)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds (p, *). Undefined where a side of the domain is; these compare as false."""
        low, high, _ = _range(self)
        return low, high

    def furthest(self, towards: Tensor) -> "Furthest":
        """The bound (p,) of numbers (p,) on the side of the signs ``towards`` (p,), and where it may be reached."""
        reach, point = self.domain.largest(self.slope * towards)
        rest = self.rest + rounding_of(self.value.abs() + reach.abs() + self.rest)
        return Furthest(self.value + towards * (reach + rest), point, reach, rest)

    def within(self, share: float) -> "Taylor":
        """The numbers in smaller domains around the same centres, of a share in [0, 1] of the size."""
        radius = None if self.domain.radius is None else share * self.domain.radius
        domain = Domain(self.domain.centre, share * self.domain.half, radius, self.domain.whole)
        return Taylor(self.value, self.slope, self.rest, domain)

    def at_furthest(self, points: Tensor, towards: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds (p,) of the numbers (p,) at that of the points (s, k) of balls around 0 where slopes promise most.

        At no other of the points is a number beyond the end that is on the side of the signs ``towards`` (p,).
        """
        at = self.value + towards * (points @ (self.slope * towards)).amax(0)
        extra = self._beside()
        return at - extra, at + extra

    def at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds (s, p) of the numbers (p,) at points (s, k) of balls around 0."""
        at, extra = self.value + points @ self.slope, self._beside()
        return at - extra, at + extra

    def _beside(self) -> Tensor:
        """The most that numbers are beside their lines, and these as they are computed."""
        _, _, size = _range(self)
        return self.rest + rounding_of(size) + 2 * len(self.slope) * torch.finfo(size.dtype).eps * size

    def tilt(self) -> Tensor:
        """The slopes (k, p, *) by which to look for what moves the numbers."""
        return self.slope

    def by_boxes(self, function: "Boxed") -> "Steps":
        """The numbers (p, d) through a function of boxes, of which no slope is known.

        Raises:
            NoBoundsError: it is not implemented, with the reason that it gives.
        """
        low, high = self.bounds()
        try:
            least, largest, rise = function(low, high)
        except NotImplementedError as error:
            raise NoBoundsError(str(error)) from None
        width = (high - low).clamp_min(torch.finfo(low.dtype).tiny)
        tilt = (self.slope * (rise / width)).sum(-1, keepdim=True)
        return Steps(least, largest, tilt.expand(-1, *least.shape), self.domain)


class Furthest(NamedTuple):
    """The bound of numbers (p,) on one side."""

    bound: Tensor  # (p,)
    point: Tensor  # (k, p) of the domain, where slopes promise it
    reach: Tensor  # (p,) the distance from the value that slopes promise
    rest: Tensor  # (p,) what may be left beside


# the ends (p, d) of boxes -> least and largest (p, k) there, and the rise from one end to the other by column (p, d)
Boxed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Steps(Taylor):
    """Numbers from ``low`` to ``high``, both to the bit: of a function that takes steps, whose slope says nothing."""

    def __init__(self, low: Tensor, high: Tensor, tilt: Tensor, domain: Domain):
        known = between(low, high, domain)
        super().__init__(known.value, known.slope, known.rest, domain)
        self._low, self._high, self._tilt = low, high, tilt

    def __getitem__(self, where: Any) -> "Steps":
        known = super().__getitem__(where)  # which refuses some of the rows alone
        of = where if isinstance(where, tuple) else (where,)
        behind = of if of[0] is Ellipsis else (slice(None), *of)
        return Steps(self._low[where], self._high[where], self._tilt[behind], known.domain)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds (p, *)."""
        return self._low, self._high

    def furthest(self, towards: Tensor) -> Furthest:
        """The end (p,) on the side of the signs ``towards`` (p,), and where the tilt promises it."""
        _, point = self.domain.largest(self._tilt * towards)
        bound = torch.where(towards < 0, self._low, self._high)
        return Furthest(bound, point, torch.zeros_like(bound), self.rest)

    def tilt(self) -> Tensor:
        """The average rise (k, p, *) along each coordinate."""
        return self._tilt


Number = Union[Taylor, Tensor, float]  # noqa: UP007 - the name of a class that is defined here


def constant(value: Tensor, domain: Domain) -> Taylor:
    """Returns numbers (p, *) that are the same at every point of a domain."""
    slope = value.new_zeros(()).expand(len(domain.centre), *value.shape)
    return Taylor(value, slope, torch.zeros_like(value), domain)


def between(low: Tensor, high: Tensor, domain: Domain) -> Taylor:
    """Returns numbers (p, *) of which no more is known than that they are from low to high."""
    middle = (low + high) / 2
    rest = torch.maximum(high - middle, middle - low) * (low != high)
    slope = middle.new_zeros(()).expand(len(domain.centre), *middle.shape)
    return Taylor(middle, slope, rest + rounding_of(middle.abs() + rest) * (low != high), domain)


def join(parts: Sequence["Number"], like: Domain) -> Taylor:
    """Returns columns (p,) as one (p, c), those that are no Taylor models as constants."""
    every = [part if isinstance(part, Taylor) else constant(torch.as_tensor(part), like) for part in parts]
    shape = np.broadcast_shapes(*(part.shape for part in every))  # torch imports sympy for its own
    value, rest = (torch.stack([getattr(part, name).expand(shape) for part in every], -1) for name in ("value", "rest"))
    return Taylor(value, torch.stack([part.slope.expand(-1, *shape) for part in every], -1), rest, every[0].domain)


def choose(first: Tensor, a: Taylor, b: Taylor) -> Taylor:
    """Returns the numbers a where a mask (p, *) is set, else b, of one domain."""
    value, slope, rest = (torch.where(first, getattr(a, of), getattr(b, of)) for of in ("value", "slope", "rest"))
    return Taylor(value, slope, rest, a.domain)


def rounding_of(magnitude: Tensor) -> Tensor:
    """Returns a bound on the rounding error of a few operations on numbers whose magnitudes have this sum."""
    return ROUNDINGS * torch.finfo(magnitude.dtype).eps * magnitude


def _range(a: Taylor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper bounds of the numbers, and a bound of their size, all (p, *)."""
    below, above, spread = a.reach()
    size = a.value.abs() + spread + a.rest
    extra = a.rest + (ROUNDINGS + len(a.slope)) * torch.finfo(size.dtype).eps * size
    return a.value - below - extra, a.value + above + extra, size


def _size(a: Number) -> Tensor:
    """A bound of the sum of the magnitudes of the parts of the numbers."""
    if not isinstance(a, Taylor):
        return torch.as_tensor(a).abs()
    return a.value.abs() + a.reach().size + a.rest


def _distance(a: Taylor) -> Tensor:
    """The most by which numbers differ from their value."""
    below, above, _ = a.reach()
    return torch.maximum(below, above) + a.rest


# --- arithmetic ------------------------------------------------------------------------------------------------


def _add(a: Number, b: Number) -> Taylor:
    if not isinstance(a, Taylor):
        a, b = b, a
    assert isinstance(a, Taylor)
    rounding = rounding_of(_size(a) + _size(b))
    if not isinstance(b, Taylor):
        return _as_wide(Taylor(a.value + b, a.slope, a.rest + rounding, a.domain))
    return Taylor(a.value + b.value, a.slope + b.slope, a.rest + b.rest + rounding, a.domain)


def _negate(a: Taylor) -> Taylor:
    return Taylor(-a.value, -a.slope, a.rest, a.domain)


def _subtract(a: Number, b: Number) -> Taylor:
    return _add(a, _negate(b) if isinstance(b, Taylor) else -b)


def _as_wide(a: Taylor) -> Taylor:
    """The same, slopes and rest as wide as the numbers."""
    return Taylor(a.value, a.slope.expand(-1, *a.value.shape), a.rest.expand(a.value.shape), a.domain)


def _multiply(a: Number, b: Number) -> Taylor:
    if not isinstance(a, Taylor):
        a, b = b, a
    assert isinstance(a, Taylor)
    rounding = rounding_of(_size(a) * _size(b))
    if not isinstance(b, Taylor):
        factor = torch.as_tensor(b, dtype=a.value.dtype, device=a.value.device)
        return _as_wide(Taylor(a.value * factor, a.slope * factor, a.rest * factor.abs() + rounding, a.domain))
    rest = a.value.abs() * b.rest + b.value.abs() * a.rest + _distance(a) * _distance(b) + rounding
    return Taylor(a.value * b.value, a.value * b.slope + b.value * a.slope, rest, a.domain)


def _divide(a: Taylor, b: Number) -> Taylor:
    if isinstance(b, Taylor):
        raise NoBoundsError("no bounds are known of a division by what the radius moves")
    divisor = torch.as_tensor(b, dtype=a.value.dtype, device=a.value.device)
    rest = (a.rest + rounding_of(_size(a))) / divisor.abs()
    return _as_wide(Taylor(a.value / divisor, a.slope / divisor, rest, a.domain))


def _square(a: Taylor) -> Taylor:
    """(v + e)^2 = v^2 + 2 v e + e^2, the last from 0 to the square of the distance."""
    half = _distance(a).square() / 2
    rest = 2 * a.value.abs() * a.rest + half + rounding_of(_size(a).square())
    return Taylor(a.value.square() + half, 2 * a.value * a.slope, rest, a.domain)


def _power(a: Taylor, exponent: float) -> Taylor:
    if exponent not in (1, 2):
        raise NoBoundsError(f"no bounds are known of a power of {exponent}")
    return a if exponent == 1 else _square(a)


def _linear(a: Taylor, weight: Tensor, bias: Tensor | None = None) -> Taylor:
    if not isinstance(a, Taylor) or isinstance(weight, Taylor) or isinstance(bias, Taylor):
        raise NoBoundsError("no bounds are known of a linear layer with weights that move")
    rounding = (2 * weight.shape[-1] + len(a.slope) + ROUNDINGS) * torch.finfo(weight.dtype).eps
    rest = (a.rest + rounding * _size(a)) @ weight.mT.abs()
    if bias is not None:
        rest = rest + rounding * bias.abs()
    return Taylor(_plus(a.value @ weight.mT, bias), a.slope @ weight.mT, rest, a.domain)


def _plus(value: Tensor, bias: Tensor | None) -> Tensor:
    return value if bias is None else value + bias


# --- shapes ----------------------------------------------------------------------------------------------------


def _stack(parts: Sequence[Number], dim: int = 0) -> Taylor:
    if dim != -1:
        raise NoBoundsError("no bounds are known of numbers that are stacked along another dimension than the last")
    return join(parts, next(part.domain for part in parts if isinstance(part, Taylor)))


def _squeeze(a: Taylor, dim: int) -> Taylor:
    if dim != -1 or a.ndim < 2:
        raise NoBoundsError("no bounds are known of another squeezed dimension than the last")
    return a if a.shape[-1] != 1 else a[..., 0]


def _unsqueeze(a: Taylor, dim: int) -> Taylor:
    if dim != -1:
        raise NoBoundsError("no bounds are known of a new dimension before the last")
    return Taylor(a.value.unsqueeze(-1), a.slope.unsqueeze(-1), a.rest.unsqueeze(-1), a.domain)


def _pad(a: Taylor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Taylor:
    if len(pad) != 2 or mode != "constant" or value:
        raise NoBoundsError("no bounds are known of numbers padded by others than zeros, or elsewhere than at the end")
    return Taylor(F.pad(a.value, list(pad)), F.pad(a.slope, list(pad)), F.pad(a.rest, list(pad)), a.domain)


def _as_it_is(a: Taylor, *shape: Any) -> Taylor:
    """Another shape that is the same."""
    wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    if len(wanted) != a.ndim or any(of not in (-1, own) for of, own in zip(wanted, a.shape, strict=True)):
        raise NoBoundsError("no bounds are known of numbers in another shape")
    return a


def _movedim(a: Taylor, source: int, destination: int) -> Taylor:
    if source % a.ndim != destination % a.ndim:
        raise NoBoundsError("no bounds are known of numbers in another order")
    return a


def _bmm(a: Taylor, weight: Tensor) -> Taylor:
    return _linear(a, weight.mT)


def _baddbmm(bias: Tensor, a: Taylor, weight: Tensor) -> Taylor:
    return _linear(a, weight.mT, bias)


# --- activations -----------------------------------------------------------------------------------------------


class _Bent(NamedTuple):
    """A function near v: within ``rest`` of ``value + slope (z - v)`` at every z of an interval around v."""

    value: Tensor
    slope: Tensor
    rest: Tensor


Bend = Callable[[Tensor, Tensor, Tensor], _Bent]  # v, and the ends of an interval that it is in


def _bend(a: Taylor, *functions: Bend, steepest: Callable[[Tensor], Tensor] | None = None) -> Taylor:
    """The numbers through a function, by that of its enclosures that leaves the least rest.

    Args:
        a: the numbers.
        functions: enclosures.
        steepest: the largest slope and value of the function up to a number, where it may be above 1.
    """
    low, high, size = _range(a)
    near = a.value.maximum(low).minimum(high)  # the value is beyond them where the ball leaves out the box's centre
    bent = functions[0](near, low, high)
    for function in functions[1:]:
        other = function(near, low, high)
        tighter = other.slope.abs() * a.rest + other.rest < bent.slope.abs() * a.rest + bent.rest
        bent = _Bent(*(torch.where(tighter, new, old) for new, old in zip(other, bent, strict=True)))
    rounding = rounding_of(1 + size) if steepest is None else rounding_of((1 + size) * steepest(high))
    rest = bent.slope.abs() * a.rest + bent.rest + rounding
    return Taylor(bent.value + bent.slope * (a.value - near), bent.slope * a.slope, rest, a.domain)


def _tangent(value: Tensor, slope: Tensor, distance: Tensor, least: Tensor, largest: Tensor) -> _Bent:
    """The middle of the two parabolas with the least (<= 0) and the largest (>= 0) second derivative in reach."""
    quarter = distance.square() / 4
    return _Bent(value + quarter * (largest + least), slope, quarter * (largest - least))


def _nearest(point: float, low: Tensor, high: Tensor) -> Tensor:
    """The number of each interval that is nearest to a point."""
    return low.new_full((), point).maximum(low).minimum(high)


def _between_parallels(
    function: Callable[[Tensor], Tensor], v: Tensor, low: Tensor, high: Tensor, slope: Tensor, turns: Sequence[Tensor]
) -> _Bent:
    """The function less a line of some slope, from its least to its largest, at the ends or where it turns."""
    points = torch.stack([low, high, *(turn.maximum(low).minimum(high) for turn in turns)])
    least, largest = (function(points) - slope * (points - v)).aminmax(dim=0)
    return _Bent((least + largest) / 2, slope, (largest - least) / 2)


def _tanh_chord(v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    """Parallel to the chord, or to the tangent where that is ill-conditioned; the rest turns where tanh' is slope."""
    width = high - low
    chord = (high.tanh() - low.tanh()) / width.clamp_min(NARROW)
    slope = torch.where(width < NARROW, 1 - v.tanh().square(), chord)
    turn = atanh((1 - slope.detach()).clamp(0, 1).sqrt())  # where a slope is 0, so that it needs no gradient
    return _between_parallels(torch.tanh, v, low, high, slope, [turn, -turn])


def _tanh(a: Taylor) -> Taylor:
    return _bend(a, _tanh_chord)


def _sigmoid(a: Taylor) -> Taylor:
    return (_tanh(a * 0.5) + 1) * 0.5


def _exp_tangent(v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    value = v.exp()
    return _tangent(value, value, torch.maximum(high - v, v - low), torch.zeros_like(v), high.exp())


def _exp(a: Taylor) -> Taylor:
    return _bend(a, _exp_tangent, steepest=torch.exp)


def _relu_chord(v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    """Parallel to the chord over the interval, which leaves the least rest; a kink out of reach leaves none."""
    width = (high - low).clamp_min(torch.finfo(v.dtype).tiny)
    slope = torch.where(low >= 0, 1.0, high.clamp_min(0) / width)
    rest = -slope * low.clamp_max(0) / 2
    return _Bent(slope * v + rest, slope, rest)


def _relu(a: Taylor, inplace: bool = False) -> Taylor:
    bent = _bend(a, _relu_chord)
    if inplace:  # whoever holds the same numbers sees them changed
        a.value, a.slope, a.rest = bent.value, bent.slope, bent.rest
    return bent


def _relu_less(most: float, v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    """ReLU less something from 0 to ``most``, which may be below 0."""
    bent = _relu_chord(v, low, high)
    return _Bent(bent.value - most / 2, bent.slope, bent.rest + abs(most) / 2)


def _softplus_tangent(v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    steepest = _nearest(0.0, low, high).sigmoid()
    largest = steepest * (1 - steepest)
    bent = _tangent(F.softplus(v), v.sigmoid(), torch.maximum(high - v, v - low), torch.zeros_like(v), largest)
    return bent._replace(rest=bent.rest + SOFTPLUS_STEP * (high > SOFTPLUS_LINEAR))


def _softplus(a: Taylor, beta: float = 1, threshold: float = 20) -> Taylor:
    if (beta, threshold) != (1, SOFTPLUS_LINEAR):
        raise NoBoundsError(f"no bounds are known of softplus with beta={beta} and threshold={threshold}")
    return _bend(a, _softplus_tangent, partial(_relu_less, -LOG_2))


def _gelu_tangent(v: Tensor, low: Tensor, high: Tensor) -> _Bent:
    def curvature(z: Tensor) -> Tensor:
        return torch.exp(-z.square() / 2) / (2 * torch.pi) ** 0.5 * (2 - z.square())

    least_size, most_size = _nearest(0.0, low, high).abs(), torch.maximum(low.abs(), high.abs())
    largest = curvature(least_size).clamp_min(0)  # it falls from 0 up to GELU_TURN, and is below 0 from sqrt(2) on
    least = curvature(_nearest(GELU_TURN, least_size, most_size)).clamp_max(0)
    slope = torch.special.ndtr(v) + v * torch.exp(-v.square() / 2) / (2 * torch.pi) ** 0.5
    return _tangent(F.gelu(v), slope, torch.maximum(high - v, v - low), least, largest)


def _gelu(a: Taylor, approximate: str = "none") -> Taylor:
    if approximate != "none":
        raise NoBoundsError(f"no bounds are known of GELU by approximate={approximate}")
    return _bend(a, _gelu_tangent, partial(_relu_less, GELU_BELOW))


def _dropout(a: Taylor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Taylor:
    if training:
        raise NoBoundsError("no bounds are known of dropout() in training")
    return a


# --- clamps ----------------------------------------------------------------------------------------------------


def _clamp_min(a: Taylor, least: float) -> Taylor:
    return _relu(a - least) + least


def _clamp_max(a: Taylor, most: float) -> Taylor:
    return -_relu(most - a) + most


def _clamp(a: Taylor, min: float | None = None, max: float | None = None) -> Taylor:
    a = a if min is None else _clamp_min(a, min)
    return a if max is None else _clamp_max(a, max)


Rule = Callable[..., Any]
METHODS: Mapping[str, Rule] = {
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "relu": _relu,
    "square": _square,
    "pow": _power,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "reshape": _as_it_is,
    "movedim": _movedim,
    "add": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "neg": _negate,
}
FUNCTIONS: Mapping[Any, Rule] = {
    **{getattr(torch, name): rule for name, rule in METHODS.items()},
    **{getattr(Tensor, name): rule for name, rule in METHODS.items()},
    Tensor.__add__: _add,
    Tensor.__radd__: _add,
    Tensor.__sub__: _subtract,
    Tensor.__rsub__: lambda a, b: _subtract(b, a),
    Tensor.__mul__: _multiply,
    Tensor.__rmul__: _multiply,
    torch.stack: _stack,
    F.pad: _pad,
    torch.bmm: _bmm,
    torch.baddbmm: _baddbmm,
    F.linear: _linear,
    F.relu: _relu,
    F.softplus: _softplus,
    F.gelu: _gelu,
    F.dropout: _dropout,
}
