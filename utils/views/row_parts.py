"""A split as metrics go through it: in parts, or a few of its rows."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from utils import seeding
from utils.types import Batch, Context, Dataset
from utils.views.short_rows import ShortRows

NUMBERS = {"cpu": 2**16, "cuda": 2**20}  # of images a part: on the CPU, activations that stay in the cache
LEAST = 8  # rows a part
WRITTEN_OUT = 2**22  # numbers a part of rows that are kept in short


def parts(batch: Batch) -> Iterator[Batch]:
    """Yields all rows in their order, as numbers: a table or a stack at once, images as many as fit the device.

    Rows in short, (..., n, d), are written out a part at a time. There is at least one part, so that figures of no
    rows keep their shapes.
    """
    if isinstance(batch.x, ShortRows) and batch.y.shape[-1]:
        size = max(LEAST, WRITTEN_OUT // (math.prod(batch.x.shape) // batch.y.shape[-1]))
        for start in range(0, batch.y.shape[-1], size):
            rows = slice(start, start + size)
            yield Batch(batch.x[..., rows, :], *(column[..., rows] for column in batch[1:]))
    elif batch.x.is_floating_point():
        yield batch
    elif not len(batch.y):
        yield batch.rows(slice(None))
    else:
        numbers = NUMBERS.get(batch.x.device.type, NUMBERS["cuda"])
        yield from batch.parts(max(LEAST, numbers // math.prod(batch.x.shape[1:])))


def judge_some(dataset: Dataset, evaluation: Mapping[str, Any]) -> Dataset:
    """The data set with at most ``rows`` of its test rows, in their order; None: all, as of images always.

    ``evaluation`` is the part of a configuration that may say ``rows``.

    They are drawn by their numbers in the data alone: every model, whatever its seed, is judged on the same people of a
    split, and fewer rows are some of those of a larger draw.
    """
    rows, number = evaluation.get("rows"), len(dataset.test.y)
    if rows is None or rows >= number or dataset.shape:
        return dataset
    index = dataset.test.index
    chance = seeding.Rows(seeding.derive(0, "evaluation.rows"), index).uniform(torch.zeros(1, number, 1)).flatten()
    keep = chance.argsort(stable=True)[:rows].sort().values.to(index.device)
    return replace(dataset, test=dataset.test.rows(keep), unjudged=dataset.unjudged + number - rows)


def sample(batch: Batch, rows: int | None, ctx: Context) -> Batch:
    """Draws ``rows`` rows without replacement, in the order of the split and as it stores them; None: all.

    Every metric draws the same rows at the same seed, and fewer rows are some of those of a larger draw.
    """
    if rows is None or rows >= len(batch.y):
        return batch
    order = seeding.rng(ctx.own_seed, "rows of the ensemble").permutation(len(batch.y))
    keep = torch.as_tensor(order[:rows], device=batch.y.device).sort().values
    return Batch(*(column[keep] for column in batch))
