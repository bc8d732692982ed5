"""Rows that come later, as anybody hands them over, into the numbers that a model of a user's table was trained on.

A frame that plain pandas has read holds numbers where the schema has texts (codes such as 101, True, 1.0), nan where
the file says nothing, and dates as points in time: all mean what they meant in the file, or are refused by row and
column.
"""

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.system.console import count
from utils.tables.encoding import (
    ABSENT,
    UNKNOWN,
    Block,
    Codes,
    Floats,
    Source,
    absent_code,
    blocks,
    explain_outside,
    fill_rows,
    is_levelled,
    outside,
    read_dates,
    read_number,
    sources_of_levels,
    sources_of_numbers,
)
from utils.tables.reading import read_table, tidy, write_cell
from utils.tables.remarks import some
from utils.tables.settling import absent, fulfils, read_condition
from utils.tables.sniffing import number_pattern
from utils.tables.table_schema import LEVELLED, MISSING, FileFormat, Rule, TableSchema
from utils.words.near import near, only_near

Unseen = Literal["refuse", "nearest", "abstain"]
UNSEEN = ("refuse", "nearest", "abstain")
Flags = NDArray[np.bool_]
Texts = NDArray[np.object_]
MOST = 5  # columns that an error speaks of
NUMBER = number_pattern(".", None)
LOST_ZEROS = re.compile(r"[+-]?0\d")  # how a text begins that is another once it was a number


@dataclass(frozen=True)
class Doubt:
    """Cells of one column that the schema does not admit, and what is said of the first of them."""

    column: str
    flagged: Flags  # (n,)
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Encoded:
    """New rows as numbers."""

    values: Floats  # (n, d) natural units; of rows that are not known, of no meaning
    known: Flags  # (n,), rows that the schema admits
    index: pd.Index  # of the rows
    doubts: tuple[Doubt, ...]  # about the others
    mended: Mapping[str, int]  # cells by column that were taken as the nearest level or bound


@dataclass(frozen=True)
class _Found:
    """The faults of the cells of a column."""

    flagged: Flags  # (n,), cells that are not read, though they hold something
    doubts: list[Doubt]
    mended: int

    def but(self, more: list[Doubt]) -> "_Found":
        """The same and more."""
        return replace(self, doubts=[*self.doubts, *more])


def frame_of(rows: Any) -> pd.DataFrame:
    """Rows as a frame: a frame as it is, a dict of columns, a list of dicts. Raises ValueError for anything else."""
    if isinstance(rows, pd.DataFrame):
        return rows
    listed = isinstance(rows, Sequence) and not isinstance(rows, str | bytes)
    if listed and rows and all(isinstance(row, Mapping) for row in rows):
        return pd.DataFrame(list(rows))
    if isinstance(rows, Mapping):
        single = [name for name, values in rows.items() if isinstance(values, str) or not hasattr(values, "__len__")]
        if single:
            raise ValueError(f"the dict holds one value of {single[0]!r}, not a column; a single row is [{{...}}]")
        try:
            return pd.DataFrame(
                {name: values if isinstance(values, pd.Series) else list(values) for name, values in rows.items()}
            )
        except ValueError:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in rows.items())
            raise ValueError(f"the columns of the dict differ in length: {sizes}") from None
    given = f"the {type(rows).__name__} {rows!r:.40}" if isinstance(rows, str | list) else f"a {type(rows).__name__}"
    raise ValueError(
        f"expected a pandas frame with the columns of the file, a dict of columns, or a list of dicts; got {given}"
    )


def encode_rows(schema: TableSchema, rows: Any, unseen: Unseen = "refuse", *, offer: bool = True) -> Encoded:
    """New rows (n, d) in natural units, by a settled schema.

    Args:
        schema: of the table that the model was trained on.
        rows: a frame, a dict of columns or a list of dicts.
        unseen: what becomes of rows that the schema does not admit: ``refuse`` is an error; ``nearest`` takes for a
            level that is not there the only one of like spelling, for a number out of bounds the bound, and refuses
            the rest; ``abstain`` leaves these rows unknown.
        offer: the error of ``refuse`` speaks of ``abstain``.

    Raises:
        ValueError: one sentence naming rows, counted from 0, and columns.
    """
    frame = frame_of(rows)
    values, doubts, mended = _examine(schema, frame, unseen)
    return _conclude(frame, values, [*_outside_conditions(schema, frame), *doubts], mended, unseen, offer=offer)


