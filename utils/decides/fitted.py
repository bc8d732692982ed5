"""The gap that thresholds of groups were fitted to: on which rows, on how many, and its upper bound.

A gap that is small on the rows that thresholds were chosen by is larger on others: it was chosen for being small. The
upper bound of a gap is the largest of those of all pairs of groups: p - q + sqrt((u - p)^2 + (q - l)^2), with the
one-sided limits u of p and l of q of Clopper and Pearson (1934), put together after Newcombe (1998). Of more than two
groups no level is lost, since all pairs have to keep to the limit (Berger 1982).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from utils.decides.exact_thresholds import (
    CLASSES,
    DECIDE,
    LARGER,
    RATES,
    WORDS,
    Counts,
    Curve,
    Floats,
    Policy,
    Side,
    curves,
    most_accurate,
    require_rates,
)
from utils.system.console import count
from utils.types import Batch
from utils.words.levels import name_class

T = TypeVar("T")
HALVINGS = 25  # of the gap that is asked for, until the bound is what is permitted


class Units(NamedTuple):
    """The groups that thresholds are compared for: each that has rows enough, and as one those that have too few."""

    of: list[Curve]
    place: tuple[int, ...]  # of the curve of each group; len(of) where it takes the threshold of everybody
    everybody: float  # the most accurate of one threshold for all rows
    small: Mapping[str, Any] | None  # names of the groups with too few rows, their rows, their threshold

    def spread(self, found: Sequence[T], everybody: T) -> list[T]:
        """Returns what was found for each unit, by group; ``everybody`` for the groups that are of none."""
        return [[*found, everybody][place] for place in self.place]

    def thresholds(self, cuts: Sequence[float]) -> list[float]:
        """The threshold of each group, from that of each unit."""
        return self.spread(cuts, self.everybody)


def units(
    logits: Tensor,
    batch: Batch,
    groups: Sequence[str],
    rates: Sequence[str],
    groups_min: int,
    cuts: Floats | None = None,
    key: str = DECIDE,
    classes: Sequence[str] = (),
) -> Units:
    """The groups to compare: those that have fewer than ``groups_min`` rows of some rate are one group together.

    Where they have too few even together they take the threshold of everybody, and no gap counts them. Arguments as of
    ``curves``; errors name the part ``key`` that asks, and the classes.

    Raises:
        ValueError: as ``curves``, and where fewer than two are left to compare.
    """
    found = curves(logits, batch, groups, cuts, key)
    few = [_has_few(curve.rows, rates, groups_min) for curve in found]
    places = np.cumsum(np.logical_not(few)) - 1
    large = [curve for curve, is_few in zip(found, few, strict=True) if not is_few]
    if not any(few):
        return Units(found, tuple(places.tolist()), math.nan, None)
    together, everybody = (
        curves(logits, batch._replace(s=s), ("these", "the others"), cuts, key)[0]
        for s in (1 - batch.s.new_tensor(few, dtype=torch.long)[batch.s], torch.zeros_like(batch.s))
    )
    shared = not _has_few(together.rows, rates, groups_min)
    if len(large) + shared < 2:
        _require_rows(found, groups, rates, groups_min, key, classes)
    place = np.where(few, len(large), places)
    small = {
        "groups": [name for name, is_few in zip(groups, few, strict=True) if is_few],
        "rows": int(together.rows.sum()),
        "threshold": "shared" if shared else "everybody",
    }
    best = float(everybody.cuts[everybody.errors.argmin()])
    return Units([*large, together] if shared else large, tuple(place.tolist()), best, small)


def _has_few(rows: Counts, rates: Sequence[str], groups_min: int) -> bool:
    """Returns whether some rate is of fewer rows, by class (2,), than it takes, or of none."""
    return any(rows[list(CLASSES[rate])].sum() < max(groups_min, 1) for rate in rates)


def _require_rows(
    of: Sequence[Curve], groups: Sequence[str], rates: Sequence[str], groups_min: int, key: str, classes: Sequence[str]
) -> None:
    """Refuses rates of no rows, or of so few that they say little, naming who asks. Raises ValueError."""
    for name, curve in zip(groups, of, strict=True):
        require_rates(name, curve.rows, rates, key, classes)
    for rate in rates:
        for name, curve in zip(groups, of, strict=True):
            own = int(curve.rows[list(CLASSES[rate])].sum())
            if own < groups_min:
                which = f" of {name_class(CLASSES[rate][0], classes)}" if len(CLASSES[rate]) == 1 else ""
                raise ValueError(
                    f"{key}: the {WORDS[rate]} of group {name} is one of {count(own, 'row')}{which} that thresholds "
                    f"are fitted on, fewer than {key}.groups_min={groups_min}; fit on more (fit_on=train, or more "
                    f"validation rows), {LARGER}, compare another rate ({RATES[key]}), or lower {key}.groups_min"
                )


def account(chances: Tensor, batch: Batch, own: Units, rates: Sequence[str], **facts: Any) -> dict[str, Any]:
    """Returns a record's account of a fit: the facts, ``gap``, ``rows``, ``denominators`` and maybe ``small``.

    Args:
        chances: of class 1, (n,), of the rows that the thresholds were fitted on.
        batch: these rows.
        own: the groups that were compared.
        rates: whose largest gap it is.
        facts: what was asked for.

    Returns:
        ``gap`` is the largest rate of a unit less the smallest, of several rates the largest; ``denominators`` are, by
        rate, the rows of each group that it is of; ``small`` names the groups that have too few, where some have.
    """
    y, s, rejected = (of.double().cpu().numpy() for of in (batch.y, batch.s, 1 - chances.double()))
    unit = np.array(own.place)[s.astype(int)]
    wholes, gaps = {}, []
    for rate in rates:
        of = np.isin(y, CLASSES[rate])
        wholes[rate] = np.bincount(s[of].astype(int), minlength=len(own.place)).tolist()
        of &= unit < len(own.of)
        gaps.append(float(np.ptp(np.bincount(unit[of], rejected[of]) / np.bincount(unit[of]))))
    small = {} if own.small is None else {"small": own.small}
    return {**facts, "gap": max(gaps), "rows": len(y), "denominators": wholes, **small}


def bound(of: Sequence[Curve], policy: Policy, rates: Sequence[str], confidence: float) -> float:
    """The upper bound of the gap of a policy, at a ``confidence`` in (0, 1) that holds for each rate."""
    return max(_bound(*_counts(of, policy, rate), confidence) for rate in rates)


def _counts(of: Sequence[Curve], policy: Policy, rate: str) -> tuple[Counts, Counts]:
    """Rejected rows and rows (g,) that a rate is of."""
    classes = list(CLASSES[rate])
    parts = [curve.rejected[place, classes].sum() for curve, place in zip(of, policy.places, strict=True)]
    return np.array(parts), np.array([curve.rows[classes].sum() for curve in of])


def _bound(part: Counts, whole: Counts, confidence: float) -> float:
    from utils.system.special import special  # imports scipy

    betaincinv = special().betaincinv
    share = part / whole
    low = np.where(part == 0, 0.0, betaincinv(np.maximum(part, 1), whole - part + 1, 1 - confidence))
    high = np.where(part == whole, 1.0, betaincinv(part + 1, np.maximum(whole - part, 1), confidence))
    up, down = high - share, share - low
    pairs: Floats = share[:, None] - share + np.hypot(up[:, None], down)
    np.fill_diagonal(pairs, 0.0)
    return float(pairs.max())


def surely(
    of: Sequence[Curve], ready: Sequence[Side], rates: Sequence[str], permitted: float, confidence: float
) -> Policy | None:
    """The policy of the largest gap on these rows whose upper bound is permitted, found by halving; None: none is.

    It is the most accurate of its gap. Raises ValueError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"decide.confidence={confidence}: expected null, or a number in (0, 1) such as 0.9")
    low, high, found = 0.0, permitted, None
    for step in range(HALVINGS):
        asked = permitted if not step else (low + high) / 2
        policy = most_accurate(ready, asked)
        if policy is None:
            low = asked
        elif bound(of, policy, rates, confidence) <= permitted:
            low, found = asked, policy
            if asked == permitted:
                break
        else:
            high = asked
    return found


def alike(of: Sequence[Curve], ready: Sequence[Side], rates: Sequence[str], confidence: float) -> tuple[Policy, float]:
    """Returns the better of accepting everybody and nobody, by smaller bound, then fewer errors; and its bound."""
    ends = [tuple(end % len(side.errors) for side in ready) for end in (0, -1)]
    everybody = [
        Policy(int(sum(side.errors[place] for side, place in zip(ready, places, strict=True))), 0.0, places)
        for places in ends
    ]
    return min(
        ((own, bound(of, own, rates, confidence)) for own in everybody), key=lambda p: (round(p[1], 9), p[0].errors)
    )


def facts_of(of: Sequence[Curve], policy: Policy, rates: Sequence[str], confidence: float | None) -> Mapping[str, Any]:
    """Returns the confidence of a fit with a margin, and the bound that it keeps to."""
    return {} if confidence is None else {"confidence": confidence, "bound": bound(of, policy, rates, confidence)}
