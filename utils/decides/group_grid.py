"""Thresholds of the groups from a grid, as published."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import Tensor

from utils.decides import exact_thresholds
from utils.decides.fitted import account, facts_of, surely, units
from utils.decides.group_thresholds import GroupThresholds
from utils.types import Batch


def group_grid(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str] = (),
    classes: Sequence[str] = (),
    *,
    rate: Literal["fnr", "fpr", "acceptance_rate", "equalized_odds"],
    permitted: float,
    confidence: float | None,
    groups_min: int,
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
        classes: the names of the classes, where they have any.
        rate: see ``group_exact``.
        permitted: the largest gap on these rows, in [0, 1].
        confidence: see ``group_exact``; where no policy of the grid keeps to it, the one of the smallest gap.
        groups_min: see ``group_exact``.
        levels: at least 2.
        reach: in logits, above 0.

    Raises:
        ValueError: as ``group_exact``, and for a grid of another kind.
    """
    exact_thresholds.require_permitted(permitted)
    if levels < 2 or reach <= 0:
        raise ValueError(f"decide: a grid of levels={levels}, reach={reach}; expected 2 levels or more, and above 0")
    rates = exact_thresholds.TOGETHER[rate]
    cuts = np.linspace(-reach, reach, levels)
    own = units(logits, batch, groups, rates, groups_min, cuts=cuts, classes=classes)
    of = own.of
    sides, warnings = exact_thresholds.sides(of, rates), []
    if confidence is None:
        policy = exact_thresholds.most_accurate(sides, permitted)
    else:
        policy = surely(of, sides, rates, permitted, confidence)
    if policy is None:
        *_, policy = exact_thresholds.policies(sides)
        sure = "" if confidence is None else f", with a confidence of {confidence:g},"
        warnings.append(
            f"decide=group_grid: no policy of the grid keeps the gap in {rate} to {permitted:g}{sure} on the rows it "
            f"is fitted to; taken is that of the smallest gap, {policy.gap:.4f}. decide=group_exact leaves none out"
        )
    decide = GroupThresholds(own.thresholds(exact_thresholds.cuts_of(of, policy)), warnings)
    asked = {"rate": rate, "permitted": permitted, **facts_of(of, policy, rates, confidence)}
    return replace(decide, fitted=account(decide(logits, batch.s), batch, own, rates, **asked))
