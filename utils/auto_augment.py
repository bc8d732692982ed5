"""AutoAugment's policy for CIFAR-10 (Cubuk et al. 2019, arXiv 1805.09501), a batch at once on its device.

A policy is 25 pairs of operations, each with a probability and a magnitude of 0 to 9 (their table 7); an image gets one
pair. Of an operation the magnitudes are evenly spaced over its range (their table 6), 0 leaving the image as it is and
9 being the end; shears, shifts, rotations and enhancements go either way with probability 1/2.

Operations take images x (n, c, h, w) in [0, 1], c being 1 or 3, with one strength for each. They are those of Pillow's
ImageOps and ImageEnhance, but for rounding to bytes; what comes in from outside is black. Those of one kind, such as a
rotation and a shift, are one for all images of a batch, so that a device is given few and large things to do.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

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
    table = _on(x.device)
    for place in range(2):
        kind = table.kind[pair, place].where(draws[:, 1 + place] < table.chance[pair, place], -1)
        changed = _apply(changed, kind, table.numbers[pair, place, (draws[:, 3 + place] < 0.5).long()])
    return changed


def _apply(x: Tensor, kind: Tensor, numbers: Tensor) -> Tensor:
    """Applies to each image its kind (n,) of ``KINDS``, -1 for none, by its numbers (n, 4).

    So images of the same kind, which few launches change together, need not be of the same operation.
    """
    order = kind.argsort(stable=True)
    counts = torch.bincount(kind + 1, minlength=len(KINDS) + 1).tolist()  # the one time the host waits
    same, *parts = zip(x[order].split(counts), numbers[order].split(counts), strict=True)
    changed = [same[0]] + [
        change(rows, own).to(x.dtype) if len(rows) else rows
        for change, (rows, own) in zip(KINDS.values(), parts, strict=True)
    ]
    return torch.cat(changed)[order.argsort()]


# --- kinds: what all images of one do, by four numbers (n, 4) of each ------------------------------------------


def move(x: Tensor, numbers: Tensor) -> Tensor:
    """Takes each pixel from elsewhere, black outside: turned, sheared or shifted, whose numbers else are 0.

    By degrees, counterclockwise about the middle; columns upwards by a slope times their distance from the left edge;
    and to the right and down by shares of width and height, cut to whole pixels.
    """
    n, c, h, w = x.shape
    degrees, slope = numbers[:, :2].double().unbind(1)
    shift, fall = (numbers[:, 2:] * numbers.new_tensor([w, h])).trunc().double().unbind(1)
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    middle, centre = w / 2, h / 2
    along = cos, -sin, middle - cos * middle + sin * centre - shift
    down = sin + slope, cos, centre - sin * middle - cos * centre - fall
    to_right = torch.arange(w, device=x.device).double().add(0.5)
    to_below = torch.arange(h, device=x.device).double().add(0.5).unsqueeze(1)
    column, row = (
        (a * to_right + b * to_below + at).floor().long()
        for a, b, at in ([number.reshape(n, 1, 1) for number in numbers] for numbers in (along, down))
    )
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    place = (row * w + column).where(inside, 0).reshape(n, 1, h * w).expand(n, c, h * w)
    return x.flatten(2).gather(2, place).reshape(x.shape) * inside.unsqueeze(1)


def blend(x: Tensor, numbers: Tensor) -> Tensor:
    """Blends from a base, at a factor of 0, over the image, at 1, and beyond, cut to [0, 1].

    The base is black, or what has a 1 beside the factor: grey, the mean grey, or smoothed but for the outermost pixels.
    """
    factor, as_grey, as_mean, as_smooth = numbers.to(x.dtype).reshape(-1, 4, 1, 1, 1).unbind(1)
    grey = x if x.shape[1] == 1 else (x * x.new_tensor(LUMA).reshape(3, 1, 1)).sum(1, keepdim=True)
    smooth, kernel = x.clone(), x.new_full((1, 1, 3, 3), 1 / 13)
    kernel[..., 1, 1] = 5 / 13
    if min(x.shape[2:]) > 2:
        smooth[..., 1:-1, 1:-1] = F.conv2d(x.flatten(0, 1).unsqueeze(1), kernel).reshape_as(x[..., 1:-1, 1:-1])
    base = as_grey * grey + as_mean * grey.mean((2, 3), keepdim=True) + as_smooth * smooth
    return (base + factor * (x - base)).clamp(0, 1)


def posterize(x: Tensor, numbers: Tensor) -> Tensor:
    """Bytes cut to their upper bits, by how many."""
    step = (2 ** (8 - numbers[:, 0])).reshape(-1, 1, 1, 1)
    return _bytes(x).div(step).floor() * step / 255


def solarize(x: Tensor, numbers: Tensor) -> Tensor:
    """Inverted from a threshold on; from 0 everything."""
    return x.where(x < numbers[:, 0].reshape(-1, 1, 1, 1), 1 - x)


def auto_contrast(x: Tensor, numbers: Tensor) -> Tensor:
    """Stretches each channel to [0, 1]; a constant one stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return ((x - low) / (high - low)).where(high > low, x)


