"""Intervals of figures over the test rows, which hold the truth as often as they say or more often.

- A share of rows: Clopper and Pearson (1934), from its numerator and denominator.
- The difference of two groups' rates, ``<rate>_signed_gap``: Newcombe's hybrid (1998, Statistics in Medicine
  17:873-890, method 10), d - sqrt((p - l)^2 + (u' - p')^2) to d + sqrt((u - p)^2 + (p' - l')^2), on limits of Clopper
  and Pearson in place of Wilson's, which are too near for few rows and at high levels.
- A gap without a sign, the largest rate less the smallest: simultaneous intervals of the k groups, each of level^(1/k)
  (Sidak, 1967), hence [max(0, largest low - smallest high), largest high - smallest low].
- The worst class or group: [smallest low, smallest high] of simultaneous intervals.
- Equalized odds: [largest low, largest high] of its two gaps, all rates of which are simultaneous.
- Any other figure: percentiles of bootstrap draws (Efron, 1979), of the area under the ROC curve DeLong's; their
  standard deviation is filed, so that other levels have normal tails.

``<key>_low`` and ``<key>_high`` stand beside a figure in a record, see ``utils.metrics.measuring``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.metrics.directions import bounds, split_some

Floats = NDArray[np.float64]
Figures = Mapping[str, float | None]
Interval = tuple[float | None, float | None]  # lower and upper end; None where nothing is known
Share = Sequence[float]  # numerator and denominator; that of an average over draws may have a fraction
Band = tuple[Any, Any]  # lower and upper end: numbers, or (p,) each
UNKNOWN: Interval = (None, None)

SIGNED = re.compile(r"(?P<rate>.+)_signed_gap(?P<end>.*)")
GAP = re.compile(r"(?P<rate>.+)_gap(?P<end>.*)")
WORST = re.compile(r"(?P<of>.+)_worst_(?P<whose>class|group)(?P<end>.*)")
NAMED = re.compile(r"(?P<name>worst_class_accuracy|demographic_parity_difference|equalized_odds_difference)(?P<end>.*)")
POISONED = "_under_poisoning"  # behind a key: the metric itself


class Measured(dict[str, float | None]):
    """Figures by key, and what their intervals rest on; a mapping as every metric returns one.

    ``shares`` holds numerator and denominator of the figures that are shares of rows, and of those that figures such as
    the worst class are made of; ``deviations`` the standard deviation of the others, where it is known. ``reasons`` say
    why figures are undefined, a sentence each, and ``arrays`` are what a file beside the record keeps of every row.
    """

    def __init__(
        self,
        figures: Figures | None = None,
        shares: Mapping[str, Share] | None = None,
        deviations: Mapping[str, float] | None = None,
    ):
        super().__init__(figures or {})
        self.shares = dict(shares or getattr(figures, "shares", {}))
        self.deviations = dict(deviations or getattr(figures, "deviations", {}))
        self.reasons: list[str] = list(getattr(figures, "reasons", ()))
        self.arrays: dict[str, NDArray[Any]] = dict(getattr(figures, "arrays", {}))

    def add(self, other: Figures) -> None:
        """Adds other figures, and what theirs rest on."""
        also = Measured(other)
        self.update(also)
        self.shares |= also.shares
        self.deviations |= also.deviations
        self.reasons += also.reasons
        self.arrays |= also.arrays

    def to_record(self) -> dict[str, Any]:
        """Returns what a record holds of the figures."""
        return {"metrics": dict(self), "shares": self.shares, "deviations": self.deviations}

    def plain(self, end: str) -> "Measured":
        """Returns the figures without intervals and chance levels, every key followed by ``end``."""
        figures = {f"{key}{end}": value for key, value in self.items() if not key.endswith(("_low", "_high", "_null"))}
        shares, deviations = ({f"{k}{end}": v for k, v in of.items()} for of in (self.shares, self.deviations))
        return Measured(figures, shares, deviations)


class Spread(NamedTuple):
    """The interval of a figure that is no share; numbers, or (p,) of p models, nan in place of None."""

    low: Any
    high: Any
    deviation: Any  # standard; None where it is not known


def at_level(
    key: str,
    values: Figures,
    shares: Mapping[str, Share],
    deviations: Mapping[str, float],
    level: float,
) -> Interval:
    """The interval of one metric at any level, from what a record holds; (None, None) where that is not enough.

    Args:
        key: of a metric, also of one that is made of shares: a gap, the worst class or group, equalized odds.
        values: the flat metrics of the record, of one of its points or of a later evaluation.
        shares: numerator and denominator by key, of the same.
        deviations: standard deviation by key, of the same.
        level: in (0, 1).

    Raises:
        ValueError: a level outside (0, 1).
    """
    return ends([key], values, shares, deviations, level)[key]


def ends(
    keys: Iterable[str],
    values: Figures,
    shares: Mapping[str, Share],
    deviations: Mapping[str, float],
    level: float,
) -> dict[str, Interval]:
    """``at_level`` of many keys, all quantiles of the beta distribution in one call."""
    require_level(level)
    found = dict.fromkeys(keys, UNKNOWN)
    asked = [key for key in found if values.get(key) is not None]
    found |= {key: (float(low), float(high)) for key, (low, high) in find_bands(asked, shares, level).items()}
    for key in asked:
        if found[key] == UNKNOWN and key in deviations:
            found[key] = _normal(key, float(values[key] or 0), deviations[key], level)
    return found


def find_bands(keys: Iterable[str], shares: Mapping[str, Any], level: float) -> dict[str, Band]:
    """The intervals of those keys that are made of shares, these being numbers or (p,) each."""
    made = {key: of for key in keys if (of := find_parts(key, shares))}
    asked = list(dict.fromkeys((part, of.level(level)) for of in made.values() for part in of.parts))
    limits = dict(zip(asked, zip(*_limits(asked, shares), strict=True), strict=True))
    found = {}
    for key, of in made.items():
        bands = [[limits[part, of.level(level)] for part in family] for family in of.families]
        found[key] = _combine(of.kind, [[shares[part] for part in family] for family in of.families], bands)
    return found


def require_level(level: float) -> None:
    """Refuses a level outside (0, 1). Raises ValueError."""
    if not 0 < level < 1:
        raise ValueError(f"evaluation: an interval's level of {level} is not in (0, 1); for 95 % give 0.95")


def clopper_pearson(part: NDArray, whole: NDArray, level: float | Floats) -> tuple[Floats, Floats]:
    """The ends (...) of the intervals of part / whole (...), of which no whole is 0 (Clopper and Pearson, 1934).

    The lower end l has P(Bin(n, l) >= x) = (1 - level) / 2, the upper P(Bin(n, u) <= x) = the same.
    """
    from utils.system.special import special  # imports scipy, which tables of no interval need not wait for

    tail, other = (1 - np.asarray(level)) / 2, whole - part
    low = special().betaincinv(np.maximum(part, 1), other + 1, tail)
    high = special().betaincinv(part + 1, np.maximum(other, 1), 1 - tail)
    return np.where(part == 0, 0.0, low), np.where(other == 0, 1.0, high)


def newcombe(first: Any, second: Any, bands: Sequence[Band]) -> Band:
    """The interval of the first share less the second, from the limits of both (Newcombe, 1998)."""
    (p, q), ((low, high), (other_low, other_high)) = (part / whole for part, whole in (first, second)), bands
    return (
        np.maximum(-1.0, p - q - np.hypot(p - low, other_high - q)),
        np.minimum(1.0, p - q + np.hypot(high - p, q - other_low)),
    )


class _Made(NamedTuple):
    """The kind of a key's interval, and the keys of the shares that it is made of, gap by gap."""

    kind: str  # share, signed, gap, worst
    families: tuple[tuple[str, ...], ...]

    @property
    def parts(self) -> list[str]:
        return [part for family in self.families for part in family]

    def level(self, level: float) -> float:
        """The level of each part, so that what is made of them has ``level``."""
        return level ** (1 / len(self.parts)) if self.kind in ("gap", "worst") else level


