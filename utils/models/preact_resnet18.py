"""Pre-activation ResNet-18 for small images (He et al. 2016, arXiv 1603.05027)."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from utils.models.blocks import PreActBlock, conv3, initialise, require_width, stages
from utils.models.pixels import ForImages, Pixels

STRIDES = (1, 2, 2, 2)


class PreActResNet18(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]; 11.17 M parameters at width 64 and 10 classes.

    A 3x3 stem, four stages of two pre-activation blocks with width, 2, 4 and 8 times width channels, a last batch
    norm and ReLU (their appendix), global average pooling, a linear layer.

    Args:
        inputs: (c, h, w), at least 8 x 8 pixels.
        outputs: logits.
        mean: of each channel's pixels.
        std: likewise.
        width: channels of the first stage; 64 in the literature.

    Raises:
        ValueError: a width below 1; see also ``Pixels``.
    """

    def __init__(
        self, inputs: Sequence[int], outputs: int, mean: Sequence[float], std: Sequence[float], *, width: int
    ) -> None:
        super().__init__()
        require_width(width, "model.width")
        block = partial(PreActBlock, dropout=0.0)
        self.pixels = Pixels(inputs, mean, std, shrink=8, batch_norm=True)
        self.stem = conv3(inputs[0], width, 1)
        self.stages = stages(block, [width, width, 2 * width, 4 * width, 8 * width], STRIDES, 2)
        self.last = nn.Sequential(nn.BatchNorm2d(8 * width), nn.ReLU())
        self.head = nn.Linear(8 * width, outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        return self.head(self.last(self.stages(self.stem(self.pixels(x)))).mean((-2, -1)))
