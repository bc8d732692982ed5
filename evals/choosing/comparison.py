"""Two models compared on the same test rows: paired differences with intervals, and the rows they decide otherwise.

- Of a share of rows: Bonett and Price (2012, Journal of Educational and Behavioral Statistics 37:479-488, equation 6),
  the paired Wald interval with one row more of each kind on which the two differ.
- Of a figure that is the largest of several, f(r) = max over p of e_p r for rates r of k groups or classes, such as a
  gap (e_p takes one group's rate from another's) or the worst class (e_p = -1 at one class): f(a) - f(b) = max over p,
  min over q of e_p a - e_q b = min over q, max over p of the same, so that both of the ends of the intervals of
  e_p a - e_q b bound it; the first of the upper ends and the second of the lower ones are closer. Each is of
  level^(1/k) (Sidak, 1967), or of the level itself where there is one alone, as of a signed gap; their covariances are
  those of the same cells. By simulation it covers in 95 % or more (``tests/evals/choosing/test_comparison.py``), also
  where gaps are 0 or change sides; in 94 % where one group has 30 rows beside thousands and a rate near 0 or 1, and in
  89 % where it has 12.
- Over seeds: Student's, of the differences of runs of one seed.

What a difference of means or shares would be if other models were trained is known from seeds alone; an interval over
rows is about these two models on other rows of the same kind.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.records.seed_intervals import student
from utils.metrics.directions import ERRORS, bounds, by_attribute
from utils.records.decisions import Decisions
from utils.words.levels import read_group

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

MOST_CONTRASTS = 2**22  # pairs of pairs of groups; beyond them a gap has no interval
RATES = ("accuracy", "acceptance_rate", "fnr", "fpr")
ONE_LESS_OTHER = np.array([[-1.0, 1.0]])  # of two groups, which has one contrast alone: a difference with a sign
GAPS = {  # the rates whose gaps it is the largest of
    "fnr_gap": ("fnr",),
    "fpr_gap": ("fpr",),
    "demographic_parity_difference": ("acceptance_rate",),
    "equalized_odds_difference": ("fnr", "fpr"),
    "accuracy_gap": ("accuracy",),
}


class Difference(NamedTuple):
    """A figure of two models, and the second less the first with its interval; its ends are nan where it has none."""

    key: str
    first: float
    second: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """The second less the first."""
        return self.second - self.first


class Otherwise(NamedTuple):
    """Counts of rows that two models decide otherwise, and of those where each of the two is right."""

    rows: int
    only_first: int  # get class 1 from the first alone; of more than two classes 0
    only_second: int
    different: int
    first_right: int  # where they differ
    second_right: int


def error_rates(metric: str) -> tuple[str, ...]:
    """Returns the error rates whose gap a metric is; both of what is a gap in neither."""
    return tuple(rate for rate in ERRORS if rate in GAPS.get(metric, ())) or ERRORS


def events(rate: str, of: Decisions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns which rows (n,) a rate is a share of, and on which of them it counts."""
    if rate == "fnr":
        return of.y == 1, of.labels == 0
    if rate == "fpr":
        return of.y == 0, of.labels == 1
    return np.ones(len(of.y), dtype=bool), of.labels == 1 if rate == "acceptance_rate" else of.labels == of.y


def cells(rate: str, first: Decisions, second: Decisions, part: Whole, parts: int) -> Whole:
    """Returns how often a rate counts for both, the first alone, the second alone and neither, (parts, 4)."""
    (rows, a), (_, b) = (events(rate, of) for of in (first, second))
    kind = 3 - 2 * a.astype(np.int64) - b
    return np.bincount((4 * part + kind)[rows], minlength=4 * parts).reshape(parts, 4)


def of_share(key: str, counts: Whole, level: float) -> Difference:
    """Returns the difference of a share of rows from its cells (4,); nan without rows."""
    n = counts.sum()
    if not n:
        return Difference(key, *[np.nan] * 4)
    first, second = (counts[0] + counts[1]) / n, (counts[0] + counts[2]) / n
    only_first, only_second = (counts[1:3] + 1) / (n + 2)
    change = only_second - only_first
    half = _quantile(level) * np.sqrt((only_first + only_second - change**2) / (n + 2))
    return Difference(key, first, second, max(change - half, -1.0), min(change + half, 1.0))


def of_largest(key: str, counts: Whole, contrasts: Floats, level: float) -> Difference:
    """Returns the difference of a figure that is the largest of several, from cells (k, 4) and contrasts (p, k).

    nan without rows of some group or class; without ends where there are too many contrasts.
    """
    n = counts.sum(1)
    if not n.all():
        return Difference(key, *[np.nan] * 4)
    rates = [(counts[:, 0] + counts[:, i]) / n for i in (1, 2)]
    first, second = ((contrasts @ rate).max() for rate in rates)
    low = high = np.nan
    if len(contrasts) ** 2 <= MOST_CONTRASTS:
        low, high = _bounded(counts, contrasts, level)
    return Difference(key, first, second, low, high)


