"""A model as attacks see it, with batch norms folded into the convolutions before them.

In eval mode batch norm is affine, gamma (z - mean) / sqrt(var + eps) + beta of z = W x + b, and so is the convolution
before it: together they are one with W' = s W and b' = s (b - mean) + beta, s = gamma / sqrt(var + eps).
"""

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn


class _Pair(NamedTuple):
    conv_name: str
    norm_name: str
    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    mean: Tensor  # (outputs,), running
    variance: Tensor


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """A copy in eval mode with each batch norm that directly follows a convolution folded into it; no weight learns.

    The two must be neighbours in an ``nn.Sequential``: pre-activation blocks have one such pair, basic blocks two.
    The copy does not follow its model: see ``refold``.
    """
    copy = deepcopy(model)
    copy.zero_grad()  # gradients that were copied too
    for pair in list(_pairs(copy)):
        if pair.conv.bias is None:
            pair.conv.bias = nn.Parameter(pair.conv.weight.new_zeros(pair.conv.out_channels))
        copy.set_submodule(pair.norm_name, nn.Identity())
    refold(copy, model)
    return copy.eval().requires_grad_(False)


@torch.no_grad()
def refold(copy: nn.Module, model: nn.Module) -> None:
    """Updates a copy from ``fold_batch_norms`` to the model's present weights and statistics, in place.

    Costs one pass over the weights; the copy's tensors stay where they are.
    """
    own, pairs = _tensors(copy), list(_pairs(model))
    inside = {name for pair in pairs for name in (pair.conv_name, pair.norm_name)}
    for name, tensor in _tensors(model).items():
        if name.rpartition(".")[0] not in inside:
            own[name].copy_(tensor)
    for pair in pairs:
        conv, norm = pair.conv, pair.norm
        scale = norm.weight * (pair.variance + norm.eps).rsqrt()
        shift = -pair.mean if conv.bias is None else conv.bias - pair.mean
        torch.mul(conv.weight, scale.reshape(-1, 1, 1, 1), out=own[f"{pair.conv_name}.weight"])
        torch.addcmul(norm.bias, scale, shift, out=own[f"{pair.conv_name}.bias"])


def _pairs(model: nn.Module) -> Iterator[_Pair]:
    """Yields each convolution with a batch norm of learnt scale and running statistics right behind it."""
    for name, part in model.named_modules():
        children = part.named_children() if isinstance(part, nn.Sequential) else ()
        before = f"{name}." if name else ""
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.affine:
                mean, variance = norm.running_mean, norm.running_var
                if mean is not None and variance is not None:
                    yield _Pair(before + first, before + second, conv, norm, mean, variance)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in chain(model.named_parameters(), model.named_buffers())}
