"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from utils.models.blocks import PreActBlock, blocks_of_depth, conv3, initialise, require_width, stages
from utils.models.pixels import ForImages, Pixels

STEM = 16  # channels
STRIDES = (1, 2, 2)


class WideResNet(ForImages):
    """Logits (n, outputs) of images (n, c, h, w) in [0, 1]: WRN-depth-widen (their table 1).

    A 3x3 stem of 16 channels, three stages of (depth - 4) / 6 pre-activation blocks with 16, 32 and 64 times widen
    channels, batch norm, ReLU, global average pooling, a linear layer. For 10 classes WRN-28-10 has 36.5 M
    parameters and WRN-34-10 46.2 M.

    Args:
        inputs: (c, h, w), at least 4 x 4 pixels.
        outputs: logits.
        mean: of each channel's pixels.
        std: likewise.
        depth: convolutions on the longest way, the shortcuts' included; 6n + 4 and at least 10.
        widen: factor of the widths.
        dropout: probability that a number between the convolutions of a block is dropped, in [0, 1).

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
        widen: int,
        dropout: float,
    ) -> None:
        super().__init__()
        blocks = blocks_of_depth(depth)
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout} must be at least 0 and below 1")
        require_width(widen, "model.widen")
        widths = [STEM, *(STEM * widen * factor for factor in (1, 2, 4))]
        self.pixels = Pixels(inputs, mean, std, shrink=4, batch_norm=True)
        self.stem = conv3(inputs[0], STEM, 1)
        self.stages = stages(partial(PreActBlock, dropout=dropout), widths, STRIDES, blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU())
        self.head = nn.Linear(widths[-1], outputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, h, w) in [0, 1] -> logits (n, outputs)."""
        return self.head(self.last(self.stages(self.stem(self.pixels(x)))).mean((-2, -1)))
