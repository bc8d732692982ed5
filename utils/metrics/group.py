"""How far the groups of the sensitive attributes are treated alike."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from utils import seeding
from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.types import Batch, Context, Figures, Predict


def spread(rates: Floats) -> Floats:
    """Largest minus smallest rate, (..., g) -> (...); nan where a rate is."""
    return rates.max(-1) - rates.min(-1)


RATES: dict[str, Callable[[Counts], Floats]] = {
    "accuracy": confusion.accuracy,
    "fnr": confusion.fnr,
    "fpr": confusion.fpr,
    "acceptance_rate": confusion.acceptance_rate,
}
GAPS: dict[str, Callable[[Counts], Floats]] = {
    "demographic_parity_difference": lambda t: spread(confusion.acceptance_rate(t)),
    "equalized_odds_difference": lambda t: np.maximum(spread(confusion.fnr(t)), spread(confusion.fpr(t))),
    "fnr_gap": lambda t: spread(confusion.fnr(t)),
    "fpr_gap": lambda t: spread(confusion.fpr(t)),
    "accuracy_gap": lambda t: spread(confusion.accuracy(t)),
}


def group(
    predict: Predict, batch: Batch, ctx: Context, *, groups_min: int, intervals: int, level: float
) -> Figures | Sequence[Figures]:
    """Rates of each group and their gaps, the largest minus the smallest over groups (never signed).

    ``<rate>_group<i>`` for accuracy, fnr, fpr and acceptance_rate, and ``support_group<i>`` rows. The gaps are
    ``demographic_parity_difference`` (acceptance rate), ``fnr_gap``, ``fpr_gap``, ``accuracy_gap`` and
    ``equalized_odds_difference``, the larger of fnr_gap and fpr_gap (Hardt et al., 2016, arXiv:1610.02413).

    A gap is never negative, so chance alone gives one: ``<gap>_null`` is its mean over ``intervals`` permutations of
    the groups among all rows. ``<gap>_low`` and ``<gap>_high`` are percentiles of as many bootstrap draws, of
    ``level`` in (0, 1). Draws in which the gap is undefined are left out.

    A rate without rows is None. A gap is None with its companions where there is one group only, where a group has
    fewer than ``groups_min`` rows, or where a rate of some group is None. From three classes on only accuracies.
    """
    logits, labels = confusion.decided(predict, batch, ctx)
    figures = partial(_figures, groups_min=groups_min, intervals=intervals, level=level)
    return ctx.of_each(figures, logits, labels, batch.y.cpu().numpy(), batch.s.cpu().numpy())


def _figures(
    ctx: Context,
    logits: Floats,
    labels: Counts,
    y: Counts,
    s: Counts,
    *,
    groups_min: int,
    intervals: int,
    level: float,
) -> Figures:
    binary = logits.shape[-1] == 1
    classes = 2 if binary else logits.shape[-1]
    table = confusion.counts(y, labels, s, groups=_groups(s, ctx), classes=classes)
    support = table.sum((1, 2))
    out = _per_group("support", 1.0 * support)
    for name, rate in RATES.items():
        if binary or name == "accuracy":
            out |= _per_group(name, rate(table))
    supported = len(table) > 1 and support.min() >= groups_min
    drawn = confusion.bootstrap(table, intervals, seeding.rng(ctx.own_seed, "bootstrap"))
    shuffled = confusion.permuted(table, intervals, seeding.rng(ctx.own_seed, "permutation"))
    for name, gap in GAPS.items():
        if binary or name == "accuracy_gap":
            value = gap(table) if supported else np.nan
            out |= _gap(name, float(value), gap(drawn), gap(shuffled), level)
    return out


def _groups(s: Counts, ctx: Context) -> int:
    """Number of groups the schema declares, so that a group without rows in this split is noticed."""
    declared = math.prod(len(c.levels) for c in ctx.columns if c.sensitive)
    return max(declared, 1 + int(s.max(initial=0)))


def _per_group(name: str, rates: Floats) -> dict[str, float | None]:
    return {f"{name}_group{i}": confusion.defined(rate) for i, rate in enumerate(rates)}


def _gap(key: str, value: float, drawn: Floats, shuffled: Floats, level: float) -> dict[str, float | None]:
    """A gap, its interval and what chance alone gives; all None where it is undefined."""
    low, high = confusion.interval(drawn, level)
    if low is not None and high is not None:  # draws of a gap near 0 lie above it, since a gap has no sign
        low, high = min(low, float(value)), max(high, float(value))
    by_chance = shuffled[~np.isnan(shuffled)]
    null = float(by_chance.mean()) if len(by_chance) else None
    figures = {"": float(value), "_low": low, "_high": high, "_null": null}
    return {key + suffix: None if np.isnan(value) else figure for suffix, figure in figures.items()}
