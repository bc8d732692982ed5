"""A user's own table by its schema, the YAML file that ``python -m evals.look`` writes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils import seeding
from utils.datasets.tabular import Floats, assemble, expand_graph, fingerprint, require_enough, split_rows
from utils.system.console import count, warn_once
from utils.tables.encoding import Block, blocks, encode_block, is_levelled, numbers
from utils.tables.settling import Settled, settle
from utils.tables.splitting import by_names, clustered, in_time, stratified
from utils.tables.suspects import suspects
from utils.tables.table_schema import Rule, TableSchema, from_plain, to_plain
from utils.types import Dataset

Parts = list[NDArray[np.int64]]


def table(*, name: str, path: str, schema: Mapping[str, Any], seed: int) -> Dataset:
    """The data set of the schema in the file at ``path``, whose content is ``schema``.

    Raises ValueError, naming file, column, row and the line of the schema that settles it.
    """
    return build_table(from_plain(schema, path), name=name, where=path, folder=Path(path).parent, seed=seed)


def build_table(schema: TableSchema, *, name: str, where: str, folder: Path | None, seed: int) -> Dataset:
    """The data set of a schema; ``where`` names it in errors, ``folder`` holds its file."""
    settled = settle(schema, where, folder)
    dataset = from_settled(settled, name=name, where=where, seed=seed)
    for remark in settled.remarks:
        warn_once(f"{Path(settled.schema.file.path).name}, {remark}")
    return dataset


def from_settled(settled: Settled, *, name: str, where: str, seed: int) -> Dataset:
    """The data set of a table that has been read."""
    schema, cells, fmt = settled.schema, settled.cells, settled.schema.file
    parts_of = blocks(schema)
    require_enough(name, len(settled.y))
    if not parts_of:
        raise ValueError(f"{where}: no column is left to learn from; give one a type other than ignore")
    encoded = _encode(settled, parts_of, where)
    settled.remarks.extend(suspects(parts_of, encoded, settled.y, settled.cells))
    columns = tuple(column for block in parts_of for column in block.columns)
    weights = _weights(settled, where)
    parts = _split(settled, parts_of, encoded, name, seed)
    _require_classes(settled, parts, where)
    hashed = fingerprint(columns, np.column_stack(encoded), settled.y)
    if weights is not None:
        hashed = hashlib.sha256(f"{hashed}{weights.tolist()}".encode()).hexdigest()[:16]
    schema = _with_medians(schema, cells, parts[0])
    filled = [
        encode_block(Block(b.name, schema.columns[b.name], b.columns), cells[b.name], fmt)
        if schema.columns[b.name].median is not None
        else values
        for b, values in zip(parts_of, encoded, strict=True)
    ]
    frame = dict(zip((c.name for c in columns), np.column_stack(filled).T, strict=True))
    dataset = assemble(
        name,
        frame,
        settled.y,
        columns=columns,
        split=schema.split.shares,
        seed=seed,
        parents=_expand_graph(schema, parts_of, where),
        class_names=settled.classes,
        parts=parts,
        weights=weights,
        index=settled.rows,
        hashed=hashed,
    )
    return replace(dataset, schema=to_plain(schema))


def _encode(settled: Settled, parts_of: Sequence[Block], where: str) -> list[Floats]:
    found = []
    for block in parts_of:
        try:
            found.append(encode_block(block, settled.cells[block.name], settled.schema.file))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    return found


def _with_medians(schema: TableSchema, cells: Any, train: NDArray[np.int64]) -> TableSchema:
    """The schema with the medians of the training rows, by which missing numbers are filled in."""

    def settle_rule(name: str, rule: Rule) -> Rule:
        if rule.missing not in ("median", "median+flag") or is_levelled(rule):
            return rule
        values = numbers(rule, cells[name].iloc[train], schema.file)
        if np.isnan(values).all():
            raise ValueError(f"column {name!r} is missing in every training row, so it has no median; leave it out")
        return rule.model_copy(update={"median": float(np.nanmedian(values))})

    return schema.model_copy(update={"columns": {n: settle_rule(n, r) for n, r in schema.columns.items()}})


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


def _split(settled: Settled, parts_of: Sequence[Block], encoded: Sequence[Floats], name: str, seed: int) -> Parts:
    """Row numbers of training, validation and test, as the schema's split says."""
    split, cells, fmt = settled.schema.split, settled.cells, settled.schema.file
    shares, rng, n = split.shares, seeding.rng(seed, "split"), len(settled.y)
    if split.how == "random":
        return split_rows(name, n, shares, seed)
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        split_rows(name, n, shares, seed)  # says what is wrong with them
    if split.how == "stratified":
        return stratified(_strata(settled, parts_of, encoded), shares, rng)
    if split.column is None:
        raise ValueError(f"data set {name}: split.how={split.how} needs split.column, a column of the file")
    column = cells[split.column]
    if split.how == "cluster":
        return clustered(column.astype("category").cat.codes.to_numpy(np.int64), shares, rng)
    if split.how == "time":
        rule = settled.schema.columns[split.column]
        kind = "date" if rule.type == "date" else "continuous"
        return in_time(numbers(rule.model_copy(update={"type": kind, "as_number": "days"}), column, fmt), shares)
    return by_names([str(text) for text in column], split.column)


def _strata(settled: Settled, parts_of: Sequence[Block], encoded: Sequence[Floats]) -> NDArray[np.int64]:
    """The combination (n,) of class and sensitive levels of each row."""
    strata = settled.y.copy()
    for block, values in zip(parts_of, encoded, strict=True):
        if block.name in settled.schema.sensitive:
            level = values[:, 0] if values.shape[1] == 1 else values.argmax(1)
            strata = strata * (int(np.nan_to_num(level).max()) + 1) + np.nan_to_num(level).astype(np.int64)
    return strata


def _require_classes(settled: Settled, parts: Parts, where: str) -> None:
    """Refuses a split of which a part lacks a class. Raises ValueError."""
    for what, part in zip(("training", "validation", "test"), parts, strict=True):
        present = set(settled.y[part].tolist())
        if len(part) and len(present) < 2:
            lacking = settled.classes[1 - present.pop()]
            rows = int((settled.y == settled.classes.index(lacking)).sum())
            label = settled.schema.label.column
            raise ValueError(
                f"{where}: no {what} row has {label}={lacking}, of which there are {count(rows, 'row')} in all; too "
                "few to train and to judge by: use more rows, split: {how: stratified}, or shares without validation"
            )


def _expand_graph(schema: TableSchema, parts_of: Sequence[Block], where: str) -> dict[str, list[str]] | None:
    """The graph over encoded columns. Raises ValueError where the label is a cause, or a column is left out."""
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
    return expand_graph({child: parents for child, parents in schema.graph.items() if child != label}, expansion)
