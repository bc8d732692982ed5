"""Gaps between the groups of the sensitive attributes."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from utils import seeding
from utils.losses.objective import count_classes
from utils.metrics import confusion
from utils.metrics.breakdown import groups_of
from utils.metrics.confusion import RATES, Counts, Floats
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured, Share, measure, number_shares
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
    "prevalence_gap": Key(0, "difference in share of {one} between {groups}"),  # no model's fault
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


OF_GAP = {  # the rates whose gaps it is the largest of
    "demographic_parity_difference": ("acceptance_rate",),
    "equalized_odds_difference": ("fnr", "fpr"),
    "fnr_gap": ("fnr",),
    "fpr_gap": ("fpr",),
    "accuracy_gap": ("accuracy",),
    "tpr_gap": ("tpr",),
    "ppv_gap": ("ppv",),
    "prevalence_gap": ("prevalence",),
}


def gap(rates: Sequence[str], t: Counts) -> Floats:
    """The largest of the gaps in these rates, (..., g, 2, 2) -> (...); nan where a rate is."""
    largest: Floats = np.max([spread(RATES[rate](t)) for rate in rates], axis=0)
    return largest


def signed_gap(rate: str, t: Counts) -> Floats:
    """The rate of group 1 less that of group 0, (..., 2, 2, 2) -> (...)."""
    of_groups = RATES[rate](t)
    return of_groups[..., 1] - of_groups[..., 0]


GAPS: dict[str, Rate] = {key: partial(gap, rates) for key, rates in OF_GAP.items()}
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
    the groups among all rows. ``_low`` and ``_high`` of every rate and gap are its interval of ``level`` in (0, 1), see
    ``utils.metrics.intervals``.

    A rate without rows is None. A gap is None with its companions where the rate of some group is one of fewer than
    ``groups_min`` rows: of a false negative rate, rows of class 1. From three classes on only accuracies. Data of one
    group have no figures.
    """
    if all(own.groups == 1 for own in ctx.each or (ctx,)) and not batch.s.any():
        return ctx.of_each(lambda _: {})
    logits, labels = confusion.decide_rows(predict, batch, ctx)
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
    classes = count_classes(logits)
    table = confusion.counts(y, labels, s, groups=groups_of(s, ctx), classes=classes)
    values, shares = of_table(table, groups_min=groups_min)
    found = Measured({f"support_group{i}": float(rows) for i, rows in enumerate(table.sum((1, 2)))})
    found.add(measure(values, shares, level))
    shuffled = confusion.permute(table, intervals, seeding.rng(ctx.own_seed, "permutation"))
    chance = {f"{key}_null": gap(of, shuffled) for key, of in OF_GAP.items() if key in values}
    found.add({key: _by_chance(of, found[key.removesuffix("_null")]) for key, of in chance.items()})
    return found


def of_table(table: Counts, *, groups_min: int) -> tuple[dict[str, float], dict[str, Share]]:
    """Rates of each group, gaps and signed gaps from a table (g, k, k), nan where undefined; and the shares."""
    rates = [rate for rate in RATES if table.shape[-1] == 2 or rate in OF_ANY_CLASSES]
    parts = {rate: confusion.PARTS[rate](table) for rate in rates}
    enough = {rate for rate in rates if parts[rate][1].min() >= groups_min}
    values = {f"{rate}_group{i}": float(of) for rate in rates for i, of in enumerate(RATES[rate](table))}
    for key, of in OF_GAP.items():
        if parts.keys() >= set(of):
            values[key] = float(gap(of, table)) if enough >= set(of) else np.nan
    if len(table) == 2:
        values |= {f"{r}_signed_gap": float(signed_gap(r, table)) if r in enough else np.nan for r in rates}
    shares = [number_shares(f"{rate}_group", parts[rate]) for rate in rates]
    return values, {key: share for of in shares for key, share in of.items()}


def _by_chance(gaps: Floats, value: float | None) -> float | None:
    """The mean of gaps (B,) of permuted groups, beside one that is defined."""
    gaps = gaps[~np.isnan(gaps)]
    return None if value is None or not len(gaps) else float(gaps.mean())
