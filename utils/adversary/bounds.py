"""Sound bounds of the outputs of a network over boxes, of features or of noise: what no point of a box exceeds.

A first-order Taylor model with a remainder (Berz and Hoffstätter 1998, Reliable Computing 4) goes through the layers:
a neuron is a value, a slope along each side of the box, and a remainder that holds the rest. It is exact on linear
networks, and the remainder of a smooth one shrinks with the square of the box.

Rounding is part of the remainder: every sum of m products is taken to be off by (2 m + d + 8) eps of the sum of their
magnitudes, every activation at z by 8 eps (1 + abs(z)). That covers the network and the bound itself, in any order
of summation, at full precision of the type (so not in TF32).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, softplus

from utils.models.logistic import Logistic
from utils.models.mlp import MLP
from utils.scms import discrete, from_data
from utils.scms.learned import EquationNet
from utils.scms.linear import Line
from utils.scms.structure import ROOT
from utils.types import SCM, Mechanism, Predict

PUSHED = 32768  # points that are pushed through structural equations together: they stay in the cache
ROUNDINGS = 8
BRANCHES = 16  # boxes a row, of levels that its noise leaves open
TANH_PEAK = 0.6584789  # artanh(1 / sqrt(3)): tanh'' is least here and largest at its negative
SOFTPLUS_CURVATURE = (0.0, 0.25)  # the derivative of the sigmoid
GELU_CURVATURE = (-0.10799, 0.79789)  # phi(z) (2 - z^2): least at z = 2, largest at 0


class Neurons(NamedTuple):
    """Neurons within ``rest`` of ``value + sum_i slope_i t_i``, at every t in [-1, 1]^d."""

    value: Tensor  # (p, k)
    slope: Tensor  # (d, p, k)
    rest: Tensor  # (p, k), >= 0

    def reach(self) -> Tensor:
        """Returns the largest distance of a neuron from its value, (p, k)."""
        return self.slope.abs().sum(0) + self.rest

    def column(self, i: int) -> "Neurons":
        """One neuron alone, k = 1."""
        return Neurons(*(part[..., i : i + 1] for part in self))

    def rows(self, keep: Tensor) -> "Neurons":
        """The neurons of some rows."""
        return Neurons(self.value[keep], self.slope[:, keep], self.rest[keep])


class Counterfactuals(NamedTuple):
    """The boxes of features of each row, of which there is at least one; its counterfactuals lie in one of them."""

    row: Tensor  # (q,) that a box is of, in order
    features: Neurons  # (q, d)


class _Bent(NamedTuple):
    """An activation near v: within ``rest`` of ``value + slope (z - v)`` at every z within the reach of v."""

    value: Tensor
    slope: Tensor
    rest: Tensor


def has_bounds(predict: Predict) -> bool:
    """Returns whether bounds of ``predict`` are known.

    They are of ``nn.Linear``, the activations of the MLP, and their chains: ``nn.Sequential``, ``MLP``, ``Logistic``.
    """
    return _chain(predict) is not None


def bounds_over(predict: Predict, features: Neurons) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds (p, k) of ``predict``, of which bounds are known, over features, such as counterfactuals.

    A box with an infinite or undefined side may get undefined bounds, which compare as false.
    """
    layers = _chain(predict)
    if layers is None:
        raise ValueError(f"no bounds are known of {type(predict).__name__}")
    return _range(_through(layers, features))


def counterfactuals(scm: SCM, noise: Tensor, shifts: Tensor, do: Mapping[int, Tensor]) -> Counterfactuals:
    """Returns bounds of the counterfactuals of p rows, their noise shifted, in model space, for ``bounds_over``.

    The box of the shifts goes through the equations if all are roots, set by do(), or those of fitted SCMs: additive
    with a network as their mean, or a level by the noise and the scores of a network. Where a few levels are possible
    there is a box for each. If equations are others, the shifted rows go through, and their box is the answer.

    Args:
        scm: turns noise into features.
        noise: (p, d), the SCM's own units.
        shifts: (samples, d), added to the noise of every row.
        do: column -> its value (p,).
    """
    middle, half = _middle(shifts)
    found = _push(scm, box(noise + middle, half.expand_as(noise)), do)
    every = torch.arange(len(noise), device=noise.device)
    return found or Counterfactuals(every, box(*_bound_samples(scm, noise, shifts, do)))


