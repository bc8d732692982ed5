"""Reads the table of a schema: its rows and classes are taken, and what the schema leaves open is filled in."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.system.console import count
from utils.system.environment import memory
from utils.tables.column_types import propose
from utils.tables.encoding import (
    ABSENT,
    UNKNOWN,
    codes,
    date_format,
    has_flags,
    is_feature,
    is_levelled,
    level_names,
    numbers,
    read_number,
)
from utils.tables.graph_text import split, unquoted
from utils.tables.reading import RawTable, find_table, read_table, tidy
from utils.tables.remarks import Remark, column_line, flow, label_line, rule_line, some
from utils.tables.table_schema import LEVELLED, FileFormat, Rule, TableSchema, mentioned
from utils.types import MISSING_LEVEL
from utils.words.near import near

MANY = 1000  # levels, from which on it is said what memory they take
COPIES = 4  # of the encoded table that reading, training and attacks hold at the most
MOST_GROUPS = 10  # that a sentence counts rows of
CONDITION = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^<>=!'"]+?))\s*(?P<sign>==|!=|<=|>=|<|>|=|\bin\b)\s*(?P<value>.+?)\s*"""
)
SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class TooWideError(ValueError):
    """The levels of a column make more columns than there is memory for."""

    def __init__(self, column: str, size: str, where: str, line: str):
        super().__init__(f"{where}: column {column!r} has {size}; {line}")
        self.column, self.size = column, size


@dataclass
class Settled:
    """A schema with every column's rule and levels, its rows, and what was found on the way."""

    schema: TableSchema
    cells: pd.DataFrame  # of the rows used
    rows: NDArray[np.int64]  # their numbers in the file
    y: NDArray[np.int64]  # their classes
    classes: tuple[str, ...]
    remarks: list[Remark]
    reasons: dict[str, str]  # of proposed rules, by column


def settle(schema: TableSchema, where: str, folder: Any = None) -> Settled:
    """Reads the table of a schema; ``where`` names the schema in errors, ``folder`` holds the file.

    Raises:
        ValueError: naming file, column, row and the line of the schema that settles it.
    """
    raw = read_schema_table(schema, folder)
    return settle_cells(schema, raw, where)


def read_schema_table(schema: TableSchema, folder: Any = None) -> RawTable:
    """The cells of a schema's file."""
    texts = {name for name, rule in schema.columns.items() if rule.type in LEVELLED or rule.type == "date" or rule.unit}
    return read_table(find_table(schema.file.path, folder), schema.file, texts)


def settle_cells(schema: TableSchema, raw: RawTable, where: str) -> Settled:
    """The same of cells that are there."""
    known = list(map(str, raw.cells.columns))
    require_columns(schema, known, where)
    _require_names(schema, raw)
    proposals = propose(raw, label=schema.label.column, sensitive=schema.sensitive, rules=schema.columns)
    for refusal in filter(None, (proposal.refusal for proposal in proposals.values())):
        raise ValueError(refusal)
    remarks = [*raw.remarks, *(remark for found in proposals.values() for remark in found.remarks)]
    rules = {**schema.columns, **{name: proposals[name].rule for name in known if name not in schema.columns}}
    texts = {name for name, rule in rules.items() if rule.type in LEVELLED} | {schema.label.column}
    cells = tidy(raw.cells, texts)
    ruled = schema.model_copy(update={"columns": rules, "file": raw.format})
    rows = np.flatnonzero(_kept(ruled, cells, where, remarks))
    cells, rows = _drop_missing(ruled, cells.iloc[rows], rows, remarks)
    if not len(raw.cells):
        raise ValueError(f"{raw.path}: there is no row below its header")
    if not len(rows):
        raise ValueError(f"{where}: no row is left of {len(raw.cells):,}")
    filled = {
        n: r if n == schema.label.column else _with_levels(n, r, cells[n], raw.format, where, schema.sensitive)
        for n, r in rules.items()
    }
    settled = schema.model_copy(update={"columns": filled, "file": raw.format})
    _require_reference(settled, where)
    _require_sensitive(settled, where)
    y, classes, label = _classes(settled, cells, raw, where)
    settled = settled.model_copy(update={"columns": filled | {schema.label.column: label}})
    remarks += _require_room(settled, len(rows), where)
    refuse_missing(settled, cells, raw, rows, schema.columns)
    reasons = {name: proposal.reason for name, proposal in proposals.items()}
    return Settled(settled, cells, rows, y, classes, remarks, reasons)