def encode_labelled(schema: TableSchema, rows: pd.DataFrame, unseen: Unseen = "refuse") -> tuple[Encoded, Codes]:
    """The same, and the class (n,) of each row by the schema's label. Raises ValueError likewise, labels among it."""
    name = schema.label.column
    values, doubts, mended = _examine(schema, rows, unseen)
    [cells] = take_columns(rows, [name], schema)
    code, texts = read_codes(schema.columns[name], cells, schema.file)
    doubts += [
        *_unseen(schema.columns[name], cells, code == UNKNOWN, texts),
        *_missing(schema.columns[name], cells, code == ABSENT),
    ]
    return _conclude(rows, values, doubts, mended, unseen), code


def encode_attributes(schema: TableSchema, cells: Mapping[str, str]) -> dict[str, Floats]:
    """The columns (c,) of some attributes of one row, natural units, by name. Raises ValueError as ``encode_rows``."""
    found: dict[str, Floats] = {}
    doubts: list[Doubt] = []
    for block in blocks(schema):
        if block.name in cells:
            cell = pd.Series([cells[block.name]], name=block.name, dtype=object)
            sources, faults = _encode(block, cell, schema.file, mend=False)
            found[block.name] = fill_rows(sources, slice(None), 1)[0]
            doubts += faults.doubts
    if doubts:
        raise ValueError("; ".join(f"{doubt.column!r} {doubt.text}{doubt.hint}" for doubt in doubts[:MOST]))
    return found


def require_unseen(unseen: str) -> None:
    """Refuses another word for what becomes of rows that the schema does not admit. Raises ValueError."""
    if unseen not in UNSEEN:
        raise ValueError(f"unseen={unseen!r}: expected {', '.join(UNSEEN[:-1])} or {UNSEEN[-1]}")


def read_like(schema: TableSchema, file: Path) -> pd.DataFrame:
    """The cells of a file in the format of the schema's own, nothing guessed."""
    fixed = FileFormat.model_validate({**schema.file.model_dump(), "path": str(file)})
    texts = {name for name, rule in schema.columns.items() if rule.type in (*LEVELLED, "date") or rule.unit}
    return read_table(file, fixed, texts | {schema.label.column}).cells


def rows_meant(schema: TableSchema, cells: pd.DataFrame) -> Flags:
    """Returns which rows (n,) of a file the schema speaks of: its conditions, and what ``missing: drop`` leaves out.

    Raises:
        ValueError: a condition on a column that is not there.
    """
    meant = np.ones(len(cells), dtype=bool)
    for condition in schema.rows:
        meant &= fulfils(condition, cells, schema, "rows")
    for name, rule in schema.columns.items():
        if rule.missing == "drop" and name in cells:
            meant &= ~absent(rule, cells[name], schema.file)
    return meant


def _examine(
    schema: TableSchema, frame: pd.DataFrame, unseen: Unseen
) -> tuple[list[Floats], list[Doubt], dict[str, int]]:
    """The columns (n,) of rows, what is wrong with their cells, and how many were mended. Raises ValueError."""
    require_unseen(unseen)
    parts = blocks(schema)
    values: list[Floats] = []
    doubts: list[Doubt] = []
    mended: dict[str, int] = {}
    for block, cells in zip(parts, take_columns(frame, [block.name for block in parts], schema), strict=True):
        sources, found = _encode(block, cells, schema.file, mend=unseen == "nearest")
        values.append(fill_rows(sources, slice(None), len(frame)))
        doubts += found.doubts
        mended |= {block.name: found.mended} if found.mended else {}
    return values, doubts, mended


def _conclude(
    frame: pd.DataFrame,
    values: Sequence[Floats],
    doubts: Sequence[Doubt],
    mended: Mapping[str, int],
    unseen: Unseen,
    *,
    offer: bool = True,
) -> Encoded:
    """The encoded rows, those in doubt left unknown. Raises ValueError for doubts that may not be left."""
    if doubts and unseen != "abstain":
        raise ValueError(_sentence(doubts, frame.index, offer=offer and unseen == "refuse"))
    known = ~np.any([doubt.flagged for doubt in doubts], axis=0) if doubts else np.ones(len(frame), dtype=bool)
    return Encoded(np.column_stack(values), known, frame.index, tuple(doubts), mended)


