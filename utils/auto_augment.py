"""AutoAugment's policy for CIFAR-10 (Cubuk et al. 2019, arXiv 1805.09501), a batch at once on its device.

A policy is 25 pairs of operations, each with a probability and a magnitude of 0 to 9 (their table 7); an image gets one
pair. Of an operation the magnitudes are evenly spaced over its range (their table 6), 0 leaving the image as it is and
9 being the end; shears, shifts, rotations and enhancements go either way with probability 1/2.

Operations take images x (n, c, h, w) in [0, 1], c being 1 or 3, and one strength for each, (n,). They are those of
Pillow's ImageOps and ImageEnhance, but for rounding to bytes; what comes in from outside is black.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from torch import Tensor

from utils.augment import crop_and_flip
from utils.seeding import Rows

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R 601-2
SHIFT = 150 / 331  # of the side, at magnitude 9
STRONGEST = 9

# (operation, probability, magnitude), twice
POLICY = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("shift_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("shift_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("shift_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("shift_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("shift_y", 0.9, 9), ("shift_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("shift_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)


def auto_augment(x: Tensor, source: Rows, *, padding: int, flip: bool) -> Tensor:
    """The images (n, c, h, w) in [0, 1], shifted and mirrored as by ``crop_and_flip``, then changed by the policy.

    Args:
        x: (n, c, h, w), c being 1 or 3.
        source: the random numbers of its rows.
        padding: of the shift in pixels, >= 0.
        flip: whether images are mirrored, left for right.

    Raises:
        ValueError: another number of channels.
    """
    if x.shape[1] not in (1, 3):
        raise ValueError(
            "trainer.augment: auto_augment is for grey or coloured images, of 1 or 3 channels, not "
            f"{x.shape[1]}; choose trainer=image"
        )
    changed = crop_and_flip(x, source, padding=padding, flip=flip)
    # five numbers a row, in float32 whatever x is: the pair, and for each of its two whether and which way
    draws = source.uniform(x.new_empty(1, len(x), 5, dtype=torch.float32)).squeeze(0)
    pair = (draws[:, 0] * len(POLICY)).long()
    for place in range(2):
        operation, chance, magnitude = (column.to(x.device)[pair, place] for column in _TABLE)
        operation = operation.where(draws[:, 1 + place] < chance, -1)
        share = magnitude / STRONGEST * (draws[:, 3 + place] < 0.5).float().mul(2).sub(1)
        changed = _apply(changed, operation, share)
    return changed


def _apply(x: Tensor, operation: Tensor, share: Tensor) -> Tensor:
    """Applies to each image its operation (n,) of ``OPERATIONS``, -1 for none, by a signed ``share`` of its range."""
    order = operation.argsort(stable=True)
    counts = torch.bincount(operation + 1, minlength=len(OPERATIONS) + 1).tolist()  # the one time the host waits
    same, *parts = zip(x[order].split(counts), share[order].split(counts), strict=True)
    changed = [same[0]] + [
        operate(rows, strength(shares)).to(x.dtype) if len(rows) else rows
        for (operate, strength), (rows, shares) in zip(OPERATIONS.values(), parts, strict=True)
    ]
    return torch.cat(changed)[order.argsort()]


# --- in place --------------------------------------------------------------------------------------------------


def shear_y(x: Tensor, slope: Tensor) -> Tensor:
    """Columns shifted by ``slope`` times their distance from the left edge, upwards where it is positive."""
    return _pull(x, [[1, 0, 0], [slope, 1, 0]])


def shift_x(x: Tensor, share: Tensor) -> Tensor:
    """Shifts to the right by the share of the width, cut to whole pixels."""
    return _pull(x, [[1, 0, -(share * x.shape[3]).trunc()], [0, 1, 0]])


def shift_y(x: Tensor, share: Tensor) -> Tensor:
    """Shifts down by the share of the height, cut to whole pixels."""
    return _pull(x, [[1, 0, 0], [0, 1, -(share * x.shape[2]).trunc()]])


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Counterclockwise about the middle."""
    cos, sin = torch.deg2rad(degrees.double()).cos(), torch.deg2rad(degrees.double()).sin()
    right, down = x.shape[3] / 2, x.shape[2] / 2
    along: list[Tensor | float] = [cos, -sin, right - cos * right + sin * down]
    return _pull(x, [along, [sin, cos, down - sin * right - cos * down]])


def _pull(x: Tensor, matrix: list[list[Tensor | float]]) -> Tensor:
    """Takes each pixel from the one that its middle (column, row, 1) is mapped into by the matrix; black outside."""
    n, c, h, w = x.shape
    down = torch.arange(h, device=x.device).double().add(0.5).reshape(1, h, 1)
    right = torch.arange(w, device=x.device).double().add(0.5).reshape(1, 1, w)
    column, row = (_each(a) * right + _each(b) * down + _each(at) for a, b, at in matrix)
    column, row = column.floor().long().expand(n, h, w), row.floor().long().expand(n, h, w)
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    place = (row * w + column).where(inside, 0).reshape(n, 1, h * w).expand(n, c, h * w)
    return x.flatten(2).gather(2, place).reshape(x.shape) * inside.unsqueeze(1)


