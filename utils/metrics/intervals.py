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

``<key>_low`` and ``<key>_high`` stand beside a figure in a record. A metric that is a share of rows says so by
returning ``of_shares({"hits": (3, 10)}, level)``: the figure, its interval, and what other levels need.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.metrics.directions import bounds, split_some

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Figures = Mapping[str, float | None]
Interval = tuple[float | None, float | None]  # lower and upper end; None where nothing is known
Share = Sequence[float]  # numerator and denominator; that of an average over draws may have a fraction
UNKNOWN: Interval = (None, None)

SIGNED = re.compile(r"(?P<rate>.+)_signed_gap(?P<end>.*)")
GAP = re.compile(r"(?P<rate>.+)_gap(?P<end>.*)")
WORST = re.compile(r"(?P<of>.+)_worst_(?P<whose>class|group)(?P<end>.*)")
NAMED = re.compile(r"(?P<name>worst_class_accuracy|demographic_parity_difference|equalized_odds_difference)(?P<end>.*)")
DIGITS = 6  # of the ends in a record
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
    """The interval of a figure that is no share."""

    low: float | None
    high: float | None
    deviation: float | None  # standard; None where it is not known


def measure(
    values: Mapping[str, float],
    shares: Mapping[str, Share],
    level: float,
    spreads: Mapping[str, Spread] | None = None,
    digits: int = DIGITS,
) -> Measured:
    """Figures with both ends of their intervals, None where they are undefined (nan).

    Args:
        values: by key; shares, what is made of them, and others.
        shares: numerator and denominator by key, also of those that are no figures themselves.
        level: of the intervals, in (0, 1).
        spreads: of figures that are not made of shares.
        digits: of the ends.
    """
    known = {key: (_plain(part), int(whole)) for key, (part, whole) in shares.items() if whole}
    defined = {key: None if np.isnan(value) else float(value) for key, value in values.items()}
    of_draws = {key: spread for key, spread in (spreads or {}).items() if defined[key] is not None}
    found = ends(defined, defined, known, {}, level)
    out: dict[str, float | None] = {}
    for key, value in defined.items():
        low, high = of_draws[key][:2] if key in of_draws else found[key]
        out |= {
            key: value,
            f"{key}_low": _round(low, np.floor, digits),
            f"{key}_high": _round(high, np.ceil, digits),
        }
    deviations = {key: spread.deviation for key, spread in of_draws.items() if spread.deviation is not None}
    return Measured(out, known, deviations)


def _plain(part: float) -> float:
    """The number as an int, if it is one; else to DIGITS."""
    return int(part) if part == int(part) else round(float(part), DIGITS)


def of_shares(shares: Mapping[str, Share], level: float) -> Measured:
    """Shares of rows as figures, from numerator and denominator by key; undefined where the denominator is 0."""
    return measure({key: part / whole if whole else np.nan for key, (part, whole) in shares.items()}, shares, level)


def number_shares(key: str, parts: tuple[Counts, Counts], end: str = "") -> dict[str, Share]:
    """``<key><i><end>`` for shares of several groups or classes, from numerators and denominators (g,)."""
    return {f"{key}{i}{end}": (int(part), int(whole)) for i, (part, whole) in enumerate(zip(*parts, strict=True))}


def _round(value: float | None, towards: Callable[[float], float], digits: int) -> float | None:
    """Rounds outwards, so that the interval holds what it held."""
    return None if value is None else float(towards(value * 10**digits) / 10**digits)


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
    made = {key: find_parts(key, shares) for key in keys if values.get(key) is not None}
    asked = list(dict.fromkeys((part, of.level(level)) for of in made.values() if of for part in of.parts))
    limits = dict(zip(asked, zip(*_limits(asked, shares), strict=True), strict=True))
    found = dict.fromkeys(keys, UNKNOWN)
    for key, of in made.items():
        if of:
            bands = [[limits[part, of.level(level)] for part in family] for family in of.families]
            found[key] = _combine(of.kind, [[shares[part] for part in family] for family in of.families], bands)
        elif key in deviations:
            found[key] = _normal(key, float(values[key] or 0), deviations[key], level)
    return found


def require_level(level: float) -> None:
    """Refuses a level outside (0, 1). Raises ValueError."""
    if not 0 < level < 1:
        raise ValueError(f"evaluation: an interval's level of {level} is not in (0, 1); for 95 % give 0.95")


def clopper_pearson(part: Counts, whole: Counts, level: float | Floats) -> tuple[Floats, Floats]:
    """The ends (...) of the intervals of part / whole (...), of which no whole is 0 (Clopper and Pearson, 1934).

    The lower end l has P(Bin(n, l) >= x) = (1 - level) / 2, the upper P(Bin(n, u) <= x) = the same.
    """
    from scipy.special import betaincinv  # tables and plots of no interval need not wait for it

    tail, other = (1 - np.asarray(level)) / 2, whole - part
    low = betaincinv(np.maximum(part, 1), other + 1, tail)
    high = betaincinv(part + 1, np.maximum(other, 1), 1 - tail)
    return np.where(part == 0, 0.0, low), np.where(other == 0, 1.0, high)


def newcombe(first: Share, second: Share, bands: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The interval of the first share less the second, from the limits of both (Newcombe, 1998)."""
    (p, q), ((low, high), (other_low, other_high)) = (part / whole for part, whole in (first, second)), bands
    return (
        max(-1.0, p - q - float(np.hypot(p - low, other_high - q))),
        min(1.0, p - q + float(np.hypot(high - p, q - other_low))),
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


def _limits(asked: Sequence[tuple[str, float]], shares: Mapping[str, Share]) -> tuple[list[float], list[float]]:
    """The limits of shares by key, each at its own level; of a fraction, those of the whole numbers around it."""
    counts = np.array([tuple(shares[key]) for key, _ in asked]).reshape(-1, 2)
    least, most, whole = np.floor(counts[:, 0]), np.ceil(counts[:, 0]), counts[:, 1]
    levels = np.array([level for _, level in asked])
    return clopper_pearson(least, whole, levels)[0].tolist(), clopper_pearson(most, whole, levels)[1].tolist()


def _combine(
    kind: str, shares: Sequence[Sequence[Share]], bands: Sequence[Sequence[tuple[float, float]]]
) -> tuple[float, float]:
    """The interval of a figure from the shares that it is made of and their limits, gap by gap."""
    if kind == "share":
        return bands[0][0]
    if kind == "signed":
        first, zeroth = shares[0][1], shares[0][0]
        return newcombe(first, zeroth, [bands[0][1], bands[0][0]])
    lows, highs = zip(*(tuple(zip(*family, strict=True)) for family in bands), strict=True)
    if kind == "worst":
        return min(lows[0]), min(highs[0])
    gaps = [(max(0.0, max(low) - min(high)), max(high) - min(low)) for low, high in zip(lows, highs, strict=True)]
    return max(low for low, _ in gaps), max(high for _, high in gaps)


def _normal(key: str, value: float, deviation: float, level: float) -> tuple[float, float]:
    """The interval of normal tails, inside the range of the figure where that is known."""
    half = NormalDist().inv_cdf((1 + level) / 2) * deviation
    least, most = bounds(key)
    return max(value - half, least), min(value + half, most)