def take_columns(frame: pd.DataFrame, names: Sequence[str], schema: TableSchema) -> list["pd.Series[Any]"]:
    """Columns by their names, blanks around these left out. Raises ValueError where one is missing or comes twice."""
    there = [str(name) if str(name) in names else str(name).strip() for name in frame.columns]
    missing = [name for name in names if name not in there]
    if missing:
        hint = near(missing[0], [name for name in there if name not in names], "")
        if schema.file.names and not set(there) & set(names):
            hint = f"; the file has no header: pd.read_csv(..., header=None, names={list(schema.file.names)})"
        elif len(there) == 1 and schema.file.separator in there[0]:
            hint = f"; the file is separated by {schema.file.separator!r}: pd.read_csv(..., sep=...)"
        elif len(there) == 1 and not hint:
            hint = f"; they are one column, {there[0]!r}: are they separated by another sign?"
        raise ValueError(f"the rows lack {missing}; the model was trained on {list(names)}{hint}")
    twice = [name for name in names if there.count(name) > 1]
    if twice:
        raise ValueError(f"the rows have the column {twice[0]!r} twice; leave one out")
    return [frame.iloc[:, there.index(name)].rename(name) for name in names]


def _outside_conditions(schema: TableSchema, frame: pd.DataFrame) -> list[Doubt]:
    """Rows that the conditions of the schema exclude; one on a column that the rows lack is not asked."""
    doubts = []
    there = [str(name).strip() for name in frame.columns]
    for condition in schema.rows:
        name = read_condition(condition, "rows")[0]
        if name in there:
            [cells] = take_columns(frame, [name], schema)
            flagged = ~fulfils(condition, tidy(cells.to_frame()), schema, "rows")
            if flagged.any():
                doubts.append(Doubt(name, flagged, f"is outside of the rows of the schema, {condition}"))
    return doubts


# --- One column ------------------------------------------------------------------------------------------------


def _encode(block: Block, cells: "pd.Series[Any]", fmt: FileFormat, *, mend: bool) -> tuple[list[Source], _Found]:
    """The columns of an attribute, what is wrong with its cells, and how many were mended."""
    if is_levelled(block.rule) and not block.rule.bins:
        code, found = _levels(block.rule, cells, fmt, mend=mend)
        return sources_of_levels(block, code), found
    values, found = _numbers(block.rule, cells, fmt, mend=mend)
    if not block.rule.bins:
        sources = sources_of_numbers(block, values)
        return sources, found.but(_missing(block.rule, cells, sources[0].missing() & ~found.flagged))
    level = np.searchsorted(block.rule.bins, values, side="right")
    level = np.where(np.isnan(values), absent_code(block.rule), level)
    return sources_of_levels(block, level), found.but(_missing(block.rule, cells, (level == ABSENT) & ~found.flagged))


def _levels(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat, *, mend: bool) -> tuple[Codes, _Found]:
    code, texts = read_codes(rule, cells, fmt)
    nearest = _nearest_levels(rule, code, texts) if mend else code
    unknown = nearest == UNKNOWN
    doubts = [*_unseen(rule, cells, unknown, texts), *_missing(rule, cells, nearest == ABSENT)]
    return np.where(unknown, ABSENT, nearest), _Found(unknown, doubts, int((nearest != code).sum()))


def _numbers(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat, *, mend: bool) -> tuple[Floats, _Found]:
    values, unreadable = read_numbers(rule, cells, fmt)
    nearest = _nearest_numbers(rule, values) if mend else values
    strange = outside(rule, nearest)
    doubts = _unreadable(rule, cells, unreadable)
    if strange.any():
        doubts.append(Doubt(str(cells.name), strange, explain_outside(rule, float(nearest[strange][0]))))
    return nearest, _Found(unreadable, doubts, int((outside(rule, values) & ~strange).sum()))


def _missing(rule: Rule, cells: "pd.Series[Any]", flagged: Flags) -> list[Doubt]:
    if not flagged.any():
        return []
    read_away = [level for level in rule.levels if level in MISSING]
    hint = "".join(
        f"; where it is the level {level!r}, read the file by pd.read_csv(..., keep_default_na=False)"
        for level in read_away[:1]
    )
    return [Doubt(str(cells.name), flagged, "is missing", hint)]


