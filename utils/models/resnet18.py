"""ResNet-18 for small images (He et al. 2016, arXiv 1512.03385)."""

from collections.abc import Sequence

from torch import Tensor, nn

from utils.models.blocks import BasicBlock, conv3, initialise, require_width, stages
from utils.models.pixels import ForImages, Pixels

STRIDES = (1, 2, 2, 2)


class ResNet18(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]; 11.17 M parameters at width 64 and 10 classes.

    As the literature on CIFAR has it: a 3x3 stem without max-pooling, four stages of two basic blocks with width,
    2, 4 and 8 times width channels, global average pooling, a linear layer.

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
        self.pixels = Pixels(inputs, mean, std, shrink=8, batch_norm=True)
        self.stem = nn.Sequential(conv3(inputs[0], width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = stages(BasicBlock, [width, width, 2 * width, 4 * width, 8 * width], STRIDES, 2)
        self.head = nn.Linear(8 * width, outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        return self.head(self.stages(self.stem(self.pixels(x))).mean((-2, -1)))
