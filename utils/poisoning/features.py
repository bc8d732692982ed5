"""The rows that may be added to a table: from its schema to the free parameters of one row, and back.

What a column may hold is in the schema (``utils.types.Column``). A continuous column is a number within its bounds,
rounded where it holds whole numbers; a 0/1 or categorical column is a choice of its levels; the indicators of an
attribute are one choice, named after the attribute; columns that another implies are computed from it, and are no
parameters. So every point is a valid row, and rounding comes before anything is evaluated: the row that is evaluated
is the row that is added. Where a space is ``spread``, a point stands for the training rows that are nearest to it, each
moved into the space.

Two settings of a poisoner narrow the space, both mappings, ``{}`` for none: ``attack.poison.bounds``, a continuous
column to the lowest and the highest number of new rows in natural units, in place of those of the schema; and
``attack.poison.fixed``, a column to the number that all new rows hold, or an attribute to one of its indicators,
by its column (``race: race_caucasian``) or, where columns are ``attribute=value``, by its value (``purpose: A43``).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.datasets import column_rules
from utils.datasets.tabular import Floats, Scaling, group_index, model_space, natural
from utils.poisoning.dimensions import Dimension, Number
from utils.poisoning.narrowing import FIXED, bounded, dimensions
from utils.types import Batch, Column

OWN = ("label", "copies")  # parameters that are no columns


class Parameter(NamedTuple):
    """One dimension of a search; numbers from ``low`` to ``high``, both included, or one of the ``choices``."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float
    high: float
    choices: tuple[float, ...] = ()  # levels of a column, places of an attribute's indicators from 0, or classes
    log: bool = False

    def valid(self, value: float) -> float:
        """Returns the nearest number that it may be; of a choice the value itself."""
        if self.kind == "choice":
            return value
        value = min(max(value, self.low), self.high)
        return round(value) if self.kind == "int" else float(value)

    def at(self, u: float) -> float:
        """Returns the value at u in [0, 1), by which it is uniform, in its logarithm where it says so."""
        if self.kind == "choice":
            return self.choices[int(u * len(self.choices))]
        low, high = self.line
        value = low + u * (high - low)
        return self.valid(math.exp(value) if self.log else value)

    @property
    def line(self) -> tuple[float, float]:
        """The ends of the line that its numbers are on, logarithms where it says so; of no choice."""
        half = 0.5 if self.kind == "int" else 0.0  # every whole number has the same share of the line
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)


class Rows(NamedTuple):
    """Rows in natural units with their classes."""

    natural: Tensor  # (m, d) float64
    labels: Tensor  # (m,) int64


