"""Image data sets, from bytes to a Dataset: checks, draws, splits, sizes, fingerprint.

Whatever enters is checked here once; everything behind it trusts the Dataset. Images stay bytes, and no step holds
a float copy of them all.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from numpy.typing import NDArray
from torch import Tensor

from utils import seeding
from utils.system.console import count
from utils.types import Batch, Dataset

CHUNK = 256  # images that are numbers at one time
MOST_NAMED = 10  # classes in an error

Rows = NDArray[np.int64]


class Images(NamedTuple):
    """Images and their classes, as a file or a split holds them."""

    x: Tensor  # (n, c, h, w) uint8
    y: Tensor  # (n,) int64


def check_images(
    source: str | Path, x: NDArray[np.uint8], y: NDArray[np.integer], *, shape: tuple[int, ...], classes: int
) -> Images:
    """The images x (n, c, h, w) and labels y (n,) of one file, once they are what its publisher says.

    Raises ValueError, naming the file, for images of another shape, another number of labels, or a label outside
    0..classes-1.
    """
    if x.shape[1:] != shape:
        raise ValueError(f"{source} holds images of {by(x.shape[1:])}, not of {by(shape)}.")
    if len(x) != len(y):
        raise ValueError(f"{source} holds {count(len(x), 'image')}, but {count(len(y), 'label')}; is a file cut short?")
    strange = np.flatnonzero((y < 0) | (y >= classes))
    if len(strange):
        raise ValueError(
            f"{source}: the label of image {strange[0]} (counting from 0) is {y[strange[0]]}, not one of "
            f"0 to {classes - 1}."
        )
    return Images(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)))


def join(parts: Sequence[Images]) -> Images:
    """The images of several files, one after the other."""
    return Images(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))


def assemble(
    name: str,
    train: Images,
    test: Images,
    *,
    class_names: Sequence[str],
    rows: int | None,
    test_rows: int | None,
    valid: float,
    size: int | None,
    seed: int,
) -> Dataset:
    """Draws, sets validation rows aside, resizes and checks two official splits; returns a Dataset.

    Args:
        name: of the data set.
        train: the official training split.
        test: the official test split.
        class_names: one for each class.
        rows: number of training images, the first of a seeded draw; None takes all.
        test_rows: the same for the test images, from a draw of their own.
        valid: share of the drawn training images that becomes the validation split, from 0 to below 1.
        size: height and width after average pooling; None leaves the images as they are.
        seed: of the draws.

    Raises:
        ValueError: a setting that the images cannot meet, or a class without training or test images.
    """
    drawn = draw(name, "training", len(train.y), "rows", rows, seed)
    kept, aside = _set_aside(name, drawn, valid, seed)
    tested = draw(name, "test", len(test.y), "test_rows", test_rows, seed)
    check_size(name, train.x.shape[2:], size)
    return complete(
        name,
        batch(train, kept, size),
        batch(train, aside, size),
        batch(test, tested, size, first=len(train.y)),
        class_names=class_names,
        groups=("all",),
        fingerprint=fingerprint(train, test),
    )


def complete(
    name: str,
    train: Batch,
    valid: Batch,
    test: Batch,
    *,
    class_names: Sequence[str],
    groups: tuple[str, ...],
    fingerprint: str,
) -> Dataset:
    """A Dataset from its splits. Raises ValueError for a class without training or test images."""
    for what, part in (("training", train), ("test", test)):
        counts = torch.bincount(part.y, minlength=len(class_names)).tolist()
        absent = [of for of, count in zip(class_names, counts, strict=True) if not count]
        if absent:
            more = f" and {len(absent) - MOST_NAMED} more" * (len(absent) > MOST_NAMED)
            raise ValueError(
                f"data set {name}: the {what} split has no image of {', '.join(absent[:MOST_NAMED])}{more}; "
                "draw more rows or choose another seed."
            )
    loc, scale = moments(train.x)
    return Dataset(
        name=name,
        columns=(),
        classes=len(class_names),
        groups=groups,
        train=train,
        valid=valid,
        test=test,
        loc=loc,
        scale=scale,
        fingerprint=fingerprint,
        shape=tuple(train.x.shape[1:]),
        class_names=tuple(class_names),
    )


def describe(dataset: Dataset) -> str:
    """One line on the images of a data set: how many in each split that has any, how large, and their memory."""
    parts = {"training": dataset.train, "validation": dataset.valid, "test": dataset.test}
    counts = {what: len(part.y) for what, part in parts.items() if len(part.y)}
    megabytes = sum(part.x.nbytes for part in parts.values()) / 1e6
    return (
        f"{dataset.name}: {' + '.join(f'{n:,}' for n in counts.values())} images of {by(dataset.shape)} "
        f"({', '.join(counts)}), {megabytes:,.{0 if megabytes >= 10 else 1}f} MB in memory"
    )


def by(shape: Sequence[int]) -> str:
    """A shape as one reads it, such as 3x32x32."""
    return "x".join(map(str, shape))


def draw(name: str, what: str, count: int, setting: str, rows: int | None, seed: int) -> Rows:
    """Numbers of the first ``rows`` of a seeded draw of ``count`` images, in ascending order; None takes all.

    A larger draw of the same seed holds the smaller one. The stream is named after the setting.

    Raises ValueError, naming the setting, for more rows than there are, or fewer than 1.
    """
    if rows is None:
        return np.arange(count)
    if not isinstance(rows, int) or not 1 <= rows <= count:
        raise ValueError(
            f"data set {name}: {setting}={rows}, but there are {count:,} {what} images; choose a whole number from 1 "
            f"to {count}, or null for all."
        )
    return np.sort(seeding.rng(seed, setting.replace("_", " ")).permutation(count)[:rows])


def check_size(name: str, published: Sequence[int], size: int | None) -> None:
    """Raises ValueError for a size that is no whole number up to the published height and width."""
    if size is not None and (not isinstance(size, int) or not 1 <= size <= min(published)):
        raise ValueError(
            f"data set {name}: size={size}, but the images are of {by(published)} and can only be made smaller; choose "
            f"a whole number from 1 to {min(published)}, or null to leave them as they are."
        )


def batch(images: Images, keep: Rows, size: int | None, *, first: int = 0) -> Batch:
    """The images ``keep``, average-pooled to ``size``, as rows of weight 1 and group 0, numbered from ``first``."""
    chosen = torch.from_numpy(keep)
    x = _take(images.x, chosen, size)
    y = images.y[chosen]
    return Batch(x, y, torch.zeros_like(y), torch.ones(len(y)), chosen + first)


def pool(x: Tensor, size: int) -> Tensor:
    """Images (n, c, h, w) as bytes, each pixel of size x size the rounded mean of those it covers."""
    return F.adaptive_avg_pool2d(x.float(), size).round_().to(torch.uint8)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each channel of bytes (n, c, h, w), in units of 255, (c,) each.

    Exact, from the counts of the 256 values. The deviation of a constant channel is 1.
    """
    counts = torch.zeros(x.shape[1], 256, dtype=torch.int64)
    for part in x.split(CHUNK):
        for channel, values in zip(counts, part.unbind(1), strict=True):
            channel += torch.bincount(values.flatten(), minlength=256)
    share = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ values
    variance = (share * (values - mean.unsqueeze(1)).square()).sum(1)
    constant = (counts > 0).sum(1) == 1
    return mean.float(), torch.where(constant, 1.0, variance.sqrt()).float()


