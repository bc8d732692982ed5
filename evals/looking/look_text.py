"""The figures of a table for the terminal: columns, groups, what to look at, what to decide."""

import math
from collections.abc import Iterator, Sequence

from evals.looking.facts import ColumnFacts, Facts, Group
from utils.system.console import count, harmless
from utils.system.tables import align
from utils.tables.remarks import Remark
from utils.words.wrapping import wrap

FEW = 10  # rows; the rate of a smaller group says little
MOST_GROUPS = 12  # lines of a table of groups
TYPES = {"ignore": "left out", "continuous": "number", "ordered": "ordered", "date": "date"}


def sentence(facts: Facts) -> str:
    """Rows, columns used, the label and its rate, the smallest cell, in words."""
    used = facts.whole.rows
    of_file = f"{used:,} of {count(facts.rows, 'row')}" if used < facts.rows else count(used, "row")
    start = f"{facts.file}: {of_file}, {count(facts.features, 'column')} of {len(facts.columns)} used."
    if len(facts.classes) > 2:
        return f"{start} The label {facts.label} has {len(facts.classes)} values; two classes are needed."
    good = ", the favourable class," if facts.favourable else ""
    rates = [(group.rate, group.name) for group in facts.groups if group.rows >= FEW]
    spread = _spread(rates, len(rates) < len(facts.groups)) if rates else ""
    rows, group, text = facts.smallest()
    return (
        f"{start} {facts.label} is {facts.classes[-1]}{good} in {percent(facts.whole.rate)}{spread}. "
        f"Smallest cell: {group} with {facts.label}={text}, {count(rows, 'row')}."
    )


def _spread(rates: Sequence[tuple[float, str]], some_only: bool) -> str:
    """The groups with the lowest and the highest rate."""
    (low, least), (high, most) = min(rates), max(rates)
    among = f", of groups of {FEW} rows or more" if some_only else ""
    return f", from {percent(low)} ({least}) to {percent(high)} ({most}){among}"


def percent(share: float) -> str:
    """``27.6 %``."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def kind(column: ColumnFacts) -> str:
    """The type of a column in a word."""
    if column.role == "left out":
        return "left out"
    if column.rule.bins:
        return "groups"
    return {**TYPES, "categorical": "category", "binary": "two levels", "count": "count"}[column.rule.type]


def content(column: ColumnFacts) -> str:
    """The content of a column, in short."""
    held = column.numbers
    if held is not None and not column.levels:
        return f"{number(held.low)} to {number(held.high)}, median {number(held.median)}"
    return name_levels(column, 3)


def name_levels(column: ColumnFacts, most: int) -> str:
    """``Bern (400), Basel (380), 5 more``."""
    named = [f"{text} ({rows:,})" for text, rows in column.levels[:most]]
    more = [f"{column.n_levels - len(named):,} more"] * (column.n_levels > len(named))
    return ", ".join(named + more)


def number(value: float) -> str:
    """Four digits, whole numbers with commas."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def text(facts: Facts) -> str:
    """The whole report."""
    parts = [
        _wrap(sentence(facts)),
        _columns([column for column in facts.columns if column.role != "left out"]),
        *_missing(facts),
        *_groups(facts),
        *_left_out(facts),
        *_list("Look at", facts.open),
        *_list("Decide", list(gathered(facts.decisions))),
        *([_wrap(facts.read_as, "\nRead as: ")] if facts.read_as else []),
    ]
    return harmless("\n".join(parts)) + "\n"


def _wrap(words: str, start: str = "") -> str:
    return wrap(words, start, " " * len(start))


def _columns(columns: Sequence[ColumnFacts]) -> str:
    """The table of columns, a row for each."""
    rows = []
    for column in columns:
        role = f" ({column.role})" if column.role in ("sensitive", "label", "weight", "split") else ""
        missing = f"{column.missing:,} missing" if column.missing else ""
        rows.append([column.name, kind(column), f"{content(column)}{role}", missing])
    return "\n" + align(["column", "type", "what it holds", ""], rows).rstrip("\n")


def _missing(facts: Facts) -> Iterator[str]:
    """Yields how often each column is missing in the groups of each attribute, the widest gap first."""
    lacking = [c for c in facts.columns if c.spread and c.role != "left out"]
    if lacking:
        yield "\nMissing, by group:"
    for column in sorted(lacking, key=lambda column: -column.gap):
        yield _wrap(f"{column.name} ({column.missing:,}): {column.spread}", "  ")


def _left_out(facts: Facts) -> Iterator[str]:
    """Yields the columns that are left out, by reason."""
    reasons: dict[str, list[str]] = {}
    for column in facts.left_out:
        reasons.setdefault(column.reason or "by the schema", []).append(column.name)
    if reasons:
        yield f"\nLeft out ({len(facts.left_out)}), until columns: in the schema gives one another type:"
    yield from (_wrap(f"{reason}: {', '.join(names)}", "  ") for reason, names in reasons.items())


def _groups(facts: Facts) -> Iterator[str]:
    """Yields the rows by group and class, of very many groups the smallest."""
    groups = [
        g for own in facts.alone for g in sorted(own, key=lambda g: g.rows * (len(own) > MOST_GROUPS))[:MOST_GROUPS]
    ]
    combined = sorted(facts.combined, key=lambda group: group.rows)[:MOST_GROUPS]
    cut = len(combined) < len(facts.combined)
    fewer = f", the {MOST_GROUPS} smallest" if max(map(len, facts.alone), default=0) > MOST_GROUPS else ""
    titled = [(f"Rows by group and {facts.label}{fewer}", groups)]
    if combined:
        of = f"The {len(combined)} smallest of {len(facts.combined)} combinations" if cut else "Combinations"
        titled.append((of, combined))
    for title, listed in titled:
        yield _table(title, listed, facts.classes)


def _table(title: str, groups: Sequence[Group], classes: Sequence[str]) -> str:
    """The table of groups, a row for each: rows by class, and the share of the last of two classes."""
    two = len(classes) == 2
    rows = [
        [g.name, f"{g.rows:,}", *(f"{n:,}" for n in g.counts), *[percent(g.rate).removesuffix(" %")] * two]
        for g in groups
    ]
    return "\n" + align([title, "rows", *classes, *[f"% {classes[-1]}"] * two], rows).rstrip("\n")


def gathered(remarks: Sequence[Remark]) -> Iterator[Remark]:
    """Yields the remarks, those of one kind on several columns as one, with the line of the first."""
    of: dict[object, list[Remark]] = {}
    for i, remark in enumerate(remarks):
        of.setdefault(remark.kind or i, []).append(remark)
    for group in of.values():
        first = group[0]
        names = ", ".join(remark.column for remark in group)
        text = f"{len(group)} columns with {first.kind}: {names}; the line is that of the first"
        yield first if len(group) == 1 else Remark("", text, first.line)


def _list(title: str, remarks: Sequence[Remark]) -> Iterator[str]:
    """Yields remarks, each with its line of the schema below it."""
    if remarks:
        yield f"\n{title} ({len(remarks)}):"
    for i, remark in enumerate(remarks, 1):
        about = f"{remark.column}: " if remark.column else ""
        yield _wrap(about + remark.text, f"{i:3}. ")
        if remark.line:
            yield f"     {remark.line}"
