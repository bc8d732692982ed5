"""Tables, from columns in natural units to a Dataset: checks, split, scaling, groups, fingerprint.

Natural units are double precision, model space is single: the one place where rows change from one to the other is
``standardise``, for training, for rows that are added and for those that a stored model is asked about.
Whatever enters is checked here once; everything behind it trusts the Dataset. Rows are counted from 0, below
the header where there is one.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils import seeding
from utils.datasets import column_rules
from utils.scms.structure import Attribute, sensitive_attributes, topological
from utils.system.console import count
from utils.types import SCM, Batch, Column, Dataset
from utils.words.levels import write_level
from utils.words.near import near

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_ROWS = 10
OTHER = "other"  # the level of none of the indicators that are sensitive, where some are not
FARTHEST = 1e4  # |mean| / deviation of a column whose causal model is in natural units: an error of 1e-3 deviations

Floats = NDArray[np.float64]


class Scaled(Protocol):
    """Anything that knows ``natural = loc + scale * x``, both (d,) float64 on the CPU: a Dataset, a Scaling."""

    @property
    def loc(self) -> Tensor: ...  # noqa: D102

    @property
    def scale(self) -> Tensor: ...  # noqa: D102


class Scaling(NamedTuple):
    """An affine map between model space and natural units, both (d,) float64."""

    loc: Tensor
    scale: Tensor


def natural(scaled: Scaled, x: Tensor) -> Tensor:
    """Model space (..., d) to natural units (..., d), float64 on the CPU."""
    return scaled.loc.double() + scaled.scale.double() * x.cpu().double()


def model_space(scaled: Scaled, values: Tensor) -> Tensor:
    """Natural units (..., d) to model space (..., d), float32 on the device of the values."""
    return standardise(values.cpu(), scaled.loc, scaled.scale).to(values.device)


def names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """A list of names as configurations give it: one name, several, or null for none."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def unknown_name(what: str, name: str, known: Sequence[str]) -> ValueError:
    """The error of a misspelt name, with near misses and the names there are."""
    listed = ", ".join(repr(column) if "," in column else column for column in known)
    return ValueError(f"{what}: there is no column {name!r}{near(name, known)} The columns are: {listed}.")


def mark(
    columns: Sequence[Column], sensitive: str | Sequence[str], actionable: str | Sequence[str] | None
) -> tuple[Column, ...]:
    """The same columns, with the flags of the sensitive and the actionable ones set and all others cleared.

    An attribute stands for all its indicators. Raises ValueError for a name that no column and no attribute has.
    """
    known = [*(c.name for c in columns), *dict.fromkeys(c.attribute for c in columns if c.attribute)]
    for what, listed in (("sensitive", names(sensitive)), ("actionable", names(actionable))):
        for name in listed:
            if name not in known:
                raise unknown_name(f"{what}={list(listed)}", name, known)

    def named(c: Column, listed: tuple[str, ...]) -> bool:
        return c.name in listed or (c.attribute != "" and c.attribute in listed)

    return tuple(
        replace(c, sensitive=named(c, names(sensitive)), actionable=named(c, names(actionable))) for c in columns
    )


def binary(*listed: str, attribute: str = "") -> tuple[Column, ...]:
    """Columns of 0 and 1; with an ``attribute``, its indicators, of which one is 1 in every row."""
    return tuple(Column(name, "binary", levels=(0.0, 1.0), attribute=attribute) for name in listed)


def indicators(attribute: str, texts: Sequence[str]) -> tuple[Column, ...]:
    """The indicators ``attribute=text`` of an attribute that is one of several texts, in their order."""
    return tuple(
        replace(c, texts=("", text))
        for c, text in zip(binary(*(f"{attribute}={t}" for t in texts), attribute=attribute), texts, strict=True)
    )


def continuous(*listed: str) -> tuple[Column, ...]:
    """Columns of real numbers."""
    return tuple(Column(name, "continuous") for name in listed)


