"""Proposes what columns mean by their cells: a rule for each, its reason, and what their owner should look at."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.system.console import count
from utils.tables.encoding import date_formats
from utils.tables.reading import RawTable, write_cell
from utils.tables.remarks import Remark, column_line, flow, some
from utils.tables.sniffing import match_number, number_pattern
from utils.tables.table_schema import FileFormat, Rule, Type

MOST_LEVELS = 200  # more different texts than this are names, not categories
FEWEST_ROWS_A_LEVEL = 2  # on average: fewer rows for each text are names, where there are more than MOST_NAMES
MOST_NAMES = 50
EXACT = 2**53  # beyond, neighbouring whole numbers are one number
MOST_CODES = 20  # different whole numbers that may be codes of categories
COMMON, MOST_COUNTED = 10, 100  # half of what is counted is no more, and nearly all of it
MOST_GROUPS = 10  # different whole numbers of a sensitive column that are taken for groups
MOST_SPOILT = 10  # different texts among numbers that may all mean a missing value
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "æ": "ae", "œ": "oe"})  # ß is ss in casefold
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
    """The rule of a column, why, and what its owner should know of it.

    Where the cells leave something open, ``refusal`` says so in the sentence by which training refuses them,
    ``decision`` says what the rule, the safest there is, makes of them, with the line for another way, and ``na`` are
    texts of the column that it takes for missing values.
    """

    rule: Rule
    reason: str
    remarks: tuple[Remark, ...] = ()
    refusal: str = ""
    decision: Remark | None = None
    na: tuple[str, ...] = ()


def propose(
    raw: RawTable, *, label: str, sensitive: Collection[str] = (), rules: Mapping[str, Rule] | None = None
) -> dict[str, Proposal]:
    """A rule for every column of a table but those that have one."""
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
        return _of_numbers(name, cells.to_numpy(np.float64), fmt, sensitive=sensitive)
    texts = [t for t in cells.cat.categories if t not in fmt.na]
    counts = np.bincount(cells.cat.codes[cells.cat.codes >= 0], minlength=len(cells.cat.categories))
    weight = dict(zip(cells.cat.categories, counts.tolist(), strict=True))
    present = [t for t in texts if weight[t]]
    if not present:
        return _left_out(name, "it holds nothing", "empty")
    if _infinite_among_numbers(present, fmt):
        return Proposal(Rule(type="continuous"), "numbers")  # refused where they are encoded, with their row
    found = _units_and_numbers(name, present, fmt) or _spoilt(name, cells, present, weight, fmt, path)
    if found is not None:
        return found
    if _all_dates(present):
        return _of_sensitive_dates(name, present) if sensitive else _of_dates(name, present)
    return _of_texts(name, present, weight, rows=len(cells), sensitive=sensitive)


def _of_dates(name: str, texts: Sequence[str]) -> Proposal:
    kinds = date_formats(texts)
    line = column_line(name, type="date", as_number="days", **({"format": kinds[0]} if len(kinds) > 1 else {}))
    open_end = f", the day first or the month ({' or '.join(kinds)})" if len(kinds) > 1 else ""
    remark = Remark(name, f"dates such as {texts[0]!r}{open_end}: left out", line)
    return Proposal(Rule(type="date"), "dates", (remark,))


def _of_sensitive_dates(name: str, texts: Sequence[str]) -> Proposal:
    """Groups by year."""
    years = np.array([int(max(re.findall(r"\d+", text), key=len)) for text in texts], dtype=np.float64)
    bins = round_bins(years)
    rule = Rule(type="date", as_number="year", bins=bins)
    line = column_line(name, type="date", as_number="year", bins=_short(bins))
    refusal = f"the sensitive column {name!r} holds dates; say where its groups end in the schema, by year: {line}"
    return Proposal(rule, "dates, by year", (), refusal, Remark(name, f"dates: {_groups_end(bins)}, by year", line))


def _left_out(name: str, text: str, reason: str, otherwise: str = "categorical") -> Proposal:
    line = "" if reason == "empty" else column_line(name, type=otherwise)
    return Proposal(Rule(type="ignore"), reason, (Remark(name, f"{text}: left out", line),))


def _of_numbers(name: str, values: np.ndarray[Any, Any], fmt: FileFormat, *, sensitive: bool) -> Proposal:
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
        return _of_sensitive_numbers(name, present, levels)
    if whole and len(levels) == len(present) and _is_numbering(name, present):
        return _left_out(name, "every row has a number of its own, as of an identifier", "identifier", "continuous")
    remarks = []
    if whole and len(levels) == len(present) > MOST_NAMES and (np.diff(present) > 0).all():
        text = "every row has a number of its own, in rising order, as of an identifier; read as a number"
        remarks.append(Remark(name, text, column_line(name, type="ignore")))
    if whole and max(abs(levels[0]), abs(levels[-1])) > EXACT:
        text = f"numbers beyond {EXACT:,} lose their last digits, as those of an identifier"
        remarks.append(Remark(name, text, column_line(name, type="ignore")))
    shown = " to ".join(f"{int(end)}" if end % 1 == 0 else f"{end:.6g}" for end in (levels[0], levels[-1]))
    if whole and _counted(present, levels):
        text = "whole numbers from 0 on, most of them small, as counts of events are; read as a number"
        remarks.append(Remark(name, text, column_line(name, type="count")))
    elif whole and 2 < len(levels) <= MOST_CODES and len(present) >= 10 * len(levels) and not _dense(levels):
        texts = some((write_cell(v) for v in levels), 4).replace("'", "")
        remarks.append(
            Remark(
                name,
                f"{len(levels)} whole numbers ({texts}) that may be codes; read as a number",
                column_line(name, type="categorical"),
            )
        )
    if levels[0] in (-999, -99, -9999, -1) and len(levels) > 10 and levels[1] >= 0 and levels[1] - levels[0] > 1:
        remarks.append(
            Remark(
                name,
                f"{levels[0]:g} stands apart from the other numbers, as a mark of missing values does; where it is "
                "one, write missing: median+flag at the column, too",
                f"file: {{na: {flow([*fmt.na, f'{levels[0]:g}'])}}}",
            )
        )
    return Proposal(Rule(type="continuous"), f"{count(len(levels), 'different number')} from {shown}", tuple(remarks))


def _of_sensitive_numbers(name: str, values: np.ndarray[Any, Any], levels: np.ndarray[Any, Any]) -> Proposal:
    """Groups of whole numbers, or between round numbers where there are too many of them."""
    texts = tuple(write_cell(v) for v in levels)
    whole = bool((levels == np.rint(levels)).all())
    if whole and len(levels) <= MOST_GROUPS:
        return Proposal(Rule(type="categorical", levels=texts), f"{len(levels)} groups, in whole numbers")
    few = whole and len(levels) <= MOST_CODES
    bins = round_bins(values)
    line = column_line(name, type="continuous", bins=_short(bins))
    other = column_line(name, type="categorical")
    refusal = (
        f"the sensitive column {name!r} is a number of more than {MOST_GROUPS} levels ({len(levels)}, "
        f"{levels[0]:g} to {levels[-1]:g}); say where its groups end in the schema, {line}"
        f"{f', or, as {len(levels)} groups, {other}' if few else ''}"
    )
    each = f"; or each value a group, {len(levels)} of them" if few else ""
    decision = Remark(
        name,
        f"a number, {levels[0]:g} to {levels[-1]:g}: {_groups_end(bins)}{each}",
        other if few else line,
    )
    return Proposal(Rule(type="continuous", bins=bins), "a number in groups", (), refusal, decision)


def round_bins(values: np.ndarray[Any, Any]) -> tuple[float, ...]:
    """Round numbers near the quartiles of some values, at which groups of theirs may end; at least one."""
    quarters = np.quantile(values, (0.25, 0.5, 0.75))
    width = float(quarters[2] - quarters[0]) / 2 or float(np.ptp(values)) / 4 or 1.0
    power = 10.0 ** np.floor(np.log10(width))
    step = max(power * factor for factor in (1, 2, 5) if power * factor <= 1.1 * width)
    bins = np.unique(np.rint(quarters / step) * step)
    inside = bins[(bins > values.min()) & (bins <= values.max())]
    return tuple(float(f"{edge:.6g}") for edge in (inside if len(inside) else [values.max()]))


def _short(bins: Sequence[float]) -> list[float]:
    """Whole ones without a point."""
    return [int(edge) if edge % 1 == 0 else edge for edge in bins]


def _groups_end(bins: Sequence[float]) -> str:
    return f"groups that end at {', '.join(f'{edge:g}' for edge in bins)}"


def _is_numbering(name: str, values: np.ndarray[Any, Any]) -> bool:
    """Returns whether whole numbers, all different, count the rows, or are called an identifier."""
    return bool(len(values) > 2 and (np.ptp(values) == len(values) - 1 or IDENTIFIER.search(name)))


def _counted(values: np.ndarray[Any, Any], levels: np.ndarray[Any, Any]) -> bool:
    """Returns whether whole numbers look like counts of events, as spread and as skewed as Poisson's or more so.

    They begin with 0, have no gap up to the third quartile and few up to the 99th percentile; half of them are at most
    COMMON, 99 in 100 at most MOST_COUNTED. Their variance is no less than the mean, but for chance, and their skewness
    at least half of Poisson's, 1 / sqrt(mean), or half of 1.
    """
    mean, variance = values.mean(), values.var()
    middle, upper, most = np.quantile(values, (0.5, 0.75, 0.99))
    below, nearly = levels[levels <= upper], levels[levels <= most]
    if len(levels) < 4 or levels[0] != 0 or middle > COMMON or most > MOST_COUNTED:
        return False
    if len(below) != below[-1] + 1 or not _dense(nearly):
        return False
    spread = variance / mean > 1 - 4 * np.sqrt(2 / len(values))  # four standard errors of the ratio where Poisson's
    skewness = ((values - mean) ** 3).mean() / variance**1.5
    return bool(spread and skewness >= min(0.5, 0.5 / np.sqrt(mean)))


def _dense(levels: np.ndarray[Any, Any]) -> bool:
    """Returns whether whole numbers are consecutive, or most of those from 0 or 1 on, as counts are."""
    span = np.ptp(levels) + 1
    return bool(len(levels) == span or (levels[0] in (0, 1) and 2 * len(levels) >= span))


def _units_and_numbers(name: str, texts: Sequence[str], fmt: FileFormat) -> Proposal | None:
    """The rule of numbers that stand beside a sign of a unit; None where the texts are others."""
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    if not match_number(pattern, texts[0]):  # without a look at what may be very many others
        return None
    found = [match_number(pattern, text) for text in texts]
    if not all(found) or (any(t in ("0", "1") for t in texts) and len(texts) <= 2):
        return None
    units = Counter((m[1] or m[3] or "") for m in found if m)
    bracketed = next((t for t in texts if t.endswith(")")), "")
    if set(units) == {""} and not bracketed:
        return None
    if len(units) > 1:
        line = column_line(name, type="ignore")
        mixed = f"numbers with {' and '.join(repr(u) if u else 'no sign' for u in units)} beside them"
        refusal = f"column {name!r} holds {mixed}; make them one unit in the file, or leave the column out: {line}"
        decision = Remark(name, f"{mixed}: left out; make them one unit in the file", line)
        return Proposal(Rule(type="ignore"), "numbers in several units", (), refusal, decision)
    unit = next(iter(units))
    line = column_line(name, type="continuous", **({"unit": unit} if unit else {}))
    what = f"numbers in {unit}" if unit else "numbers"
    said = f"{what}, as in {texts[0]!r}" if unit else what
    said += f"; those in brackets are negative, as in {bracketed!r}" if bracketed else ""
    return Proposal(Rule(type="continuous", unit=unit), what, (Remark(name, said, line),))


def _infinite_among_numbers(texts: Sequence[str], fmt: FileFormat) -> bool:
    finite = [text for text in texts if text.lower().lstrip("+-") not in INFINITE]
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    return len(finite) < len(texts) and all(pattern.fullmatch(text) for text in finite)


def _spoilt(
    name: str, cells: "pd.Series[Any]", texts: Sequence[str], weight: Mapping[str, int], fmt: FileFormat, path: str
) -> Proposal | None:
    """Numbers with a few texts among them: a mistake in the file, not a category. None for other cells."""
    pattern = number_pattern(fmt.decimal, fmt.thousands)
    spoilt = [t for t in texts if not match_number(pattern, t) and t.lower().lstrip("+-") not in INFINITE]
    rows = sum(weight[t] for t in spoilt)
    if len(texts) <= 2 or not 0 < rows < sum(weight[t] for t in texts) / 2 or _all_dates(texts):
        return None
    row = int(np.flatnonzero(cells.isin(spoilt).to_numpy())[0])
    line = column_line(name, type="categorical")
    refusal = (
        f"{path}: column {name!r} holds numbers, but {cells.iloc[row]!r} in row {row} (counting from 0) and "
        f"{rows} such value(s) in all; correct them, say that they mean a missing value, "
        f"file: {{na: ['', {spoilt[0]!r}]}}, or that all are texts: {line}"
    )
    found = f"numbers, but {some(spoilt, 3)} in {count(rows, 'row')}"
    if len(spoilt) > MOST_SPOILT:
        decision = Remark(name, f"{found}: left out", line)
        return Proposal(Rule(type="ignore"), "numbers spoilt by texts", (), refusal, decision)
    as_texts = column_line(name, type="categorical", missing="level")
    decision = Remark(name, f"{found}, taken as missing (file.na); or all as texts", as_texts)
    rule = Rule(type="continuous", missing="median+flag")
    return Proposal(rule, "numbers, some texts among them", (), refusal, decision, tuple(spoilt))


def _all_dates(texts: Sequence[str]) -> bool:
    return all(DATE.fullmatch(text) for text in texts)


def _of_texts(name: str, texts: Sequence[str], weight: Mapping[str, int], *, rows: int, sensitive: bool) -> Proposal:
    if len(texts) == 1 and not sensitive:
        return _left_out(name, f"it is {texts[0]!r} in every row", "constant")
    unlike = len(texts) > MOST_NAMES and rows < FEWEST_ROWS_A_LEVEL * len(texts)
    if not sensitive and (unlike or len(texts) > MOST_LEVELS):
        what = "nearly every row has a text of its own" if unlike else f"it holds {len(texts):,} different texts"
        return _left_out(name, f"{what} (such as {texts[0]!r}), as of an identifier", "identifier")
    remarks = [*_alike(name, texts, weight), *_rare(name, texts, weight)]
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


def _forms(text: str) -> tuple[str, str]:
    """A text without case, blanks and signs, its umlauts as two letters (zuerich), and without any accent (zurich)."""
    plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", text)).casefold() or text
    spelt, bare = (
        "".join(c for c in unicodedata.normalize("NFD", of) if not unicodedata.combining(c))
        for of in (plain.translate(UMLAUTS), plain)
    )
    return spelt, bare


def _alike(name: str, texts: Sequence[str], weight: Mapping[str, int]) -> Iterator[Remark]:
    """Yields what differs in case, blanks, signs, accents or umlauts alone, or may be short for another."""
    forms = {text: _forms(text) for text in texts}
    spelt = {bare: full for full, bare in forms.values() if bare != full}
    by_form: dict[str, list[str]] = {}
    for text, (full, _) in forms.items():
        by_form.setdefault(spelt.get(full, full), []).append(text)
    if len(texts) <= MOST_CODES:  # m beside Male, where no other level begins with it
        for short in [form for form in by_form if len(form) == 1]:
            longer = [form for form in by_form if len(form) > 1 and form[0] == short]
            if len(longer) == 1:
                by_form[longer[0]] += by_form.pop(short)
    groups = [group for group in by_form.values() if len(group) > 1]
    if groups:
        most = [max(group, key=lambda text: (len(forms[text][0]), weight[text])) for group in groups]
        merge = {one: sorted(set(group) - {one}) for one, group in zip(most, groups, strict=True)}
        found = " and ".join(some(group) for group in groups[:3])
        line = column_line(name, type="categorical", merge=merge)
        yield Remark(name, f"{found} look like one level written in several ways", line)


def _rare(name: str, texts: Sequence[str], weight: Mapping[str, int]) -> Iterator[Remark]:
    rare = [t for t in texts if weight[t] == 1]
    if rare and len(texts) > 2 and len(rare) < len(texts):
        yield Remark(name, f"{some(rare)} {'stands' if len(rare) == 1 else 'stand'} in one row only", "")
