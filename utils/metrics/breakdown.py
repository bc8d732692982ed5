"""Shares of rows that are right, in the mean, in each class, in each sensitive group, and in the worst of them.

A table ``t`` is (..., g, k, 2): how many rows of each group and class are wrong and right; draws stand before.
"""

import numpy as np
from numpy.typing import NDArray

from utils.metrics import confusion
from utils.metrics.bootstrap import drawn, with_intervals
from utils.metrics.confusion import Counts, Floats
from utils.types import Context, Figures


def tables(right: NDArray[np.bool_], y: Counts, s: Counts, *, groups: int, classes: int) -> Counts:
    """The table of rows that are right or not, of class ``y`` and group ``s``, each (n,).

    Raises ValueError where one of them is outside its range.
    """
    shape = (groups, classes, 2)
    cells = np.ravel_multi_index((s, y, right.astype(np.int64)), shape)
    return np.bincount(cells, minlength=2 * groups * classes).reshape(shape)


def mean(t: Counts) -> Floats:
    """Share of all rows, (..., g, k, 2) -> (...)."""
    return confusion.share(t[..., 1].sum((-2, -1)), t.sum((-3, -2, -1)))


def of_class(t: Counts) -> Floats:
    """Share of the rows of each class, (..., g, k, 2) -> (..., k)."""
    rows = t.sum(-3)
    return confusion.share(rows[..., 1], rows.sum(-1))


def of_group(t: Counts) -> Floats:
    """Share of the rows of each group, (..., g, k, 2) -> (..., g)."""
    rows = t.sum(-2)
    return confusion.share(rows[..., 1], rows.sum(-1))


def least(shares: Floats) -> Floats:
    """The smallest of those that have rows, (..., c) -> (...)."""
    smallest: Floats = np.fmin.reduce(shares, -1)
    return smallest


def groups_of(s: Counts, ctx: Context) -> int:
    """How many groups the data set declares, so that one without rows in this split is noticed."""
    return max(ctx.groups, 1 + int(s.max(initial=0)))


def shares(t: Counts) -> Floats:
    """All figures of ``keys`` in their order, (..., g, k, 2) -> (..., f)."""
    classes, groups = of_class(t), of_group(t)
    headline = [mean(t), least(classes), *([least(groups)] if groups.shape[-1] > 1 else [])]
    details = [groups, classes] if groups.shape[-1] > 1 else [classes]
    return np.concatenate([np.stack(headline, -1), *details], -1)


def keys(name: str, end: str, table: Counts) -> list[str]:
    """``<name><end>``, ``<name>_worst_class<end>``, ``<name>_worst_group<end>``, of each group, then of each class.

    Nothing of groups where there is one only.
    """
    groups, classes = table.shape[:2]
    parts = ["", "_worst_class", *(["_worst_group", *(f"_group{i}" for i in range(groups))] if groups > 1 else [])]
    return [f"{name}{part}{end}" for part in [*parts, *(f"_class_{i}" for i in range(classes))]]


def broken_down(
    name: str, end: str, table: Counts, ctx: Context, *, intervals: int, level: float, headline: bool
) -> Figures:
    """The shares of one table by key, with intervals; None where there are no rows.

    Args:
        name: of the figure; a group or a class stands behind it.
        end: of the keys, such as ``_0.05``.
        table: of the rows.
        ctx: of one model.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).
        headline: the mean and the worst class alone.
    """
    number = 2 if headline else None
    names = keys(name, end, table)[:number]
    values, draws = shares(table)[:number], shares(drawn(table, intervals, ctx))[..., :number]
    return with_intervals(dict(zip(names, values, strict=True)), dict(zip(names, draws.T, strict=True)), level)
