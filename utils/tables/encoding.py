"""Cells as numbers by the rules of a schema, for training and, by the very same rules, for rows that come later."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.system.console import count
from utils.tables.remarks import rule_line, some
from utils.tables.sniffing import match_number, number_pattern
from utils.tables.table_schema import LEVELLED, FileFormat, Rule, TableSchema
from utils.types import MISSING_LEVEL, Column
from utils.words.near import near

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
MOST_NAMED = 12  # columns in one line
ABSENT, UNKNOWN = -1, -2  # codes of a missing cell and of a text that is no level


@dataclass(frozen=True)
class Block:
    """The columns that one attribute is encoded as."""

    name: str
    rule: Rule
    columns: tuple[Column, ...]


def is_levelled(rule: Rule) -> bool:
    """Returns whether the attribute has levels rather than a number."""
    return rule.type in LEVELLED or bool(rule.bins)


def level_names(rule: Rule) -> tuple[str, ...]:
    """The levels of an attribute, in their order; the last one is that of missing values, where those are a level."""
    named = bin_names(rule.bins) if rule.bins else rule.levels
    return (*named, MISSING_LEVEL) if rule.missing == "level" else named


def bin_names(bins: Sequence[float]) -> tuple[str, ...]:
    """``under 30``, ``30 to under 50``, ``50 and over``."""
    between = [f"{a:g} to under {b:g}" for a, b in itertools.pairwise(bins)]
    return (f"under {bins[0]:g}", *between, f"{bins[-1]:g} and over")


def blocks(schema: TableSchema) -> tuple[Block, ...]:
    """The columns of every attribute of a settled schema, in its order."""
    features = [(n, r) for n, r in schema.columns.items() if is_feature(schema, n, r)]
    return tuple(Block(name, rule, _columns_of(schema, name, rule)) for name, rule in features)


def describe(schema: TableSchema) -> str:
    """The columns of a settled schema in a few words: ``sex (2 levels), age (number), income (number in $)``."""

    def kind(rule: Rule) -> str:
        if is_levelled(rule):
            return count(len(level_names(rule)), "level")
        return "date" if rule.type == "date" else f"number{f' in {rule.unit}' if rule.unit else ''}"

    used = [f"{block.name} ({kind(block.rule)})" for block in blocks(schema)]
    return f"{', '.join(used[:MOST_NAMED])}{f' and {len(used) - MOST_NAMED} more' * (len(used) > MOST_NAMED)}"


def is_feature(schema: TableSchema, name: str, rule: Rule) -> bool:
    """Returns whether a column enters the model."""
    beside = (schema.label.column, schema.weights, schema.split.column if schema.split.how == "column" else None)
    return name not in beside and rule.type != "ignore" and not (rule.type == "date" and rule.as_number == "drop")


def has_flags(schema: TableSchema, name: str, rule: Rule) -> bool:
    """Returns whether an attribute is one column for each of its levels."""
    if not is_levelled(rule) or len(level_names(rule)) == 2 or (rule.type == "binary" and len(level_names(rule)) < 2):
        return False
    return name in schema.sensitive or rule.type != "ordered" or bool(rule.bins) or rule.missing == "level"


def _columns_of(schema: TableSchema, name: str, rule: Rule) -> tuple[Column, ...]:
    sensitive = name in schema.sensitive
    actionable = not sensitive if schema.actionable is None else name in schema.actionable
    column = partial(Column, sensitive=sensitive, actionable=actionable)
    if is_levelled(rule):
        levels = level_names(rule)
        if has_flags(schema, name, rule):
            of_level = partial(column, kind="binary", levels=(0.0, 1.0), attribute=name)
            return tuple(of_level(f"{name}={text}", texts=("", text)) for text in levels)
        if rule.type == "ordered" and len(levels) != 2:
            return (column(name, "continuous", integer=True, bounds=(0.0, len(levels) - 1.0), discrete="ordered"),)
        return (column(name, "binary", levels=(0.0, 1.0), texts=levels),)
    low, high = rule.bounds or (None, None)
    bounds = (float(low), float(high)) if low is not None and high is not None else None
    counted = rule.type == "count"
    number = column(name, "continuous", integer=counted, bounds=bounds, discrete="count" if counted else "")
    if rule.missing != "median+flag":
        return (number,)
    flag = Column(
        f"{name} is missing", "binary", levels=(0.0, 1.0), texts=("known", "missing"), actionable=actionable, tells=name
    )
    return (number, flag)


# --- Cells to codes and numbers --------------------------------------------------------------------------------


def codes(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> Codes:
    """The level (n,) of each cell; ``ABSENT`` where it is missing, ``UNKNOWN`` where it is no level."""
    if rule.bins:
        values = numbers(rule, cells, fmt)
        found = np.searchsorted(rule.bins, values, side="right")
        return np.where(np.isnan(values), absent_code(rule), found)
    meant = {text: level for level, texts in rule.merge.items() for text in texts}
    place = {level: i for i, level in enumerate(rule.levels)}
    held = cells if isinstance(cells.dtype, pd.CategoricalDtype) else cells.astype(str).astype("category")
    table = [_code(str(text), meant, place, fmt.na, absent_code(rule)) for text in held.cat.categories]
    return np.array([*table, absent_code(rule)], dtype=np.int64)[held.cat.codes.to_numpy()]


def absent_code(rule: Rule) -> int:
    """The code of a missing cell: that of its level where the rule gives it one, else ``ABSENT``."""
    return len(level_names(rule)) - 1 if rule.missing == "level" else ABSENT


def _code(text: str, meant: Mapping[str, str], place: Mapping[str, int], na: Sequence[str], absent: int) -> int:
    level = meant.get(text, text)
    if level in place:  # said to be a level, whatever the list of missing texts holds
        return place[level]
    return absent if text in na else UNKNOWN


def numbers(rule: Rule, cells: "pd.Series[Any]", fmt: FileFormat) -> Floats:
    """The number (n,) of each cell, nan where it is missing.

    Raises:
        ValueError: a cell that is none, naming it and its row.
    """
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(np.float64, na_value=np.nan)
    held = cells if isinstance(cells.dtype, pd.CategoricalDtype) else cells.astype(str).astype("category")
    texts = [str(text) for text in held.cat.categories]
    if rule.type == "date":
        table = read_dates(str(cells.name), rule, texts, fmt)
    else:
        table = [read_number(text, rule, fmt) for text in texts]
    if None in table:
        code = held.cat.codes.to_numpy()
        row = int(np.flatnonzero(np.isin(code, [i for i, v in enumerate(table) if v is None]))[0])
        raise ValueError(
            f"column {cells.name!r} holds {held.iloc[row]!r} in row {held.index[row]} (counting from 0), not "
            f"{'a date' if rule.type == 'date' else 'a number'}{f' in {rule.unit}' if rule.unit else ''}"
        )
    return np.array([*table, math.nan], dtype=np.float64)[held.cat.codes.to_numpy()]


def read_number(text: str, rule: Rule, fmt: FileFormat) -> float | None:
    """The number that a text is in the format of its file, nan where it means a missing one, None where it is none."""
    if text in fmt.na:
        return math.nan
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    found = match_number(pattern, text)
    if found is None and rule.unit:  # a unit of the owner's, such as kg
        found = pattern.fullmatch(text.removeprefix(rule.unit).removesuffix(rule.unit).strip())
    elif found is not None and (found[1] or found[3] or rule.unit) not in ("", rule.unit):
        return None
    if found is None:
        return None
    plain = found[2].replace(fmt.thousands, "") if fmt.thousands else found[2]
    return float(plain.replace(fmt.decimal, "."))


def read_dates(name: str, rule: Rule, texts: Sequence[str], fmt: FileFormat) -> list[float | None]:
    """Days since 1970-01-01, or years, of texts; None of what is no date. Raises ValueError for ambiguous dates."""
    known = pd.Series([t for t in texts if t not in fmt.na], dtype=object)
    style = rule.format or date_format(name, known.tolist(), rule)
    found = pd.to_datetime(known, format=style, errors="coerce", utc=True)
    days = (found - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
    values = days if rule.as_number == "days" else found.dt.year
    of = dict(zip(known, [None if pd.isna(v) else float(v) for v in values], strict=True))
    return [math.nan if t in fmt.na else of[t] for t in texts]


def date_format(name: str, texts: Sequence[str], rule: Rule) -> str:
    """The format of dates. Raises ValueError where day and month cannot be told apart, unless only the year counts."""
    found = date_formats(texts)
    if len(found) == 1 or rule.as_number == "year":
        return found[0]
    lines = " or ".join(rule_line(name, rule, format=style) for style in found)
    raise ValueError(f"column {name!r}: {texts[0]!r} may begin with the day or the month; say which, {lines}")


def date_formats(texts: Sequence[str]) -> tuple[str, ...]:
    """The formats that dates may have: ISO 8601, points, or slashes with day and month told apart by those above 12."""
    slashed = [re.match(r"(\d{1,2})/(\d{1,2})/\d{4}$", t) for t in texts]
    if not all(slashed):
        return ("%d.%m.%Y",) if all(re.match(r"\d{1,2}\.", t) for t in texts) else ("ISO8601",)
    first, second = (max((int(m[i]) for m in slashed if m), default=0) for i in (1, 2))
    both = ("%d/%m/%Y", "%m/%d/%Y")
    return both if first <= 12 and second <= 12 else (both[0] if first > 12 else both[1],)


# --- A whole table ---------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Columns (n, c) in short form: one of numbers, or those that a level's place in a list tells."""

    columns: tuple[Column, ...]
    values: NDArray[Any]  # (n,), numbers in double precision, or codes of levels
    coded: bool
    flags: str = ""  # the attribute of whose numbers it tells which are missing; of any other columns nothing

    @property
    def name(self) -> str:
        """The attribute that the columns belong to."""
        return self.columns[0].attribute or self.columns[0].name

    def fill(self, out: NDArray[np.floating[Any]], rows: Any) -> None:
        """Writes the numbers of some rows into zeros (k, c), nan where a cell is missing."""
        values = self.values[rows]
        if len(self.columns) == 1:
            out[:, 0] = values
        else:
            out[np.arange(len(out)), values] = 1
        if self.coded and (absent := values == ABSENT).any():
            out[absent] = math.nan

    def standardised(self, loc: float, scale: float) -> "Source":
        """The same in single precision and model space, of a mean and a deviation; levels that are flags stay."""
        if len(self.columns) > 1:
            return self
        values = np.where(self.missing(), math.nan, self.values)
        values -= loc
        values /= scale
        return self._replace(values=values.astype(np.float32), coded=False)

    def missing(self) -> NDArray[np.bool_]:
        """Returns which cells (n,) are missing."""
        return self.values == ABSENT if self.coded else np.isnan(self.values)


