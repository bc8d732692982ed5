"""The dimensions of a space of rows: columns that one parameter decides, as a number or as a choice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from utils.datasets.tabular import Floats


@dataclass(frozen=True)
class Number:
    """A continuous column and the columns that it implies.

    ``write`` makes rows of values, ``read`` values of rows, ``nearest`` the closest rows there are to any numbers.
    """

    name: str
    places: tuple[int, ...]  # of the column, then of those that it implies
    low: float
    high: float
    integer: bool
    cuts: tuple[tuple[float, float], ...] = ()  # of the implied columns, 1 where low <= value < high
    sd: float = 1.0  # the unit of its distances

    @property
    def free(self) -> bool:
        """True where there is more than one value."""
        return self.low < self.high

    @property
    def only(self) -> float:
        """The value where there is one."""
        return self.low

    @cached_property
    def pieces(self) -> Floats:
        """First and last value of each range in which the same columns are implied, (r, 2)."""
        inner = {edge for cut in self.cuts for edge in cut if self.low < edge <= self.high}
        starts = [self.low, *sorted(inner)]
        if self.integer:
            ranges = [(np.ceil(a), np.ceil(b) - 1) for a, b in zip(starts, [*starts[1:], self.high + 1], strict=True)]
        else:
            ends = [*(np.nextafter(edge, -np.inf) for edge in starts[1:]), self.high]
            ranges = list(zip(starts, ends, strict=True))
        return np.array([(first, last) for first, last in ranges if first <= last])

    def write(self, values: Floats) -> Floats:
        """Values (m,) -> rows (m, p); values are rounded and held within the bounds."""
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name}: expected finite numbers, not {values[~np.isfinite(values)][0]}")
        value = np.clip(np.rint(values) if self.integer else values, self.low, self.high)
        return np.stack([value, *((low <= value) & (value < high) for low, high in self.cuts)], 1).astype(np.float64)

    def read(self, rows: Floats) -> Floats:
        """Rows (m, p) -> values (m,)."""
        return rows[:, 0]

    def nearest(self, wanted: Floats) -> Floats:
        """Any numbers (m, p) -> the closest rows (m, p)."""
        value = np.rint(wanted[:, :1]) if self.integer else wanted[:, :1]
        held = np.clip(value, self.pieces[:, 0], self.pieces[:, 1])  # (m, r), the closest in each range
        rows = self.write(held.ravel()).reshape(*held.shape, len(self.places))
        away = (rows - wanted[:, None]) / np.array([self.sd, *(1.0 for _ in self.cuts)])
        return rows[np.arange(len(rows)), np.square(away).sum(-1).argmin(1)]


@dataclass(frozen=True)
class Choice:
    """A column of some levels, or the indicators of an attribute; see ``Number``."""

    name: str
    places: tuple[int, ...]
    values: tuple[float, ...]  # of the parameter
    options: tuple[tuple[float, ...], ...]  # what the columns then hold

    @property
    def free(self) -> bool:
        """True where there is more than one value."""
        return len(self.values) > 1

    @property
    def only(self) -> float:
        """The value where there is one."""
        return self.values[0]

    def write(self, values: Floats) -> Floats:
        """Values (m,) -> rows (m, p). Raises ValueError for one that is no choice."""
        strange: Sequence[float] = values[~np.isin(values, self.values)].tolist()
        if strange:
            raise ValueError(f"{self.name}={strange[0]}: expected one of {', '.join(f'{v:g}' for v in self.values)}")
        return np.array(self.options)[(values[:, None] == np.array(self.values)).argmax(1)]

    def read(self, rows: Floats) -> Floats:
        """Rows (m, p) -> values (m,)."""
        return np.array(self.values)[self._closest(rows)]

    def nearest(self, wanted: Floats) -> Floats:
        """Any numbers (m, p) -> the closest rows (m, p)."""
        return np.array(self.options)[self._closest(wanted)]

    def _closest(self, wanted: Floats) -> Floats:
        return np.square(wanted[:, None] - np.array(self.options)).sum(-1).argmin(1)


Dimension = Number | Choice
