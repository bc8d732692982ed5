"""Rows worth adding, by what they are predicted to do: drawn, moved along their gradient, ranked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.poisoning.dimensions import Dimension, Number
from utils.poisoning.features import Rows, Space
from utils.types import Batch

MOVED = 64  # rows that are improved by their gradient
REACH = 0.25  # of a column's range: the first step

Influences = Callable[[Batch], Tensor]  # candidates (c, d) -> what a copy of each adds to the loss of the search (c,)
Slopes = Callable[[Batch], tuple[Tensor, Tensor]]  # -> its derivatives by the features (c, d), and it (c,)


class Ranked(NamedTuple):
    """Distinct valid rows, the one that lowers the loss most first."""

    rows: Rows  # natural units (c, d), labels (c,)
    influence: Tensor  # (c,), what one copy is predicted to add to the loss, < 0 where it lowers it


def ranked(
    space: Space,
    known: Tensor,
    there: Rows,
    influences: Influences,
    slopes: Slopes,
    *,
    near: int,
    anywhere: int,
    steps: int,
    source: np.random.Generator,
) -> Ranked:
    """Drawn feature vectors, and what ``steps`` gradient steps make of the best of them, by their influence.

    Where labels are searched, each is tried with all of them. The rows that are there already are ranked too.

    Args:
        space: the valid rows.
        known: rows whose neighbours are drawn, (n, d), natural units.
        there: rows added so far.
        influences: of rows.
        slopes: of rows.
        near: neighbours.
        anywhere: feature vectors from the whole space.
        steps: projected gradient steps.
        source: of the random numbers.
    """
    labels = torch.arange(space.classes) if space.label is None else torch.tensor([space.label])
    natural = torch.cat([neighbours(space, known, near, source), drawn(space, anywhere, source)])
    rows = Rows(natural.repeat(len(labels), 1), labels.repeat_interleave(len(natural)))
    found = influences(space.batch(rows))
    best = found.argsort(stable=True)[:MOVED]
    moved, better = descended(space, Rows(rows.natural[best], rows.labels[best]), slopes, steps=steps)
    parts = (there, rows, moved)
    every = Rows(torch.cat([part.natural for part in parts]), torch.cat([part.labels for part in parts]))
    return _sorted(every, torch.cat([influences(space.batch(there)), found, better]))


def drawn(space: Space, count: int, source: np.random.Generator) -> Tensor:
    """Valid feature vectors (count, d), natural units: uniform in each dimension of the space."""
    natural = np.empty((count, len(space.columns)))
    for part in space.dimensions:
        natural[:, part.places] = part.write(_values(part, count, source))
    return torch.from_numpy(natural)


def _values(part: Dimension, count: int, source: np.random.Generator) -> np.ndarray:
    if isinstance(part, Number):
        return source.uniform(part.low, part.high, size=count)
    return source.choice(part.values, size=count)


def neighbours(space: Space, known: Tensor, count: int, source: np.random.Generator) -> Tensor:
    """For ``count`` of the rows ``known`` (n, d) the nearest valid one with one dimension drawn anew, natural units."""
    natural = space.snap(known[torch.from_numpy(source.integers(len(known), size=count))]).numpy()
    other, fresh = source.integers(len(space.dimensions), size=count), drawn(space, count, source).numpy()
    for i, part in enumerate(space.dimensions):
        here = np.flatnonzero(other == i)[:, None]
        natural[here, part.places] = fresh[here, part.places]
    return torch.from_numpy(natural)


def descended(space: Space, rows: Rows, slopes: Slopes, *, steps: int) -> tuple[Rows, Tensor]:
    """The best valid rows on the way of ``steps`` projected steps down the slope, and their influences (c,).

    A step goes against the sign of each continuous column's derivative, at first by a quarter of the column's range,
    at last by a ``steps``-th of that. Columns that it implies follow, the others stay.
    """
    numbers = [part for part in space.dimensions if isinstance(part, Number) and part.free]
    slope, best = slopes(space.batch(rows))
    natural, chosen = rows.natural.numpy().copy(), rows.natural
    for step in range(steps):
        length, sign = REACH * (1 - step / steps), slope.nan_to_num().sign().double().cpu().numpy()
        for part in numbers:
            column, width = part.places[0], part.high - part.low
            natural[:, part.places] = part.write(natural[:, column] - length * width * sign[:, column]) + 0.0  # no -0
        slope, found = slopes(space.batch(Rows(torch.from_numpy(natural), rows.labels)))
        chosen = torch.where((found < best).cpu().unsqueeze(1), torch.from_numpy(natural), chosen)
        best = torch.minimum(found, best)
    return Rows(chosen, rows.labels), best


def _sorted(rows: Rows, influence: Tensor) -> Ranked:
    """Distinct rows, that of the lowest influence first."""
    keyed = np.column_stack([rows.natural.numpy(), rows.labels.numpy()])
    influence = influence.double().cpu()
    first = torch.from_numpy(np.sort(np.unique(keyed, axis=0, return_index=True)[1]))
    order = first[influence[first].argsort(stable=True)]
    return Ranked(Rows(rows.natural[order], rows.labels[order]), influence[order])
