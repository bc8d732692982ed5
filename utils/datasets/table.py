"""A user's own table, read by its schema.

The schema is a YAML file that ``python -m evals.look`` writes.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from utils import seeding
from utils.datasets import column_rules
from utils.datasets.tabular import (
    Floats,
    check_graph,
    check_sensitive,
    expand_graph,
    fingerprint,
    group_names,
    require_enough,
    split_rows,
)
from utils.scms.structure import topological
from utils.system.console import count, warn_once
from utils.tables.encoding import Block, Source, blocks, numbers, sources, write_rows
from utils.tables.remarks import flow, rule_line
from utils.tables.settling import Settled, absent, settle, unsaid_favourable
from utils.tables.splitting import by_names, clustered, in_time, stratified
from utils.tables.suspects import suspects
from utils.tables.table_schema import Rule, TableSchema, from_plain, to_plain
from utils.types import Batch, Column, Dataset
from utils.views.short_rows import Places, ShortRows

Parts = list[NDArray[np.int64]]
PART = 1 << 22  # bytes of encoded rows that are written at a time, which a processor keeps at hand
SHORT = 1 << 28  # bytes of all rows written out from which on wide ones are kept in short


def table(*, name: str, path: str, schema: Mapping[str, Any], seed: int) -> Dataset:
    """The data set of the schema in the file at ``path``, whose content is ``schema``.

    Raises ValueError, naming file, column, row and the line of the schema that settles it.
    """
    if not path:
        raise ValueError(f"the rows of dataset={name} were handed over in Python and are kept in no file")
    return build_table(from_plain(schema, path), name=name, where=path, folder=Path(path).parent, seed=seed)


def build_table(schema: TableSchema, *, name: str, where: str, folder: Path | None, seed: int) -> Dataset:
    """The data set of a schema; ``where`` names it in errors, ``folder`` holds its file."""
    settled = settle(schema, where, folder)
    told = {*schema.columns, schema.label.column} >= {*settled.schema.columns}  # by a look, which wrote all of them
    _tell(settled, told=told)  # before what may take long
    dataset = from_settled(settled, name=name, where=where, seed=seed)
    if folder is not None and (open_end := unsaid_favourable(settled)):
        warn_once(f"{Path(where).name}: {open_end}: label: {{favourable: {' or '.join(map(flow, settled.classes))}}}")
    _tell(settled, told=told)
    return dataset


def _tell(settled: Settled, *, told: bool) -> None:
    """Warns, once, of what was found in the file; ``told`` by a look, not of how it was read."""
    for remark in settled.remarks:
        if not (told and remark.read_as):
            warn_once(f"{Path(settled.schema.file.path).name}, {remark}")


def from_settled(settled: Settled, *, name: str, where: str, seed: int, groupless: bool = False) -> Dataset:
    """The data set of a table that has been read; its cells are given free on the way.

    ``groupless`` ones need no sensitive column: all rows are then of one group.
    """
    schema, y = settled.schema, settled.y
    parts_of = blocks(schema)
    require_enough(name, len(y))
    if not parts_of:
        raise ValueError(f"{where}: no column is left to learn from; give one a type other than ignore")
    of = schema_sources(settled, parts_of, where)
    columns = tuple(column for source in of for column in source.columns)
    if not groupless or any(c.sensitive for c in columns):
        check_sensitive(name, columns)
    column_rules.check(f"data set {name}", columns)
    expanded = expand_schema_graph(schema, parts_of, where)
    graph = None if expanded is None else check_graph(name, columns, expanded)
    settled.remarks.extend(suspects(of, y, settled.cells))
    s = group_codes(of)
    weights = _weights(settled, where)
    parts = split_table(settled, s, name, seed)
    require_classes(settled, parts, where)
    settled.cells = settled.cells.iloc[:0]
    short = _in_short(of, len(y))
    hashed = _fingerprint(of, y, weights, short=short)
    schema, of = _with_medians(schema, of, parts[0])
    known = [described for source in of for described in _describe(source, parts[0])]
    loc, scale = (np.array([figures[i] for _, *figures in known]) for i in (0, 1))
    of = _standardised(of, loc, scale)
    write = partial(_short_rows, of) if short else partial(_dense_rows, of)
    train, valid, test = (_batch(write(part), settled, s, weights, part) for part in parts)
    return Dataset(
        name=name,
        columns=tuple(column for column, *_ in known),
        classes=2,
        groups=group_names(columns),
        train=train,
        valid=valid,
        test=test,
        loc=torch.from_numpy(loc),
        scale=torch.from_numpy(scale),
        fingerprint=hashed,
        parents=graph,
        class_names=settled.classes,
        schema=to_plain(schema),
    )


def schema_sources(settled: Settled, parts_of: Sequence[Block], where: str) -> list[Source]:
    """The columns of every attribute in short form. Raises ValueError, naming the schema, for a cell that cannot be."""
    fmt = settled.schema.file
    try:
        return [source for block in parts_of for source in sources(block, settled.cells[block.name], fmt)]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def group_codes(of: Sequence[Source]) -> NDArray[np.int64]:
    """The index (n,) of each row's combination of sensitive levels, as ``group_names`` counts them."""
    s: NDArray[np.int64] = np.zeros(len(of[0].values), dtype=np.int64)
    for source in of:
        if source.columns[0].sensitive:  # one column of two levels, or an indicator for each
            s = s * max(len(source.columns), 2) + source.values
    return s