def _unreadable(rule: Rule, cells: "pd.Series[Any]", flagged: Flags) -> list[Doubt]:
    if not flagged.any():
        return []
    what = "a date" if rule.type == "date" else "a number"
    unit = f" in {rule.unit}" if rule.unit else ""
    shown = write_cell(cells.iloc[int(np.flatnonzero(flagged)[0])])
    return [Doubt(str(cells.name), flagged, f"holds {shown!r}, not {what}{unit}")]


def _unseen(rule: Rule, cells: "pd.Series[Any]", flagged: Flags, texts: Texts) -> list[Doubt]:
    if not flagged.any():
        return []
    text, levels = texts[int(np.flatnonzero(flagged)[0])], rule.levels
    zeros = [level for level in (*levels, *_meanings(rule)) if LOST_ZEROS.match(level) and level.lstrip("0") == text]
    hint = near(text, levels, "")
    if zeros:
        dtype = f"{{{str(cells.name)!r}: str}}"
        hint = f"; {zeros[0]!r} has lost its zeros, read the file by pd.read_csv(..., dtype={dtype})"
    return [Doubt(str(cells.name), flagged, f"holds {text!r}, but its levels are {some(levels, 10)}", hint)]


def _unique(cells: "pd.Series[Any]") -> tuple[Codes, list[Any]]:
    """The place (n,) of each cell among the different values, -1 where it is missing; and these.

    Raises:
        ValueError: a cell is a list or the like.
    """
    try:
        place, values = pd.factorize(cells)
    except TypeError:
        raise ValueError(f"column {cells.name!r} holds lists or the like; expected one text or number a cell") from None
    return place.astype(np.int64), list(values)


def _meanings(rule: Rule) -> dict[str, str]:
    """The level that each merged text means."""
    return {text: level for level, texts in rule.merge.items() for text in texts}


