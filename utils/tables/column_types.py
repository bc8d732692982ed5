"""Proposes what columns mean by their cells: a rule for each, its reason, and what their owner should look at."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.system.console import count
from utils.tables.reading import RawTable, write_cell
from utils.tables.remarks import Remark, column_line, some
from utils.tables.sniffing import number_pattern
from utils.tables.table_schema import FileFormat, Rule, Type

MOST_LEVELS = 200  # more different texts than this are names, not categories
FEWEST_ROWS_A_LEVEL = 2  # on average: fewer rows for each text are names, where there are more than MOST_NAMES
MOST_NAMES = 50
MOST_CODES = 20  # different whole numbers that may be codes of categories
MOST_GROUPS = 10  # different whole numbers of a sensitive column that are taken for groups
INFINITE = ("inf", "infinity")
DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}/\d{1,2}/\d{4}|\d{4}/\d{1,2}/\d{1,2}"
)
IDENTIFIER = re.compile(
    r"(^|[_\W])(id|ids|uuid|guid|key|nr|no|number|index|row|rownumber)$|^(id|index|row)([_\W]|$)|ID$", re.I
)


@dataclass(frozen=True)
class Proposal:
    """The rule of a column, why, and what its owner should know of it."""

    rule: Rule
    reason: str
    remarks: tuple[Remark, ...] = ()


def propose(
    raw: RawTable, *, label: str, sensitive: Collection[str] = (), rules: Mapping[str, Rule] | None = None
) -> dict[str, Proposal]:
    """A rule for every column of a table but those that have one.

    Raises:
        ValueError: a column that cannot be read in one way, with the line of the schema that settles it.
    """
    given = rules or {}
    return {
        name: propose_one(
            raw.cells[name], raw.format, sensitive=name in sensitive, label=name == label, path=str(raw.path)
        )
        for name in map(str, raw.cells.columns)
        if name not in given
    }


def propose_one(cells: "pd.Series[Any]", fmt: FileFormat, *, sensitive: bool, label: bool, path: str) -> Proposal:
    """The rule of one column; see ``propose``."""
    name = str(cells.name)
    if label:
        return Proposal(Rule(type="binary"), "the label")
    if pd.api.types.is_numeric_dtype(cells):
        return _of_numbers(name, cells.to_numpy(np.float64), sensitive=sensitive)
    texts = [t for t in cells.cat.categories if t not in fmt.na]
    counts = np.bincount(cells.cat.codes[cells.cat.codes >= 0], minlength=len(cells.cat.categories))
    weight = dict(zip(cells.cat.categories, counts.tolist(), strict=True))
    present = [t for t in texts if weight[t]]
    if not present:
        return _left_out(name, "it holds nothing", "empty")
    if _infinite_among_numbers(present, fmt):
        return Proposal(Rule(type="continuous"), "numbers")  # refused where they are encoded, with their row
    found = _units_and_numbers(name, present, fmt)
    if found is not None:
        return found
    _refuse_spoilt(name, cells, present, weight, fmt, path)
    if _all_dates(present):
        return Proposal(
            Rule(type="date"),
            "dates",
            (
                Remark(
                    name, f"dates such as {present[0]!r}: left out", column_line(name, type="date", as_number="days")
                ),
            ),
        )
    return _of_texts(name, present, weight, rows=len(cells), sensitive=sensitive)


def _left_out(name: str, text: str, reason: str, otherwise: str = "categorical") -> Proposal:
    line = "" if reason == "empty" else column_line(name, type=otherwise)
    return Proposal(Rule(type="ignore"), reason, (Remark(name, f"{text}: left out", line),))


def _of_numbers(name: str, values: np.ndarray[Any, Any], *, sensitive: bool) -> Proposal:
    present = values[~np.isnan(values)]
    if not len(present):
        return _left_out(name, "it holds nothing", "empty")
    if not np.isfinite(present).all():
        return Proposal(Rule(type="continuous"), "numbers")  # refused where they are encoded, with their row
    levels = np.unique(present)
    whole = bool((levels == np.rint(levels)).all())
    if len(levels) == 1 and not sensitive:
        return _left_out(name, f"it is {levels[0]:g} in every row", "constant", "continuous")
    if levels.tolist() == [0.0, 1.0]:
        return Proposal(Rule(type="binary", levels=("0", "1")), "0 and 1")
    if sensitive:
        return _of_sensitive_numbers(name, levels, whole)
    if whole and len(levels) == len(present) and _is_numbering(name, present):
        return _left_out(name, "every row has a number of its own, as of an identifier", "identifier", "continuous")
    remarks = []
    shown = f"{levels[0]:g} to {levels[-1]:g}"
    if whole and 2 < len(levels) <= MOST_CODES and len(present) >= 10 * len(levels) and not _consecutive(levels):
        texts = some((write_cell(v) for v in levels), 4).replace("'", "")
        remarks.append(
            Remark(
                name,
                f"{len(levels)} whole numbers ({texts}) that may be codes; read as a number",
                column_line(name, type="categorical"),
            )
        )
    if levels[0] in (-999, -99, -9999, -1) and len(levels) > 10 and levels[1] >= 0:
        remarks.append(
            Remark(
                name,
                f"{levels[0]:g} stands apart from the other numbers, as a mark of missing values does",
                f"file: {{na: ['', '{levels[0]:g}']}}",
            )
        )
    return Proposal(Rule(type="continuous"), f"{count(len(levels), 'different number')} from {shown}", tuple(remarks))


def _of_sensitive_numbers(name: str, levels: np.ndarray[Any, Any], whole: bool) -> Proposal:
    """Groups of whole numbers. Raises ValueError where there are too many of them."""
    texts = tuple(write_cell(v) for v in levels)
    if whole and len(levels) <= MOST_GROUPS:
        return Proposal(Rule(type="categorical", levels=texts), f"{len(levels)} groups, in whole numbers")
    quarters = np.unique(np.round(np.quantile(levels, (0.25, 0.5, 0.75))))
    bins = column_line(name, type="continuous", bins=[float(f"{q:g}") if q % 1 else int(q) for q in quarters])
    more = "" if not whole else f", or, as groups, {column_line(name, type='categorical')}"
    raise ValueError(
        f"the sensitive column {name!r} is a number of more than {MOST_GROUPS} levels ({len(levels)}, "
        f"{levels[0]:g} to {levels[-1]:g}); say where its groups end in the schema, {bins}{more}"
    )


def _is_numbering(name: str, values: np.ndarray[Any, Any]) -> bool:
    """Returns whether whole numbers, all different, count the rows, or are called an identifier."""
    return bool(len(values) > 2 and (np.ptp(values) == len(values) - 1 or IDENTIFIER.search(name)))


def _consecutive(levels: np.ndarray[Any, Any]) -> bool:
    return bool(np.ptp(levels) == len(levels) - 1)


def _units_and_numbers(name: str, texts: Sequence[str], fmt: FileFormat) -> Proposal | None:
    """The rule of numbers that stand beside a sign of a unit; None where the texts are others."""
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    found = [pattern.fullmatch(text) for text in texts]
    if not all(found) or (any(t in ("0", "1") for t in texts) and len(texts) <= 2):
        return None
    units = Counter((m[1] or m[3] or "") for m in found if m)
    if set(units) == {""}:
        return None
    if len(units) > 1:
        raise ValueError(
            f"column {name!r} holds numbers with {' and '.join(repr(u) if u else 'no sign' for u in units)} beside "
            "them; make them one unit in the file, or leave the column out: " + column_line(name, type="ignore")
        )
    unit = next(iter(units))
    remark = Remark(name, f"numbers in {unit}, as in {texts[0]!r}", column_line(name, type="continuous", unit=unit))
    return Proposal(Rule(type="continuous", unit=unit), f"numbers in {unit}", (remark,))


def _infinite_among_numbers(texts: Sequence[str], fmt: FileFormat) -> bool:
    finite = [text for text in texts if text.lower().lstrip("+-") not in INFINITE]
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    return len(finite) < len(texts) and all(pattern.fullmatch(text) for text in finite)


def _refuse_spoilt(
    name: str, cells: "pd.Series[Any]", texts: Sequence[str], weight: Mapping[str, int], fmt: FileFormat, path: str
) -> None:
    """Refuses numbers with a few texts among them: a mistake in the file, not a category. Raises ValueError."""
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    spoilt = [t for t in texts if not pattern.fullmatch(t) and t.lower().lstrip("+-") not in INFINITE]
    rows = sum(weight[t] for t in spoilt)
    if len(texts) > 2 and 0 < rows < sum(weight[t] for t in texts) / 2 and not _all_dates(texts):
        row = int(np.flatnonzero(cells.isin(spoilt).to_numpy())[0])
        raise ValueError(
            f"{path}: column {name!r} holds numbers, but {cells.iloc[row]!r} in row {row} (counting from 0) and "
            f"{rows} such value(s) in all; correct them, say that they mean a missing value, "
            f"file: {{na: ['', {spoilt[0]!r}]}}, or that all are texts: {column_line(name, type='categorical')}"
        )


def _all_dates(texts: Sequence[str]) -> bool:
    return all(DATE.fullmatch(text) for text in texts)


def _of_texts(name: str, texts: Sequence[str], weight: Mapping[str, int], *, rows: int, sensitive: bool) -> Proposal:
    if len(texts) == 1 and not sensitive:
        return _left_out(name, f"it is {texts[0]!r} in every row", "constant")
    unlike = len(texts) > MOST_NAMES and rows < FEWEST_ROWS_A_LEVEL * len(texts)
    if not sensitive and (unlike or len(texts) > MOST_LEVELS):
        what = "nearly every row has a text of its own" if unlike else f"it holds {len(texts):,} different texts"
        return _left_out(name, f"{what} (such as {texts[0]!r}), as of an identifier", "identifier")
    remarks = [*_alike(name, texts), *_rare(name, texts, weight)]
    if any(len(t) > 1 and t[0] == "0" and t.isdecimal() for t in texts):
        remarks.append(
            Remark(
                name,
                f"numbers that begin with 0, such as {texts[0]!r}, are read as texts",
                column_line(name, type="continuous"),
            )
        )
    kind: Type = "binary" if len(texts) == 2 else "categorical"
    return Proposal(Rule(type=kind, levels=tuple(texts)), count(len(texts), "text"), tuple(remarks))


def _alike(name: str, texts: Sequence[str]) -> Iterator[Remark]:
    """Yields what differs in case, blanks or signs alone, or may be short for another."""
    by_form: dict[str, list[str]] = {}
    for text in texts:
        by_form.setdefault(re.sub(r"[\W_]+", "", text).casefold() or text, []).append(text)
    if len(texts) <= MOST_CODES:  # m beside Male, where no other level begins with it
        for short in [form for form in by_form if len(form) == 1]:
            longer = [form for form in by_form if len(form) > 1 and form[0] == short]
            if len(longer) == 1:
                by_form[longer[0]] += by_form.pop(short)
    groups = [group for group in by_form.values() if len(group) > 1]
    if groups:
        merge = {max(group, key=len): sorted(set(group) - {max(group, key=len)}) for group in groups}
        found = " and ".join(some(group) for group in groups[:3])
        line = column_line(name, type="categorical", merge=merge)
        yield Remark(name, f"{found} look like one level written in several ways", line)


def _rare(name: str, texts: Sequence[str], weight: Mapping[str, int]) -> Iterator[Remark]:
    rare = [t for t in texts if weight[t] == 1]
    if rare and len(texts) > 2 and len(rare) < len(texts):
        yield Remark(name, f"{some(rare)} {'stands' if len(rare) == 1 else 'stand'} in one row only", "")
