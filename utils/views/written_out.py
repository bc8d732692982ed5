"""Perceptrons of a stack in a training, their gradients written out.

The same functions as layer by layer, for two thirds of the time: nothing is kept that no gradient needs, what can be is
done in place, a few models go through all layers before the next, so that their numbers stay in the processor's cache,
tanh is computed by the sigmoid, and a layer of one output is a product by rows. The bits of a model do not depend on
the others.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from utils.system.elementwise import is_transformed, tanh_backward, tanh_of_half_
from utils.views.stack import Stack, StackedLinear

MOST = 3 << 18  # numbers of a hidden layer of the models that go through at a time

_inputs_alone = False


@contextmanager
def of_inputs_alone(alone: bool = True) -> Iterator[None]:
    """Gradients of what is computed here, and those taken here, are by inputs alone and cost nothing for weights."""
    global _inputs_alone
    before, _inputs_alone = _inputs_alone, alone
    try:
        yield
    finally:
        _inputs_alone = before


def write_out(stack: Stack) -> Stack:
    """Returns the stack, its perceptrons replaced; in eval mode and on other devices they are as they were."""
    stack.together = _replaced(stack.together)
    return stack


def _replaced(module: nn.Module) -> nn.Module:
    children: OrderedDict[str, Any] = OrderedDict((name, _replaced(child)) for name, child in module.named_children())
    module._modules.update(children)
    hooked = any(
        of._forward_hooks or of._forward_pre_hooks or of._backward_hooks for of in (module, *module.children())
    )
    if type(module) is not nn.Sequential or hooked or not _is_perceptron(list(module)):
        return module
    name, last = children.popitem()
    children[name] = ByRows(last.weight, last.bias) if last.outputs == 1 else last
    return Perceptron(children).train(module.training)


def _is_perceptron(layers: Sequence[nn.Module]) -> bool:
    linear, between = layers[0::2], layers[1::2]
    return (
        len(linear) == len(between) + 1 > 1
        and all(type(of) is nn.Tanh for of in between)
        and all(isinstance(of, StackedLinear) and of.bias is not None and of.inputs > 1 for of in linear)
        and all(of.outputs != 1 for of in linear[:-1])
    )


class ByRows(nn.Module):
    """m linear layers of one output, x (m, n, i) -> (m, n, 1), in place of a ``StackedLinear``.

    Their weights lie in memory as (m, 2, i), the second row 0: products by them take a quarter of the time.
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.outputs = 1
        self.weight = nn.Parameter(weight.detach().mT.contiguous(), weight.requires_grad)
        self.bias = nn.Parameter(bias.detach()[..., :1].contiguous(), bias.requires_grad)

    def forward(self, x: Tensor) -> Tensor:
        """(m, n, i) -> (m, n, 1)."""
        return torch.bmm(x, self.weight.mT)[..., :1] + self.bias

    def by_name(self, prefix: str) -> dict[str, Tensor]:
        """Parameters as those of the m layers, (m, *)."""
        return {f"{prefix}weight": self.weight[:, :1], f"{prefix}bias": self.bias[:, 0]}