def _describe(source: Source, train: NDArray[np.int64]) -> list[tuple[Column, float, float]]:
    """The columns with what the training rows tell of them, their mean and standard deviation; 0 and 1 of levels."""
    column = source.columns[0]
    if column.kind != "continuous":
        return [(column, 0.0, 1.0) for column in source.columns]
    values = source.values[train].astype(np.float64)
    (column,) = column_rules.fill_columns([column], values[:, None])
    if values.max() == values.min():  # the deviation of a repeated .1 is rounding noise
        return [(column, float(values[0]), 1.0)]
    return [(column, float(values.mean()), float(values.std()))]


def _standardised(of: Sequence[Source], loc: Floats, scale: Floats) -> list[Source]:
    """The same in model space, by mean and deviation (d,) of every column."""
    ends = itertools.accumulate((len(source.columns) for source in of), initial=0)
    return [source.standardised(loc[place], scale[place]) for source, place in zip(of, ends, strict=False)]


def _batch(
    x: torch.Tensor,
    settled: Settled,
    s: NDArray[np.int64],
    weights: Floats | None,
    part: NDArray[np.int64],
) -> Batch:
    """The rows x of one part."""
    w = torch.ones(len(part)) if weights is None else torch.from_numpy(weights[part]).float()
    labels, groups, index = (torch.from_numpy(values[part]) for values in (settled.y, s, settled.rows))
    return Batch(x, labels, groups, w, index)


def _dense_rows(of: Sequence[Source], part: NDArray[np.int64]) -> torch.Tensor:
    """The rows of one part, of columns in model space."""
    x = np.empty((len(part), _width(of)), dtype=np.float32)
    for rows in _slices(*x.shape):
        write_rows(of, part[rows], x[rows])
    return torch.from_numpy(x)


def _in_short(of: Sequence[Source], n: int) -> bool:
    """Returns whether n rows are so many, and their levels too, that indicators are columns only in rows taken."""
    return 4 * n * _width(of) >= SHORT and _width(of) >= 2 * len(of)


def _short_rows(of: Sequence[Source], part: NDArray[np.int64]) -> ShortRows:
    """The same in short."""
    ends = list(itertools.accumulate((len(source.columns) for source in of), initial=0))
    several = [i for i, source in enumerate(of) if len(source.columns) > 1]
    alone = [i for i, source in enumerate(of) if len(source.columns) == 1]
    flags = [i for i in alone if of[i].columns[0].kind == "binary"]
    numbers = [i for i in alone if i not in flags]
    level = np.uint8 if all(len(of[i].columns) <= 256 for i in several) else np.int32

    def taken(chosen: Sequence[int], dtype: type) -> torch.Tensor:
        out: NDArray[Any] = np.empty((len(part), len(chosen)), dtype=dtype)
        for place, i in enumerate(chosen):
            out[:, place] = of[i].values[part]
        return torch.from_numpy(out)

    def at(chosen: Sequence[int]) -> torch.Tensor:
        return torch.tensor([ends[i] for i in chosen], dtype=torch.int64)

    places = Places(ends[-1], at(numbers), at(flags), at(several), tuple(len(of[i].columns) for i in several))
    return ShortRows(taken(numbers, np.float32), taken(flags, np.uint8), taken(several, level), places)


def _width(of: Sequence[Source]) -> int:
    return sum(len(source.columns) for source in of)