def equalize(x: Tensor, numbers: Tensor) -> Tensor:
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


def _bytes(x: Tensor) -> Tensor:
    """The nearest of 0 to 255."""
    return (x * 255).round()


KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "move": move,
    "blend": blend,
    "posterize": posterize,
    "solarize": solarize,
    "auto_contrast": auto_contrast,
    "equalize": equalize,
}

# --- the table -------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """One of the published operations."""

    kind: str
    strength: Callable[[Tensor], Tensor]  # signed share of the range in [-1, 1] -> strength
    place: int = 0  # of the strength among the numbers of its kind
    mark: int | None = None  # of a 1 among them


def _factor(share: Tensor) -> Tensor:
    return 1 + 0.9 * share


OPERATIONS: dict[str, Operation] = {
    "shear_y": Operation("move", lambda share: 0.3 * share, 1),
    "shift_x": Operation("move", lambda share: SHIFT * share, 2),
    "shift_y": Operation("move", lambda share: SHIFT * share, 3),
    "rotate": Operation("move", lambda share: 30 * share, 0),
    "brightness": Operation("blend", _factor),
    "color": Operation("blend", _factor, mark=1),
    "contrast": Operation("blend", _factor, mark=2),
    "sharpness": Operation("blend", _factor, mark=3),
    "posterize": Operation("posterize", lambda share: 8 - (4 * share.abs()).round()),
    "solarize": Operation("solarize", lambda share: (1 - share.abs()) * 256 / 255),  # at 0 white stays white
    "invert": Operation("solarize", torch.zeros_like),
    "auto_contrast": Operation("auto_contrast", torch.abs),
    "equalize": Operation("equalize", torch.abs),
}


def to_numbers(name: str, strength: Tensor) -> Tensor:
    """The numbers (n, 4) that an operation of some strengths (n,) is for its kind."""
    numbers = strength.new_zeros(len(strength), 4)
    numbers[:, OPERATIONS[name].place] = strength
    if OPERATIONS[name].mark is not None:
        numbers[:, OPERATIONS[name].mark] = 1
    return numbers


class _Table(NamedTuple):
    """The policy, by pair and place in it."""

    kind: Tensor  # (25, 2), of KINDS
    chance: Tensor  # (25, 2)
    numbers: Tensor  # (25, 2, 2, 4), also by the way: backwards, forwards


@cache
def _on(device: torch.device) -> _Table:
    """The table on a device."""
    kinds = [[list(KINDS).index(OPERATIONS[name].kind) for name, _, _ in pair] for pair in POLICY]
    chances = [[chance for _, chance, _ in pair] for pair in POLICY]
    ways = torch.tensor([-1.0, 1.0])
    numbers = [
        to_numbers(name, OPERATIONS[name].strength(torch.tensor(magnitude) / STRONGEST * ways))
        for pair in POLICY
        for name, _, magnitude in pair
    ]
    table = torch.tensor(kinds), torch.tensor(chances), torch.stack(numbers).reshape(len(POLICY), 2, 2, 4)
    return _Table(*(part.to(device) for part in table))
