"""Accuracy under the worst of several attacks, in the mean, in each class and in the worst class."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from utils import seeding
from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.parts import parts, sample
from utils.radius import everywhere, radius_value
from utils.types import Attack, Batch, Context, Figures, Predict
from utils.worst_case import UNBROKEN, worst_case


def ensemble(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Sequence[str | float],
    training_radius: str | float | None,
    attacks: Mapping[str, Attack],
    rows: int | None,
    intervals: int,
    level: float,
) -> Figures:
    """``robust_accuracy_<radius>``: share of rows that are right at x and at the x' of every attack.

    Also ``robust_accuracy_worst_class_<radius>``, over the classes that have rows;
    ``robust_accuracy_class_<i>_<radius>``, None for a class without; ``robust_accuracy_after_<attack>_<radius>``, after
    this attack and those before it; and ``robust_accuracy`` and ``robust_accuracy_worst_class`` at the training
    radius. ``robust_rows`` is the number of rows. The mean and the worst class have ``<key>_low`` and ``<key>_high``,
    percentiles of bootstrap draws.

    The attacks run one after another, each on what is still right. Balls are nested, so a row lost at one radius
    counts at every larger one as lost to the same attack.

    Args:
        predict: the model; of a single one, not of a stack.
        batch: a split.
        ctx: gives random numbers, decision and seed.
        radii: in the unit of the attacks' threats.
        training_radius: None reports nothing under the plain names.
        attacks: by name, the cheapest first.
        rows: how many to judge, drawn by the seed; None: all.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).

    Raises:
        AssertionError: an attack left its threat's set.
    """
    judged = sample(batch, rows, ctx)
    values = {f"_{radius}": radius_value(radius) for radius in radii}
    headline = {} if training_radius is None else {"": radius_value(training_radius)}
    ladder = sorted({*values.values(), *headline.values()})
    first = dict(zip(ladder, first_broken(predict, judged, ctx, ladder=ladder, attacks=attacks), strict=True))
    classes = _classes(predict, judged)
    found: dict[str, float | None] = {"robust_rows": float(len(judged.y))}
    for end, value in (values | headline).items():
        table = _table(judged.y, first[value] == UNBROKEN, classes)
        draws = confusion.bootstrap(table, intervals, seeding.rng(ctx.own_seed, "bootstrap"))
        found |= _with_interval(f"robust_accuracy{end}", _mean(table), _mean(draws), level)
        found |= _with_interval(f"robust_accuracy_worst_class{end}", _worst(table), _worst(draws), level)
    for end, value in values.items():
        shares = _of_class(_table(judged.y, first[value] == UNBROKEN, classes))
        found |= {f"robust_accuracy_class_{i}{end}": confusion.defined(share) for i, share in enumerate(shares)}
        for position, name in enumerate(attacks):
            left = _table(judged.y, (first[value] == UNBROKEN) | (first[value] > position), classes)
            found[f"robust_accuracy_after_{name}{end}"] = confusion.defined(float(_mean(left)))
    return found


def first_broken(
    predict: Predict, batch: Batch, ctx: Context, *, ladder: Sequence[float], attacks: Mapping[str, Attack]
) -> Tensor:
    """``first`` of ``worst_case`` for every row at ascending radii, (r, n); a row once lost is not attacked again."""
    return torch.cat([_climbed(predict, part, ctx.on(part), ladder, attacks) for part in parts(batch)], -1)


def _climbed(
    predict: Predict, part: Batch, ctx: Context, ladder: Sequence[float], attacks: Mapping[str, Attack]
) -> Tensor:
    first = torch.full_like(part.y, UNBROKEN)
    rungs = []
    for radius in ladder:
        left = (first == UNBROKEN).nonzero().squeeze(-1)
        rows, here = part.rows(left), replace(ctx, epsilon=everywhere(radius))
        _, again = worst_case(predict, rows, here.on(rows), attacks if radius else {})
        first = first.index_put((left,), again)
        rungs.append(first)
    return torch.stack(rungs)


def _classes(predict: Predict, batch: Batch) -> int:
    """The number of classes that the model tells apart."""
    with torch.no_grad():
        return max(2, predict(next(parts(batch)).x[:1]).shape[-1])


def _table(y: Tensor, right: Tensor, classes: int) -> Counts:
    """How many rows of each class are wrong and right, (k, 2)."""
    cells = np.ravel_multi_index((y.cpu().numpy(), right.long().cpu().numpy()), (classes, 2))
    return np.bincount(cells, minlength=2 * classes).reshape(classes, 2)


def _mean(table: Counts) -> Floats:
    """Share of right rows, (..., k, 2) -> (...)."""
    return confusion.share(table[..., 1].sum(-1), table.sum((-2, -1)))


def _of_class(table: Counts) -> Floats:
    """Share of right rows of each class, (..., k, 2) -> (..., k)."""
    return confusion.share(table[..., 1], table.sum(-1))


def _worst(table: Counts) -> Floats:
    """The least share over the classes with rows, (..., k, 2) -> (...)."""
    least: Floats = np.fmin.reduce(_of_class(table), -1)
    return least


def _with_interval(key: str, value: Floats, draws: Floats, level: float) -> dict[str, float | None]:
    """The three entries of a figure."""
    low, high = confusion.interval(draws, level)
    return {key: confusion.defined(float(value)), f"{key}_low": low, f"{key}_high": high}