def _bounded(counts: Whole, contrasts: Floats, level: float) -> tuple[float, float]:
    """Returns the ends of the interval of the second's largest contrast less the first's."""
    shares = (counts + np.array([0, 1, 1, 0])) / (counts.sum(1, keepdims=True) + 2)
    first, second = shares[:, 0] + shares[:, 1], shares[:, 0] + shares[:, 2]
    n = counts.sum(1) + 2
    spread = [contrasts**2 @ (rate * (1 - rate) / n) for rate in (first, second)]
    shared = (contrasts * ((shares[:, 0] - first * second) / n)) @ contrasts.T
    change = (contrasts @ second)[:, None] - contrasts @ first
    half = np.sqrt(np.maximum(spread[1][:, None] + spread[0] - 2 * shared, 0)) * _quantile(
        level if len(contrasts) == 1 else level ** (1 / len(n))
    )
    low, high = (change - half).max(0).min(), (change + half).min(1).max()
    return max(float(low), -1.0), min(float(high), 1.0)


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def pairs(groups: int, rates: int = 1) -> Floats:
    """Returns the contrasts (p, rates * groups) of a gap: of each rate one group's less another's, every way round."""
    of_groups = np.eye(groups)[:, None] - np.eye(groups)
    between = of_groups[~np.eye(groups, dtype=bool)]
    return np.kron(np.eye(rates), between).astype(np.float64)


def compare(
    first: Decisions, second: Decisions, names: Sequence[str], keys: Sequence[str], level: float
) -> list[Difference]:
    """Returns the differences in those of the ``keys`` that are made of decisions on single rows.

    Args:
        first: of one model.
        second: of another, on the same rows.
        names: those of the groups.
        keys: metrics: accuracy and rates, also of a group, gaps, also by an attribute, and the worst class.
        level: of the intervals, in (0, 1).

    Raises:
        ValueError: the rows are not the same.
    """
    if first.rows != second.rows:
        raise ValueError("they were judged on different test rows")
    found = _of_rates(first, second, level)
    for end, places in views(names, first.groups).items():
        found |= _of_gaps(first, second, (places[first.s], int(places.max()) + 1), end, level)
    return [found[key] for key in dict.fromkeys(keys) if key in found]


def _of_rates(first: Decisions, second: Decisions, level: float) -> dict[str, Difference]:
    """Returns the differences in the rates of all rows, of each group and of each class."""
    rates = RATES if first.classes == 2 else RATES[:1]
    found = {}
    for rate in rates:
        of_groups = cells(rate, first, second, first.s, first.groups)
        found[rate] = of_share(rate, of_groups.sum(0), level)
        keys = [f"{rate}_group{i}" for i in range(first.groups)]
        found |= {key: of_share(key, of, level) for key, of in zip(keys, of_groups, strict=True)}
    of_classes = cells("accuracy", first, second, first.y, first.classes)
    keys = [f"accuracy_class_{i}" for i in range(first.classes)]
    found |= {key: of_share(key, of, level) for key, of in zip(keys, of_classes, strict=True)}
    worst = of_largest("worst_class_accuracy", of_classes, -np.eye(first.classes), level)
    return found | {worst.key: Difference(worst.key, *(-value for value in (*worst[1:3], worst.high, worst.low)))}


def views(names: Sequence[str], groups: int) -> dict[str, Whole]:
    """Returns what each group (g,) counts as, itself or its level of one of several attributes, by the end of keys."""
    found = {"": np.arange(groups)}
    try:
        read = [read_group(name) for name in names]
    except ValueError:  # of images, whose groups are named otherwise
        return found
    for attribute in read[0] if len(read) == groups and len(read[0]) > 1 else ():
        known: dict[str, int] = {}
        found[by_attribute(attribute)] = np.array([known.setdefault(of[attribute], len(known)) for of in read])
    return found


def _of_gaps(
    first: Decisions, second: Decisions, parts: tuple[Whole, int], end: str, level: float
) -> dict[str, Difference]:
    """Returns the differences in the gaps between groups, of which each row has one of so many."""
    part, groups = parts
    if groups < 2:
        return {}
    found = {}
    for key, rates in GAPS.items():
        if first.classes == 2 or rates == ("accuracy",):
            counts = np.concatenate([cells(rate, first, second, part, groups) for rate in rates])
            found[f"{key}{end}"] = of_largest(f"{key}{end}", counts, pairs(groups, len(rates)), level)
    for rate in RATES if groups == 2 else ():
        if first.classes == 2 or rate == "accuracy":
            key = f"{rate}_signed_gap{end}"
            found[key] = of_largest(key, cells(rate, first, second, part, groups), ONE_LESS_OTHER, level)
    return found


def otherwise(first: Decisions, second: Decisions, rows: NDArray[np.bool_]) -> Otherwise:
    """Returns how many of the rows (n,) that are chosen two models decide otherwise."""
    a, b, y = first.labels[rows], second.labels[rows], first.y[rows]
    two = first.classes == 2
    only_first, only_second = (int(((one > other) & two).sum()) for one, other in ((a, b), (b, a)))
    first_right, second_right = (int(((one == y) & (a != b)).sum()) for one in (a, b))
    return Otherwise(len(y), only_first, only_second, int((a != b).sum()), first_right, second_right)


def over_seeds(pairs_of: Mapping[int, Mapping[str, tuple[float, float]]], keys: Sequence[str]) -> list[Difference]:
    """Returns the differences of means over seeds, from the figures of both by seed and metric."""
    found = []
    for key in keys:
        both = np.array([of[key] for of in pairs_of.values() if key in of]).reshape(-1, 2)
        if len(both):
            ends = student(both[:, 1][None] - both[:, 0])
            least, most = bounds(key)
            [low], [high] = (np.clip(end, least - most, most - least) for end in ends)
            first, second = both.mean(0)
            found.append(Difference(key, first, second, low, high))
    return found
