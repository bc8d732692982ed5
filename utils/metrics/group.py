"""Gaps between the groups of the sensitive attributes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils import seeding
from utils.losses.objective import count_classes
from utils.metrics import confusion
from utils.metrics.breakdown import groups_of
from utils.metrics.confusion import RATES, Counts, Floats
from utils.metrics.directions import REST, Key, by_attribute
from utils.metrics.intervals import Measured
from utils.metrics.measuring import measure_each, number_shares
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


def gaps_of(t: Counts) -> dict[str, Floats]:
    """All gaps (...) of tables (..., g, k, k) by key; nan where a rate is."""
    spreads = {rate: spread(RATES[rate](t)) for rate in _rates(t)}
    return {key: np.max([spreads[rate] for rate in of], 0) for key, of in OF_GAP.items() if spreads.keys() >= set(of)}


GAPS: dict[str, Rate] = {key: partial(gap, rates) for key, rates in OF_GAP.items()}
DRAWN = 2**22  # cells of permuted tables that are looked at together
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
    models = ctx.each or (ctx,)
    y, s = (of.cpu().numpy() for of in (batch.y, batch.s))
    # models of other groups have no common table, so that they are judged one by one
    [groups] = {groups_of(of, own) for of, own in zip(s.reshape(len(models), -1), models, strict=True)}
    tables = confusion.counts(y, labels, s, groups=groups, classes=count_classes(logits))
    tables = tables.reshape(-1, *tables.shape[-3:])
    sizes = attribute_sizes(ctx.columns)
    values, shares = of_tables(tables, groups_min=groups_min, sizes=sizes)
    measured = measure_each(values, shares, level)
    found = []
    for table, figures in zip(tables, map(drop_rests, measured), strict=True):
        found.append(Measured({f"support_group{i}": float(rows) for i, rows in enumerate(table.sum((1, 2)))}))
        found[-1].add(figures)
    size = max(1, DRAWN // max(1, intervals * tables[0].size))
    for start in range(0, len(tables), size):
        some = slice(start, start + size)
        _add_chance(found[some], models[some], tables[some], intervals, sizes)
    for own, table, figures in zip(models, tables, found, strict=True):
        _add_chance_of_rests(figures, own, table, groups_min, intervals, sizes)
    return found if ctx.each else found[0]


def _add_chance(
    found: Sequence[Measured], models: Sequence[Context], tables: Counts, intervals: int, sizes: Mapping[str, int]
) -> None:
    """Adds the gaps that chance alone would give to the figures of models, from their tables (m, g, k, k)."""
    sources = [seeding.rng(own.own_seed, "permutation") for own in models]
    shuffled = np.stack([confusion.permute(of, intervals, rng) for of, rng in zip(tables, sources, strict=True)])
    for end, draws in views(shuffled, sizes):
        for key, gaps in gaps_of(draws).items():
            for figures, of in zip(found, gaps, strict=True):
                if f"{key}{end}" in figures:
                    figures[f"{key}{end}_null"] = _by_chance(of, figures[f"{key}{end}"])


def _add_chance_of_rests(
    found: Measured, ctx: Context, table: Counts, groups_min: int, intervals: int, sizes: Mapping[str, int]
) -> None:
    """Adds those of the gaps that a model has without the groups that are too small."""
    for end, own in views(table, sizes):
        rng = seeding.rng(ctx.own_seed, f"permutation{REST}{end}")
        rests = {f"{key}{end}{REST}": rest for key, rest in rests_of(own, groups_min).items()}
        found.add({f"{key}_null": _by_chance(rest.shuffle(intervals, rng), found[key]) for key, rest in rests.items()})


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


def of_tables(
    tables: Counts, *, groups_min: int, sizes: Mapping[str, int]
) -> tuple[dict[str, Floats], dict[str, confusion.Parts]]:
    """Rates of each group, gaps and signed gaps (p,) of tables (p, g, k, k), nan where undefined; and the shares.

    With ``sizes`` of several attributes also their gaps alone, and the gaps of the rest where one is undefined; nan,
    and shares of no rows, of tables that have no such rest.
    """
    values = dict[str, Floats]()
    for rate in _rates(tables):
        values |= {f"{rate}_group{i}": of for i, of in enumerate(RATES[rate](tables).T)}
    shares = dict[str, confusion.Parts]()
    for end, own in views(tables, sizes):
        parts = {rate: confusion.PARTS[rate](own) for rate in _rates(own)}
        for rate, of in parts.items():
            shares |= number_shares(f"{rate}_group", of, end)
        values |= {f"{key}{end}": value for key, value in _gaps(own, parts, groups_min).items()}
        rests, kept = _rests(parts, groups_min)
        values |= {f"{key}{end}{REST}": value for key, value in rests.items()}
        for rate, of in kept.items():
            shares |= number_shares(f"{rate}_group", of, f"{end}{REST}")
    return values, shares


def drop_rests(found: Measured) -> Measured:
    """Returns figures without the gaps of a rest that there is not."""
    undefined = {key for key, value in found.items() if value is None and key.endswith(REST)}
    left_out = {f"{key}{end}" for key in undefined for end in ("", "_low", "_high")}
    return Measured({k: v for k, v in found.items() if k not in left_out}, found.shares, found.deviations)


def _gaps(tables: Counts, parts: Mapping[str, confusion.Parts], groups_min: int) -> dict[str, Floats]:
    """Gaps and signed gaps (p,) of tables (p, g, k, k), nan where a group is too small."""
    enough = {rate: whole.min(-1) >= groups_min for rate, (_, whole) in parts.items()}
    values = {
        key: np.where(np.all([enough[rate] for rate in OF_GAP[key]], 0), value, np.nan)
        for key, value in gaps_of(tables).items()
    }
    if tables.shape[-3] == 2:
        for rate in parts:
            of_groups = RATES[rate](tables)
            values[f"{rate}_signed_gap"] = np.where(enough[rate], of_groups[:, 1] - of_groups[:, 0], np.nan)
    return values


def _rests(
    parts: Mapping[str, confusion.Parts], groups_min: int
) -> tuple[dict[str, Floats], dict[str, confusion.Parts]]:
    """The gaps (p,) that some groups, but not all others, are too small for, and the parts (p, g) that they are of."""
    enough = {rate: whole >= groups_min for rate, (_, whole) in parts.items()}
    values, kept = dict[str, Floats](), dict[str, confusion.Parts]()
    for key, of in OF_GAP.items():
        if not enough.keys() >= set(of):
            continue
        few = np.min([enough[rate].sum(-1) for rate in of], 0)
        there = (few >= 2) & (few < enough[of[0]].shape[-1])
        if there.any():
            values[key] = np.where(there, np.max([_spread_among(parts[rate], enough[rate]) for rate in of], 0), np.nan)
            for rate in of:
                part, whole = parts[rate]
                _, before = kept.get(rate, (part, np.zeros_like(whole)))
                kept[rate] = part, np.where(there[:, None] & enough[rate], whole, before)
    return values, kept


def _spread_among(parts: confusion.Parts, some: NDArray[np.bool_]) -> Floats:
    """Largest minus smallest rate (p,) of some of the groups (p, g); -inf where there are none."""
    rates = confusion.share(*parts)
    gaps: Floats = np.where(some, rates, -np.inf).max(-1) - np.where(some, rates, np.inf).min(-1)
    return gaps


def _by_chance(gaps: Floats, value: float | None) -> float | None:
    """The mean of gaps (B,) of permuted groups, beside one that is defined."""
    gaps = gaps[~np.isnan(gaps)]
    return None if value is None or not len(gaps) else float(gaps.mean())
