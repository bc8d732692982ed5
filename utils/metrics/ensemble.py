"""Accuracy under the worst of several attacks: in the mean, in each class and group, and in the worst of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from utils.adversary.worst_case import UNBROKEN, moves, worst_case
from utils.metrics.breakdown import break_down, groups_of, tables
from utils.metrics.confusion import Counts
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured
from utils.metrics.measuring import of_shares
from utils.threats import everywhere
from utils.types import Attack, Batch, Context, Figures, Predict, Radii, Radius
from utils.views.row_parts import parts, sample

KEYS = {
    "robust_accuracy_after_{attack}": Key(1, "robust accuracy after {attack} and those before"),
    "robust_rows": Key(0, "rows whose robustness was judged", most=None),
}


def ensemble(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    name: str | None,
    radii: Radii,
    training_radius: Radius | None,
    attacks: Mapping[str, Attack],
    rows: int | None,
    intervals: int,
    level: float,
) -> Figures:
    """``robust_accuracy_<radius>``: share of rows that are right at x and at the x' of every attack.

    Also ``robust_accuracy_worst_class_<radius>``, over the classes that have rows,
    ``robust_accuracy_class_<i>_<radius>``, None for a class without, and, where the data have several sensitive
    groups, ``robust_accuracy_worst_group_<radius>`` and ``robust_accuracy_group<i>_<radius>``;
    ``robust_accuracy_after_<attack>_<radius>``, after this attack and those before it; and ``robust_accuracy`` and
    ``robust_accuracy_worst_class`` at the training radius. ``robust_rows`` is the number of rows. All but those after
    an attack have ``<key>_low`` and ``<key>_high``.

    The attacks run one after another, each on what is still right; one that has nothing to move breaks nothing, and
    where none has, no row is judged and all is None. Balls are nested, so a row lost at one radius
    counts at every larger one as lost to the same attack.

    Args:
        predict: the model; of a single one, not of a stack.
        batch: a split.
        ctx: gives random numbers, decision and seed.
        name: stands before the radius in every key, as in ``robust_accuracy_linf_0.01``, so that ensembles of several
            norms are told apart; None: nothing does.
        radii: in the unit of the attacks' threats.
        training_radius: None reports nothing under the plain names.
        attacks: by name, the cheapest first.
        rows: how many to judge, drawn by the seed; None: all.
        level: of the intervals, in (0, 1).

    Raises:
        AssertionError: an attack left its threat's set.
    """
    judged = sample(batch, rows if any(moves(attack, ctx) for attack in attacks.values()) else 0, ctx)
    tag = "" if name is None else f"_{name}"
    values = {f"{tag}_{spelling}": radius for spelling, radius in radii.items()}
    trained = {} if training_radius is None else {tag: training_radius}
    ladder = sorted({*values.values(), *trained.values()})
    first = dict(zip(ladder, first_broken(predict, judged, ctx, ladder=ladder, attacks=attacks), strict=True))
    classes = _classes(predict, judged)
    found = Measured({f"robust_rows{tag}": float(len(judged.y))})
    for end, value in (values | trained).items():
        table = _table(judged, first[value] == UNBROKEN, classes, ctx)
        found.add(break_down("robust_accuracy", end, table[None], level=level, headline=end not in values)[0])
    for end, value in values.items():
        for position, attack in enumerate(attacks):
            left = int(((first[value] == UNBROKEN) | (first[value] > position)).sum())
            key = f"robust_accuracy_after_{attack}{end}"
            found.add(of_shares({key: (left, len(judged.y))}, level).plain(""))
    return found


def first_broken(
    predict: Predict, batch: Batch, ctx: Context, *, ladder: Sequence[float], attacks: Mapping[str, Attack]
) -> Tensor:
    """``first`` of ``worst_case`` for every row at ascending radii, (r, n); a row once lost is not attacked again."""
    return torch.cat([_climb(predict, part, ctx.on(part), ladder, attacks) for part in parts(batch)], -1)


def _climb(
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


def _table(batch: Batch, right: Tensor, classes: int, ctx: Context) -> Counts:
    """Counts the rows of each group and class that are wrong and right, (g, k, 2)."""
    y, s = batch.y.cpu().numpy(), batch.s.cpu().numpy()
    return tables(right.cpu().numpy(), y, s, groups=groups_of(s, ctx), classes=classes)
