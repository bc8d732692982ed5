"""How far the groups of the sensitive attributes are treated alike."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from utils import seeding
from utils.metrics import confusion
from utils.metrics.bootstrap import drawn, entries, with_intervals
from utils.metrics.breakdown import groups_of
from utils.metrics.confusion import Counts, Floats
from utils.metrics.directions import Key
from utils.types import Batch, Context, Figures, Predict

KEYS = {
    "fnr": Key(-1, "false negative rate"),
    "fpr": Key(-1, "false positive rate"),
    "tpr": Key(1, "true positive rate"),
    "ppv": Key(1, "positive predictive value"),
    "support": Key(0, "number of rows"),
    "fnr_gap": Key(-1, "difference in false negative rate between {groups}", headline=2),
    "fnr_signed_gap": Key(0, "difference in false negative rate, {contrast}", headline=2),
    "fpr_gap": Key(-1, "difference in false positive rate between {groups}", headline=2),
    "demographic_parity_difference": Key(-1, "difference in acceptance rate between {groups}", headline=2),
    "equalized_odds_difference": Key(-1, "largest difference in error rates between {groups}", headline=2),
    "prevalence_gap": Key(0, "difference in share of class 1 between {groups}"),  # no model's fault
    "bayes_fnr": Key(0, "false negative rate of the most accurate decisions"),  # of generated data, which state it
    "bayes_fnr_gap": Key(0, "difference in false negative rate of the most accurate decisions between {groups}"),
    "{rate}_gap": Key(-1, "difference in {rate} between {groups}"),
    "{rate}_difference": Key(-1, "difference in {rate} between {groups}"),
    "{rate}_signed_gap": Key(0, "difference in {rate}, {contrast}"),
}
Rate = Callable[[Counts], Floats]  # tables (..., k, k) -> a rate (...), or (..., g, k, k) -> a gap (...)


def spread(rates: Floats) -> Floats:
    """Largest minus smallest rate, (..., g) -> (...); nan where a rate is."""
    return rates.max(-1) - rates.min(-1)


RATES: dict[str, Rate] = {
    "accuracy": confusion.accuracy,
    "fnr": confusion.fnr,
    "fpr": confusion.fpr,
    "tpr": confusion.tpr,
    "ppv": confusion.ppv,
    "acceptance_rate": confusion.acceptance_rate,
    "prevalence": confusion.prevalence,
}
GAPS: dict[str, Rate] = {
    "demographic_parity_difference": lambda t: spread(confusion.acceptance_rate(t)),
    "equalized_odds_difference": lambda t: np.maximum(spread(confusion.fnr(t)), spread(confusion.fpr(t))),
    "fnr_gap": lambda t: spread(confusion.fnr(t)),
    "fpr_gap": lambda t: spread(confusion.fpr(t)),
    "accuracy_gap": lambda t: spread(confusion.accuracy(t)),
    "tpr_gap": lambda t: spread(confusion.tpr(t)),
    "ppv_gap": lambda t: spread(confusion.ppv(t)),
    "prevalence_gap": lambda t: spread(confusion.prevalence(t)),
}
SIGNED = tuple(RATES)  # rates of which two groups have a <rate>_signed_gap
OF_ANY_CLASSES = ("accuracy", "accuracy_gap")  # rates and gaps that more than two classes have too


def group(
    predict: Predict, batch: Batch, ctx: Context, *, groups_min: int, intervals: int, level: float
) -> Figures | Sequence[Figures]:
    """Rates of each group and their gaps.

    ``<rate>_group<i>`` for accuracy, fnr, fpr, tpr, ppv (precision), acceptance_rate and prevalence, and
    ``support_group<i>`` rows. A gap is the largest rate less the smallest over groups, never signed: ``fnr_gap``,
    ``fpr_gap``, ``accuracy_gap``, ``tpr_gap``, ``ppv_gap``, ``prevalence_gap``, ``demographic_parity_difference``
    (of acceptance rates) and ``equalized_odds_difference``, the larger of fnr_gap and fpr_gap (Hardt et al., 2016,
    arXiv:1610.02413). Where there are two groups, ``<rate>_signed_gap`` is the rate of group 1 less that of group 0.

    A gap is never negative, so chance alone gives one: ``<gap>_null`` is its mean over ``intervals`` permutations of
    the groups among all rows. ``_low`` and ``_high`` of every rate and gap are percentiles of as many bootstrap draws,
    of ``level`` in (0, 1). Draws in which it is undefined are left out.

    A rate without rows is None. A gap is None with its companions where a group has fewer than ``groups_min`` rows, or
    where a rate of some group is None. From three classes on only accuracies. Data of one group have no figures.
    """
    if all(own.groups == 1 for own in ctx.each or (ctx,)) and not batch.s.any():
        return ctx.of_each(lambda _: {})
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
    table = confusion.counts(y, labels, s, groups=groups_of(s, ctx), classes=classes)
    support = table.sum((1, 2))
    draws = drawn(table, intervals, ctx)
    out: dict[str, float | None] = {f"support_group{i}": float(rows) for i, rows in enumerate(support)}
    out |= _rates(_of(RATES, binary), table, draws, level)
    shuffled = confusion.permuted(table, intervals, seeding.rng(ctx.own_seed, "permutation"))
    supported = support.min() >= groups_min
    out |= _gaps(_of(GAPS, binary), table if supported else 0 * table, draws, shuffled, level)
    if len(table) == 2:
        out |= _signed_gaps(_of(RATES, binary), table if supported else 0 * table, draws, level)
    return out


def _of(rates: Mapping[str, Rate], binary: bool) -> dict[str, Rate]:
    return {name: rate for name, rate in rates.items() if binary or name in OF_ANY_CLASSES}


def _rates(rates: Mapping[str, Rate], table: Counts, draws: Counts, level: float) -> Figures:
    """Each rate of each group, from tables (g, k, k) and draws (B, g, k, k)."""
    values: dict[str, float] = {}
    drawn_values: dict[str, Floats] = {}
    for name, rate in rates.items():
        for i, (value, of_draws) in enumerate(zip(rate(table), rate(draws).T, strict=True)):
            values[f"{name}_group{i}"], drawn_values[f"{name}_group{i}"] = float(value), of_draws
    return with_intervals(values, drawn_values, level)


def _signed_gaps(rates: Mapping[str, Rate], table: Counts, draws: Counts, level: float) -> Figures:
    """Of every rate, that of group 1 less that of group 0."""

    def gap(rate: Rate, t: Counts) -> Floats:
        of_groups = rate(t)
        return of_groups[..., 1] - of_groups[..., 0]

    values = {f"{name}_signed_gap": float(gap(rate, table)) for name, rate in rates.items()}
    return with_intervals(values, {f"{name}_signed_gap": gap(rate, draws) for name, rate in rates.items()}, level)


def _gaps(gaps: Mapping[str, Rate], table: Counts, draws: Counts, shuffled: Counts, level: float) -> Figures:
    """Every gap, its interval and what chance alone gives; all None where it is undefined."""
    out: dict[str, float | None] = {}
    ends = confusion.intervals(np.array([gap(draws) for gap in gaps.values()]), level)
    for (key, gap), (low, high) in zip(gaps.items(), ends, strict=True):
        value = float(gap(table))
        by_chance = gap(shuffled)
        by_chance = by_chance[~np.isnan(by_chance)]
        out |= entries(key, value, *_around(value, low, high))
        out[f"{key}_null"] = None if np.isnan(value) or not len(by_chance) else float(by_chance.mean())
    return out


def _around(value: float, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """An interval that holds the gap: draws of one near 0 lie above it, since a gap has no sign."""
    return (None, None) if low is None or high is None else (min(low, value), max(high, value))