def unsaid_favourable(settled: Settled) -> str:
    """The class 1 that nobody chose, in a sentence; "" where the schema says which class is favourable, or class 1."""
    label = settled.schema.label
    if label.favourable is not None or label.positive is not None:
        return ""
    return f"nobody says which class is favourable; class 1 is {settled.classes[1]}, the last in sorted order"


def require_columns(schema: TableSchema, known: Sequence[str], where: str) -> None:
    """Refuses a schema that speaks of columns that are not there. Raises ValueError, with near misses."""
    for key, name in mentioned(schema):
        if name not in known:
            listed = ", ".join(repr(column) if "," in column else column for column in known)
            raise ValueError(
                f"{where}, {key}: there is no column {name!r}{near(name, known)} The columns are: {listed}."
            )
    if schema.label.column in schema.sensitive:
        raise ValueError(f"{where}: {schema.label.column!r} is the label, so it cannot be sensitive; take it out there")


def _require_sensitive(schema: TableSchema, where: str) -> None:
    """Refuses a sensitive attribute that the model does not see, of which no group would be made. Raises ValueError."""
    left_out = [name for name in schema.sensitive if not is_feature(schema, name, schema.columns[name])]
    if left_out:
        raise ValueError(
            f"{where}, sensitive: {left_out[0]!r} is left out of the model (columns.{left_out[0]}), so no column is "
            "sensitive by its name; give it a type, or leave it out there"
        )


def nameless(schema: TableSchema, raw: RawTable) -> dict[str, int]:
    """The columns without a name that the schema does not speak of, with their places."""
    places = {str(name): place for place, name in enumerate(raw.cells.columns)}
    return {n: place for n, place in places.items() if n == f"Unnamed: {place}" and n not in schema.columns}


def _require_names(schema: TableSchema, raw: RawTable) -> None:
    for name, place in nameless(schema, raw).items():
        ignored = [n for n, rule in schema.columns.items() if rule.type == "ignore"]
        line = column_line(name, type="ignore")
        from utils.words.quoting import write_word

        raise ValueError(
            f"{raw.path}: column {place + 1} has no name, often a saved row number; name it, or leave it out by "
            f"{write_word('dataset.ignore', [*ignored, name])}, in a schema {line}"
        )


# --- Rows ------------------------------------------------------------------------------------------------------


def _kept(schema: TableSchema, cells: pd.DataFrame, where: str, remarks: list[Remark]) -> NDArray[np.bool_]:
    """Returns which rows (n,) fulfil all conditions. Raises ValueError for a condition that cannot be read."""
    kept = np.ones(len(cells), dtype=bool)
    for condition in schema.rows:
        kept &= fulfils(condition, cells, schema, f"{where}, rows")
        absent_texts = _texts_without_rows(condition, cells, schema, f"{where}, rows")
        remarks += [Remark("", f"rows, {condition!r}: no row holds {text!r}") for text in absent_texts]
    return kept


def _texts_without_rows(condition: str, cells: pd.DataFrame, schema: TableSchema, where: str) -> list[str]:
    """The values of a condition that are nowhere in their column, maybe misspelt."""
    name, sign, texts = read_condition(condition, where)
    if sign in SIGNS:
        return []
    return [text for text in texts if not _holds(cells[name], [text], schema.columns.get(name), schema.file).any()]


def read_condition(condition: str, where: str) -> tuple[str, str, list[str]]:
    """The column, the sign and the values of a condition such as ``age >= 18``. Raises ValueError for another text."""
    found = CONDITION.fullmatch(condition)
    if found is None:
        raise ValueError(f"{where}: {condition!r} is no condition; write age >= 18, country == CH or charge in [F, M]")
    value = found["value"]
    listed = split(value.strip().strip("[]()"), ",") if found["sign"] == "in" else [value]
    return found["double"] or found["single"] or found["bare"], found["sign"], [unquoted(text) for text in listed]