def sources(block: Block, cells: "pd.Series[Any]", fmt: FileFormat) -> list[Source]:
    """The columns of an attribute in short form, that which flags missing numbers apart.

    Raises:
        ValueError: naming column and row, for a text that is no level or a value out of bounds.
    """
    if is_levelled(block.rule):
        if block.rule.bins:
            _require_bounds(block, numbers(block.rule, cells, fmt), cells.index)
        code = codes(block.rule, cells, fmt)
        _require_levels(block, cells, code)
        return sources_of_levels(block, code)
    values = numbers(block.rule, cells, fmt)
    _require_bounds(block, values, cells.index)
    return sources_of_numbers(block, values)


def sources_of_levels(block: Block, code: Codes) -> list[Source]:
    """The columns of an attribute whose cells have the levels ``code`` (n,)."""
    small = len(level_names(block.rule)) < np.iinfo(np.int16).max
    return [Source(block.columns, code.astype(np.int16 if small else np.int32), coded=True)]


def sources_of_numbers(block: Block, values: Floats) -> list[Source]:
    """The columns of an attribute of numbers (n,), missing ones as the median where the rule knows one, else nan."""
    filled = values if block.rule.median is None else np.where(np.isnan(values), block.rule.median, values)
    flags = [
        Source((flag,), np.isnan(values).astype(np.int8), coded=True, flags=block.name) for flag in block.columns[1:]
    ]
    return [Source(block.columns[:1], filled, coded=False), *flags]


