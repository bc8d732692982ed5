"""Random changes of training images that keep their class: a batch at once, on its device.

An augmentation is ``(x, source) -> x'`` on images (n, c, h, w); its numbers belong to the rows, so that the same row
is changed in the same way in every batch.
"""

import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from torch import Tensor

from utils.seeding import Rows


def none(x: Tensor, source: Rows) -> Tensor:
    """The images as they are."""
    return x


def crop_and_flip(x: Tensor, source: Rows, *, padding: int, flip: bool) -> Tensor:
    """Shift each image by -padding..padding pixels in both directions, and mirror it with probability 1/2.

    The same as a crop of (h, w) at a uniform place in the image with a rim of ``padding`` zeros, the usual
    augmentation of CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2), in one gather for the whole batch.

    Args:
        x: (n, c, h, w).
        source: the random numbers of its rows.
        padding: in pixels, >= 0.
        flip: whether images are mirrored, left for right.
    """
    n, c, h, w = x.shape
    # three numbers a row, in float32 whatever x is: half precision would round some of them up to 1
    down, right, side = source.uniform(x.new_empty(1, n, 3, dtype=torch.float32)).squeeze(0).unbind(-1)
    columns = torch.arange(w, device=x.device).expand(n, w)
    if flip:
        columns = torch.where(side.unsqueeze(1) < 0.5, w - 1 - columns, columns)
    columns = columns + _offset(right, padding)
    rows = torch.arange(h, device=x.device) + _offset(down, padding)
    padded = F.pad(x, (padding,) * 4).flatten(2)
    place = rows.unsqueeze(2) * (w + 2 * padding) + columns.unsqueeze(1)  # (n, h, w), in an image with its rim
    return padded.gather(2, place.reshape(n, 1, h * w).expand(n, c, h * w)).reshape(x.shape)


def _offset(uniform: Tensor, padding: int) -> Tensor:
    """U[0, 1) (n,) -> a whole number of 0..2 padding, (n, 1)."""
    return (uniform * (2 * padding + 1)).long().unsqueeze(1)
