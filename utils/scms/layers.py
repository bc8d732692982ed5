"""Networks of learned equations, and in a training those of one level of the graph as one network.

One equation at a time, a level costs as many small products as it has columns, and columns are taken out and put
together again for each. Here the features v (..., d) stay together: a level adds to them what its columns are expected
to be, v <- v + tanh(v W + b) O, where W and O are 0 at columns that are no parents and no children.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from utils.scms.structure import add_noise
from utils.system.elementwise import is_transformed, tanh_backward, tanh_of_half_
from utils.types import SCM, Mechanism
from utils.views.stack import Stack, by_model

MOST = 1 << 14  # numbers in the outer weights of a level of one model, above which its zeros cost more than they spare


class EquationNet(nn.Module):
    """Expected child (...) given its stacked parents (..., p), or q scores (..., q): one hidden tanh layer."""

    def __init__(self, parents: int, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        self.inner = nn.Linear(parents, hidden)
        self.outer = nn.Linear(hidden, outputs)

    @property
    def last(self) -> nn.Linear:
        """Returns the layer whose biases shift what it gives."""
        return self.outer

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (...), or (..., q)."""
        return self.outer(torch.tanh(self.inner(parents))).squeeze(-1)


class Layer(NamedTuple):
    """The equations of one level of the graph, q hidden units in all, of m models."""

    inner: Tensor  # (m, d, q)
    bias: Tensor  # (m, 1, q)
    outer: Tensor  # (m, q, d)
    shift: Tensor  # (m, 1, d), outer biases, which no level before reads: they are added to the noise
    doubled: Tensor  # (m, d + 1, q), twice the inner weights, below them twice the biases

    def __call__(self, v: Tensor) -> Tensor:
        """Features (m, n, d) in which the columns of the level are their noise -> with their values, to 2e-7."""
        if v.device.type != "cpu" or is_transformed():
            return self.plain(v)
        filled: Tensor = _Filled.apply(v, self)
        return filled

    def plain(self, v: Tensor) -> Tensor:
        """The same, by operations that have gradients of any order."""
        return torch.baddbmm(v, torch.tanh(torch.baddbmm(self.bias, v, self.inner)), self.outer)


class _Filled(torch.autograd.Function):
    """A level of features, its gradient written out."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, layer: Layer) -> Tensor:
        """(m, n, d) -> (m, n, d)."""
        hidden = tanh_of_half_(torch.bmm(F.pad(v, (0, 1), value=1.0), layer.doubled))
        ctx.layer = layer
        ctx.save_for_backward(v, hidden)
        return torch.baddbmm(v, hidden, layer.outer)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """(m, n, d) -> (m, n, d)."""
        layer, (v, hidden) = ctx.layer, ctx.saved_tensors
        s = torch.bmm(slope, layer.outer.mT)
        if torch.is_grad_enabled():  # by operations that have gradients of their own
            s = s * (1 - torch.tanh(torch.baddbmm(layer.bias, v, layer.inner)).square())
        else:
            tanh_backward(s, hidden, grad_input=s)
        return torch.baddbmm(slope, s, layer.inner.mT), None


@dataclass(frozen=True)
class Layered(SCM):
    """An SCM in model space whose equations, but those of the sensitive columns, are additive and in layers."""

    layers: tuple[Layer, ...] = ()  # causes before effects

    def around(self, u: Tensor, do: Mapping[int, Tensor]) -> Callable[[Tensor], Tensor]:
        """Returns how shifts (..., m, n, d) of the noise u, 0 in the columns in ``do``, move it in model space."""
        if do.keys() != set(self.sensitive):
            return super().around(u, do)
        v = sum((layer.shift for layer in self.layers), u)
        for column, value in do.items():
            v[..., column] = value

        def moved(v: Tensor) -> Tensor:
            for layer in self.layers:
                v = layer(v)
            return v

        return lambda shift: by_model(moved, v + shift)


def in_layers(scm: SCM) -> SCM:
    """The SCM of a stack of m models with its learned equations in layers; as it is where it has others."""
    own = [m for m in scm.mechanisms if m.parents and m.columns[0] not in scm.sensitive]
    nets = {m.columns[0]: net for m in own if (net := _net_of(m)) is not None}
    if not own or len(nets) < len(own) or scm.missing or scm.loc.any() or (scm.scale != 1).any():
        return scm
    levels: dict[int, list[Mechanism]] = {}
    depth: dict[int, int] = {}
    for m in own:  # causes before effects
        depth[m.columns[0]] = 1 + max(depth.get(p, 0) for p in m.parents)
        levels.setdefault(depth[m.columns[0]], []).append(m)
    d = len(scm.names)
    layers = tuple(_layer([(m, nets[m.columns[0]]) for m in levels[level]], d) for level in sorted(levels))
    if max(layer.outer[0].numel() for layer in layers) > MOST:
        return scm
    return Layered(**{f.name: getattr(scm, f.name) for f in fields(SCM)}, layers=layers)


def _net_of(mechanism: Mechanism) -> EquationNet | None:
    """The stacked network of an additive equation, if it has one."""
    push = mechanism.push
    if not isinstance(push, partial) or push.func is not add_noise or not isinstance(push.args[0], Stack):
        return None
    return f if isinstance(f := push.args[0].together, EquationNet) else None


def _layer(equations: Sequence[tuple[Mechanism, EquationNet]], d: int) -> Layer:
    inner, bias, outer = list[Tensor](), list[Tensor](), list[Tensor]()
    shift = equations[0][1].outer.bias.new_zeros(len(equations[0][1].outer.bias), 1, d)
    for m, net in equations:
        weight = net.inner.weight[:, : len(m.parents)]
        inner.append(weight.new_zeros(len(weight), d, weight.shape[-1]))
        inner[-1][:, list(m.parents)] = weight
        bias.append(net.inner.bias)
        outer.append(weight.new_zeros(len(weight), weight.shape[-1], d))
        outer[-1][..., m.columns[0]] = net.outer.weight[..., 0]
        shift[..., m.columns[0]] = net.outer.bias[..., 0]
    by_column = torch.cat(outer, 1).mT.contiguous().mT  # products by few columns are faster so
    weights, biases = torch.cat(inner, -1), torch.cat(bias, -1)
    return Layer(weights, biases, by_column, shift, 2 * torch.cat([weights, biases], 1))