def fulfils(condition: str, cells: pd.DataFrame, schema: TableSchema, where: str) -> NDArray[np.bool_]:
    """Returns which rows (n,) meet a condition such as ``age >= 18``. Raises ValueError where it cannot be read."""
    name, sign, texts = read_condition(condition, where)
    if name not in cells:
        raise ValueError(f"{where}: there is no column {name!r}{near(name, list(map(str, cells.columns)))}")
    rule = schema.columns.get(name)
    if sign in SIGNS:
        try:
            least = float(texts[0])
        except ValueError:
            raise ValueError(f"{where}: {condition!r} compares with {texts[0]!r}, which is no number") from None
        of = Rule(type="continuous", unit=rule.unit if rule else "")
        with np.errstate(invalid="ignore"):
            return np.asarray(SIGNS[sign](numbers(of, cells[name], schema.file), least))
    among = _holds(cells[name], texts, rule, schema.file)
    return ~among if sign == "!=" else among


def _holds(cells: "pd.Series[Any]", texts: Sequence[str], rule: Rule | None, fmt: FileFormat) -> NDArray[np.bool_]:
    """Returns which cells (n,) are one of some texts, as they stand or as the level they mean; numbers by size."""
    if pd.api.types.is_numeric_dtype(cells):
        plain = FileFormat(na=fmt.na)
        wanted = [v for text in texts if (v := read_number(text, Rule(type="continuous"), plain)) is not None]
        values = cells.to_numpy(np.float64, na_value=np.nan)
        return np.isin(values, wanted) | (np.isnan(values) & any(map(math.isnan, wanted)))
    meant = {text: level for level, merged in (rule.merge if rule else {}).items() for text in merged}
    written = tidy(cells.to_frame(), {str(cells.name)})[cells.name]
    return written.isin(
        [text for text in written.cat.categories if {text, meant.get(text, text)} & {*texts}]
    ).to_numpy()


