"""The levels of each sensitive attribute alone, and beside the reference that the schema of a table names."""

from collections.abc import Iterator, Sequence

from evals.cards.document import Block, Heading, Table
from evals.records.query import Record
from evals.records.row_intervals import levels_of, of_share
from utils.metrics.directions import describe
from utils.metrics.references import Counted, counts_by_level, differences, settings_of
from utils.words.levels import write_level


def by_level(record: Record, groups: Sequence[str], rates: Sequence[str]) -> Iterator[list[str]]:
    """Yields a row for each level: its name, its test rows, the share of class 1, its rates with their intervals."""
    shares = record.get("shares") or {}
    for attribute in (record.get("preprocessing") or {})["schema"]["sensitive"]:
        counted = {rate: counts_by_level(shares, groups, attribute, rate) for rate in ("prevalence", *rates)}
        for level, (ones, rows) in counted["prevalence"].items():
            shown = [_share(counted[rate][level], levels_of(record)[0]) for rate in rates]
            yield [write_level(attribute, level), str(rows), f"{ones / rows:.3f}" if rows else "–", *shown]


def _share(counted: Counted, level: float) -> str:
    part, rows = counted
    if not rows:
        return "undefined"
    low, high = of_share(part / rows, rows, level)
    return f"{part / rows:.3f} [{low:.3f}, {high:.3f}]"


def against_reference(record: Record, rates: Sequence[str]) -> list[Block]:
    """The rates of each level less those of the reference; nothing where the schema names none."""
    found = list(differences(record, rates))
    if not found:
        return []
    lines = [
        [
            write_level(of.attribute, of.level),
            describe(of.rate),
            "undefined" if of.value is None else f"{of.value:+.3f}",
            "–" if of.value is None else f"[{of.low:+.3f}, {of.high:+.3f}]",
        ]
        for of in found
    ]
    named = (record.get("preprocessing") or {})["schema"]["groups"]["reference"].items()
    head = "Compared with " + " and ".join(write_level(attribute, level) for attribute, level in named)
    note = "The rate of the group less that of the reference; intervals after Newcombe (1998)."
    interval = f"{settings_of(record)['level'] * 100:g} % interval"
    return [Heading(head, 3), Table(["group", "rate", "difference", interval], lines, note)]
