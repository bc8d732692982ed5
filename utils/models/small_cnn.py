"""A small convolutional network, for images of 8 x 8 to 28 x 28 pixels and for quick studies."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from utils.models.blocks import initialise, require_width
from utils.models.pixels import ForImages, Pixels

GROUP = 8  # channels that group norm takes together; 8 and 16 did best in Wu and He 2018, arXiv 1803.08494, table 3
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "batch": lambda width: [nn.BatchNorm2d(width)],
    "group": lambda width: [nn.GroupNorm(width // GROUP, width)],
    "none": lambda _: [],
}


class SmallCNN(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]: 3x3 convolutions with norm and ReLU, then a linear layer.

    Args:
        inputs: (c, h, w), a side at least the product of the strides.
        outputs: logits.
        mean: of each channel's pixels.
        std: likewise.
        widths: channels of each convolution.
        strides: of each convolution.
        norm: "batch", "group" (of 8 channels) or "none".

    Raises:
        ValueError: a setting out of range; see also ``Pixels``.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        norm: str,
    ) -> None:
        super().__init__()
        _check(widths, strides, norm)
        shrink = math.prod(strides)
        self.pixels = Pixels(inputs, mean, std, shrink=shrink, batch_norm=norm == "batch")
        layers: list[nn.Module] = []
        for (before, width), stride in zip(pairwise([inputs[0], *widths]), strides, strict=True):
            conv = nn.Conv2d(before, width, 3, stride, padding=1, bias=norm == "none")
            layers += [conv, *NORMS[norm](width), nn.ReLU()]
        height, width = (math.ceil(side / shrink) for side in inputs[1:])
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(widths[-1] * height * width, outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        return self.head(self.layers(self.pixels(x)))


def _check(widths: Sequence[int], strides: Sequence[int], norm: str) -> None:
    if norm not in NORMS:
        raise ValueError(f"model.norm={norm!r} is not known; choose one of {sorted(NORMS)}")
    if not widths or len(widths) != len(strides):
        raise ValueError(
            f"model.widths={list(widths)} and model.strides={list(strides)} must list a number for each convolution, "
            "and at least one"
        )
    for key, numbers in (("model.widths", widths), ("model.strides", strides)):
        for number in numbers:
            require_width(number, key)
    if norm == "group" and any(width % GROUP for width in widths):
        raise ValueError(f"model.widths={list(widths)}: with model.norm=group each must be a multiple of {GROUP}")
