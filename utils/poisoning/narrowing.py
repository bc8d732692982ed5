"""The dimensions of new rows: what the schema allows, narrowed by the settings ``bounds`` and ``fixed``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from utils.datasets import column_rules
from utils.datasets.tabular import Floats, unknown_name
from utils.poisoning.dimensions import Choice, Dimension, Number
from utils.types import Column

BOUNDS, FIXED = "attack.poison.bounds", "attack.poison.fixed"


def bounded(columns: Sequence[Column], train: Floats, bounds: Mapping[str, Sequence[float]]) -> tuple[Column, ...]:
    """The columns with the bounds that were asked for, else their own, else those of the rows. Raises ValueError."""
    known = {c.name: c for c in columns}
    for name, given in bounds.items():
        if name not in known:
            raise unknown_name(BOUNDS, name, list(known))
        if known[name].kind != "continuous":
            raise ValueError(f"{BOUNDS}.{name}: the column is {known[name].kind}; to hold it, use {FIXED}.{name}")
        if len(given) != 2 or not -np.inf < given[0] < given[1] < np.inf:
            raise ValueError(
                f"{BOUNDS}.{name}={list(given)}: expected two numbers, the lower one first; for a single one use "
                f"{FIXED}.{name}"
            )
        known[name] = replace(known[name], bounds=(float(given[0]), float(given[1])))
    return tuple(
        replace(c, bounds=(float(values.min()), float(values.max()))) if c.kind == "continuous" and not c.bounds else c
        for c, values in zip(known.values(), train.T, strict=True)
    )


def dimensions(columns: Sequence[Column], scale: Floats, fixed: Mapping[str, float | str]) -> tuple[Dimension, ...]:
    """Returns the dimensions of columns with bounds, in their order; together they decide every column.

    Raises:
        ValueError: a name in ``fixed`` that is none or is implied, a value that new rows cannot hold, bounds without a
            whole number of a column of whole numbers, or in which no indicator of an attribute is 1.
    """
    known = [c.name for c in columns]
    attributes = column_rules.attributes(columns)
    for name in fixed:
        if name not in known and name not in attributes:
            raise unknown_name(FIXED, name, [*known, *attributes])
        implied = columns[known.index(name) if name in known else attributes[name][0]].cut
        if implied:
            raise ValueError(f"{FIXED}.{name}: it follows from {implied[0]}; fix or bound that")
    found: list[Dimension] = []
    for i, c in enumerate(columns):
        if c.kind == "continuous":
            found.append(_number(columns, i, float(scale[i]), fixed))
        elif c.attribute and not c.cut and i == attributes[c.attribute][0]:
            found.append(_indicators(columns, c.attribute, attributes[c.attribute], fixed))
        elif not c.attribute and not c.cut:
            levels = c.levels if c.name not in fixed else (_value(c, fixed),)
            found.append(Choice(c.name, (i,), levels, tuple((level,) for level in levels)))
    _check_cuts(columns, found)
    return tuple(found)


def _number(columns: Sequence[Column], i: int, sd: float, fixed: Mapping[str, float | str]) -> Number:
    c = columns[i]
    assert c.bounds is not None
    low, high = c.bounds
    if c.integer:
        low, high = float(np.ceil(low)), float(np.floor(high))
        if low > high:
            raise ValueError(f"no whole number is between the bounds {c.bounds[0]:g} and {c.bounds[1]:g} of {c.name!r}")
    if c.name in fixed:
        value = _value(c, fixed)
        if not low <= value <= high or (c.integer and value != np.rint(value)):
            raise ValueError(
                f"{FIXED}.{c.name}={value:g}: expected a {'whole ' * c.integer}number from {low:g} to {high:g}; "
                f"attack.poison.bounds.{c.name} sets other bounds"
            )
        low = high = value
    cuts = {j: (each.cut[1], each.cut[2]) for j, each in enumerate(columns) if each.cut and each.cut[0] == c.name}
    return Number(c.name, (i, *cuts), low, high, c.integer, tuple(cuts.values()), sd)


def _value(c: Column, fixed: Mapping[str, float | str]) -> float:
    """The number that a column is fixed at; of a column of levels one of them. Raises ValueError."""
    try:
        value = float(fixed[c.name])
    except ValueError:
        raise ValueError(f"{FIXED}.{c.name}={fixed[c.name]!r}: expected a number") from None
    if c.levels and value not in c.levels:
        levels = ", ".join(f"{level:g}" for level in c.levels)
        raise ValueError(f"{FIXED}.{c.name}={value:g}: the levels of the column are {levels}")
    return value


def _indicators(
    columns: Sequence[Column], attribute: str, places: tuple[int, ...], fixed: Mapping[str, float | str]
) -> Choice:
    """The choice of one of the indicators, less those that are fixed otherwise. Raises ValueError."""
    names = [columns[i].name for i in places]
    kept = [k for k, i in enumerate(places) if names[k] not in fixed or _value(columns[i], fixed) == 1]
    ones = [k for k in kept if names[k] in fixed]
    if attribute in fixed:
        asked = str(fixed[attribute])
        own = {asked, f"{attribute}={asked}", f"{attribute}_{asked}"}
        if not own & set(names):
            raise unknown_name(f"{FIXED}.{attribute}={asked}", asked, names)
        ones += [k for k, name in enumerate(names) if name in own]
    kept = [k for k in kept if all(k == one for one in ones)]
    if not kept:
        raise ValueError(f"{FIXED}: exactly one of the indicators of {attribute!r} ({', '.join(names)}) must be 1")
    eye = np.eye(len(places))
    return Choice(attribute, places, tuple(map(float, kept)), tuple(tuple(eye[k].tolist()) for k in kept))


def _check_cuts(columns: Sequence[Column], found: Sequence[Dimension]) -> None:
    """Refuses bounds of a number in which the indicators that it implies are not exactly one. Raises ValueError."""
    for number in (d for d in found if isinstance(d, Number)):
        for values in _rows_of_pieces(number, len(columns)):
            for attribute, places in column_rules.attributes(columns).items():
                if set(places) <= set(number.places) and values[list(places)].sum() != 1:
                    raise ValueError(
                        f"where {number.name} is {values[number.places[0]]:g}, {values[list(places)].sum():g} of the "
                        f"indicators of {attribute!r} are 1, not one; narrow attack.poison.bounds.{number.name}"
                    )


def _rows_of_pieces(number: Number, width: int) -> Iterator[Floats]:
    for row in number.write(number.pieces[:, 0]):
        whole = np.zeros(width)
        whole[list(number.places)] = row
        yield whole