def _slices(n: int, width: int) -> Iterator[slice]:
    """Yields slices of n rows, in all of them, of about ``PART`` bytes each in double precision."""
    size = max(1, PART // (8 * width))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _fingerprint(of: Sequence[Source], y: NDArray[np.int64], weights: Floats | None, *, short: bool) -> str:
    """The fingerprint of ``utils.datasets.tabular``, of the rows as they are in the file, missing ones nan.

    Where rows are kept ``short`` it is of their numbers and levels, attribute by attribute.
    """
    columns = [column for source in of for column in source.columns]
    cells = (source.values.astype(np.float64) for source in of) if short else _in_parts(of, len(y))
    hashed = fingerprint(columns, cells, y)
    return hashed if weights is None else hashlib.sha256(f"{hashed}{weights.tolist()}".encode()).hexdigest()[:16]


def _in_parts(of: Sequence[Source], n: int) -> Iterator[Floats]:
    """Yields the n rows in natural units (k, d), a part at a time, each in the place of the one before."""
    room = np.empty((0, 0))
    for rows in _slices(n, _width(of)):
        room = room[: rows.stop - rows.start] if len(room) else np.empty((rows.stop - rows.start, _width(of)))
        write_rows(of, rows, room)
        yield room


def _with_medians(
    schema: TableSchema, of: Sequence[Source], train: NDArray[np.int64]
) -> tuple[TableSchema, list[Source]]:
    """The schema with the medians of the training rows, and the columns with them in place of what is missing."""
    rules, filled = dict(schema.columns), []
    for source in of:
        rule = rules.get(source.name)
        if not source.coded and rule is not None and rule.missing in ("median", "median+flag"):
            values = source.values[train]
            if np.isnan(values).all():
                raise ValueError(
                    f"column {source.name!r} is missing in every training row, so it has no median; leave it out"
                )
            median = float(np.nanmedian(values))
            rules[source.name] = rule.model_copy(update={"median": median})
            source = source._replace(values=np.where(source.missing(), median, source.values))
        filled.append(source)
    return schema.model_copy(update={"columns": rules}), filled


def _weights(settled: Settled, where: str) -> Floats | None:
    """The weights (n,) of the rows in the loss. Raises ValueError unless all are positive numbers."""
    column = settled.schema.weights
    if column is None:
        return None
    values = numbers(Rule(type="continuous"), settled.cells[column], settled.schema.file)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise ValueError(
            f"{where}, weights: column {column!r} holds {values[wrong[0]]:g} in row {settled.rows[wrong[0]]}; expected "
            "numbers above 0"
        )
    return values / values.mean()


def split_table(settled: Settled, s: NDArray[np.int64], name: str, seed: int) -> Parts:
    """Row numbers of training, validation and test, as the schema's split says, each in random order.

    So the first of many rows are a sample of them, as which figures take them where all would be too many.
    """
    shares = settled.schema.split.shares
    if settled.schema.split.how == "random" or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        return split_rows(name, len(settled.y), shares, seed)  # which says what is wrong with them
    shuffle = seeding.rng(seed, "order of the parts").permutation
    return [shuffle(part) for part in _split_by_schema(settled, s, name, seed)]


def _split_by_schema(settled: Settled, s: NDArray[np.int64], name: str, seed: int) -> Parts:
    split, cells, fmt = settled.schema.split, settled.cells, settled.schema.file
    shares, rng = split.shares, seeding.rng(seed, "split")
    if split.how == "stratified":
        return stratified(2 * s + settled.y, shares, rng)
    if split.column is None:
        raise ValueError(f"data set {name}: split.how={split.how} needs split.column, a column of the file")
    column = cells[split.column]
    rule = settled.schema.columns[split.column]
    if rule.missing != "level" and (missing := absent(rule, column, fmt)).any():
        raise ValueError(
            f"data set {name}: split.column {split.column!r} is missing in {count(int(missing.sum()), 'row')}, the "
            f"first is row {column.index[missing][0]}, which belong to no part; fill them in, or leave these rows "
            f"out, {rule_line(split.column, rule, missing='drop')}"
        )
    if split.how == "cluster":
        return clustered(column.astype("category").cat.codes.to_numpy(np.int64), shares, rng)
    if split.how == "time":
        kind = "date" if rule.type == "date" else "continuous"
        return in_time(numbers(rule.model_copy(update={"type": kind, "as_number": "days"}), column, fmt), shares)
    return by_names([str(text) for text in column], split.column, column.index)


def require_classes(settled: Settled, parts: Parts, where: str) -> None:
    """Refuses a split of which a part lacks a class. Raises ValueError."""
    split = settled.schema.split
    for what, part, share in zip(("training", "validation", "test"), parts, split.shares, strict=True):
        if not len(part) and (share > 0 if split.how != "column" else what != "validation"):
            of = f" by {split.column!r}" if split.how in ("column", "cluster", "time") else ""
            raise ValueError(
                f"{where}: split.how={split.how}{of} leaves no {what} row; split otherwise, or take more rows"
            )
        present = set(settled.y[part].tolist())
        if len(part) and len(present) < 2:
            lacking = settled.classes[1 - present.pop()]
            rows = int((settled.y == settled.classes.index(lacking)).sum())
            label = settled.schema.label.column
            raise ValueError(
                f"{where}: no {what} row has {label}={lacking}, of which there are {count(rows, 'row')} in all; too "
                "few to train and to judge by: use more rows, split: {how: stratified}, or shares without validation"
            )


def expand_schema_graph(schema: TableSchema, parts_of: Sequence[Block], where: str) -> dict[str, list[str]] | None:
    """The graph over encoded columns. Raises ValueError for a label that is a cause, a column left out, a cycle."""
    if schema.graph is None:
        return None
    expansion = {block.name: [column.name for column in block.columns] for block in parts_of}
    label = schema.label.column
    for child, parents in schema.graph.items():
        if label in parents:
            raise ValueError(f"{where}, graph: {label!r}, the label, is a cause of {child!r}; it may be an effect only")
        left_out = [name for name in (child, *parents) if name not in expansion and name != label]
        if left_out:
            raise ValueError(
                f"{where}, graph: {left_out[0]!r} is left out of the model (columns.{left_out[0]}); leave it out here"
            )
    kept = {child: parents for child, parents in schema.graph.items() if child != label}
    try:
        topological(kept, tuple(expansion))  # in the names of the schema, not of the encoded columns
    except ValueError as error:
        raise ValueError(f"{where}, graph: {error}") from None
    return expand_graph(kept, expansion)
