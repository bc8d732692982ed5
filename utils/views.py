"""Other views of the model in training: the same weights, seen in eval mode, in another precision or layout."""

import copy

import torch
from torch import Tensor, nn

from utils.types import Predict


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


def answering(model: nn.Module, device: torch.device, *, precision: torch.dtype, channels_last: bool) -> Predict:
    """The model as a function, its layers in ``precision`` where that is safe, its answers in the type of the input."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def answer(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=layout) if x.ndim == 4 else x
        if precision == x.dtype:
            return model(x)
        with torch.autocast(device.type, precision):
            return model(x).to(x.dtype)

    return answer
