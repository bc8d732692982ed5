"""Shares of rows that are right, in the mean, in each class, in each sensitive group, and in the worst of them.

A table ``t`` is (..., g, k, 2): how many rows of each group and class are wrong and right.
"""

import numpy as np
from numpy.typing import NDArray

from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.metrics.intervals import Measured
from utils.metrics.measuring import measure_each, number_shares
from utils.types import Context


def tables(right: NDArray[np.bool_], y: Counts, s: Counts, *, groups: int, classes: int) -> Counts:
    """The tables (..., g, k, 2) of rows that are right or not, of class ``y`` and group ``s``, each (..., n).

    Raises ValueError where one of them is outside its range.
    """
    return confusion.count_cells((s, y, right.astype(np.int64)), (groups, classes, 2))


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
    """Returns the number of groups that the data set declares, so that one without rows in this split is noticed."""
    return max(ctx.groups, 1 + int(s.max(initial=0)))


def break_down(name: str, end: str, tables: Counts, *, level: float, headline: bool) -> list[Measured]:
    """The shares of each of p tables (p, g, k, 2) by key, with intervals; None where there are no rows.

    ``<name><end>``, ``<name>_worst_class<end>``, ``<name>_worst_group<end>``, of each group, then of each class.
    Nothing of groups where there is one only.

    Args:
        name: of the figure; a group or a class stands behind it.
        end: of the keys, such as ``_0.05``.
        tables: of the rows.
        level: of the intervals, in (0, 1).
        headline: the mean and the worst class alone.
    """
    several = tables.shape[-3] > 1 and not headline
    all_rows, of_groups, of_classes = tables.sum((-3, -2)), tables.sum(-2), tables.sum(-3)
    groups = number_shares(f"{name}_group", parts(of_groups), end) if several else {}
    classes = number_shares(f"{name}_class_", parts(of_classes), end)
    values = {f"{name}{end}": mean(tables), f"{name}_worst_class{end}": least(of_class(tables))}
    if several:
        values |= {f"{name}_worst_group{end}": least(of_group(tables))}
    for key, (part, whole) in (groups | ({} if headline else classes)).items():
        values[key] = confusion.share(part, whole)
    return measure_each(values, {f"{name}{end}": parts(all_rows)} | groups | classes, level)


def parts(rows: Counts) -> confusion.Parts:
    """Rows that are right, and all, of rows (..., 2) that are wrong and right."""
    return rows[..., 1], rows.sum(-1)