def _each(number: Tensor | float) -> Tensor | float:
    return number.double().reshape(-1, 1, 1) if isinstance(number, Tensor) else number


# --- in value --------------------------------------------------------------------------------------------------


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Blends from black, at 0, over the image, at 1, and beyond."""
    return _blend(torch.zeros_like(x), x, factor)


def color(x: Tensor, factor: Tensor) -> Tensor:
    """Blends from grey, at 0, over the image, at 1, and beyond."""
    return _blend(_grey(x), x, factor)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blends from the mean grey, at 0, over the image, at 1, and beyond."""
    return _blend(_grey(x).mean((2, 3), keepdim=True), x, factor)


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Blends from smoothed, at 0, over the image, at 1, and beyond; the outermost pixels stay."""
    smooth, kernel = x.clone(), x.new_full((1, 1, 3, 3), 1 / 13)
    kernel[..., 1, 1] = 5 / 13
    if min(x.shape[2:]) > 2:
        smooth[..., 1:-1, 1:-1] = F.conv2d(x.flatten(0, 1).unsqueeze(1), kernel).reshape_as(x[..., 1:-1, 1:-1])
    return _blend(smooth, x, factor)


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """Bytes cut to their upper bits."""
    step = (2 ** (8 - bits)).reshape(-1, 1, 1, 1)
    return _bytes(x).div(step).floor() * step / 255


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Inverted from the threshold on."""
    return x.where(x < threshold.reshape(-1, 1, 1, 1), 1 - x)


def invert(x: Tensor, strength: Tensor) -> Tensor:
    """1 - x."""
    return 1 - x


def auto_contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Stretches each channel to [0, 1]; a constant one stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return ((x - low) / (high - low)).where(high > low, x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Replaces each channel's bytes by their rank, so that all values are about as frequent.

    With ``step`` = (pixels - those of the largest value) // 255, a byte becomes (step // 2 + pixels below it) // step,
    at most 255; where step is 0 the channel stays.
    """
    values = _bytes(x).long().flatten(2)
    n, c, pixels = values.shape
    place = torch.arange(n * c, device=x.device).reshape(n, c, 1) * 256 + values  # channel and value in one number
    counts = torch.bincount(place.flatten(), minlength=n * c * 256).reshape(n, c, 256)
    below = counts.cumsum(2) - counts
    largest = counts.gather(2, values.amax(2, keepdim=True))
    step = (pixels - largest) // 255
    ranked = ((step // 2 + below) // step.clamp_min(1)).clamp_max(255).gather(2, values)
    return (ranked / 255).where(step > 0, x.flatten(2)).reshape(x.shape)


def _blend(base: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """base + factor (x - base), cut to [0, 1]."""
    return (base + factor.reshape(-1, 1, 1, 1) * (x - base)).clamp(0, 1)


def _grey(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w)."""
    return x if x.shape[1] == 1 else (x * x.new_tensor(LUMA).reshape(3, 1, 1)).sum(1, keepdim=True)


def _bytes(x: Tensor) -> Tensor:
    """The nearest of 0 to 255."""
    return (x * 255).round()


# --- the table -------------------------------------------------------------------------------------------------

Operation = Callable[[Tensor, Tensor], Tensor]  # images, strengths -> images
Strength = Callable[[Tensor], Tensor]  # signed share of the range in [-1, 1] -> strength


def _factor(share: Tensor) -> Tensor:
    return 1 + 0.9 * share


OPERATIONS: dict[str, tuple[Operation, Strength]] = {
    "shear_y": (shear_y, lambda share: 0.3 * share),
    "shift_x": (shift_x, lambda share: SHIFT * share),
    "shift_y": (shift_y, lambda share: SHIFT * share),
    "rotate": (rotate, lambda share: 30 * share),
    "brightness": (brightness, _factor),
    "color": (color, _factor),
    "contrast": (contrast, _factor),
    "sharpness": (sharpness, _factor),
    "posterize": (posterize, lambda share: 8 - (4 * share.abs()).round()),
    "solarize": (solarize, lambda share: (1 - share.abs()) * 256 / 255),  # at 0 white stays white
    "invert": (invert, torch.abs),
    "auto_contrast": (auto_contrast, torch.abs),
    "equalize": (equalize, torch.abs),
}
_TABLE = (
    torch.tensor([[list(OPERATIONS).index(name) for name, _, _ in pair] for pair in POLICY]),
    torch.tensor([[chance for _, chance, _ in pair] for pair in POLICY]),
    torch.tensor([[magnitude for _, _, magnitude in pair] for pair in POLICY]),
)
