"""Densely connected networks for small images (Huang, Liu, van der Maaten and Weinberger 2017, arXiv 1608.06993)."""

from collections.abc import Sequence

from torch import Tensor, nn

from utils.models.blocks import DenseLayer, blocks_of_depth, conv1, conv3, initialise, require_width
from utils.models.pixels import ForImages, Pixels

BLOCKS = 3


class DenseNet(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]: DenseNet-BC (their sections 3 and 4.2).

    A 3x3 stem of 2 ``growth`` channels, three dense blocks of (depth - 4) / 6 layers of two convolutions each, between
    them batch norm, ReLU, a 1x1 convolution that keeps the share ``compression`` of the channels, and 2x2 average
    pooling, which counts a row or column left over as one more; batch norm, ReLU, global average pooling, a linear
    layer. DenseNet-BC-100 of growth 12 has 769,162 parameters for 10 classes.

    Args:
        inputs: (c, h, w), at least 4 x 4 pixels.
        outputs: logits.
        mean: of each channel's pixels.
        std: likewise.
        depth: convolutions and linear layer; 6n + 4 and at least 10.
        growth: channels that a layer adds, k.
        compression: theta, in (0, 1].

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
        depth: int,
        growth: int,
        compression: float,
    ) -> None:
        super().__init__()
        layers = blocks_of_depth(depth)
        if not 0 < compression <= 1:
            raise ValueError(f"model.compression={compression} must be above 0 and at most 1")
        require_width(growth, "model.growth")
        self.pixels = Pixels(inputs, mean, std, shrink=4, batch_norm=True)
        self.stem = conv3(inputs[0], 2 * growth, 1)  # by itself: no batch norm may be folded into what is kept
        parts: list[nn.Module] = []
        width = 2 * growth
        for block in range(BLOCKS):
            if block:
                parts.append(_transition(width, max(1, int(width * compression))))
                width = max(1, int(width * compression))
            parts.append(nn.Sequential(*(DenseLayer(width + i * growth, growth) for i in range(layers))))
            width += layers * growth
        self.blocks = nn.Sequential(*parts)
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        return self.head(self.last(self.blocks(self.stem(self.pixels(x)))).mean((-2, -1)))


def _transition(inputs: int, outputs: int) -> nn.Sequential:
    """Half the size, rounded up, and other channels."""
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv1(inputs, outputs, 1), nn.AvgPool2d(2, ceil_mode=True))
