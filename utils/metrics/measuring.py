"""Figures with both ends of their intervals, of one model or of many at a time.

A metric that is a share of rows says so by returning ``of_shares({"hits": (3, 10)}, level)``: the figure, its interval,
and what other levels need.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.metrics.intervals import UNKNOWN, Floats, Measured, Share, Spread, find_bands, require_level

Counts = NDArray[np.int64]
Shares = Mapping[str, tuple[NDArray, NDArray]]  # numerators and denominators (p,) of p models
T = TypeVar("T")
DIGITS = 6  # of the ends in a record


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
    found = measure_each(
        {key: np.array([value], np.float64) for key, value in values.items()},
        {key: (np.array([part]), np.array([whole])) for key, (part, whole) in shares.items()},
        level,
        {key: Spread(*(np.array([of], np.float64) for of in spread)) for key, spread in (spreads or {}).items()},
        digits,
    )
    return found[0] if found else Measured()


def measure_each(
    values: Mapping[str, Floats],
    shares: Shares,
    level: float,
    spreads: Mapping[str, Spread] | None = None,
    digits: int = DIGITS,
    bare: Collection[str] = (),
) -> list[Measured]:
    """``measure`` of p models: values (p,), numerators and denominators (p,), spreads (p,), nan where undefined.

    A share of no rows is none of a model: those of models that lack the same ones are combined together. What is
    ``bare`` has no ends beside it.
    """
    require_level(level)
    spreads = spreads or {}
    models = len(next(iter(values.values()), next(iter(shares.values()), ((),))[0]))
    known = np.array([whole > 0 for _, whole in shares.values()], bool).reshape(len(shares), models)
    defined = ~np.isnan(np.array(list(values.values()), np.float64)).reshape(len(values), models)
    found: list[Measured] = [Measured()] * models
    for alike in _find_alike(np.concatenate([defined, known])):
        own = {key: of[alike] for key, of in _keep(values, defined[:, alike[0]])}
        counts = {key: (_plain(of[0][alike]), of[1][alike]) for key, of in _keep(shares, known[:, alike[0]])}
        of_draws = [key for key in spreads if key in own and key not in counts]
        moved = {key: Spread(*(end[alike] for end in spreads[key])) for key in of_draws}
        bands = find_bands([key for key in own if key not in moved and key not in bare], counts, level)
        bands |= {key: of[:2] for key, of in moved.items()}
        columns: dict[str, list[float | None]] = {}
        for key in values:
            columns[key] = own[key].tolist() if key in own else [None] * len(alike)
            if key in bare:
                continue
            low, high = bands.get(key, UNKNOWN)
            columns[f"{key}_low"] = _round(low, np.floor, digits, len(alike))
            columns[f"{key}_high"] = _round(high, np.ceil, digits, len(alike))
        figures = _rows_of(columns, len(alike))
        pairs = _rows_of({key: list(zip(*map(_numbers, of), strict=True)) for key, of in counts.items()}, len(alike))
        deviations = _rows_of({key: _or_none(of.deviation) for key, of in moved.items()}, len(alike))
        for model, *parts in zip(alike.tolist(), figures, pairs, deviations, strict=True):
            parts[-1] = {key: of for key, of in parts[-1].items() if of is not None}
            found[model] = Measured(*parts)
    return found


def _find_alike(patterns: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Returns the places of equal columns of patterns (k, p), of one after the other."""
    groups: dict[bytes, list[int]] = {}
    for i, column in enumerate(np.ascontiguousarray(patterns.T)):
        groups.setdefault(column.tobytes(), []).append(i)
    return [np.array(of) for of in groups.values()]


def _keep(of: Mapping[str, T], wanted: NDArray[np.bool_]) -> Iterator[tuple[str, T]]:
    """Yields the items that are wanted."""
    return compress(of.items(), wanted.tolist())


def _rows_of(columns: Mapping[str, Sequence[Any]], models: int) -> list[dict[str, Any]]:
    """Returns columns of p numbers each as p mappings."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] or [{}] * models


def _plain(parts: NDArray) -> NDArray:
    """The numbers (p,), which may have a fraction, to DIGITS."""
    whole = np.issubdtype(parts.dtype, np.integer) or (parts == np.floor(parts)).all()
    return parts if whole else np.array([round(part, DIGITS) for part in parts.tolist()])


def _numbers(counts: NDArray) -> list[float]:
    """Counts (p,) as ints, where they are whole."""
    return [int(of) if of == int(of) else of for of in counts.tolist()]


def _or_none(values: Floats) -> list[Any]:
    """The numbers (p,), None in place of nan."""
    found = values.tolist()
    return [None if of != of else of for of in found] if np.isnan(values).any() else found


def of_shares(shares: Mapping[str, Share], level: float) -> Measured:
    """Shares of rows as figures, from numerator and denominator by key; undefined where the denominator is 0."""
    return measure({key: part / whole if whole else np.nan for key, (part, whole) in shares.items()}, shares, level)


def number_shares(key: str, parts: tuple[Counts, Counts], end: str = "") -> dict[str, Any]:
    """``<key><i><end>`` for shares (...) of several groups or classes, from numerators and denominators (..., g)."""
    part, whole = parts
    return {f"{key}{i}{end}": (part[..., i], whole[..., i]) for i in range(part.shape[-1])}


def _round(values: Floats | None, towards: Callable[[Floats], Floats], digits: int, models: int) -> list[float | None]:
    """Rounds (p,) outwards, so that the intervals hold what they held."""
    return [None] * models if values is None else _or_none(towards(values * 10**digits) / 10**digits)
