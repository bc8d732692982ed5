"""Declarations of columns beyond kind and levels: whole numbers, bounds of new rows, indicators, implied columns.

The columns of one ``attribute`` are its indicators: exactly one of them is 1 in a row. A ``cut`` is implied by
another column: it is 1 exactly where low <= other < high.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from utils.scms.structure import attributes
from utils.types import Column

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
INDICATOR = (0.0, 1.0)
ROUNDED = 1e-4  # how far a number that single precision has been through may be from the one that is meant


def fill_columns(columns: Sequence[Column], train: Floats) -> tuple[Column, ...]:
    """The columns with what continuous ones leave open: of the rows (n, d) wholeness, min and max."""

    def fill(i: int, c: Column) -> Column:
        values = train[:, i]
        return replace(
            c,
            integer=c.integer or bool((values == np.rint(values)).all()),
            bounds=c.bounds or (float(values.min()), float(values.max())),
        )

    return tuple(fill(i, c) if c.kind == "continuous" else c for i, c in enumerate(columns))


def check(what: str, columns: Sequence[Column]) -> None:
    """Refuses declarations that contradict each other. Raises ValueError, naming ``what`` and the column."""
    kinds = {c.name: c.kind for c in columns}
    if len(kinds) < len(columns):
        twice = [c.name for c in columns if [other.name for other in columns].count(c.name) > 1]
        raise ValueError(
            f"{what}: two columns are named {twice[0]!r}; such are also the names of levels and flags that are made of "
            "other columns. Rename the column or the level, or leave the column out."
        )
    for c in columns:
        if c.texts and len(set(c.texts)) != len(c.levels):
            raise ValueError(
                f"{what}: column {c.name!r} has {len(c.levels)} levels; expected a text of its own of each."
            )
        if c.kind != "continuous" and (c.integer or c.bounds):
            raise ValueError(f"{what}: column {c.name!r} is {c.kind}: integer and bounds are of continuous columns.")
        if c.bounds and not (math.isfinite(c.bounds[0]) and c.bounds[0] <= c.bounds[1] < math.inf):
            raise ValueError(
                f"{what}: column {c.name!r} declares the bounds {c.bounds[0]:g} and {c.bounds[1]:g}; expected two "
                "finite numbers, the lower one first."
            )
        if (c.attribute or c.cut) and (c.kind != "binary" or c.levels != INDICATOR):
            raise ValueError(f"{what}: column {c.name!r} has an attribute or a cut, so it must be binary, of 0 and 1.")
        if c.cut and (kinds.get(c.cut[0]) != "continuous" or not c.cut[1] < c.cut[2]):
            raise ValueError(
                f"{what}: column {c.name!r} declares the cut {c.cut}; expected the name of a continuous column and "
                "two numbers, the lower one first."
            )
    for attribute, places in attributes(columns).items():
        if attribute in kinds:
            raise ValueError(f"{what}: {attribute!r} names an attribute and a column; rename one.")
        of = {"" if cut is None else cut[0] for cut in (columns[i].cut for i in places)}
        if len(of) > 1:
            raise ValueError(f"{what}: the indicators of {attribute!r} must all be cuts of one column, or none a cut.")


def complaints(columns: Sequence[Column], table: Floats, *, bounded: bool) -> Iterator[str]:
    """Yields what in the rows (n, d), natural units, breaks the declarations; with ``bounded`` also their bounds."""
    for i, c in enumerate(columns):
        values = table[:, i]
        for row in np.flatnonzero(~np.isfinite(values)):
            yield f"row {row}: column {c.name!r} holds {values[row]}, not a finite number."
        for row in np.flatnonzero(~np.isin(values, c.levels)) if c.levels else ():
            levels = ", ".join(f"{level:g}" for level in c.levels)
            yield f"row {row}: column {c.name!r} holds {values[row]:g}, but its levels are {levels}."
        for row in np.flatnonzero(values != np.rint(values)) if c.integer else ():
            yield f"row {row}: column {c.name!r} holds {values[row]:g}, but its values are whole numbers."
        low, high = c.bounds if bounded and c.bounds else (-math.inf, math.inf)
        for row in np.flatnonzero((values < low) | (values > high)):
            yield f"row {row}: column {c.name!r} holds {values[row]:g}, outside of {low:g} to {high:g}."
        if c.cut:
            other, low, high = c.cut
            given = table[:, [each.name for each in columns].index(other)]
            for row in np.flatnonzero(values != ((low <= given) & (given < high))):
                yield (
                    f"row {row}: column {c.name!r} holds {values[row]:g} where {other} is {given[row]:g}, but it is 1 "
                    f"exactly where {low:g} <= {other} < {high:g}."
                )
    for attribute, places in attributes(columns).items():
        ones = (table[:, places] == 1).sum(1)
        for row in np.flatnonzero(ones != 1):
            named = ", ".join(columns[i].name for i in places)
            yield f"row {row}: {ones[row]} of the indicators of {attribute!r} ({named}) are 1; expected exactly one."


def outside(columns: Sequence[Column], table: Floats) -> dict[str, Bools]:
    """Returns a mask (n,) of rows (n, d) with values they cannot have, by name of the attribute or discrete column.

    A level that a column does not have; of the indicators of an attribute more or fewer than one 1; a cut that is not
    what its column implies. A continuous column may hold any number. Natural units, up to rounding.
    """
    found: dict[str, Bools] = {}
    for i, c in enumerate(columns):
        if c.kind != "continuous":
            wrong = np.abs(table[:, [i]] - np.array(c.levels)).min(1) > ROUNDED
            if c.cut:
                given = table[:, [each.name for each in columns].index(c.cut[0])] + ROUNDED
                wrong |= (table[:, i] > 0.5) != ((c.cut[1] <= given) & (given < c.cut[2]))
            found[c.attribute or c.name] = found.get(c.attribute or c.name, False) | wrong
    for attribute, places in attributes(columns).items():
        found[attribute] |= np.abs(table[:, places].sum(1) - 1) > ROUNDED
    return found
