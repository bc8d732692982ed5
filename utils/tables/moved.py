"""Columns of other rows beside the training rows: how far each has moved, and how far chance alone would move it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.tables.encoding import Block, is_levelled

Floats = NDArray[np.float64]
DRAWS = 1000  # pairs of samples that chance alone makes
LEVEL = 0.95  # share of them that are nearer than what is called moved


class Moved(NamedTuple):
    """One attribute of some rows beside those of the training."""

    name: str
    beyond: float  # share of cells that the schema does not admit, or outside of what the training rows hold
    shift: float | None  # of the mean, in standard deviations of the training rows; None of levels without an order
    distance: float  # in [0, 1]: Kolmogorov and Smirnov's of numbers, total variation of levels
    chance: float  # distance that 95 % of pairs of samples of one distribution stay below

    @property
    def is_told(self) -> bool:
        """Returns whether the distance is more than chance."""
        return self.distance > self.chance


def moved(
    parts: Sequence[Block], train: Floats, rows: Floats, strange: dict[str, float], rng: np.random.Generator
) -> list[Moved]:
    """Every attribute of the rows (n, d) beside the training rows (m, d), natural units, the farthest first.

    Args:
        parts: the attributes and their columns, d in all.
        train: of the training.
        rows: others, at least one.
        strange: the share of cells by attribute that were left out or mended.
        rng: draws the samples of chance.
    """
    found, start = [], 0
    for block in parts:
        own = slice(start, start := start + len(block.columns))
        before, after = train[:, own], rows[:, own]
        of = _of_levels if is_levelled(block.rule) else _of_numbers
        found.append(of(block.name, before, after, strange.get(block.name, 0.0), rng))
    return sorted(found, key=lambda one: one.distance - one.chance, reverse=True)


def _of_numbers(name: str, before: Floats, after: Floats, strange: float, rng: np.random.Generator) -> Moved:
    """The distance sup |F - G| of two distribution functions (Smirnov, 1939), and its asymptotic quantile."""
    from utils.system.special import special  # imports scipy

    a, b = np.sort(before[:, 0]), np.sort(after[:, 0])
    every = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, every, "right") / len(a) - np.searchsorted(b, every, "right") / len(b)).max()
    outside = float(((b < a[0]) | (b > a[-1])).mean())
    chance = float(special().kolmogi(1 - LEVEL)) * np.sqrt(1 / len(a) + 1 / len(b))
    return Moved(name, strange + (1 - strange) * outside, _shift(a, b), float(gap), float(chance))


def _of_levels(name: str, before: Floats, after: Floats, strange: float, rng: np.random.Generator) -> Moved:
    """Half the sum of |p - q| of the shares of levels, and the quantile of draws from what both have in common."""
    single = before.shape[1] == 1
    a, b = (np.rint(rows[:, 0]).astype(np.int64) if single else rows.argmax(1) for rows in (before, after))
    k = int(max(a.max(), b.max())) + 1
    p, q = (np.bincount(own, minlength=k) for own in (a, b))
    both = (p + q) / (len(a) + len(b))
    drawn = rng.multinomial(len(a), both, DRAWS) / len(a) - rng.multinomial(len(b), both, DRAWS) / len(b)
    chance = float(np.quantile(np.abs(drawn).sum(1) / 2, LEVEL))
    unknown = float((p[b] == 0).mean())
    distance = float(np.abs(p / len(a) - q / len(b)).sum() / 2)
    return Moved(name, strange + (1 - strange) * unknown, _shift(a, b) if single else None, distance, chance)


def _shift(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """The mean of b less that of a in standard deviations of a; None where a has none."""
    deviation = float(a.std())
    return float(b.mean() - a.mean()) / deviation if deviation else None