class Perceptron(nn.Sequential):
    """Linear layers of m models with tanh between them; weights are (m, i, o), the last of one output (m, 2, i)."""

    def __init__(self, layers: "OrderedDict[str, Any]"):
        super().__init__(layers)
        outputs = [layer.outputs for layer in [*layers.values()][0::2]]
        self.hidden, self.widest, self.thin = len(outputs) - 1, max(outputs), outputs[-1] == 1

    def forward(self, x: Tensor) -> Tensor:
        """(m, n, i) -> (m, n, o)."""
        if not self.training or type(x) is not Tensor or x.device.type != "cpu" or is_transformed():
            return super().forward(x)
        linear: list[Any] = [*self._modules.values()][0::2]
        parameters = [of._parameters[key] for key in ("weight", "bias") for of in linear]
        if _inputs_alone:
            y: Tensor = _Constant.apply(x, self, parameters)
        else:
            y, *_ = _Through.apply(x, self, *parameters)
        return y

    def __getitem__(self, which: Any) -> Any:
        """A layer, or some of them, which are no perceptron."""
        if not isinstance(which, slice):
            return super().__getitem__(which)
        return nn.Sequential(OrderedDict([*self._modules.items()][which]))

    def plain(self, x: Tensor) -> list[Tensor]:
        """The logits and what comes out of the hidden layers, by operations that have gradients of any order."""
        found = list[Tensor]()
        for layer in self:
            x = layer(x)
            if isinstance(layer, nn.Tanh):
                found.append(x)
        return [x, *found]

    def split(self, rows: Tensor, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """Rows (m, n, *) and other tensors (m, *), of some models at a time."""
        size = max(1, MOST // max(1, rows.shape[-2] * self.widest))
        if size >= len(rows):
            return [(rows, *tensors)]
        return list(zip(*(tensor.split(size) for tensor in (rows, *tensors)), strict=True))

    def last(self, h: Tensor, weight: Tensor) -> Tensor:
        """The last weight times its input: (p, n, i) -> (p, n, k)."""
        return torch.bmm(weight, h.mT)[:, :1].mT if self.thin else torch.bmm(h, weight)

    def before_last(self, slope: Tensor, weight: Tensor) -> Tensor:
        """The slope by what goes into the last layer (p, n, i), of that by the logits (p, n, k)."""
        return slope * weight[:, :1] if self.thin else torch.bmm(slope, weight.mT)

    def of_last(self, h: Tensor, slope: Tensor, out: Tensor) -> None:
        """The slope by the last weight, of what goes in (p, n, i) and the slope by the logits (p, n, k)."""
        if self.thin:
            torch.bmm(F.pad(slope.mT, (0, 0, 0, 1)), h, out=out)
        else:
            torch.bmm(h.mT, slope, out=out)


def _hidden(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """tanh (x weight + bias), off by 2e-7 at most."""
    return tanh_of_half_(torch.baddbmm(bias, x, weight, beta=2, alpha=2, out=out))


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


class _Constant(torch.autograd.Function):
    """The logits, with a gradient by the inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Perceptron, parameters: Sequence[Tensor]) -> Tensor:
        """(m, n, i) -> (m, n, k)."""
        k = layers.hidden
        ctx.layers, ctx.kept, logits = layers, [], []
        ctx.save_for_backward(x)
        for h, *own in layers.split(x, *parameters):
            hidden = []
            for weight, bias in zip(own[:k], own[k + 1 : -1], strict=True):
                h = _hidden(h, weight, bias)
                hidden.append(h)
            logits.append(layers.last(h, own[k]) + own[-1])
            ctx.kept.append((hidden, own[: k + 1]))
        return _joined(logits)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        """(m, n, k) -> (m, n, i)."""
        if torch.is_grad_enabled():
            [x] = ctx.saved_tensors
            [own] = torch.autograd.grad(ctx.layers.plain(x)[0], x, slope, create_graph=True)
            return own, None, None
        found = []
        for (s,), (hidden, (*inner, last)) in zip(ctx.layers.split(slope), ctx.kept, strict=True):
            s = ctx.layers.before_last(s, last)
            for h, weight in zip(reversed(hidden), reversed(inner), strict=True):
                s = torch.bmm(tanh_backward(s, h, grad_input=s), weight.mT)
            found.append(s)
        return _joined(found), None, None


class _Through(torch.autograd.Function):
    """The logits, and what comes out of the hidden layers, which gradients of gradients go by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Perceptron, *parameters: Tensor) -> tuple[Tensor, ...]:
        """(m, n, i) -> (m, n, k), and each (m, n, o)."""
        k, logits = layers.hidden, []
        hidden = [x.new_empty(*x.shape[:-1], bias.shape[-1]) for bias in parameters[k + 1 : -1]]
        for h, *own in layers.split(x, *parameters, *hidden):
            for weight, bias, out in zip(own[:k], own[k + 1 : 2 * k + 1], own[2 * k + 2 :], strict=True):
                h = _hidden(h, weight, bias, out)
            logits.append(layers.last(h, own[k]) + own[2 * k + 1])
        ctx.layers = layers
        ctx.save_for_backward(x, *hidden, *parameters)
        ctx.set_materialize_grads(False)
        return _joined(logits), *hidden

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, *more: Tensor | None) -> tuple[Tensor | None, ...]:
        """Those by the logits and by the hidden layers -> those by the inputs and by the parameters."""
        layers, (x, *kept) = ctx.layers, ctx.saved_tensors
        k = layers.hidden
        if torch.is_grad_enabled():
            return _of_higher_order(layers, [slope, *more], x, kept[:k], kept[k:])
        slopes, inputs = [torch.empty_like(of) for of in kept[k:]], []
        if slope is None:
            slope = x.new_zeros(*x.shape[:-1], 1 if layers.thin else kept[-1].shape[-1])
        added = [of for of in more if of is not None]  # of all hidden layers, or of none
        for s, h, *own in layers.split(slope, x, *kept[: 2 * k + 1], *slopes, *added):
            hidden, weights, out, added = own[:k], own[k : 2 * k + 1], own[2 * k + 1 : 4 * k + 3], own[4 * k + 3 :]
            layers.of_last(hidden[-1], s, out[k])
            torch.sum(s, -2, keepdim=True, out=out[-1])
            s = layers.before_last(s, weights[-1])
            for i in reversed(range(k)):
                if added:
                    s += added[i]
                tanh_backward(s, hidden[i], grad_input=s)
                torch.bmm((hidden[i - 1] if i else h).mT, s, out=out[i])
                torch.sum(s, -2, keepdim=True, out=out[k + 1 + i])
                if i or ctx.needs_input_grad[0]:
                    s = torch.bmm(s, weights[i].mT)
            inputs.append(s)
        return _joined(inputs) if ctx.needs_input_grad[0] else None, None, *slopes


def _of_higher_order(
    layers: Perceptron,
    slopes: Sequence[Tensor | None],
    x: Tensor,
    hidden: Sequence[Tensor],
    parameters: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """The same as ``_Through.backward`` returns, with a graph of its own."""
    [slope, *more] = slopes
    if _inputs_alone and slope is not None and all(of is None for of in more):
        of_x: Tensor = _Slope.apply(slope, layers, *hidden, *parameters[: layers.hidden + 1])
        return of_x, None, *[None] * len(parameters)
    tensors = (x, *parameters)
    given = [(of, slope) for of, slope in zip(layers.plain(x), slopes, strict=True) if slope is not None]
    wanted = [of for of in tensors if of.requires_grad]
    outputs, along = zip(*given, strict=True)
    found = iter(torch.autograd.grad(outputs, wanted, along, create_graph=True, allow_unused=True))
    inputs, *others = (next(found) if of.requires_grad else None for of in tensors)
    return inputs, None, *others


class _Slope(torch.autograd.Function):
    """The slope by the inputs, of that by the logits, with gradients by all that it depends on."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, layers: Perceptron, *tensors: Tensor) -> Tensor:
        """(m, n, k) -> (m, n, i)."""
        k, found = layers.hidden, []
        ctx.layers, ctx.kept = layers, []
        for s, *own in layers.split(slope, *tensors):
            hidden, (*inner, last) = own[:k], own[k:]
            behind, before = [], []  # the slopes by what comes out of tanh, and by what goes in
            s = layers.before_last(s, last)
            for h, weight in zip(reversed(hidden), reversed(inner), strict=True):
                behind.append(s)
                before.append(tanh_backward(s, h, grad_input=torch.empty_like(s)))
                s = torch.bmm(before[-1], weight.mT)
            found.append(s)
            ctx.kept.append((behind[::-1], before[::-1]))
        ctx.save_for_backward(slope, *tensors)
        return _joined(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        """(m, n, i) -> those by the slope, by the hidden layers, by the weights."""
        layers, k, of_slope = ctx.layers, ctx.layers.hidden, []
        found = [torch.empty_like(of) for of in ctx.saved_tensors[1:]]
        parts = zip(layers.split(v, *ctx.saved_tensors, *found), ctx.kept, strict=True)
        for (p, slope, *own), (behind, before) in parts:
            hidden, weights, out = own[:k], own[k : 2 * k + 1], own[2 * k + 1 :]
            for i in range(k):
                torch.bmm(p.mT, before[i], out=out[k + i])
                p = torch.bmm(p, weights[i])
                torch.mul(torch.mul(p, hidden[i], out=out[i]), behind[i], out=out[i]).mul_(-2)  # of 1 - tanh^2
                tanh_backward(p, hidden[i], grad_input=p)
            layers.of_last(p, slope, out[-1])
            of_slope.append(layers.last(p, weights[-1]))
        return _joined(of_slope), None, *found
