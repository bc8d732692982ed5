"""An audit of delivered rows as text, the verdict first, and as a CSV of its figures."""

import csv
import io
from collections.abc import Iterator

from evals.looking.delivery_rows import Delivery
from utils.poisoning.audit import KINDS, LEVEL, Audit, Cell, Figure
from utils.system.console import count, escape_formulas, harmless
from utils.system.tables import PLAIN, draw
from utils.tables.reading import write_cell
from utils.words.wrapping import fit

SHOWN = 12  # cells, of more those that differ most surely
FIELDS = ("figure", "label", "trusted", "delivered", "mean", "low", "high", "finding_from", "p")
FINDINGS = {  # in the verdict
    "cells": "the shares of group and label",
    "contradicted": "labels that people with the same features contradict",
    "disagreeing": "labels unlike those of the nearest people",
    "copies": "copies of trusted rows",
    "near": "rows near to trusted ones without being the same",
    "repeats": "rows that repeat each other",
    "most": "one row that comes again and again",
}
ASSUMED = (
    "This takes the trusted rows for what they are called, and both files for drawn independently from one source: "
    "another year or another place differs as well, without anybody's intent."
)
CLEAN = (
    "Nothing here is beyond chance. That does not show that the rows are harmless: fewer chosen rows than stand under "
    "'finding from' would not be seen, nor rows that are chosen to look like others."
)
ASK = "Ask who made these rows, and how, before anything is trained on them."


def verdict(delivery: Delivery, audit: Audit) -> str:
    """Returns a sentence on what is beyond chance, and the assumption."""
    named = [FINDINGS[key] for key in audit.findings]
    beyond = f"Beyond chance: {'; '.join(named)}. " if named else ""
    refused = ""
    if delivery.refused_rows:
        refused = f"{count(delivery.refused_rows, 'row')} that the schema does not allow. "
    return f"{beyond}{refused}{_same(audit)}{ASK if beyond or refused else CLEAN} {ASSUMED}"


def _same(audit: Audit) -> str:
    """Returns a sentence where most rows are those of the reference, as of a file that holds the reference too."""
    copies = next(of.rows for of in audit.figures if of.key == "copies")
    if "copies" not in audit.findings or copies <= audit.sampled[1] / 2:
        return ""
    return (
        f"{copies:,} of {count(audit.sampled[1], 'row')} are rows of the reference: where the file holds the reference "
        "too, audit the other rows alone. "
    )


def to_text(delivery: Delivery, audit: Audit, wide: int | None = None) -> str:
    """The whole audit for a terminal of ``wide`` columns, or for a file."""
    parts = [
        _head(delivery, audit),
        verdict(delivery, audit),
        draw(("group", "label", "trusted", "delivered", "p"), list(_cells(audit)), wide, PLAIN)
        + f"All together: p = {_chance(audit.shares)}",
        _figures(audit, wide),
        *_frequent(delivery, audit),
        *_refused(delivery),
        legend(audit),
    ]
    return harmless("\n\n".join(part if wide is None else fit(part, wide) for part in parts)) + "\n"


def _head(delivery: Delivery, audit: Audit) -> str:
    beside = f"{delivery.new}: {count(audit.delivered, 'row')} beside {audit.trusted:,} of {delivery.reference}"
    out = f"; {count(delivery.left_out, 'row')} outside of the schema's rows left out" if delivery.left_out else ""
    n, m = audit.sampled
    some = f"; figures of a sample, {m:,} beside {n:,}" if (n, m) != (audit.trusted, audit.delivered) else ""
    return f"{beside}{out}{some}"


def _cells(audit: Audit) -> Iterator[list[str]]:
    """Yields the cells as lines, of very many those that differ most surely."""
    for cell in _choose(audit):
        shares = ((cell.trusted, audit.trusted), (cell.delivered, audit.delivered))
        yield [cell.group, cell.label, *(f"{part:,} ({part / of:.1%})" for part, of in shares), _chance(cell.p)]
    left = len(audit.cells) - SHOWN
    if left > 0:
        yield [f"and {left} more", "", "", "", ""]


def _choose(audit: Audit) -> list[Cell]:
    order = sorted(range(len(audit.cells)), key=lambda i: audit.cells[i].p)[:SHOWN]
    return [audit.cells[i] for i in sorted(order)]


def _figures(audit: Audit, wide: int | None) -> str:
    header = ("delivered rows", "number", "by chance", "finding from", "p")
    lines = [[KINDS[of.key], str(of.rows), _range(of), str(of.told), _chance(of.p)] for of in audit.figures]
    return draw(header, lines, wide, PLAIN).rstrip()


def _range(of: Figure) -> str:
    return f"{of.mean:.1f} [{of.low:.0f}, {of.high:.0f}]"


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _frequent(delivery: Delivery, audit: Audit) -> Iterator[str]:
    """Yields the rows that come most often, as the file holds them."""
    lines = []
    for place, times, trusted in audit.frequent:
        row = delivery.shown.iloc[place]
        held = ", ".join(f"{name} {write_cell(value)}" for name, value in row.items())
        lines.append(f"  {times} times, {trusted or 'none'} in the reference: {held}")
    if lines:
        yield "\n".join(["Rows that come most often:", *lines])


def _refused(delivery: Delivery) -> Iterator[str]:
    """Yields what the schema does not allow, by column."""
    if delivery.refused:
        lines = [f"  {of.column}: {count(of.rows, 'row')}; the first {of.text}" for of in delivery.refused]
        rows = count(delivery.refused_rows, "row")
        yield "\n".join([f"The schema does not allow {rows}, which no figure above counts:", *lines])


def legend(audit: Audit) -> str:
    """Returns how chance is measured, in a paragraph."""
    return (
        f"By chance: mean and 95 % range of {audit.splits:,} random splits of all rows, delivered and trusted, into "
        "two files of these sizes; p: the share of them with as many rows or more, of all shares together as large a "
        "chi-square; of one group and label Fisher's exact test, twice the smaller side; Holm's over all of them. "
        "Beyond chance: "
        f"{100 * LEVEL:g} % of clean deliveries have any such figure. Near: within {audit.radius:.3g} standard "
        "deviations, closer than 95 % of all rows are to another; nearest people: "
        f"{audit.nearest} of the same group."
    )


def to_csv(delivery: Delivery, audit: Audit) -> str:
    """One line per cell, per figure, and per column with rows that the schema does not allow."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for cell in audit.cells:
        named = map(escape_formulas, (cell.group, cell.label))
        writer.writerow([*named, cell.trusted, cell.delivered, "", "", "", "", cell.p])
    writer.writerow(["shares", "", "", "", "", "", "", "", audit.shares])
    for of in audit.figures:
        writer.writerow([of.key, "", "", of.rows, of.mean, of.low, of.high, of.told, of.p])
    for one in delivery.refused:
        writer.writerow([escape_formulas(f"refused {one.column}"), "", "", one.rows, "", "", "", 1, ""])
    return text.getvalue()