@dataclass(frozen=True)
class Space:
    """All rows that may be added; see the module."""

    columns: tuple[Column, ...]  # with the bounds of new rows
    dimensions: tuple[Dimension, ...]  # together all columns
    loc: Tensor  # (d,) float64: natural units = loc + scale * x
    scale: Tensor  # (d,) float64
    like: Tensor  # of the device of the training rows
    label: int | None  # of all new rows; None where it is searched
    classes: int
    copies: int  # most copies of a row
    pool: Floats | None  # (n, d) training rows, as near as the space has them, that stand for copies; natural units

    @classmethod
    def of(
        cls,
        columns: Sequence[Column],
        train: Batch,
        loc: Tensor,
        scale: Tensor,
        *,
        label: int | None,
        classes: int,
        copies: int,
        spread: bool,
        bounds: Mapping[str, Sequence[float]],
        fixed: Mapping[str, float | str],
    ) -> "Space":
        """The space of new rows beside the training rows, which bound columns without bounds of their own.

        Args:
            columns: the schema.
            train: the training rows, model space.
            loc: of the data set, (d,) float64.
            scale: the same.
            label: class of all new rows, or None to search it.
            classes: how many there are.
            copies: how often a row may be added, at most.
            spread: add in place of copies as many training rows like the row, of its group.
            bounds: column -> [low, high] in place of the schema's.
            fixed: column -> number, or attribute -> indicator, of all new rows.

        Raises:
            ValueError: data without columns; a name that is none, with near misses; bounds, values, a label or copies
                out of their range; or bounds that hold rows which no indicator of an attribute allows.
        """
        if not columns:
            raise ValueError(
                "poisoning adds rows to a table, and images have no columns; choose a data set of columns, such as "
                "dataset=compas_two_years"
            )
        if label is not None and label not in range(classes):
            raise ValueError(
                f"attack.poison.label={label!r}: expected search, or a class, a whole number from 0 to {classes - 1}"
            )
        if copies < 1:
            raise ValueError(f"attack.poison.copies={copies}: expected a whole number, 1 or more")
        table = natural(Scaling(loc, scale), train.x.detach())
        columns = bounded(columns, table.numpy(), bounds)
        made = dimensions(columns, scale.numpy(), fixed)
        for name in (d.name for d in made if d.name in OWN):
            raise ValueError(
                f"a column or attribute has the name {name!r}, which a poisoner's own parameter has; rename it"
            )
        space = cls(columns, made, loc, scale, train.x.new_zeros(0), label, classes, copies, None)
        return replace(space, pool=space.snap(table).numpy()) if spread else space

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of one row: free columns and attributes in their order, "label", "copies" where above 1."""
        found = [_parameter(d) for d in self.dimensions if d.free]
        if self.label is None:
            found.append(Parameter("label", "choice", 0, self.classes - 1, tuple(map(float, range(self.classes)))))
        if self.copies > 1:
            found.append(Parameter("copies", "int", 1, self.copies, log=True))
        return tuple(found)

    def rows(self, points: Sequence[Mapping[str, float]]) -> Rows:
        """The rows at some points, each as often as its copies say, side by side: m in all, valid ones.

        Where they are ``spread``, a point stands for the training rows of its group that are nearest to it, as many as
        its copies, with its class: those of the first one again where the group has fewer.

        Numbers outside of their bounds are taken for the bounds. Raises ValueError for a point that lacks a parameter,
        or holds a choice that there is not.
        """
        for point in points:
            if missing := [p.name for p in self.parameters if p.name not in point]:
                raise ValueError(f"a point lacks {', '.join(missing)}")
        table = np.empty((len(points), len(self.columns)))
        for d in self.dimensions:
            given = np.array([point[d.name] if d.free else d.only for point in points], dtype=np.float64)
            table[:, d.places] = d.write(given)
        labels = [self.label if self.label is not None else self._class(point["label"]) for point in points]
        copies = [self._copies(point.get("copies", 1)) for point in points]
        natural = np.repeat(table, copies, 0) if self.pool is None else self._around(self.pool, table, copies)
        return Rows(torch.from_numpy(natural), torch.tensor(np.repeat(labels, copies), dtype=torch.int64))

    def _around(self, pool: Floats, table: Floats, copies: Sequence[int]) -> Floats:
        """Returns the nearest rows of the pool to each row of a table, in standard deviations, of its group if any."""
        scale = self.scale.numpy()
        groups = group_index(self.columns, pool)
        found = [pool[:0]]
        for row, group, k in zip(table, group_index(self.columns, table), copies, strict=True):
            own = np.flatnonzero(groups == group)
            own = own if len(own) else np.arange(len(pool))
            nearest = own[np.argsort((((pool[own] - row) / scale) ** 2).sum(1), kind="stable")[:k]]
            found.append(pool[np.resize(nearest, k)])
        return np.concatenate(found)

    def point(self, natural: Tensor, label: int) -> dict[str, float]:
        """The point of one row (d,) of the space, to be added once. Raises ValueError where the space lacks it."""
        table = natural.detach().double().cpu().numpy()[None]
        if wrong := self.complaints(natural[None]):
            raise ValueError(f"no row of the space: {wrong[0]}")
        found = {d.name: float(d.read(table[:, d.places])[0]) for d in self.dimensions if d.free}
        if self.label is None:
            found["label"] = float(self._class(label))
        elif label != self.label:
            raise ValueError(f"no row of the space: its class is {label}, but all new rows are of {self.label}")
        return found | ({"copies": 1.0} if self.copies > 1 else {})

    def batch(self, rows: Rows) -> Batch:
        """The rows in model space, scaled and grouped as those of the data set are; index -1, -2, ..., weight 1."""
        return to_batch(self.columns, self.loc, self.scale, rows, self.like)

    def snap(self, natural: Tensor) -> Tensor:
        """The nearest rows (m, d) of the space to any numbers (m, d), natural units, in double precision.

        Nearest in the sum of squared differences, those of continuous columns in standard deviations.
        """
        table = natural.detach().double().cpu().numpy()
        found = np.empty_like(table)
        for d in self.dimensions:
            found[:, d.places] = d.nearest(table[:, d.places])
        return torch.from_numpy(found).to(natural.device)

    def complaints(self, natural: Tensor) -> list[str]:
        """Says why rows (m, d) are not in the space, each "row 3: ..."; none where all are."""
        wrong = valid(self.columns, natural)
        other = (self.snap(natural) != natural.double()).any(1).nonzero().flatten().tolist()
        return wrong or [f"row {row}: {FIXED} rules it out" for row in other]

    def _class(self, label: float) -> int:
        if label not in range(self.classes):
            raise ValueError(f"label={label}: expected a class, a whole number from 0 to {self.classes - 1}")
        return int(label)

    def _copies(self, copies: float) -> int:
        return int(np.clip(np.rint(copies), 1, self.copies))


def valid(columns: Sequence[Column], natural: Tensor) -> list[str]:
    """Lists what new rows (m, d), natural units, break of the schema, each "row 3: ..."; none where they are valid."""
    return list(column_rules.complaints(columns, natural.detach().double().cpu().numpy(), bounded=True))


def exact(columns: Sequence[Column], values: Tensor) -> Tensor:
    """Natural units (m, d) without what scaling has left of whole numbers and levels."""
    found = values.clone()
    for i, c in enumerate(columns):
        if c.integer:
            found[:, i] = values[:, i].round()
        elif c.levels:
            levels = values.new_tensor(c.levels)
            found[:, i] = levels[(values[:, i : i + 1] - levels).abs().argmin(1)]
    return found


def to_batch(columns: Sequence[Column], loc: Tensor, scale: Tensor, rows: Rows, like: Tensor) -> Batch:
    """Rows in model space as ``utils.datasets.tabular.assemble`` makes them, bit for bit, on the device of ``like``.

    Their index is -1, -2, ..., their weight 1.
    """
    table = rows.natural.double().cpu().numpy()
    x = model_space(Scaling(loc, scale), torch.from_numpy(table))
    s = torch.from_numpy(group_index(columns, table))
    return Batch(x, rows.labels.cpu(), s, torch.ones(len(x)), -1 - torch.arange(len(x))).to(like.device)


def _parameter(d: Dimension) -> Parameter:
    if isinstance(d, Number):
        return Parameter(d.name, "int" if d.integer else "float", d.low, d.high)
    return Parameter(d.name, "choice", min(d.values), max(d.values), d.values)
