"""The fall of accuracy with the radius."""

from collections.abc import Sequence

from utils.adversary.worst_case import UNBROKEN, moves
from utils.metrics.bootstrap import of_means
from utils.metrics.ensemble import first_broken
from utils.types import Attack, Batch, Context, Figures, Predict, Radius
from utils.views.row_parts import sample


def curve(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radius: Radius,
    factors: Sequence[float],
    attack: Attack,
    name: str,
    rows: int | None,
    intervals: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """``robust_accuracy_<name>_<r>`` at each r = factor * radius, written with four digits.

    A factor of 0 is the plain accuracy of the judged rows. Each has its interval, ``<key>_low`` and ``<key>_high``. A
    row lost at one radius counts as lost at every larger one, so the curve falls.

    Args:
        predict: the model; of a single one, not of a stack.
        batch: a split.
        ctx: gives random numbers, decision and seed.
        radius: in the unit of the attack's threat.
        factors: multiples of the radius, >= 0.
        attack: the attack.
        name: of the attack, for the keys.
        rows: how many to judge, drawn by the seed; None: all.
        intervals: bootstrap draws.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: a negative factor.
        AssertionError: the attack left its threat's set.
    """
    if any(factor < 0 for factor in factors):
        raise ValueError(f"evaluation factors={list(factors)}: a radius is 0 or more, so expected factors of 0 or more")
    judged = sample(batch, rows if moves(attack, ctx) else 0, ctx)
    ladder = sorted({factor * radius for factor in factors})
    first = first_broken(predict, judged, ctx, ladder=ladder, attacks={name: attack})
    kept = {f"robust_accuracy_{name}_{r:.4g}": at == UNBROKEN for r, at in zip(ladder, first, strict=True)}
    return of_means(kept, intervals, level, ctx)
