"""Splits the rows of a table for training, validation and test: by strata, clusters, a column, in time."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
PARTS = ("train", "valid", "test")
NAMES = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


def stratified(strata: Rows, shares: Sequence[float], rng: np.random.Generator) -> list[Rows]:
    """Parts that hold of every stratum (n,) its share, up to rounding; a stratum of one row trains."""
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    ordered = strata[order]
    _, first, size = np.unique(ordered, return_index=True, return_counts=True)
    place = (np.arange(len(order)) - np.repeat(first, size) + 0.5) / np.repeat(size, size)
    part = np.searchsorted(np.cumsum(shares[:2]), place, side="right")
    return [order[part == i] for i in range(3)]


def clustered(cluster: Rows, shares: Sequence[float], rng: np.random.Generator) -> list[Rows]:
    """Parts that hold clusters (n,) whole, in random order, cut where the rows come nearest to their shares."""
    sizes = np.bincount(cluster)
    order = rng.permutation(len(sizes))
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / len(cluster)
    part_of = np.empty(len(sizes), dtype=np.int64)
    part_of[order] = np.searchsorted(np.cumsum(shares[:2]), middle, side="right")
    return [np.flatnonzero(part_of[cluster] == i) for i in range(3)]


def in_time(time: NDArray[np.float64], shares: Sequence[float]) -> list[Rows]:
    """The earliest rows train, the latest test; rows of one time are in one part, the earlier one."""
    order = np.argsort(time, kind="stable")
    ordered = time[order]
    bounds = [round(len(order) * share) for share in itertools.accumulate(shares[:2])]
    whole = [int(np.searchsorted(ordered, ordered[bound - 1], side="right")) if bound else 0 for bound in bounds]
    return np.split(order, whole)


def by_names(names: Sequence[str], column: str, rows: Sequence[object]) -> list[Rows]:
    """Parts that a column names: train, valid, test. Raises ValueError for another text, naming its one of ``rows``."""
    part = np.array([NAMES.get(name.casefold(), -1) for name in names])
    strange = np.flatnonzero(part < 0)
    if len(strange):
        raise ValueError(
            f"row {rows[strange[0]]}: column {column!r}, which splits the rows, holds {names[strange[0]]!r}; "
            "expected train, valid or test"
        )
    return [np.flatnonzero(part == i) for i in range(3)]