def fingerprint(*parts: Images) -> str:
    """The first 16 hex digits of the SHA-256 of shapes, images and labels, before any draw, size or split."""
    digest = hashlib.sha256()
    for images in parts:
        digest.update(by(images.x.shape).encode())
        for x in images.x.split(CHUNK):
            digest.update(x.contiguous().numpy().data)
        digest.update(images.y.numpy().astype("<i8").data)
    return digest.hexdigest()[:16]


def _take(x: Tensor, keep: Tensor, size: int | None) -> Tensor:
    """The images ``keep``, in ascending order, resized part by part; all of them as they are need no copy."""
    if size is None or x.shape[2:] == (size, size):
        return (x if len(keep) == len(x) else x[keep]).contiguous()
    resized = x.new_empty(len(keep), x.shape[1], size, size)
    for part, into in zip(_split(keep), _split(resized), strict=True):
        into.copy_(pool(x[part], size))
    return resized


def _split(rows: Tensor) -> Iterator[Tensor]:
    """Parts of at most CHUNK rows; none of no rows, where ``Tensor.split`` gives an empty one."""
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _set_aside(name: str, drawn: Rows, valid: float, seed: int) -> tuple[Rows, Rows]:
    """The drawn rows parted into training and validation, each in ascending order."""
    if not 0 <= valid < 1:
        raise ValueError(
            f"data set {name}: valid={valid} is no share of the training images to validate on; choose one from 0 "
            "to below 1."
        )
    count = round(len(drawn) * valid)
    if (valid > 0 and not count) or count == len(drawn):
        raise ValueError(
            f"data set {name}: valid={valid} of {len(drawn)} training images leaves {count} for validation and "
            f"{len(drawn) - count} for training; draw more rows or choose another share."
        )
    aside = np.zeros(len(drawn), dtype=bool)
    aside[seeding.rng(seed, "split").permutation(len(drawn))[:count]] = True
    return drawn[~aside], drawn[aside]
