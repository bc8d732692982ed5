"""The figures of a table: what each column holds, what is missing in which group, rows by group and class."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.datasets.table import expand_schema_graph, group_codes, require_classes, schema_sources, split_table
from utils.datasets.tabular import check_graph, require_enough
from utils.tables.drafting import Draft
from utils.tables.encoding import (
    blocks,
    codes,
    is_feature,
    is_levelled,
    level_names,
    numbers,
)
from utils.tables.remarks import Remark, flow, label_line
from utils.tables.settling import Settled, absent, unsaid_favourable
from utils.tables.suspects import suspects
from utils.tables.table_schema import NUMERIC, FileFormat, Rule, TableSchema

SHOWN = 12  # levels of a column that are counted one by one
BINS = 20  # of a histogram
MOST_CLASSES = 6  # values of a label that are counted one by one
MOST_CELLS = 200  # groups that are listed, combinations without rows among them; of more the smallest

Codes = NDArray[np.int64]


class Attribute(NamedTuple):
    """A sensitive column: its groups, and the group (n,) of each row."""

    name: str
    texts: tuple[str, ...]
    code: Codes


@dataclass(frozen=True)
class Numbers:
    """The finite numbers of a column."""

    low: float
    median: float
    high: float
    counts: tuple[int, ...]  # of equally wide intervals from low to high


@dataclass(frozen=True)
class Missing:
    """The rows of a group of an attribute in which a column is missing."""

    attribute: str
    group: str
    missing: int
    rows: int

    @property
    def share(self) -> float:
        """The part of the group's rows, which are some."""
        return self.missing / self.rows


@dataclass(frozen=True)
class ColumnFacts:
    """One column."""

    name: str
    rule: Rule
    reason: str
    role: str  # sensitive, label, feature, left out, or what else the schema uses it for
    levels: tuple[tuple[str, int], ...]  # with their rows, the most frequent ones where there are many
    n_levels: int
    numbers: Numbers | None
    missing: int
    missing_by: tuple[Missing, ...]  # none where nothing is missing; the attribute with the widest gap first

    @property
    def gap(self) -> float:
        """The widest difference between the groups of one attribute in how often the column is missing."""
        by = [list(groups) for _, groups in itertools.groupby(self.missing_by, lambda m: m.attribute)]
        return max(map(_gap, by), default=0.0)

    @property
    def spread(self) -> str:
        """``3.1 % (sex=m) to 8.0 % (sex=f), 2.0 % (age=under 30) to 4.5 % (age=30 and over)``."""
        by = [list(groups) for _, groups in itertools.groupby(self.missing_by, lambda m: m.attribute)]
        ends = [(min(g, key=lambda m: m.share), max(g, key=lambda m: m.share)) for g in by]
        return ", ".join(
            f"{100 * low.share:.1f} % ({low.group}) to {100 * high.share:.1f} % ({high.group})" for low, high in ends
        )


@dataclass(frozen=True)
class Group:
    """The rows of one group, by class."""

    name: str
    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """All rows of the group."""
        return sum(self.counts)

    @property
    def rate(self) -> float:
        """The share of the last class, nan without rows."""
        return self.counts[-1] / self.rows if self.rows else math.nan