def find_parts(key: str, shares: Mapping[str, Share]) -> _Made | None:
    """Returns what the interval of a key is made of; None where the shares do not tell."""
    if key in shares:
        return _Made("share", ((key,),))
    kind, prefixes, end = _grammar(key.removesuffix(POISONED))
    families = [tuple(_find_numbered(prefix, end, shares)) for prefix in prefixes]
    if kind == "signed" and [len(family) for family in families] != [2]:
        return None
    return _Made(kind, tuple(families)) if families and all(families) else None


def _grammar(key: str) -> tuple[str, list[str], str]:
    """Returns the kind of a key, the beginnings of its shares before a number, and their common end."""
    plain, attribute, rest = split_some(key)
    if attribute or rest:
        kind, prefixes, _ = _grammar(plain)
        return kind, prefixes, key.removeprefix(plain)
    if found := NAMED.fullmatch(key):
        if found["name"] == "worst_class_accuracy":
            return "worst", ["accuracy_class_"], found["end"]
        rates = ["acceptance_rate"] if found["name"].startswith("demographic") else ["fnr", "fpr"]
        return "gap", [f"{rate}_group" for rate in rates], found["end"]
    if found := WORST.fullmatch(key):
        return "worst", [f"{found['of']}_{'class_' if found['whose'] == 'class' else 'group'}"], found["end"]
    if found := SIGNED.fullmatch(key):
        return "signed", [f"{found['rate']}_group"], found["end"]
    if found := GAP.fullmatch(key):
        return "gap", [f"{found['rate']}_group"], found["end"]
    return "", [], ""


