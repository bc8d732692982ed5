"""ResNet-18 with a narrower last stage, for images twice as large as CIFAR's."""

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from utils.models.blocks import BasicBlock, conv3, initialise, require_width, stages
from utils.models.pixels import ForImages, Pixels

STRIDES = (1, 2, 2, 2)
SHRINK = 8  # product of the strides
CELLS = 2  # to a side, of which the head sees the means


class ResNet18Narrow(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]; 5.2 M parameters at width 64.

    As ``resnet18``, but for its last stage, which is as wide as the one before, 4 times width, and its head, which sees
    the mean of each quarter of the last map. The network of the face-scoring study of Carovano and Meinke, on 64 x 64
    pixels.

    Args:
        inputs: (c, h, w), at least 8 x 8 pixels.
        outputs: logits.
        mean: of each channel's pixels.
        std: likewise.
        width: channels of the first stage; published 64.

    Raises:
        ValueError: a width below 1; see also ``Pixels``.
    """

    def __init__(
        self, inputs: Sequence[int], outputs: int, mean: Sequence[float], std: Sequence[float], *, width: int
    ) -> None:
        super().__init__()
        require_width(width, "model.width")
        self.pixels = Pixels(inputs, mean, std, shrink=SHRINK, batch_norm=True)
        self.stem = nn.Sequential(conv3(inputs[0], width, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = stages(BasicBlock, [width, width, 2 * width, 4 * width, 4 * width], STRIDES, 2)
        last = [-(-side // SHRINK) for side in inputs[1:]]
        self.window = [-(-side // CELLS) for side in last]
        cells = [-(-side // window) for side, window in zip(last, self.window, strict=True)]
        self.head = nn.Linear(4 * width * cells[0] * cells[1], outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        last = self.stages(self.stem(self.pixels(x)))
        return self.head(F.avg_pool2d(last, self.window, ceil_mode=True).flatten(1))
