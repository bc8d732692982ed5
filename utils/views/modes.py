"""Other views of a model: the same weights, seen in eval mode, in another precision or layout."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from utils.types import Predict

FEW_CHANNELS = 8


def steady(model: nn.Module) -> nn.Module:
    """The model in eval mode with its weights as constants: it shares them, so it is always up to date.

    Forward passes move no running statistics, and gradients of inputs cost none of weights. Weights have to be
    updated in place, as optimizers and ``load_state_dict`` do.
    """
    shared = [*model.parameters(), *model.buffers()]
    view = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for module in view.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.data, requires_grad=False))
    return view.eval()


def bears_channels_last(model: nn.Module, device: torch.device) -> bool:
    """Returns whether a model may be trained on images whose channels lie last in memory.

    On CPUs the backward pass of a strided 1x1 convolution of few channels then writes beyond its memory (torch 2.13,
    seen at 3 to 6 channels, not at 8): the process dies, or worse, does not.
    """
    if device.type != "cpu":
        return True
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    return not any(
        of.kernel_size == (1, 1) and max(of.stride) > 1 and of.in_channels < FEW_CHANNELS for of in convolutions
    )


def as_predict(model: nn.Module, device: torch.device, *, precision: torch.dtype, channels_last: bool) -> Predict:
    """The model as a function, its layers in ``precision`` where that is safe, its answers in the type of the input."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def answer(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=layout) if x.ndim == 4 else x
        if precision == x.dtype:
            return model(x)
        with torch.autocast(device.type, precision):
            return model(x).to(x.dtype)

    return answer


def in_double(predict: Predict) -> Predict:
    """A model of tables as it is decided by: computed in double precision, its logits in the type of the input.

    Then the logits of a row depend neither on the rows beside it nor on the models of a stack nor, but for one row in
    millions, on the machine: in single precision each of these moves last bits, and with them rows that lie on a
    threshold. So thresholds are fitted, rows are judged and users are answered by the same numbers. A logit that the
    type of the input cannot hold is nan. What has no parameters, such as a learner, is taken as it is.
    """
    if not isinstance(predict, nn.Module):
        return predict
    model, tensors = predict, chain(predict.named_parameters(), predict.named_buffers())
    exact = {name: tensor.detach().to(_double(tensor)) for name, tensor in tensors if tensor.is_floating_point()}
    if not exact:
        return predict
    like = next(iter(exact.values()))

    def score(x: Tensor) -> Tensor:
        with torch.no_grad():
            exactly = functional_call(model, exact, (x.to(like),))
            logits = exactly.to(x)
        return logits.masked_fill(logits.isinf() & exactly.isfinite().to(x.device), torch.nan)

    return score


def _double(like: Tensor) -> Tensor:
    """An empty tensor in double precision on the same device, or on the CPU where that device has none."""
    device = "cpu" if like.device.type == "mps" else like.device
    return torch.empty(0, dtype=torch.float64, device=device)