def _bound_samples(scm: SCM, noise: Tensor, shifts: Tensor, do: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
    """Box (p, d) of the counterfactuals, model space."""
    boxes = [
        _middle(scm.model(scm.to_features(noise[rows] + shifts.unsqueeze(1), {i: v[rows] for i, v in do.items()})))
        for rows in torch.arange(len(noise), device=noise.device).split(max(1, PUSHED // len(shifts)))
    ]
    middles, halves = zip(*boxes, strict=True)
    return torch.cat(middles), torch.cat(halves)


def _middle(points: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and half width (...) of the box of the points (samples, ...)."""
    low, high = points.aminmax(dim=0)
    return (low + high) / 2, (high - low) / 2


def box(centre: Tensor, half: Tensor) -> Neurons:
    """Returns boxes around ``centre`` (p, d), ``half`` (p, d) their width on either side, >= 0."""
    return Neurons(centre, torch.diag_embed(half).transpose(0, 1), _rounding(centre.abs() + half))


def _range(neurons: Neurons) -> tuple[Tensor, Tensor]:
    reach = neurons.reach()
    return neurons.value - reach, neurons.value + reach


def _rounding(magnitude: Tensor) -> Tensor:
    """Returns a bound on the rounding error of a few operations on numbers whose magnitudes have this sum."""
    return ROUNDINGS * torch.finfo(magnitude.dtype).eps * magnitude


def _push(scm: SCM, noise: Neurons, do: Mapping[int, Tensor]) -> Counterfactuals | None:
    """Features in model space, or None where an equation is not known."""
    if scm.missing:
        return None
    row, columns = torch.arange(len(noise.value), device=noise.value.device), dict[int, Neurons]()
    for mechanism in scm.mechanisms:
        i = mechanism.columns[0]
        own = _join([noise.column(j) for j in mechanism.columns]).rows(row)
        if i in do:
            columns[i] = Neurons(do[i][row].unsqueeze(-1), torch.zeros_like(own.slope), torch.zeros_like(own.rest))
        elif mechanism.posterior:
            possible = _levels(mechanism, _join([columns[p] for p in mechanism.parents]), own)
            if possible is None:
                return None
            box_of, low, high = _split(mechanism, possible, row)
            row, columns = row[box_of], {j: of.rows(box_of) for j, of in columns.items()}
            found = Neurons((low + high) / 2, torch.zeros_like(own.slope[:, box_of]), (high - low) / 2)
            columns |= {j: found.column(place) for place, j in enumerate(mechanism.columns)}
        elif mechanism.push is ROOT.push:
            columns[i] = own
        else:
            mean = _mean(mechanism)
            if mean is None:
                return None
            expected = _through(mean, _join([columns[p] for p in mechanism.parents]))
            columns[i] = _sum(expected, own) if _is_additive(mechanism) else _cut(expected, own)
    v = _join([columns[i] for i in range(len(columns))])
    rest = v.rest + _rounding(v.value.abs() + v.reach() + scm.loc.abs())
    return Counterfactuals(row, Neurons(scm.model(v.value), v.slope / scm.scale, rest / scm.scale))


def _mean(mechanism: Mechanism) -> Sequence[nn.Module] | None:
    """The layers of f where the equation is x = f(parents) + u, or x = 1[u < f(parents)]."""
    push = mechanism.push
    if not isinstance(push, partial) or push.func not in (from_data.add_noise, from_data.threshold_noise):
        return None
    return _chain(push.args[0])


def _is_additive(mechanism: Mechanism) -> bool:
    return isinstance(mechanism.push, partial) and mechanism.push.func is from_data.add_noise


def _cut(expected: Neurons, noise: Neurons) -> Neurons:
    """1 where the noise is surely below the chance, 0 where it surely is not, else anything from 0 to 1."""
    lowest, highest = (from_data.as_chance(end) for end in _range(expected))
    least, most = _range(noise)
    one, zero = most < lowest, least >= highest
    value = torch.where(one, 1.0, torch.where(zero, 0.0, 0.5)).to(least)
    return Neurons(value, torch.zeros_like(noise.slope), torch.where(one | zero, 0.0, 0.5).to(least))


def _levels(mechanism: Mechanism, parents: Neurons, noise: Neurons) -> Tensor | None:
    """A mask (q, k) of the levels of a discrete node that may be taken, or None where its regression is not known."""
    push = mechanism.push
    layers = _chain(push.args[0]) if isinstance(push, partial) else None
    if layers is None:
        return None
    return discrete.possible_levels(push, _range(_through(layers, parents)), _range(noise))


def _split(mechanism: Mechanism, possible: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes (b,) of new ones, one for each possible level (q, k), and the ends (b, c) of the node's columns there.

    A row that would have more than BRANCHES boxes keeps those that it has, whose levels are left open.
    """
    count, boxes = possible.sum(-1), row.bincount()[row]
    apart = (count > 1) & (count * boxes <= BRANCHES)
    low, high = discrete.enclose(mechanism.push, possible)
    first = torch.arange(possible.shape[-1], device=row.device) == 0
    box_of, level = torch.where(apart.unsqueeze(-1), possible, first).nonzero().unbind(-1)
    told = discrete.columns_at(mechanism.push, level, possible.shape[-1])
    low, high = (torch.where(apart[box_of].unsqueeze(-1), told, end[box_of]) for end in (low, high))
    return box_of, low, high


def _join(columns: Sequence[Neurons]) -> Neurons:
    return Neurons(*(torch.cat(parts, -1) for parts in zip(*columns, strict=True)))


def _sum(a: Neurons, b: Neurons) -> Neurons:
    rest = a.rest + b.rest + _rounding(a.value.abs() + a.reach() + b.value.abs() + b.reach())
    return Neurons(a.value + b.value, a.slope + b.slope, rest)


def _chain(module: object) -> list[nn.Module] | None:
    """The layers that the module applies one after the other, or None where that is not known.

    Exact types alone, without hooks: a subclass or a hook may compute something else from the same children.
    """
    if not isinstance(module, nn.Module) or module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) is nn.Sequential:
        parts = [_chain(part) for part in module]
        return None if None in parts else [layer for part in parts if part for layer in part]
    if type(module) is MLP:
        return _chain(module.layers)  # its forward is this one call
    if type(module) is Logistic:
        return _chain(module.linear)  # its forward is this one call
    if type(module) is Line:
        return _chain(module.linear)  # and drops the last dimension, of size 1
    if type(module) is discrete.CutPoints:
        score = _chain(module.score)
        return None if score is None else [*score, module.cuts]
    if type(module) is EquationNet:
        return _chain(nn.Sequential(module.inner, nn.Tanh(), module.outer))  # likewise
    if type(module) is nn.GELU and module.approximate != "none":
        return None
    if type(module) is nn.Softplus and (module.beta, module.threshold) != (1, 20):
        return None
    return [module] if type(module) is nn.Linear or type(module) in ACTIVATIONS else None


def _through(layers: Sequence[nn.Module], neurons: Neurons) -> Neurons:
    for layer in layers:
        neurons = _linear(layer, neurons) if isinstance(layer, nn.Linear) else _bend(ACTIVATIONS[type(layer)], neurons)
    return neurons


def _linear(layer: nn.Linear, neurons: Neurons) -> Neurons:
    weight = layer.weight.T
    rounding = (2 * len(weight) + len(neurons.slope) + ROUNDINGS) * torch.finfo(weight.dtype).eps
    rest = (neurons.rest + rounding * (neurons.value.abs() + neurons.reach())) @ weight.abs()
    if layer.bias is not None:
        rest = rest + rounding * layer.bias.abs()
    return Neurons(layer(neurons.value), neurons.slope @ weight, rest)


def _bend(activation: Callable[[Tensor, Tensor], _Bent], neurons: Neurons) -> Neurons:
    reach = neurons.reach()
    bent = activation(neurons.value, reach)
    rest = bent.slope.abs() * neurons.rest + bent.rest + _rounding(1 + neurons.value.abs() + reach)
    return Neurons(bent.value, bent.slope * neurons.slope, rest)


def _tangent(value: Tensor, slope: Tensor, reach: Tensor, least: Tensor | float, largest: Tensor | float) -> _Bent:
    """The middle of the two parabolas with the least (<= 0) and the largest (>= 0) second derivative in reach."""
    quarter = reach.square() / 4
    return _Bent(value + quarter * (largest + least), slope, quarter * (largest - least))


def _tanh(v: Tensor, reach: Tensor) -> _Bent:
    def curvature(nearest_to: float) -> Tensor:
        value = v.new_full((), nearest_to).maximum(v - reach).minimum(v + reach).tanh()
        return -2 * value * (1 - value.square())

    value = v.tanh()
    # tanh'' falls from the one peak to the other; beyond them it keeps its sign
    least, largest = curvature(TANH_PEAK).clamp_max(0), curvature(-TANH_PEAK).clamp_min(0)
    return _tangent(value, 1 - value.square(), reach, least, largest)


def _softplus(v: Tensor, reach: Tensor) -> _Bent:
    return _tangent(softplus(v), v.sigmoid(), reach, *SOFTPLUS_CURVATURE)


def _gelu(v: Tensor, reach: Tensor) -> _Bent:
    density = torch.exp(-v.square() / 2) / (2 * torch.pi) ** 0.5
    return _tangent(gelu(v), torch.special.ndtr(v) + v * density, reach, *GELU_CURVATURE)


def _relu(v: Tensor, reach: Tensor) -> _Bent:
    """Parallel to the chord over the reach, which leaves the least rest; a kink out of reach leaves none."""
    low, high = v - reach, v + reach
    width = (high - low).clamp_min(torch.finfo(v.dtype).tiny)
    slope = torch.where(low >= 0, 1.0, high.clamp_min(0) / width)
    rest = -slope * low.clamp_max(0) / 2
    return _Bent(slope * v + rest, slope, rest)


ACTIVATIONS: dict[type, Callable[[Tensor, Tensor], _Bent]] = {
    nn.Tanh: _tanh,
    nn.ReLU: _relu,
    nn.GELU: _gelu,
    nn.Softplus: _softplus,
}
