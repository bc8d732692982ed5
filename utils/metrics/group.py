"""Gaps between the groups of the sensitive attributes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from utils import seeding
from utils.losses.objective import count_classes
from utils.metrics import confusion
from utils.metrics.breakdown import groups_of
from utils.metrics.confusion import RATES, Counts, Floats
from utils.metrics.directions import REST, Key, by_attribute
from utils.metrics.intervals import Measured, Share, measure, number_shares
from utils.scms.structure import sensitive_attributes
from utils.types import Batch, Column, Context, Figures, Predict

KEYS = {
    "fnr": Key(-1, "false negative rate"),
    "fpr": Key(-1, "false positive rate"),
    "tpr": Key(1, "true positive rate"),
    "ppv": Key(1, "positive predictive value"),
    "support": Key(0, "number of rows", most=None),
    "fnr_gap": Key(-1, "difference in false negative rate between {groups}", headline=2),
    "fnr_signed_gap": Key(0, "difference in false negative rate, {contrast}", headline=2, least=-1),
    "fpr_gap": Key(-1, "difference in false positive rate between {groups}", headline=2),
    "demographic_parity_difference": Key(-1, "difference in acceptance rate between {groups}", headline=2),
    "equalized_odds_difference": Key(-1, "largest difference in error rates between {groups}", headline=2),
    "prevalence_gap": Key(0, "difference in share of {one} between {groups}"),  # no model's fault
    "bayes_fnr": Key(0, "false negative rate of the most accurate decisions"),  # of generated data, which state it
    "bayes_fnr_gap": Key(0, "difference in false negative rate of the most accurate decisions between {groups}"),
    "{rate}_gap": Key(-1, "difference in {rate} between {groups}"),
    "{rate}_difference": Key(-1, "difference in {rate} between {groups}"),
    "{rate}_signed_gap": Key(0, "difference in {rate}, {contrast}", least=-1),
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

    Of a table with several sensitive attributes, whose groups are the intersections, ``<gap>_by_<attribute>`` is that
    between the groups of one attribute alone. Where a gap is undefined since some group is too small, ``<gap>_rest``
    is that of the groups that are not, if there are two.

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
    sizes = attribute_sizes(ctx.columns)
    values, shares = of_table(table, groups_min=groups_min, sizes=sizes)
    found = Measured({f"support_group{i}": float(rows) for i, rows in enumerate(table.sum((1, 2)))})
    found.add(measure(values, shares, level))
    shuffled = confusion.permute(table, intervals, seeding.rng(ctx.own_seed, "permutation"))
    for end, draws in views(shuffled, sizes):
        chance = {f"{key}{end}": gap(of, draws) for key, of in OF_GAP.items() if f"{key}{end}" in values}
        found.add({f"{key}_null": _by_chance(of, found[key]) for key, of in chance.items()})
    for end, own in views(table, sizes):
        rng = seeding.rng(ctx.own_seed, f"permutation{REST}{end}")
        rests = {f"{key}{end}{REST}": rest for key, rest in rests_of(own, groups_min).items()}
        found.add({f"{key}_null": _by_chance(rest.shuffle(intervals, rng), found[key]) for key, rest in rests.items()})
    return found


def attribute_sizes(columns: Sequence[Column]) -> dict[str, int]:
    """Levels of each sensitive attribute by its name, where there are several; their product is the groups."""
    attributes = sensitive_attributes(columns)
    names = [columns[of.places[0]].attribute or columns[of.places[0]].name for of in attributes]
    sizes = {name: len(of.levels) for name, of in zip(names, attributes, strict=True)}
    return sizes if len(sizes) > 1 else {}


def views(table: Counts, sizes: Mapping[str, int]) -> Iterator[tuple[str, Counts]]:
    """Yields a table (..., g, k, k), and added up to the groups of each attribute alone, with the end of its keys."""
    yield "", table
    lead, k = table.shape[:-3], table.shape[-1]
    for i, attribute in enumerate(sizes):
        others = tuple(len(lead) + j for j in range(len(sizes)) if j != i)
        yield by_attribute(attribute), table.reshape(*lead, *sizes.values(), k, k).sum(others)


class Rest(NamedTuple):
    """A gap without the groups that are too small for its rates: by rate the groups that stay, and their tables."""

    kept: dict[str, list[int]]
    tables: dict[str, Counts]

    @property
    def value(self) -> float:
        """The largest of the gaps in its rates."""
        return max(float(gap([rate], table)) for rate, table in self.tables.items())

    def shuffle(self, draws: int, rng: np.random.Generator) -> Floats:
        """The same (draws,) of as many permutations of the groups that stay among their rows."""
        distinct = {tuple(self.kept[rate]): table for rate, table in self.tables.items()}
        drawn = {groups: confusion.permute(table, draws, rng) for groups, table in distinct.items()}
        gaps: Floats = np.max([gap([rate], drawn[tuple(kept)]) for rate, kept in self.kept.items()], axis=0)
        return gaps


def rests_of(table: Counts, groups_min: int) -> dict[str, Rest]:
    """The gaps of a table (g, k, k) that some groups, but not all others, are too small for, by key."""
    parts = {rate: confusion.PARTS[rate](table)[1] for rate in _rates(table)}
    found = {}
    for key, of in OF_GAP.items():
        kept = {rate: np.flatnonzero(parts[rate] >= groups_min).tolist() for rate in of if rate in parts}
        few = [len(groups) for groups in kept.values()]
        if len(kept) == len(of) and min(few) >= 2 and min(few) < len(table):
            found[key] = Rest(kept, {rate: table[groups] for rate, groups in kept.items()})
    return found


def _rates(table: Counts) -> list[str]:
    return [rate for rate in RATES if table.shape[-1] == 2 or rate in OF_ANY_CLASSES]


def of_table(table: Counts, *, groups_min: int, sizes: Mapping[str, int]) -> tuple[dict[str, float], dict[str, Share]]:
    """Rates of each group, gaps and signed gaps from a table (g, k, k), nan where undefined; and the shares.

    With ``sizes`` of several attributes also their gaps alone, and the gaps of the rest where one is undefined.
    """
    values = {f"{rate}_group{i}": float(of) for rate in _rates(table) for i, of in enumerate(RATES[rate](table))}
    shares: dict[str, Share] = {}
    for end, own in views(table, sizes):
        gaps, parts = _gaps(own, groups_min)
        values |= {f"{key}{end}": value for key, value in gaps.items()}
        for rate, of in parts.items():
            shares |= number_shares(f"{rate}_group", of, end)
        for key, rest in rests_of(own, groups_min).items():
            values[f"{key}{end}{REST}"] = rest.value
            for rate, kept in rest.kept.items():
                shares |= {f"{rate}_group{i}{end}{REST}": shares[f"{rate}_group{i}{end}"] for i in kept}
    return values, shares


def _gaps(table: Counts, groups_min: int) -> tuple[dict[str, float], dict[str, confusion.Parts]]:
    """Gaps and signed gaps of a table (g, k, k), nan where a group is too small; and the parts of the rates."""
    rates = _rates(table)
    parts = {rate: confusion.PARTS[rate](table) for rate in rates}
    enough = {rate for rate in rates if parts[rate][1].min() >= groups_min}
    values = {}
    for key, of in OF_GAP.items():
        if parts.keys() >= set(of):
            values[key] = float(gap(of, table)) if enough >= set(of) else np.nan
    if len(table) == 2:
        values |= {f"{r}_signed_gap": float(signed_gap(r, table)) if r in enough else np.nan for r in rates}
    return values, parts


def _by_chance(gaps: Floats, value: float | None) -> float | None:
    """The mean of gaps (B,) of permuted groups, beside one that is defined."""
    gaps = gaps[~np.isnan(gaps)]
    return None if value is None or not len(gaps) else float(gaps.mean())