def assemble(
    name: str,
    frame: "DataFrame | Mapping[str, Any]",
    y: NDArray[Any],
    *,
    columns: Sequence[Column],
    split: Sequence[float],
    seed: int,
    parents: Mapping[str, Sequence[str]] | None = None,
    scm: SCM | None = None,
    classes: int = 2,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Splits, scales and checks: the one way to make a tabular Dataset.

    ``frame`` holds numbers in natural units, n rows; ``y`` (n,) classes 0..classes-1; ``split`` the fractions of
    train, validation and test, summing to 1, of which validation may be 0. Continuous columns are standardised by
    mean and population standard deviation of the training split (a constant one is only centred), the others stay
    as they are. ``s`` indexes ``levels_product``. ``index`` is the row of the frame, the weights are 1. A true
    ``scm`` in natural units gets its ``loc`` and ``scale``. What continuous columns leave open of ``integer`` and
    ``bounds`` is filled in from the training split; what columns declare must hold of all rows, but for bounds.

    Raises ValueError, naming data set and column, for data that cannot be trained or evaluated on.
    """
    columns = tuple(_with_levels(c) for c in columns)
    check_sensitive(name, columns)
    column_rules.check(f"data set {name}", columns)
    graph = None if parents is None else check_graph(name, columns, parents)
    if scm is not None and scm.names != tuple(c.name for c in columns):
        raise ValueError(f"data set {name}: its SCM is over {scm.names}, not over {tuple(c.name for c in columns)}.")
    table = np.column_stack([_numbers(name, frame, c) for c in columns])
    for complaint in column_rules.complaints(columns, table, bounded=False):
        raise ValueError(f"data set {name}, {complaint}")
    labels = _labels(name, y, len(table), classes)
    s = _groups(name, columns, table)
    parts = split_rows(name, len(table), split, seed)
    if len(np.unique(labels[parts[0]])) < 2:
        raise ValueError(f"data set {name}: the training split holds one class only; use more rows or another seed.")

    loc, scale = _scaling(columns, table[parts[0]])
    columns = column_rules.fill_columns(columns, table[parts[0]])
    shift, spread = torch.from_numpy(loc), torch.from_numpy(scale)
    x = standardise(torch.from_numpy(table), shift, spread)
    rows = Batch(x, torch.from_numpy(labels), torch.from_numpy(s), torch.ones(len(x)), torch.arange(len(x)))
    train, valid, test = (rows.rows(torch.from_numpy(part)) for part in parts)
    return Dataset(
        name=name,
        columns=columns,
        classes=classes,
        groups=group_names(columns),
        train=train,
        valid=valid,
        test=test,
        loc=shift,
        scale=spread,
        fingerprint=fingerprint(columns, [table], labels),
        parents=graph,
        scm=None if scm is None else _in_natural_units(name, scm, columns, shift, spread),
        class_names=tuple(class_names),
    )


def standardise(table: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Natural units (..., d) to model space (..., d), float32; the arithmetic is in double precision."""
    return ((table.double() - loc.double()) / scale.double()).float()


def _in_natural_units(name: str, scm: SCM, columns: Sequence[Column], loc: Tensor, scale: Tensor) -> SCM:
    """The true SCM with the map from model space to its natural units, in the precision of its equations.

    Raises:
        ValueError: a column so far from 0 that this precision would lose more than a thousandth of its deviation.
    """
    farthest = (loc.abs() / scale).tolist()
    for column, far in zip(columns, farthest, strict=True):
        if far > FARTHEST:
            raise ValueError(
                f"data set {name}: column {column.name!r} has a mean of {far:.3g} standard deviations, and its causal "
                f"model computes in single precision, which takes {FARTHEST:g} at most; give column and equation with "
                "another origin"
            )
    return replace(scm, loc=loc.to(scm.loc), scale=scale.to(scm.scale))


def fingerprint(columns: Sequence[Column], rows: Iterable[Floats], labels: NDArray[np.int64]) -> str:
    """The first 16 hex digits of the SHA-256 of column names, all rows (n, d) in parts and labels, before any split."""
    digest = hashlib.sha256(json.dumps([c.name for c in columns]).encode())
    for part in rows:
        digest.update(np.ascontiguousarray(part, "<f8").data)
    digest.update(np.ascontiguousarray(labels, "<i8").tobytes())
    return digest.hexdigest()[:16]


def group_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """Names of the sensitive levels in the order of ``levels_product``: "sex=0,race=1" or "sex=male,race=asian".

    Levels are named by their texts where the columns have any; ``utils.words.levels`` reads such names.
    """
    of_each = (_level_names(columns, attribute) for attribute in sensitive_attributes(columns))
    return tuple(map(",".join, itertools.product(*of_each)))


def _level_names(columns: Sequence[Column], attribute: Attribute) -> list[str]:
    """The names of the levels of one attribute; of indicators that which is 1, or all where none is."""
    own = [columns[i] for i in attribute.places]
    if len(own) == 1 and not own[0].attribute and own[0].texts:
        return [write_level(own[0].name, text) for text in own[0].texts]
    if len(own) == 1 and not own[0].texts:
        return [f"{own[0].name}={level:g}" for level in own[0].levels]
    none = write_level(own[0].attribute, OTHER) if own[0].texts else ",".join(f"{c.name}=0" for c in own)
    ones = [write_level(c.attribute, c.texts[1]) if c.texts else f"{c.name}=1" for c in own]
    return ones if len(ones) == len(attribute.levels) else [none, *ones]


def check_graph(
    name: str, columns: Sequence[Column], parents: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The causal graph as child -> parents in the order of the columns, roots left out.

    Raises ValueError for an unknown column or a cycle.
    """
    known = [c.name for c in columns]
    for child, listed in parents.items():
        for column in (child, *names(listed)):
            if column not in known:
                raise unknown_name(f"data set {name}, graph at {child!r}", column, known)
    graph = {column: names(parents[column]) for column in known if parents.get(column)}
    try:
        topological(graph, tuple(known))
    except ValueError as error:
        raise ValueError(f"data set {name}: {error}") from None
    return graph


def expand(listed: str | Sequence[str], expansion: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of attributes, each replaced by the columns it is encoded as; other names stay, for later checks."""
    return [part for attribute in names(listed) for part in expansion.get(attribute, [attribute])]


def expand_graph(graph: Mapping[str, Sequence[str]], expansion: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same graph over the encoded columns."""
    return {child: expand(graph[given], expansion) for given in graph for child in expand(given, expansion)}


def _with_levels(column: Column) -> Column:
    return replace(column, levels=(0.0, 1.0)) if column.kind == "binary" and not column.levels else column


def check_sensitive(name: str, columns: Sequence[Column]) -> None:
    """Refuses columns without a sensitive attribute of two levels or more. Raises ValueError, naming the data set."""
    if not any(c.sensitive for c in columns):
        known = ", ".join(c.name for c in columns)
        raise ValueError(f"data set {name}: no column is sensitive; name at least one of {known} as sensitive.")
    for c in columns:
        if c.sensitive and c.kind == "continuous":
            raise ValueError(
                f"data set {name}: the sensitive column {c.name!r} is continuous, so it has no finite set of levels; "
                "discretise it or choose another."
            )
        _require_apart(name, c)
        if c.sensitive and len(c.levels) < 2:
            raise ValueError(
                f"data set {name}: the sensitive column {c.name!r} declares the levels {c.levels}; "
                "it needs two or more."
            )


def _require_apart(name: str, column: Column) -> None:
    """Refuses levels that are one number in model space. Raises ValueError."""
    seen: dict[float, float] = {}
    for level in column.levels:
        first = seen.setdefault(float(np.float32(level)), level)
        if first != level:
            raise ValueError(
                f"data set {name}: the levels {first!r} and {level!r} of column {column.name!r} are one number to a "
                "model, which computes in single precision; number the levels 0, 1, 2, ..."
            )


def _numbers(name: str, frame: "DataFrame | Mapping[str, Any]", column: Column) -> Floats:
    """One column of the frame (n,), every number finite and, unless continuous, one of the declared levels."""
    if column.name not in frame:
        raise unknown_name(f"data set {name}", column.name, [str(c) for c in frame])
    try:
        values = np.asarray(frame[column.name], dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"data set {name}: column {column.name!r} does not hold numbers; encode it first.") from None
    refuse_missing(name, column.name, ~(np.abs(values) <= np.finfo(np.float32).max))
    if column.levels:
        strange = np.flatnonzero(~np.isin(values, column.levels))
        if len(strange):
            raise ValueError(
                f"data set {name}: column {column.name!r} holds {values[strange[0]]:g} in row {strange[0]}, "
                f"but its levels are {', '.join(f'{level:g}' for level in column.levels)}."
            )
    return values


def refuse_missing(name: str, column: str, missing: NDArray[np.bool_]) -> None:
    """Raises ValueError if any row is flagged as missing, naming their number and the first."""
    rows = np.flatnonzero(missing)
    if len(rows):
        raise ValueError(
            f"data set {name}: column {column!r} has {len(rows)} missing or infinite value(s), the first in row "
            f"{rows[0]} (counting from 0); fill them in or leave those rows out."
        )


def _labels(name: str, y: NDArray[Any], rows: int, classes: int) -> NDArray[np.int64]:
    if len(y) != rows:
        raise ValueError(f"data set {name}: {count(rows, 'row')} but {count(len(y), 'label')}.")
    require_enough(name, rows)
    labels = np.asarray(y).astype(np.int64)
    if not np.array_equal(labels, y) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"data set {name}: the labels must be whole numbers from 0 to {classes - 1}.")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"data set {name}: every row has the label {labels[0]}; a classifier needs two classes.")
    return labels


def require_enough(name: str, rows: int) -> None:
    """Refuses a table that is too small to be split. Raises ValueError."""
    if rows < FEWEST_ROWS:
        raise ValueError(f"data set {name}: too few rows to split, {rows}; give at least {FEWEST_ROWS}.")


def _groups(name: str, columns: Sequence[Column], table: Floats) -> NDArray[np.int64]:
    """Returns the index (n,) of each row's sensitive levels in ``levels_product``."""
    for attribute in sensitive_attributes(columns):
        own = table[:, attribute.places]
        if (own == own[0]).all():
            i = attribute.places[int(own[0].argmax())]
            raise ValueError(
                f"data set {name}: the sensitive column {columns[i].name!r} is {table[0, i]:g} in every row, so there "
                "are no groups to compare; choose another or use data with both."
            )
    return group_index(columns, table)


def group_index(columns: Sequence[Column], table: Floats) -> NDArray[np.int64]:
    """Returns the index (n,) of the sensitive levels of each row (n, d), natural units, in ``levels_product``."""
    s = np.zeros(len(table), dtype=np.int64)
    for places, levels in sensitive_attributes(columns):
        if len(places) == 1:
            level = (table[:, places] == np.ravel(levels)).argmax(1)
        else:  # the place of the 1 from 1 on, 0 where there is none
            level = (table[:, places] @ np.arange(1, 1 + len(places))).astype(np.int64) - (len(levels) == len(places))
        s = s * len(levels) + level
    return s


def split_rows(name: str, rows: int, split: Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Row numbers of train, validation and test: disjoint, all rows, sizes rounded."""
    fractions = [float(f) for f in split]
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"data set {name}: split={fractions} must be three fractions (train, validation, test), none negative, "
            f"summing to 1, such as [0.64, 0.16, 0.20]; these sum to {sum(fractions):g}."
        )
    bounds = [round(rows * share) for share in itertools.accumulate(fractions[:2])]
    parts = np.split(seeding.rng(seed, "split").permutation(rows), bounds)
    for what, part, fraction in zip(("training", "validation", "test"), parts, fractions, strict=True):
        if not len(part) and (fraction > 0 or what != "validation"):
            raise ValueError(f"data set {name}: split={fractions} leaves no {what} row of {rows}.")
    return parts


def _scaling(columns: Sequence[Column], train: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation (d,) of the continuous columns; 0 and 1 for the others."""
    scaled = np.array([c.kind == "continuous" for c in columns])
    # max = min, not sd = 0: the sd of a repeated .1 is rounding noise, and dividing by it would blow up
    constant = train.max(0) == train.min(0)
    # column by column over contiguous memory, so that a column's figures do not depend on its neighbours
    mean = np.array([np.ascontiguousarray(column).mean() for column in train.T])
    sd = np.array([np.ascontiguousarray(column).std() for column in train.T])
    return np.where(scaled, np.where(constant, train[0], mean), 0.0), np.where(scaled & ~constant, sd, 1.0)