def _drop_missing(
    schema: TableSchema, cells: pd.DataFrame, rows: NDArray[np.int64], remarks: list[Remark]
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The rows less those in which a column with the rule ``missing: drop`` is missing."""
    for name, rule in schema.columns.items():
        if rule.missing != "drop":
            continue
        missing = absent(rule, cells[name], schema.file)
        if missing.any():
            remarks.append(
                Remark(
                    name, f"{count(int(missing.sum()), 'row')} without it left out{by_group(schema, cells, missing)}"
                )
            )
            cells, rows = cells[~missing], rows[~missing]
    return cells, rows


def absent(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> NDArray[np.bool_]:
    """Returns which cells (n,) are missing: texts that mean it, unless the rule names them as levels."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        levels = {*rule.levels, *(text for texts in rule.merge.values() for text in texts)}
        return cells.isin([text for text in fmt.na if text not in levels]).to_numpy() | cells.isna().to_numpy()
    return cells.isna().to_numpy()


def by_group(schema: TableSchema, cells: pd.DataFrame, flagged: NDArray[np.bool_]) -> str:
    """``; by sex: f 7 of 60, m 5 of 60``: how many flagged rows each group has, for missingness is a disparity.

    Numbers are in the groups that their bins make; of many groups those with the most flagged rows are named.
    """
    parts = []
    for name in schema.sensitive:
        code, names = _groups(schema.columns[name], cells[name], schema.file)
        rows, hit = (np.bincount(c, minlength=len(names)) for c in (code, code[flagged]))
        there = np.flatnonzero(rows)
        shown = np.sort(there[np.argsort(-hit[there], kind="stable")][:MOST_GROUPS])
        said = [f"{names[i]} {hit[i]} of {rows[i]}" for i in shown]
        said += [f"{len(there) - len(shown)} more groups"] * (len(there) > len(shown))
        parts += [f"by {name}: {', '.join(said)}"] if len(there) else []
    return "; " + "; ".join(parts) if parts else ""


def _groups(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The group (n,) of each row by one column, the missing ones first, and the names of the groups."""
    if rule.bins or rule.levels:
        code, names = codes(rule, cells, fmt), level_names(rule)
    elif isinstance(cells.dtype, pd.CategoricalDtype):
        code, names = cells.cat.codes.to_numpy(np.int64), tuple(text or "missing" for text in cells.cat.categories)
    else:
        code, names = np.full(len(cells), ABSENT), ()
    return np.maximum(code, ABSENT) - ABSENT, ("missing", *names)


def refuse_missing(
    schema: TableSchema, cells: pd.DataFrame, raw: RawTable, rows: NDArray[np.int64], stated: Mapping[str, Rule]
) -> None:
    """Refuses missing cells that no rule speaks of. Raises ValueError, quoting the text that was read as missing."""
    for name, rule in schema.columns.items():
        if rule.missing != "refuse" or not (is_feature(schema, name, rule) or name == schema.label.column):
            continue
        missing = absent(rule, cells[name], raw.format)
        if missing.any():
            raise ValueError(
                _missing_in_words(
                    schema, cells, raw, name, missing, rows, stated.get(name, rule.model_copy(update={"levels": ()}))
                )
            )


def _missing_in_words(
    schema: TableSchema,
    cells: pd.DataFrame,
    raw: RawTable,
    name: str,
    missing: NDArray[np.bool_],
    rows: NDArray[np.int64],
    stated: Rule,
) -> str:
    """Says how many cells of a column are missing, in which groups, written how, and the lines that settle it."""
    rule, texts = schema.columns[name], written_as_missing(raw, name)
    ways = (
        ("drop",)
        if name == schema.label.column
        else ("level", "drop")
        if is_levelled(rule)
        else ("median+flag", "drop")
    )
    lines = " or ".join(rule_line(name, stated, missing=way) for way in ways)
    as_level = ""
    if is_levelled(rule) and (named := [text for text in texts if text]):
        kept = [text for text in raw.format.na if text not in named]
        as_level = f"; where {some(named, 3)} is a level like the others, file: {{na: {flow(kept)}}}"
    return (
        f"{raw.path}: column {name!r} has {int(missing.sum())} missing or infinite value(s), the first in row "
        f"{rows[np.flatnonzero(missing)[0]]} (counting from 0), written {some(texts or [''], 3)}"
        f"{by_group(schema, cells, missing)}; fill them in, or say what becomes of them in a schema (python -m "
        f"evals.look writes one), {lines}{as_level}"
    )


def written_as_missing(raw: RawTable, name: str) -> list[str]:
    """The texts of a column that were read as missing, as they stand in the file."""
    cells = raw.cells[name]
    if not isinstance(cells.dtype, pd.CategoricalDtype):
        try:
            cells = read_table(raw.path, raw.format, {name}).cells[name]
        except (ValueError, OSError):
            return []
    if not isinstance(cells.dtype, pd.CategoricalDtype):
        return []
    return [text for text in cells.cat.categories if text in raw.format.na]


# --- Room ------------------------------------------------------------------------------------------------------


def _require_room(schema: TableSchema, rows: int, where: str) -> list[Remark]:
    """Remarks on the memory that very many levels take, a column each. Raises TooWideError where it is too little."""
    widths = {
        name: len(level_names(rule)) if has_flags(schema, name, rule) else 1
        for name, rule in schema.columns.items()
        if is_feature(schema, name, rule)
    }
    widest = max(widths, key=lambda name: widths[name], default="")
    if not widest or widths[widest] <= MANY:
        return []
    columns = sum(widths.values())
    size = 4 * rows * columns
    text = (
        f"{widths[widest]:,} levels, a column each: {rows:,} rows x {columns:,} columns x 4 bytes = {_gigabytes(size)}"
    )
    leave_out = column_line(widest, type="ignore")
    if COPIES * size <= memory():
        return [Remark(widest, text, leave_out)]
    text += f", of which training holds up to {COPIES}, in {_gigabytes(memory())} of memory"
    raise TooWideError(widest, text, where, _narrower(schema, widest, leave_out))


def _narrower(schema: TableSchema, name: str, leave_out: str) -> str:
    """The lines of the schema by which a column of very many levels takes less memory."""
    rule = schema.columns[name]
    first = [text for text in rule.levels[:3] if text not in rule.merge]
    merge = rule_line(name, rule.model_copy(update={"levels": ()}), type="categorical", merge={first[0]: first})
    out = "take it out of sensitive" if name in schema.sensitive else f"leave it out, {leave_out}"
    return f"{out}, or merge levels, such as {merge}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


# --- Levels and classes ----------------------------------------------------------------------------------------


def _with_levels(
    name: str, rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat, where: str, sensitive: Sequence[str]
) -> Rule:
    """The rule with its levels: those it states, else those of the table, merged, in order. Raises ValueError."""
    if rule.type == "date" and rule.as_number != "drop" and rule.format is None and hasattr(cells, "cat"):
        texts = [text for text in cells.cat.categories if text not in fmt.na]
        found = date_format(name, texts, rule)
        rule = rule.model_copy(update={"format": found})  # rows that come later are read by it
    if rule.bins:
        if list(rule.bins) != sorted(set(rule.bins)):
            raise ValueError(f"{where}, columns.{name}.bins: expected numbers in rising order")
        return rule
    if rule.type not in LEVELLED:
        if name in sensitive and rule.type != "ignore":
            raise ValueError(
                f"{where}: the sensitive column {name!r} is a number, so it has no finite set of levels; say where its "
                f"groups end, {rule_line(name, rule, bins=[30, 50])}"
            )
        return rule
    if rule.type == "ordered" and not rule.levels:
        raise ValueError(f"{where}, columns.{name}: an ordered column needs its levels, from the lowest to the highest")
    levels = rule.levels or found_levels(rule, cells, fmt)
    if rule.missing == "level" and MISSING_LEVEL in levels:
        raise ValueError(
            f"{where}, columns.{name}: {MISSING_LEVEL!r} is a level of its own and would be that of missing cells too; "
            f"where both are one, write file: {{na: {flow([*fmt.na, MISSING_LEVEL])}}}, else rename the level by merge"
        )
    if name in sensitive and len(levels) < 2:
        raise ValueError(
            f"{where}: the sensitive column {name!r} is {some(levels) or 'missing'} in every row, so there are no "
            "groups to compare; choose another or use data with both."
        )
    if rule.type == "binary" and len(levels) > 2:
        raise ValueError(
            f"{where}, columns.{name}: {len(levels)} levels ({some(levels)}) are too many for a binary column; "
            f"write {rule_line(name, rule, type='categorical')} or merge some"
        )
    return rule.model_copy(update={"levels": tuple(levels)})


def found_levels(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> tuple[str, ...]:
    """The levels that a column of texts has, merged, numbers in their order and texts in theirs."""
    meant = {text: level for level, texts in rule.merge.items() for text in texts}
    there = cells.cat.categories[np.unique(cells.cat.codes[cells.cat.codes >= 0])]
    seen = [text for text in there if text in meant or text not in fmt.na]
    return sort_levels({meant.get(text, text) for text in seen})


def sort_levels(levels: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Levels that are all numbers by their size, others as texts."""
    try:
        return tuple(sorted(levels, key=lambda text: (float(text), text)))
    except ValueError:
        return tuple(sorted(levels))


def _require_reference(schema: TableSchema, where: str) -> None:
    """Refuses a reference that is no level of a sensitive attribute. Raises ValueError."""
    for name, level in schema.groups.reference.items():
        if name not in schema.sensitive:
            raise ValueError(f"{where}, groups.reference: {name!r} is not sensitive; {some(schema.sensitive)} is")
        levels = level_names(schema.columns[name])
        if level not in levels:
            raise ValueError(
                f"{where}, groups.reference.{name}={level!r}: no such level; there are {some(levels, 10)}"
                f"{near(level, levels)}"
            )


def _classes(
    schema: TableSchema, cells: pd.DataFrame, raw: RawTable, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...], Rule]:
    """The classes (n,) of the rows, their two texts in order, and the label's rule. Raises ValueError for more."""
    label, rule = schema.label, schema.columns[schema.label.column]
    of_label = rule.model_copy(update={"type": "categorical", "merge": {**rule.merge, **label.merge}})
    found = found_levels(of_label, cells[label.column], raw.format)
    what = f"{where}: the label {label.column!r}"
    if len(found) > 2:
        line = label_line(label, merge={found[-1]: [found[-1], found[-2]]})
        raise ValueError(
            f"{what} has {len(found)} values ({some(found)}), but two classes are needed; merge them in the schema, "
            f"such as {line}, or choose another label."
        )
    if len(found) < 2:
        raise ValueError(f"{what} is {some(found) or 'absent'} in every row; a classifier needs two classes.")
    one = found[-1]
    for key, wanted in (("positive", label.positive), ("favourable", label.favourable)):
        if wanted is not None:
            if wanted in ("True", "False") and wanted not in found:  # as YAML reads true
                wanted = next((text for text in found if text.casefold() == wanted.casefold()), wanted)
            if wanted not in found:
                raise ValueError(
                    f"{where}: {key}={wanted!r} is no value of the label {label.column!r}; it has "
                    f"{' and '.join(map(repr, found))}."
                )
            one = wanted
    classes = (next(text for text in found if text != one), one)
    of_label = of_label.model_copy(update={"type": "binary", "levels": classes})
    code = codes(of_label, cells[label.column], raw.format)
    assert not (code == UNKNOWN).any()
    return np.where(code == ABSENT, 0, code), classes, of_label