@dataclass(frozen=True)
class Facts:
    """A table."""

    file: str
    rows: int  # of the file
    format: FileFormat
    label: str
    classes: tuple[str, ...]  # class 1 last
    favourable: bool  # the owner says that class 1 is good for the person
    columns: tuple[ColumnFacts, ...]
    whole: Group  # the rows that are used
    alone: tuple[tuple[Group, ...], ...]  # the groups of each sensitive attribute
    combined: tuple[Group, ...]  # of all of them together; none where there is one attribute
    suspects: tuple[Remark, ...]
    decisions: tuple[Remark, ...]
    refusals: tuple[str, ...]  # sentences by which training refuses the table until they are settled
    graph: Mapping[str, Sequence[str]] | None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups that are told apart."""
        return self.combined or tuple(itertools.chain(*self.alone))

    @property
    def features(self) -> int:
        """Columns that enter the model."""
        return sum(column.role in ("feature", "sensitive") for column in self.columns)

    @property
    def left_out(self) -> tuple[ColumnFacts, ...]:
        """Columns that do not enter the model and that nothing else uses."""
        return tuple(column for column in self.columns if column.role == "left out")

    @property
    def open(self) -> tuple[Remark, ...]:
        """The suspects but for what is left out already, and for how the file was read."""
        names = {column.name for column in self.left_out}
        return tuple(r for r in self.suspects if r.column not in names and not r.read_as)

    @property
    def read_as(self) -> str:
        """The ways in which the file was read, in one sentence; "" where it was as it stands."""
        of: dict[str, list[str]] = {}
        for remark in self.suspects:
            if remark.read_as:
                of.setdefault(remark.text.partition(": ")[0] if remark.column else remark.text, []).append(
                    remark.column
                )
        return "; ".join(f"{text} in {', '.join(names)}" if all(names) else text for text, names in of.items())

    def remarks_on(self, column: str) -> tuple[Remark, ...]:
        """The suspects of one column."""
        return tuple(r for r in self.suspects if r.column == column and not r.read_as)

    def smallest(self) -> tuple[int, str, str]:
        """Rows, group and class of the smallest cell."""
        return min(
            (rows, group.name, name)
            for group in self.groups
            for rows, name in zip(group.counts, self.classes, strict=True)
        )


def measure(draft: Draft, rows: int, name: str) -> Facts:
    """The figures of a drafted table of ``rows`` rows in its file; ``name`` is that of the schema, for refusals."""
    settled = draft.settled
    y, classes = _classes(draft)
    attributes = [
        Attribute(n, level_names(rule), codes(rule, settled.cells[n], settled.schema.file))
        for n in settled.schema.sensitive
        if is_levelled(rule := settled.schema.columns[n])
    ]
    refusals, found = _try(settled, name) if not draft.refusals else ([], [])
    schema = settled.schema
    return Facts(
        file=Path(schema.file.path).name,
        rows=rows,
        format=schema.file,
        label=schema.label.column,
        classes=classes,
        favourable=schema.label.favourable is not None,
        columns=tuple(_column(settled, n, attributes) for n in schema.columns),
        whole=Group("all rows", tuple(np.bincount(y, minlength=len(classes)).tolist())),
        alone=tuple(_count([f"{own.name}={text}" for text in own.texts], own.code, y, classes) for own in attributes),
        combined=_combine(attributes, y, classes) if len(attributes) > 1 else (),
        suspects=tuple(dict.fromkeys([*found, *settled.remarks])),
        decisions=(*_favourable(settled, classes), *draft.decisions),
        refusals=(*draft.refusals, *refusals),
        graph=schema.graph,
    )


def _classes(draft: Draft) -> tuple[Codes, tuple[str, ...]]:
    """The value (n,) of the label in each row, and the texts of the values; of very many one against the others."""
    settled = draft.settled
    if len(draft.classes) <= 2:
        return settled.y, settled.classes
    if len(draft.classes) > MOST_CLASSES:
        return settled.y, ("the others", settled.classes[1])
    label = draft.schema.label
    rule = draft.schema.columns.get(label.column, Rule(type="binary"))
    every = Rule(type="categorical", levels=draft.classes, merge={**rule.merge, **label.merge})
    return codes(every, settled.cells[label.column], settled.schema.file), draft.classes


def _favourable(settled: Settled, classes: Sequence[str]) -> Iterator[Remark]:
    """Yields that nobody says which of two classes is good for a person."""
    label, open_end = settled.schema.label, unsaid_favourable(settled)
    if open_end and len(classes) == 2:
        either = " or ".join(map(flow, classes))
        text = f"{open_end}, so rates are about {classes[1]}; favourable: {either}, whichever is good for the person"
        yield Remark(label.column, text, label_line(label, favourable=classes[1]))


def _count(names: Sequence[str], code: Codes, y: Codes, classes: Sequence[str]) -> tuple[Group, ...]:
    """The rows of each group, by class."""
    k = len(classes)
    counts = np.bincount(code * k + y, minlength=len(names) * k).reshape(-1, k)
    return tuple(Group(name, tuple(row.tolist())) for name, row in zip(names, counts, strict=True))


def _combine(attributes: Sequence[Attribute], y: Codes, classes: Sequence[str]) -> tuple[Group, ...]:
    """The combinations of all sensitive attributes, those without rows too unless there are very many."""
    sizes = tuple(len(own.texts) for own in attributes)
    code = np.ravel_multi_index(tuple(own.code for own in attributes), sizes)
    present = np.arange(math.prod(sizes)) if math.prod(sizes) <= MOST_CELLS else np.unique(code)
    places = zip(*np.unravel_index(present, sizes), strict=True)
    names = [", ".join(f"{own.name}={own.texts[i]}" for own, i in zip(attributes, of, strict=True)) for of in places]
    return _count(names, np.searchsorted(present, code), y, classes)


# --- Columns ---------------------------------------------------------------------------------------------------


def _column(settled: Settled, name: str, attributes: Sequence[Attribute]) -> ColumnFacts:
    schema, cells = settled.schema, settled.cells[name]
    rule, reason = schema.columns[name], settled.reasons.get(name, "")
    missing = absent(rule, cells, schema.file)
    by = _widest_first(_missing_by([a for a in attributes if a.name != name], missing)) if missing.any() else ()
    by_code = bool(rule.bins or (rule.levels and len(rule.levels) <= SHOWN))
    levels, n_levels = _coded(rule, cells, schema.file) if by_code else _levels(rule, cells, missing)
    held = _numbers(rule, cells, schema.file)
    return ColumnFacts(name, rule, reason, _role(schema, name), levels, n_levels, held, int(missing.sum()), by)


def _widest_first(found: Iterable[Missing]) -> tuple[Missing, ...]:
    """The groups, those of the attribute first whose groups differ most."""
    by = [tuple(groups) for _, groups in itertools.groupby(found, lambda m: m.attribute)]
    return tuple(itertools.chain(*sorted(by, key=lambda groups: -_gap(groups))))


def _gap(groups: Sequence[Missing]) -> float:
    shares = [group.share for group in groups]
    return max(shares) - min(shares)


def _missing_by(attributes: Sequence[Attribute], missing: NDArray[np.bool_]) -> Iterator[Missing]:
    """Yields the rows of each group in which a column is missing; of very many groups none."""
    for own in attributes:
        if len(own.texts) <= MOST_CELLS:
            rows, lacking = (np.bincount(code, minlength=len(own.texts)) for code in (own.code, own.code[missing]))
            for text, k, n in zip(own.texts, lacking.tolist(), rows.tolist(), strict=True):
                if n:
                    yield Missing(own.name, f"{own.name}={text}", k, n)


def _role(schema: TableSchema, name: str) -> str:
    if name == schema.label.column:
        return "label"
    if name == schema.weights:
        return "weight"
    if not is_feature(schema, name, schema.columns[name]):
        return "split" if name == schema.split.column else "left out"
    return "sensitive" if name in schema.sensitive else "feature"


def _levels(
    rule: Rule, cells: "pd.Series[object]", missing: NDArray[np.bool_]
) -> tuple[tuple[tuple[str, int], ...], int]:
    """The texts of a column, merged, with their rows, and how many there are; none of numbers."""
    if not isinstance(cells.dtype, pd.CategoricalDtype) or rule.type in NUMERIC:
        return (), 0
    code = cells.cat.codes.to_numpy()[~missing]
    counts = np.bincount(code, minlength=len(cells.cat.categories))
    meant = {text: level for level, texts in rule.merge.items() for text in texts}
    of: dict[str, int] = {}
    for place in np.flatnonzero(counts):
        text = str(cells.cat.categories[place])
        of[meant.get(text, text)] = of.get(meant.get(text, text), 0) + int(counts[place])
    order = sorted(of, key=lambda text: -of[text])[:SHOWN]
    return tuple((text, of.get(text, 0)) for text in order), len(rule.levels or of)


def _coded(rule: Rule, cells: "pd.Series[object]", fmt: FileFormat) -> tuple[tuple[tuple[str, int], ...], int]:
    """The few levels of a column, or the groups that it is cut into, with their rows, frequent ones first."""
    names = level_names(rule.model_copy(update={"missing": "refuse"}))
    code = codes(rule, cells, fmt)
    counts = np.bincount(code[code >= 0], minlength=len(names))[: len(names)].tolist()
    found = tuple(zip(names, counts, strict=True))
    in_order = rule.bins or rule.type == "ordered" or len(names) <= 3
    return found if in_order else tuple(sorted(found, key=lambda level: -level[1])), len(names)


def _numbers(rule: Rule, cells: "pd.Series[object]", fmt: FileFormat) -> Numbers | None:
    """The numbers of a column, None where it has none."""
    if rule.type not in NUMERIC and not pd.api.types.is_numeric_dtype(cells):
        return None
    values = numbers(rule.model_copy(update={"type": "continuous"}), cells, fmt)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    counts, _ = np.histogram(values, bins=BINS)
    return Numbers(float(values.min()), float(np.median(values)), float(values.max()), tuple(counts.tolist()))


# --- What training would say -----------------------------------------------------------------------------------


def _try(settled: Settled, name: str) -> tuple[list[str], list[Remark]]:
    """The sentences by which training refuses the table, and remarks on its columns."""
    schema, parts_of = settled.schema, blocks(settled.schema)
    try:
        require_enough(name, len(settled.y))
        if not parts_of:
            raise ValueError(f"{name}: no column is left to learn from; give one a type other than ignore")
        of = schema_sources(settled, parts_of, name)
        found = suspects(of, settled.y, settled.cells)
    except ValueError as error:
        return [str(error)], []
    refusals = []
    try:
        require_classes(settled, split_table(settled, group_codes(of), name, 0), name)
    except ValueError as error:
        refusals.append(str(error))
    try:
        expanded = expand_schema_graph(schema, parts_of, name)
        if expanded is not None:
            check_graph(name, tuple(column for source in of for column in source.columns), expanded)
    except ValueError as error:
        refusals.append(str(error))
    return refusals, found
