"""Thresholds of the groups from a grid, as published."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from utils.decides import frontier
from utils.decides.group_thresholds import GroupThresholds
from utils.types import Batch


def group_grid(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
    levels: int,
    reach: float,
) -> GroupThresholds:
    """One threshold for each group from a grid: the most accurate whose gap in the rate is permitted.

    Each group's logits are moved by one of ``levels`` equally spaced offsets in [-reach, reach], and class 1 is from 0
    on: the face-scoring study of Carovano and Meinke ("Improving the fairness and cybersecurity of the Artificial
    Intelligence Act") takes 20 of 1.5, so 400 policies of two groups. A grid need not hold a permitted policy; then the
    one with the smallest gap is taken, and the record warns of it. ``group_exact`` leaves nothing out.

    Args:
        logits: (n, 1).
        batch: their rows.
        groups: their names.
        rate: see ``group_exact``.
        permitted: the largest gap on these rows, in [0, 1].
        levels: at least 2.
        reach: in logits, above 0.

    Raises:
        ValueError: as ``group_exact``, and for a grid of another kind.
    """
    frontier.require_permitted(permitted)
    if levels < 2 or reach <= 0:
        raise ValueError(f"decide: a grid of levels={levels}, reach={reach}; expected 2 levels or more, and above 0")
    rates = frontier.TOGETHER[rate]
    of = frontier.curves(logits, batch, groups, rates, np.linspace(-reach, reach, levels))
    sides = frontier.sides(of, rates)
    if found := frontier.most_accurate(sides, permitted):
        return GroupThresholds(frontier.cuts_of(of, found))
    *_, nearest = frontier.policies(sides)
    word = (
        f"decide=group_grid: no policy of the grid keeps the gap in {rate} to {permitted:g} on the rows it is fitted "
        f"to; taken is that of the smallest gap, {nearest.gap:.4f}. decide=group_exact keeps to it"
    )
    return GroupThresholds(frontier.cuts_of(of, nearest), [word])