def fill_rows(of: Sequence[Source], rows: Any, n: int) -> Floats:
    """The numbers (n, d) of some rows, nan where a cell is missing."""
    out = np.empty((n, sum(len(source.columns) for source in of)))
    write_rows(of, rows, out)
    return out


def write_rows(of: Sequence[Source], rows: Any, out: NDArray[np.floating[Any]]) -> None:
    """Writes the same into an array (n, d)."""
    out[:] = 0  # of all at once: most columns are flags of levels, of which one in an attribute is 1
    end = 0
    for source in of:
        start, end = end, end + len(source.columns)
        source.fill(out[:, start:end], rows)


def _require_levels(block: Block, cells: "pd.Series[Any]", code: Codes) -> None:
    strange = np.flatnonzero(code == UNKNOWN)
    if len(strange):
        text = str(cells.iloc[strange[0]])
        levels = level_names(block.rule)
        raise ValueError(
            f"row {cells.index[strange[0]]}: column {block.name!r} holds {text!r}, but its levels are "
            f"{some(levels, 10)}{_more(len(strange))}{near(text, levels)}"
        )


def _require_bounds(block: Block, values: Floats, index: pd.Index) -> None:
    strange = np.flatnonzero(outside(block.rule, values))
    if len(strange):
        raise ValueError(
            f"row {index[strange[0]]}: column {block.name!r} {explain_outside(block.rule, float(values[strange[0]]))}"
            f"{_more(len(strange))}"
        )


def outside(rule: Rule, values: Floats) -> NDArray[np.bool_]:
    """Returns which numbers (n,) cannot be by the rule: infinite, out of bounds, or a count that is no whole number."""
    low, high = rule.bounds or (None, None)
    with np.errstate(invalid="ignore"):
        found = np.isinf(values)
        found |= values < (-math.inf if low is None else low)
        found |= values > (math.inf if high is None else high)
        if rule.type == "count":
            found |= ~np.isnan(values) & ((values != np.rint(values)) | (values < 0))
    return found


def explain_outside(rule: Rule, value: float) -> str:
    """``holds 140; expected a number from 18 to 99``."""
    what = "a finite number" if math.isinf(value) else _in_words(rule, *(rule.bounds or (None, None)))
    return f"holds {value:g}; expected {what}"


def _in_words(rule: Rule, low: float | None, high: float | None) -> str:
    kind = "a whole number, 0 or more" if rule.type == "count" else "a number"
    if low is None and high is None:
        return kind
    return f"{kind} {f'from {low:g}' if low is not None else ''}{f' to {high:g}' if high is not None else ''}"


def _more(rows: int) -> str:
    return f" ({count(rows - 1, 'more row')})" if rows > 1 else ""
