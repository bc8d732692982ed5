"""The figures of rows that somebody delivered beside rows one trusts, and how much of each chance alone would do.

One null hypothesis serves all figures: both files were drawn independently from one source. Then all rows together are
exchangeable, and which of them were delivered is a draw of m from N rows without replacement. Counts of group and label
are hypergeometric (Fisher's exact test of each cell, both sides). The chi-square of all cells, and every other figure,
is compared with the same figure of random splits of all rows into two files of these sizes (a permutation test, one
side, p = (1 + splits with as much) / (1 + splits), Phipson and Smyth 2010). All are exact for any number of rows, and
err to the safe side where chosen rows are many, since the splits hold them too. Resampling the reference with
replacement would be no such null: it repeats rows that its source need not repeat. Holm (1979) keeps 5 % over all.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from utils.poisoning.origins import Codes, count_labels, encode_features

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
LEVEL = 0.05  # of all findings together
FEWEST = 199  # splits, of which one alone may have as much as a finding
NEAR = 0.05  # share of all rows that are nearer to their nearest than what is called near
PART = 1 << 22  # numbers that are held at a time
SLACK = 1e-6  # of distances, which rounding moves
KINDS = {  # of figures, more of which speaks against the delivery
    "contradicted": "contradicted by most people with the same features",
    "disagreeing": "with another label than most of the nearest people of their group",
    "copies": "copies of trusted rows, features and label",
    "near": "near a trusted row of their group without being one",
    "repeats": "repeats of another delivered row",
    "most": "of the row that comes most often",
}


class Labelled(NamedTuple):
    """Rows of a table with their labels."""

    x: Floats  # (n, d), comparable columns: numbers in standard deviations, levels as 0 and 1
    y: Codes  # (n,), class
    s: Codes  # (n,), group

    def rows(self, chosen: Codes) -> "Labelled":
        """Returns some of the rows."""
        return Labelled(self.x[chosen], self.y[chosen], self.s[chosen])


class Cell(NamedTuple):
    """The rows of one group with one label."""

    group: str
    label: str
    trusted: int
    delivered: int
    p: float  # that chance alone makes the shares as different, after Holm over all cells


class Figure(NamedTuple):
    """A count of delivered rows, and what random splits of all rows give."""

    key: str  # of KINDS
    rows: int
    mean: float
    low: float  # that 2.5 % of the splits stay below
    high: float
    told: int  # rows from which it is a finding, however few others there are
    p: float  # share of splits with as many rows, or more


@dataclass(frozen=True)
class Audit:
    """All figures of a delivery."""

    trusted: int  # rows
    delivered: int
    cells: tuple[Cell, ...]
    shares: float  # p of the differences of all cells together
    figures: tuple[Figure, ...]
    splits: int
    sampled: tuple[int, int]  # trusted and delivered rows that the figures are of, fewer where there are very many
    radius: float  # that is called near, standard deviations
    nearest: int
    frequent: tuple[tuple[int, int, int], ...]  # rows that come most often: place, times delivered, times trusted

    @property
    def findings(self) -> list[str]:
        """The keys of figures beyond chance, ``cells`` among them, the surest first: 5 % of clean deliveries have one.

        Holm over the figures, the shares of all cells as one of them.
        """
        own = {"cells": self.shares} | {f.key: f.p for f in self.figures}
        held = dict(zip(own, holm(np.array(list(own.values()))), strict=True))
        return sorted((key for key in own if held[key] <= LEVEL), key=lambda key: held[key])


def audit(
    trusted: Labelled,
    delivered: Labelled,
    groups: Sequence[str],
    classes: Sequence[str],
    *,
    splits: int,
    nearest: int,
    most: int,
    rng: np.random.Generator,
) -> Audit:
    """Returns the figures of delivered rows (m, d) beside trusted ones (n, d), both at least one.

    Args:
        trusted: the reference.
        delivered: the rows that are audited.
        groups: the names of the groups.
        classes: the names of the classes.
        splits: random ones of all rows, at least FEWEST.
        nearest: people whose labels are asked for, at least 1.
        most: rows of both together that are compared with each other; of more a random sample.
        rng: draws samples and splits.
    """
    m = min(len(delivered.y), len(trusted.y), max(1, most // 2))
    n = min(len(trusted.y), max(1, most - m))
    kept = _sample(trusted, n, rng), _sample(delivered, m, rng)
    pool = Pool.of(*kept, len(classes), nearest)
    observed = pool.observed()
    drawn: list[dict[str, Floats]] = [pool.split(part, rng) for part in _parts(splits, pool.room)]
    chance = {key: np.concatenate([of[key] for of in drawn]) for key in KINDS}
    cells = tuple(compare_cells(trusted, delivered, groups, classes))
    return Audit(
        trusted=len(trusted.y),
        delivered=len(delivered.y),
        cells=cells,
        shares=_compare_shares(cells, splits, rng),
        figures=tuple(_figure(key, float(observed[key][0]), chance[key]) for key in KINDS),
        splits=splits,
        sampled=(n, m),
        radius=pool.radius,
        nearest=nearest,
        frequent=tuple(_most_frequent(trusted, delivered)),
    )


def _sample(rows: Labelled, size: int, rng: np.random.Generator) -> Labelled:
    """Returns all rows, or some at random."""
    if size == len(rows.y):
        return rows
    chosen = rng.choice(len(rows.y), size, replace=False)
    return rows.rows(chosen)


def _parts(whole: int, room: int) -> Iterator[int]:
    """Yields sizes of at most ``room``, together the whole."""
    size = max(1, room)
    yield from (min(size, whole - start) for start in range(0, whole, size))


def _figure(key: str, rows: float, chance: Floats) -> Figure:
    low, high = np.quantile(chance, [LEVEL / 2, 1 - LEVEL / 2])
    p = (1 + int((chance >= rows).sum())) / (1 + len(chance))
    permitted = math.floor(LEVEL / (1 + len(KINDS)) * (1 + len(chance))) - 1  # splits that may have as much
    told = 1 + int(np.sort(chance)[-1 - permitted])
    return Figure(key, int(rows), float(chance.mean()), float(low), float(high), told, p)


def holm(p: Floats) -> Floats:
    """Returns p-values (k,) adjusted for all of them (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    held = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    found = np.empty_like(held)
    found[order] = held
    return found


def compare_cells(
    trusted: Labelled, delivered: Labelled, groups: Sequence[str], classes: Sequence[str]
) -> Iterator[Cell]:
    """Yields the rows of each group and label that there are any of, in their order, with Fisher's exact p."""
    size, k = len(groups), len(classes)
    before, after = (count_labels(of.s, of.y, size, k).ravel() for of in (trusted, delivered))
    from scipy.stats import hypergeom  # other commands need not wait for it

    there = np.flatnonzero(before + after)
    n, m = len(trusted.y), len(delivered.y)
    law = hypergeom(n + m, (before + after)[there], m)
    p = np.minimum(1, 2 * np.minimum(law.cdf(after[there]), law.sf(after[there] - 1)))
    for place, of in zip(there.tolist(), holm(p).tolist(), strict=True):
        yield Cell(groups[place // k], classes[place % k], int(before[place]), int(after[place]), of)


def _compare_shares(cells: Sequence[Cell], splits: int, rng: np.random.Generator) -> float:
    """Returns the share of splits whose chi-square over all cells is that of the delivery, or more."""
    after = np.array([cell.delivered for cell in cells])
    every = after + [cell.trusted for cell in cells]
    expected = every * (after.sum() / every.sum())
    drawn = rng.multivariate_hypergeometric(every, after.sum(), splits)
    own, chance = (((of - expected) ** 2 / expected).sum(-1) for of in (after, drawn))
    return (1 + int((chance >= own - SLACK).sum())) / (1 + splits)


def _most_frequent(trusted: Labelled, delivered: Labelled) -> Iterator[tuple[int, int, int]]:
    """Yields the place of a delivered row that comes more than once, its times here and in the reference; 3 at most."""
    tables = (np.column_stack([of.x, of.y]).astype(np.float32) for of in (trusted, delivered))
    before, after = encode_features(*map(torch.from_numpy, tables))
    codes, first, times = np.unique(after, return_index=True, return_counts=True)
    for i in np.argsort(-times, kind="stable")[:3].tolist():
        if times[i] > 1:
            yield int(first[i]), int(times[i]), int((before == codes[i]).sum())


# --- all rows together -----------------------------------------------------------------------------------------


class Neighbours(NamedTuple):
    """For k points those that are nearest to each, in its group, itself first."""

    places: Codes  # (k, l), k where there is none
    distances: Floats  # (k, l), infinite where there is none


@dataclass(frozen=True)
class Pool:
    """All rows together, N = n + m in random order: which of them were delivered is what a split decides.

    Rows of the same features are one point; a split is counted by point and class.
    """

    code: Codes  # (N,), point of each row
    y: Codes  # (N,)
    delivered: NDArray[np.bool_]  # (N,)
    table: Codes  # (c, k + 1), rows of each class and point; none at the last
    around: Neighbours  # of each point, among all
    around_trusted: Neighbours  # of each that a delivered row is at, among those that trusted rows are at
    radius: float
    nearest: int

    @classmethod
    def of(cls, trusted: Labelled, delivered: Labelled, classes: int, nearest: int) -> "Pool":
        """Returns the pool of both files."""
        x, y, s = (np.concatenate(both) for both in zip(trusted, delivered, strict=True))
        told = np.arange(len(y)) >= len(trusted.y)
        (code,) = encode_features(torch.from_numpy(x.astype(np.float32)))
        _, first = np.unique(code, return_index=True)
        table = count_labels(code, y, len(first) + 1, classes).T
        given, kept = np.unique(code[told]), np.unique(code[~told])
        few = nearest + 4 * math.sqrt(nearest) + 4  # of which a split leaves enough, all but surely
        length = min(len(first), math.ceil(few * len(y) / len(trusted.y)))
        every = np.arange(len(first))
        around = find_neighbours(x[first], s[first], every, every, length)
        ends = around.distances[code, 1] if length > 1 else np.full(len(y), math.inf)
        radius = float(np.quantile(ends, NEAR, method="lower"))
        around_trusted = find_neighbours(x[first], s[first], given, kept, length)
        return cls(code, y, told, table, around, around_trusted, radius, nearest)

    @property
    def room(self) -> int:
        """The splits that are made at a time."""
        m, (classes, k) = int(self.delivered.sum()), self.table.shape
        widest = max(m * self.around.places.shape[1] * classes, k * classes, len(self.code))
        return max(1, PART // widest)

    def observed(self) -> dict[str, Floats]:
        """Returns the figures (1,) of the rows that were delivered."""
        return self._count(np.flatnonzero(self.delivered)[None], self.around_trusted)

    def split(self, number: int, rng: np.random.Generator) -> dict[str, Floats]:
        """Returns the figures (b,) of b random splits."""
        m = int(self.delivered.sum())
        chance = rng.random((number, len(self.code)), dtype=np.float32)
        return self._count(np.argpartition(chance, m - 1, axis=1)[:, :m], self.around)

    def _count(self, chosen: Codes, around: Neighbours) -> dict[str, Floats]:
        """Returns the figures (b,) of b sets of rows (b, m), were those delivered and all others trusted."""
        (classes, k), (b, m) = self.table.shape, chosen.shape
        code, y, each = self.code[chosen], self.y[chosen], np.arange(b)[:, None]
        cells = (y * b + each) * k + code
        own = np.bincount(cells.ravel(), minlength=classes * b * k).reshape(classes, b, k)
        rest = (self.table[:, None] - own).astype(np.int32)  # (c, b, k)
        there, same = rest.sum(0)[each, code], rest[y, each, code]
        votes = self._votes(rest, code, around)
        for_it = np.take_along_axis(votes, y[None], 0)[0]
        found: dict[str, Any] = {
            "contradicted": (there > 2 * same).sum(1),
            "disagreeing": (votes.sum(0) > 2 * for_it).sum(1),
            "copies": (same > 0).sum(1),
            "near": (self._has_near(rest, code, around) & (there == 0)).sum(1),
            "repeats": m - (own > 0).sum((0, 2)),
            "most": own.max((0, 2)),
        }
        return {key: of.astype(np.float64) for key, of in found.items()}

    def _votes(self, rest: Counts, code: Codes, around: Neighbours) -> Counts:
        """Returns the labels (c, b, m) of the nearest rows, those as near as the last among them."""
        sums = _take(rest, code, around.places).cumsum(3, dtype=np.int32)  # (c, b, m, l)
        enough = sums.sum(0) >= self.nearest
        last = np.where(enough[..., -1], enough.argmax(2), enough.shape[2] - 1)
        return np.take_along_axis(sums, last[None, ..., None], 3)[..., 0]

    def _has_near(self, rest: Counts, code: Codes, around: Neighbours) -> NDArray[np.bool_]:
        """Returns which rows (b, m) have another point near that a trusted row is at."""
        near = around.distances[:, 1:] <= self.radius * (1 + SLACK) + SLACK
        places = np.where(near, around.places[:, 1:], len(around.places))
        return np.asarray((_take(rest.sum(0, keepdims=True), code, places) > 0).any((0, 3)))


def _take(rest: Counts, code: Codes, places: Codes) -> Counts:
    """Returns the rows (c, b, m, l) at the neighbours (k, l) of points (b, m), of each class and split (c, b, k)."""
    each = np.arange(len(code))[:, None, None] * rest.shape[2]
    return np.take(rest.reshape(len(rest), -1), each + places[code], axis=1)


def find_neighbours(x: Floats, s: Codes, points: Codes, among: Codes, length: int) -> Neighbours:
    """Returns the nearest to some of k points: themselves first, then others of their group.

    Args:
        x: all points, (k, d).
        s: their groups, (k,).
        points: places of those that are asked about; all others have themselves alone.
        among: places of those that are candidates.
        length: places in all, at most, themselves among them.
    """
    every, group, others = torch.from_numpy(x).double(), torch.from_numpy(s), torch.from_numpy(among)
    size = min(length - 1, len(among))
    places = np.repeat(np.arange(len(x))[:, None], 1 + size, 1)
    distances = np.full(places.shape, math.inf)
    distances[:, 0] = 0.0
    for own in torch.from_numpy(points).split(max(1, PART // len(among))) if size else ():
        apart = torch.cdist(every[own], every[others])
        apart.masked_fill_((group[own, None] != group[others]) | (own[:, None] == others), math.inf)
        nearest = apart.topk(size, largest=False)
        distances[own, 1:], places[own, 1:] = nearest.values.numpy(), among[nearest.indices.numpy()]
    return Neighbours(np.where(np.isinf(distances), len(x), places), distances)