def read_codes(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> tuple[Codes, Texts]:
    """The level (n,) of each cell, and the cells as texts (n,).

    A text is the level of that text. A number is the level that is written as that number in any way (1 or 1.0), if one
    alone is and it does not begin with a zero; True and False are the levels of that name, else 1 and 0.
    """
    place, values = _unique(cells)
    meant = {level: level for level in rule.levels} | _meanings(rule)
    code_of = {text: rule.levels.index(level) for text, level in meant.items() if level in rule.levels}
    by_number: dict[float, set[int]] = {}
    for text, code in code_of.items():
        if (number := _plain_number(text)) is not None:
            by_number.setdefault(number, set()).add(UNKNOWN if LOST_ZEROS.match(text) else code)
    by_name = {text.casefold(): code for text, code in code_of.items() if text.casefold() in ("true", "false")}
    absent = absent_code(rule)

    def code_of_value(value: Any) -> int:
        text = write_cell(value)
        if isinstance(value, bool | np.bool_) and text.casefold() in by_name:
            return by_name[text.casefold()]
        if isinstance(value, Real | np.bool_):
            among = by_number.get(float(value), set())
            return next(iter(among)) if len(among) == 1 else absent if text in fmt.na else UNKNOWN
        return code_of.get(text, absent if text in fmt.na else UNKNOWN)

    texts = [*(_text(value) for value in values), ""]
    table = np.array([*map(code_of_value, map(_plain_date, values)), absent], dtype=np.int64)
    return table[place], np.array(texts, dtype=object)[place]


def _plain_number(text: str) -> float | None:
    """The number that pandas makes of a text."""
    found = NUMBER.fullmatch(text)
    return float(text) if found and not (found[1] or found[3]) else None


def _plain_date(value: Any) -> Any:
    """A point in time at midnight as the text of its day; others as they are."""
    whole = isinstance(value, pd.Timestamp) and value == value.normalize()
    return value.date().isoformat() if whole else value


def _text(value: Any) -> str:
    return write_cell(_plain_date(value))


def _nearest_levels(rule: Rule, code: Codes, texts: Texts) -> Codes:
    """The codes with unseen texts as the only level of like spelling; numbers are alike in no such way."""
    unknown = code == UNKNOWN
    meant = {level: level for level in rule.levels} | _meanings(rule)
    place, strange = pd.factorize(texts[unknown])
    levels = [None if re.fullmatch(r"[\d.,+-]*", text) else only_near(text, meant) for text in strange]
    found = [UNKNOWN if level is None else rule.levels.index(level) for level in levels]
    mended = code.copy()
    mended[unknown] = np.array(found, dtype=np.int64)[place]
    return mended


def read_numbers(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> tuple[Floats, Flags]:
    """The number (n,) of each cell, nan where it is missing, and which cells are none. Dates as their rule says."""
    if rule.type == "date":
        return _by_value(cells, _read_dates(rule, _unique(cells)[1], fmt))
    missing = [number for text in fmt.na if (number := _plain_number(text)) is not None]  # -999, where the file says so
    if pd.api.types.is_numeric_dtype(cells):
        values, unreadable = cells.to_numpy(np.float64, na_value=np.nan), np.zeros(len(cells), dtype=bool)
    else:
        values, unreadable = _by_value(cells, _read_each(rule, _unique(cells)[1], fmt))
    return np.where(np.isin(values, missing), math.nan, values), unreadable


def _by_value(cells: "pd.Series[Any]", table: Sequence[float | None]) -> tuple[Floats, Flags]:
    """The numbers of cells from those of their different values, and which have none."""
    place = _unique(cells)[0]
    unreadable = np.array([*(value is None for value in table), False])
    return np.array([*(math.nan if v is None else v for v in table), math.nan])[place], unreadable[place]


def _read_each(rule: Rule, values: Sequence[Any], fmt: FileFormat) -> list[float | None]:
    return [float(v) if isinstance(v, Real | np.bool_) else read_number(write_cell(v), rule, fmt) for v in values]


def _read_dates(rule: Rule, values: Sequence[Any], fmt: FileFormat) -> list[float | None]:
    times = [isinstance(value, datetime.date | np.datetime64) for value in values]
    texts = [write_cell(value) for value, time in zip(values, times, strict=True) if not time]
    read = iter(read_dates("", rule, texts, fmt) if texts else ())
    return [_of_time(rule, value) if time else next(read) for value, time in zip(values, times, strict=True)]


def _of_time(rule: Rule, value: Any) -> float:
    """Days since 1970-01-01, or the year, of a point in time."""
    time = pd.Timestamp(value)
    time = time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
    if rule.as_number == "year":
        return float(time.year)
    return float((time - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1))


def _nearest_numbers(rule: Rule, values: Floats) -> Floats:
    """Numbers moved to the bound that they are beyond, and counts to whole numbers; infinite ones without one stay."""
    low, high = rule.bounds or (None, None)
    if rule.type == "count":
        values, low = np.rint(values), max(low or 0.0, 0.0)
    return np.clip(values, low, high) if low is not None or high is not None else values


# --- In words --------------------------------------------------------------------------------------------------


def _sentence(doubts: Sequence[Doubt], index: pd.Index, *, offer: bool) -> str:
    """Says what is wrong in one sentence: the first row of each column, and how many cells and rows in all."""
    parts = []
    for doubt in doubts[:MOST]:
        row, rows = int(np.flatnonzero(doubt.flagged)[0]), int(doubt.flagged.sum())
        more = f" ({count(rows - 1, 'more row')})" if rows > 1 and len(doubts) > 1 else ""
        parts.append(f"{name_row(row, index)}: column {doubt.column!r} {doubt.text}{more}{doubt.hint}")
    if len(doubts) > MOST:
        parts.append(f"and {count(len(doubts) - MOST, 'more column')}")
    cells, rows = sum(int(d.flagged.sum()) for d in doubts), int(np.any([d.flagged for d in doubts], axis=0).sum())
    total = f"{count(cells, 'such cell')} in {rows:,} of {count(len(index), 'row')}"
    ways = "; correct them, or answer the other rows by unseen='abstain'" if offer else ""
    return f"{'; '.join(parts)}; {total}{ways}"


def name_row(row: int, index: pd.Index) -> str:
    """``row 4``, counted from 0, with its label where the index of the frame has another for it."""
    label = index[row]
    plain = label.item() if isinstance(label, np.generic) else label
    named = f"{index.name} " if index.name else ""
    return f"row {row}" if plain == row else f"row {row} ({named}{plain!r})"
