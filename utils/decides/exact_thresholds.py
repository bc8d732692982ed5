"""The exact trade-off of accuracy and equal rates with one threshold for each group, from sorted scores.

Notation: g groups; a group has m cuts, thresholds in ascending order between its distinct scores, from the one that
accepts all of its rows to the one that accepts none. Rates are those of a confusion table; every one is taken as the
share of rejected rows, of class 1 (1 - fnr), of class 0 (1 - fpr) or of all (1 - acceptance_rate), which changes no gap
and rises with the cut. So the cuts of a group whose rates lie in an interval are neighbours, and the fewest errors
among neighbours are looked up in a table: the best cuts for a permitted gap cost O(n log n).

Gaps that differ by less than ``SAME`` count as equal: gaps of two groups below a million rows each differ by more.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.system.console import count
from utils.types import Batch
from utils.words.levels import name_class

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SAME = 1e-12
TOGETHER_AT_MOST = 2**20  # cuts that are looked at together, by all gaps
# classes among whose rows a rate counts, and the rates that must be equal together
CLASSES = {"fnr": (1,), "fpr": (0,), "acceptance_rate": (0, 1)}
TOGETHER = {rate: (rate,) for rate in CLASSES} | {"equalized_odds": ("fnr", "fpr")}
WORDS = {"fnr": "false negative rate", "fpr": "false positive rate", "acceptance_rate": "acceptance rate"}
LARGER = "make larger groups (name fewer attributes sensitive, or merge levels in the schema of your table)"
DECIDE, POINTS = "decide", "operating_points"  # parts of the configuration that ask for thresholds of groups
RATES = {DECIDE: "decide.rate", POINTS: "operating_points.rates"}  # which rates each compares


class Curve(NamedTuple):
    """The rows of a group that each threshold rejects."""

    cuts: Floats  # (m,) ascending
    rejected: Counts  # (m, 2) rows of each class below it
    rows: Counts  # (2,) of each class

    @property
    def errors(self) -> Counts:
        """Rows with the wrong label (m,)."""
        return self.rejected[:, 1] + self.rows[0] - self.rejected[:, 0]

    def rate(self, name: str) -> Floats:
        """Share of rejected rows (m,) among those that the rate is of, ascending."""
        of = list(CLASSES[name])
        return self.rejected[:, of].sum(1) / self.rows[of].sum()


class Policy(NamedTuple):
    """A cut for each group."""

    errors: int
    gap: float  # the largest of all rates
    places: tuple[int, ...]  # of the cut among those of its group


def require_permitted(permitted: float) -> None:
    """Refuses a gap outside [0, 1]. Raises ValueError."""
    if not 0 <= permitted <= 1:
        raise ValueError(f"decide.permitted={permitted}: expected a gap between rates, in [0, 1]")


def curves(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str],
    cuts: Floats | None = None,
    key: str = DECIDE,
) -> list[Curve]:
    """The curve of each group, from logits (n, 1) of the rows, at the cuts given or at all that differ.

    These lie midway between neighbouring scores, rounded to the type of the logits, so that no last bit of a score
    tells on which side it is; where there is no number between, on the upper score. The outer ones are infinite.
    ``key`` is the part of the configuration that asks, which errors name.

    Raises:
        ValueError: one group, more than one logit, or nan.
    """
    if logits.shape[-1] != 1:
        raise ValueError(
            f"decide: thresholds for each group are for two classes, got {logits.shape[-1]} logits; use decide=fixed"
        )
    if len(groups) < 2:
        raise ValueError(
            "decide: thresholds for each group need two groups or more, and these rows are one; name sensitive columns "
            "(dataset.sensitive) or choose decide=mcc or decide=fixed"
        )
    scores = logits[..., 0].detach()
    scores = scores if scores.dtype is torch.float64 else scores.float()  # which holds the shorter types too
    z, y, s = (of.cpu().numpy() for of in (scores, batch.y, batch.s))
    if broken := int(np.isnan(z).sum()):
        raise ValueError(f"{key}: {broken} of {count(len(z), 'logit')} are nan; expected numbers")
    return [_curve(z[s == i], y[s == i], cuts) for i in range(len(groups))]


def _curve(z: NDArray, y: Counts, cuts: Floats | None) -> Curve:
    cuts = _between(z) if cuts is None else cuts
    below = [np.searchsorted(np.sort(z[y == of]), cuts, "left") for of in (0, 1)]
    return Curve(cuts, np.stack(below, 1), np.bincount(y, minlength=2))


def _between(z: NDArray) -> Floats:
    """Thresholds on either side of every distinct score, ascending."""
    values = np.unique(z)
    lower, upper = values[:-1].astype(np.float64), values[1:]
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite scores
        middle = (lower + (upper - lower) / 2).astype(z.dtype)
    return np.concatenate([[-np.inf], np.where(middle > lower, middle, upper), [np.inf]])


def require_rates(name: str, rows: Counts, rates: Sequence[str], key: str, classes: Sequence[str]) -> None:
    """Refuses a group without rows that a rate is of. Raises ValueError."""
    if not rows.sum():
        raise ValueError(
            f"{key}: none of the rows that thresholds are fitted on is of group {name}; fit on more (fit_on=train, or "
            f"more validation rows), or {LARGER}"
        )
    for rate in rates:
        if not rows[list(CLASSES[rate])].sum():
            raise ValueError(
                f"{key}: the {WORDS[rate]} of group {name} is undefined, as none of its {count(rows.sum(), 'row')} "
                f"that thresholds are fitted on is of {name_class(CLASSES[rate][0], classes)}; fit on more "
                f"(fit_on=train, or more validation rows), {LARGER}, or compare another rate ({RATES[key]})"
            )


class Side:
    """A group ready for the search: rates (m,) ascending, errors (m,), and where the fewest of neighbours are."""

    def __init__(self, curve: Curve, rates: Sequence[str]):
        self.rates = [curve.rate(rate) for rate in rates]
        self.errors = curve.errors
        levels = [np.arange(len(self.errors))]  # the place of the fewest among 2^i neighbours, at the first of them
        while 2 ** len(levels) <= len(self.errors):
            width = 2 ** (len(levels) - 1)
            left, right = levels[-1][:-width], levels[-1][width:]
            levels.append(np.where(self.errors[left] <= self.errors[right], left, right))
        self._levels = np.zeros((len(levels), len(self.errors)), np.int64)
        for own, level in zip(self._levels, levels, strict=True):
            own[: len(level)] = level

    def fewest(self, low: Counts, high: Counts) -> Counts:
        """Place (n,) of the fewest errors from ``low`` to below ``high``, (n,) each; -1 where that is nowhere."""
        level = np.maximum(np.frexp(np.maximum(high - low, 1))[1] - 1, 0)
        left = self._levels[level, np.minimum(low, len(self.errors) - 1)]
        right = self._levels[level, np.maximum(high - 2**level, 0)]
        return np.where(high > low, np.where(self.errors[left] <= self.errors[right], left, right), -1)


def sides(of: Sequence[Curve], rates: Sequence[str]) -> list[Side]:
    """The groups ready for the search. Raises ValueError for several rates of more than two groups."""
    if len(rates) > 1 and len(of) > 2:
        raise ValueError(
            f"decide: the best thresholds for equal {' and '.join(rates)} together are found for two groups, and here "
            f"are {len(of)}; choose one rate, or decide=group_randomized, which takes any number of groups"
        )
    return [Side(curve, rates) for curve in of]


def most_accurate(of: Sequence[Side], permitted: float | None) -> Policy | None:
    """The policy with the fewest errors whose gap is at most ``permitted`` (None: any); of several the smallest gap.

    The gap is the largest minus the smallest rate of the groups, of several rates the largest. None where no policy is
    permitted, which the outer cuts, that accept all and none, exclude.
    """
    return _most_accurate(of, [permitted])[0]


def _most_accurate(of: Sequence[Side], permitted: Sequence[float | None]) -> list[Policy | None]:
    """The same by each permitted gap, all of them searched together."""
    found = _search(of, [1.0 if gap is None else gap + SAME for gap in permitted])
    left = list(range(len(found)))
    while left := [i for i in left if (own := found[i]) and own.gap > SAME]:
        near = [own for i in left if (own := found[i])]
        closer = _search(of, [own.gap - SAME for own in near])
        better = {
            i: own for i, own, before in zip(left, closer, near, strict=True) if own and own.errors == before.errors
        }
        for i, own in better.items():
            found[i] = own
        left = list(better)
    return found


def _efficient(of: Sequence[Side], gap: float) -> Iterator[Policy]:
    """The efficient policies from a gap on, down to the smallest."""
    [found] = _search(of, [gap])
    while found:
        closer = _search(of, [found.gap - SAME])[0] if found.gap > SAME else None
        if closer is None or closer.errors > found.errors:
            yield found
        found = closer


def _search(of: Sequence[Side], gaps: Sequence[float]) -> list[Policy | None]:
    """Finds for each gap a policy with the fewest errors within it, parts of the gaps together as the memory allows."""
    search = _of_pairs if len(of) == 2 else _of_windows
    size = max(1, TOGETHER_AT_MOST // max(len(side.errors) for side in of))
    limits = np.array(gaps)[:, None]
    return [own for start in range(0, len(gaps), size) for own in search(of, limits[start : start + size])]


def _of_pairs(of: Sequence[Side], gaps: Floats) -> list[Policy | None]:
    """Finds for each cut of the first of two groups the best of the second within the gap (q, 1) in every rate."""
    first, second = of
    pairs = list(zip(first.rates, second.rates, strict=True))
    low = np.max([np.searchsorted(theirs, own - gaps, "left") for own, theirs in pairs], axis=0)
    high = np.min([np.searchsorted(theirs, own + gaps, "right") for own, theirs in pairs], axis=0)
    return _best(of, [np.broadcast_to(np.arange(len(first.errors)), low.shape), second.fewest(low, high)])


def _of_windows(of: Sequence[Side], gaps: Floats) -> list[Policy | None]:
    """One rate: to each smallest rate, the best cut of each group among those from there to the gap (q, 1) above."""
    lowest = np.unique(np.concatenate([side.rates[0] for side in of]))
    low = [np.searchsorted(side.rates[0], lowest, "left") for side in of]
    high = [np.searchsorted(side.rates[0], lowest + gaps, "right") for side in of]
    return _best(of, [side.fewest(*ends) for side, *ends in zip(of, low, high, strict=True)])


def _best(of: Sequence[Side], places: Sequence[Counts]) -> list[Policy | None]:
    """Returns the policies, by places (q, n) in each group, with the fewest errors, then with the smallest gap."""
    errors = np.sum([side.errors[own] for side, own in zip(of, places, strict=True)], axis=0)
    errors = np.where(np.min(places, axis=0) >= 0, errors, np.iinfo(errors.dtype).max)
    fewest = errors.min(1)
    row, column = np.nonzero((errors == fewest[:, None]) & (fewest < np.iinfo(errors.dtype).max)[:, None])
    at = np.stack([own[row, column] for own in places])  # (g, t), of those that are equal
    rates = np.stack([[rate[own] for rate in side.rates] for side, own in zip(of, at, strict=True)])  # (g, r, t)
    gaps = np.ptp(rates, axis=0).max(0)
    order = np.lexsort((gaps, row))  # which leaves equal ones as they stand
    found: list[Policy | None] = [None] * len(errors)
    for i, best in zip(*np.unique(row[order], return_index=True), strict=True):
        own = order[best]
        found[i] = Policy(int(fewest[i]), float(gaps[own]), tuple(at[:, own].tolist()))
    return found


def policies(of: Sequence[Side]) -> list[Policy]:
    """The frontier: all policies of which no other has fewer errors and no larger gap, or as few and a smaller one.

    From the most accurate to the one with the smallest gap. One rate of two groups costs O(n log n + c^2), c being the
    errors that equal rates cost; else every policy costs a search of its own.
    """
    found = _apart(of) if len(of) == 2 and len(of[0].rates) == 1 else []
    return [*found, *_efficient(of, found[-1].gap - SAME if found else 1.0)]


def _apart(of: Sequence[Side]) -> list[Policy]:
    """The efficient policies while the groups' rates are apart, from the most accurate on; of two groups and one rate.

    Spend at most a errors beyond its fewest on the group of lower rates, and its rate comes up to x(a); spend b on the
    other, and its rate comes down to y(b). While x(a) < y(b) for all a + b = c, the smallest gap for c errors is the
    smallest y(b) - x(a).
    """
    for order in ((0, 1), (1, 0)):
        low, high = (of[i] for i in order)
        up, down = _highest(low.errors), len(high.errors) - 1 - _highest(high.errors[::-1])
        x, y = low.rates[0][up], high.rates[0][down]
        if x[0] < y[0] <= x[-1] and y[-1] <= x[0]:
            fewest = int(low.errors.min() + high.errors.min())
            found = ((fewest + c, gap, (int(up[a]), int(down[c - a]))) for c, gap, a in _approach(x, y))
            return [Policy(errors, gap, (places[order[0]], places[order[1]])) for errors, gap, places in found]
    return []


def _highest(errors: Counts) -> Counts:
    """Returns, for each number of errors beyond the fewest (e,), the highest place that it pays for."""
    beyond = errors - errors.min()
    highest = np.full(beyond.max() + 1, -1)
    np.maximum.at(highest, beyond, np.arange(len(beyond)))
    return np.maximum.accumulate(highest)


def _approach(x: Floats, y: Floats) -> list[tuple[int, float, int]]:
    """Errors c, the smallest y(c - a) - x(a) and its a, for each c at which that falls, until it is 0.

    x (e,) ascends from below y (f,), which descends to it.
    """
    met = min(int(np.argmax(x >= y[0])), int(np.argmax(y <= x[0])))
    gaps, spent = np.full(met + 1, np.inf), np.zeros(met + 1, np.int64)
    for a in np.flatnonzero(np.diff(x[: met + 1], prepend=-1)):
        gap = y[: met + 1 - a] - x[a]
        nearer = gap < gaps[a:] - SAME
        gaps[a:][nearer], spent[a:][nearer] = gap[nearer], a
    apart = gaps[: int(np.argmax(gaps <= SAME))]
    falls = np.flatnonzero(np.diff(apart, prepend=np.inf) < -SAME)
    return [(int(c), float(apart[c]), int(spent[c])) for c in falls]


def exact(of: Sequence[Curve], rates: Sequence[str], permitted: Sequence[float | None]) -> list[tuple[float, ...]]:
    """A threshold for each group, by each permitted gap: the most accurate on its rows. Raises as ``sides``."""
    ready = sides(of, rates)
    found = _most_accurate(ready, permitted)
    return [cuts_of(of, policy) for policy in found if policy]  # accepting all is always permitted


def cuts_of(of: Sequence[Curve], policy: Policy) -> tuple[float, ...]:
    """The threshold of each group."""
    return tuple(float(curve.cuts[place]) for curve, place in zip(of, policy.places, strict=True))