def _find_numbered(prefix: str, end: str, shares: Mapping[str, Share]) -> list[str]:
    """The keys ``<prefix><i><end>`` among the shares, by their number."""
    stop = -len(end) or None
    numbers = [key[len(prefix) : stop] for key in shares if key.startswith(prefix) and key.endswith(end)]
    return [f"{prefix}{i}{end}" for i in sorted(int(number) for number in numbers if number.isdigit())]


def _limits(asked: Sequence[tuple[str, float]], shares: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """The limits of shares by key, each at its own level; of a fraction, those of the whole numbers around it."""
    if not asked:
        return np.zeros(0), np.zeros(0)
    part, whole = (np.array([shares[key][i] for key, _ in asked], np.float64) for i in (0, 1))  # (a,) or (a, p)
    levels = np.array([level for _, level in asked]).reshape(-1, *[1] * (part.ndim - 1))
    return clopper_pearson(np.floor(part), whole, levels)[0], clopper_pearson(np.ceil(part), whole, levels)[1]


def _combine(kind: str, shares: Sequence[Sequence[Any]], bands: Sequence[Sequence[Band]]) -> Band:
    """The interval of a figure from the shares that it is made of and their limits, gap by gap."""
    if kind == "share":
        return bands[0][0]
    if kind == "signed":
        first, zeroth = shares[0][1], shares[0][0]
        return newcombe(first, zeroth, [bands[0][1], bands[0][0]])
    lows, highs = zip(*(tuple(zip(*family, strict=True)) for family in bands), strict=True)
    if kind == "worst":
        return np.min(lows[0], 0), np.min(highs[0], 0)
    gaps = [
        (np.maximum(0.0, np.max(low, 0) - np.min(high, 0)), np.max(high, 0) - np.min(low, 0))
        for low, high in zip(lows, highs, strict=True)
    ]
    return np.max([low for low, _ in gaps], 0), np.max([high for _, high in gaps], 0)


def _normal(key: str, value: float, deviation: float, level: float) -> tuple[float, float]:
    """The interval of normal tails, inside the range of the figure where that is known."""
    half = NormalDist().inv_cdf((1 + level) / 2) * deviation
    least, most = bounds(key)
    return max(value - half, least), min(value + half, most)
