"""The card of a chosen model, after Mitchell et al. 2019 (arXiv 1810.03993), as Markdown and HTML.

It says what the model is, on what data it was trained, how it fares for everybody and for each group, what it was
chosen for and against what, and what is not known. All of it is read from the database.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evals.cards import added_rows_facts, card_sections
from evals.cards import tradeoff as drawing
from evals.cards.card_sections import groups, number, span, words
from evals.cards.document import Block, Bullets, Code, Document, Figure, Heading, Paragraph, Table, markdown, page
from evals.choosing import choice, choice_text
from evals.choosing.choice import Choice
from evals.plots.style import render
from evals.records.points import describe_fits, describe_limit, fits
from evals.records.query import Record
from evals.records.row_intervals import name_intervals
from utils.metrics.directions import POISONING
from utils.system import atomic
from utils.system.console import count

SUFFIXES = (".md", ".html")
TEXTS = (".md", ".txt")
AFTER = "Sections after Mitchell et al. 2019, arXiv 1810.03993."
FEW_SEEDS = 5
FEW_ROWS = 50
DEFAULTS = {
    "intended_use": "Research on what accuracy, fairness and robustness cost each other. It is a research model: it "
    "was trained and judged by a program for comparing methods, and by nobody for use on persons.",
    "out_of_scope": "Decisions on persons, alone or as advice; rows from another population, time or way of measuring "
    "than those of the data set below; attacks stronger than or unlike those it was judged against.",
}


def files(option: Any) -> list[Path]:
    """The files that ``card`` names, by commas; none for null. Raises ValueError for another suffix than SUFFIXES."""
    names = [word.strip() for word in str("" if option is None else option).split(",") if word.strip()]
    for name in names:
        if Path(name).suffix.lower() not in SUFFIXES:
            raise ValueError(f"card={name}: expected a name ending in {' or '.join(SUFFIXES)}, auto or null")
    return [Path(name) for name in names]


def text_of(key: str, option: Any) -> str:
    """A text as given, or that of a file. Raises ValueError where a file it names is not there or no text."""
    if option is None:
        return DEFAULTS[key]
    path = Path(str(option))
    if path.suffix.lower() not in TEXTS or len(str(option).split()) > 1:
        return str(option)
    if not path.is_file():
        raise ValueError(f"{key}={option}: there is no such file; give a text, or a file {' or '.join(TEXTS)}")
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{key}={option}: the file is no UTF-8 text") from error


def write(found: Choice, dataset: str, paths: Sequence[Path], **said: Any) -> list[Path]:
    """Writes the card to every path, beside one in Markdown its figure; returns the files written."""
    axes = drawing.axes_of(found)
    figure = None if axes is None else drawing.tradeoff(found, dataset, *axes)
    made: dict[Path, bytes] = {}
    for path in paths:
        image = path.with_suffix(".png")
        svg = "" if figure is None else render(figure, "svg").decode()
        document = build(found, dataset, Figure(svg, image.name, _caption(found, *axes)) if axes else None, **said)
        in_html = path.suffix.lower() == ".html"
        made[path] = (page if in_html else markdown)(document).encode()
        if figure is not None and not in_html:
            made[image] = render(figure, "png")
    for path, content in made.items():  # all of them made before the first is written
        atomic.write_bytes(path, content)
    return list(made)


def _caption(found: Choice, x: str, y: str) -> str:
    lines = [c.text for c in found.question.constraints if c.key in (x, y)]
    dashed = f"; dashed the constraint{'s' * (len(lines) > 1)} {' and '.join(lines)}" if lines else ""
    record = found.pool.records[found.pool.table.iloc[found.ranked[0]]["members"][0]]
    what = " and ".join(words(key, record).partition(" (")[0] for key in (x, y))
    what = f"{what[0].upper()}{what[1:]} of all candidates, and the frontier of those that none other surpasses in both"
    return f"{what}. Ringed: the chosen one{dashed}."


def build(
    found: Choice,
    dataset: str,
    figure: Figure | None,
    *,
    facts: str,
    notes: Sequence[str],
    commands: dict[str, str],
    intended_use: str,
    out_of_scope: str,
) -> Document:
    """The card of the best candidate, from its run that is to be used."""
    best = found.ranked[0]
    record, _ = choice.pick_run(found, best)
    row = found.pool.table.iloc[best]
    runs = [other for other in found.pool.records if "point" not in other]
    seeds = [other for other in runs if other.get("group_id") == row["plain_group"]]
    point = f", operating point {record['point']}, {describe_limit(record['policy'])}" if "point" in record else ""
    lead = f"Record {record['doc_id']} of the database {dataset}{point}. {AFTER}"
    blocks: list[Block] = [
        *_in_short(found, record),
        *card_sections.details(record, seeds),
        *_use(intended_use, out_of_scope),
        *card_sections.data(record),
        *added_rows_facts.section(record),
        *card_sections.performance(record),
        *card_sections.robustness(record),
        *card_sections.individual(record),
        *_describe_choice(found, facts, figure),
        *card_sections.thresholds(record),
        Heading("Caveats"),
        Bullets([*notes, *_limits(found, record)]),
        Heading("Use"),
        Code("\n".join(commands.values())),
    ]
    return Document(f"Model card: {row['label']}", lead, blocks)


def _in_short(found: Choice, record: Record) -> list[Block]:
    """Returns the question, the figures of the chosen run that answer it, and what is odd about the model."""
    test = (record.get("rows") or {}).get("test")
    figures = [f"{words(key, record)} {number(record['metrics'].get(key))}" for key in found.question.keys]
    constant = choice_text.describe_constant(record)
    idle = [f"{constant[0].upper()}{constant[1:]}."] if constant else []
    on = f"On {count(test, 'test row')}" if test else "On the test rows"
    beside = choice_text.beside_constant(record)
    return [
        Paragraph(f"Chosen for the {found.question}. {on}: {'; '.join(figures)}."),
        *([Paragraph(f"Beside a constant prediction: {beside}.")] if beside else []),
        *(Paragraph(text) for text in idle),
    ]


def _use(intended_use: str, out_of_scope: str) -> list[Block]:
    blocks: list[Block] = [Heading("Intended use")]
    for heading, text in (("", intended_use), ("Out of scope", out_of_scope)):
        blocks += [Heading(heading, 3)] if heading else []
        blocks += [Paragraph(part) for part in text.split("\n\n") if part.strip()]
    return blocks


# --- how it was chosen -----------------------------------------------------------------------------------------


def _describe_choice(found: Choice, facts: str, figure: Figure | None) -> list[Block]:
    row = found.pool.table.iloc[found.ranked[0]]
    blocks: list[Block] = [
        Heading("How it was chosen"),
        Paragraph(f"Asked for: {found.question}. {choice_text.describe_competition(found, facts)}."),
        *(Paragraph(f"{line[0].upper()}{line[1:]}.") for line in choice_text.describe_comparison(found)),
    ]
    keys = found.question.keys
    rows = [[key, number(row[key]), _span(row, key), "; ".join(choice_text.meetings(found, row, key))] for key in keys]
    what = f"Means over {row['seeds']} seeds." if row["seeds"] > 1 else "Figures of one run."
    over = dict.fromkeys(text for key in keys if (text := choice_text.over(row, key)))
    what += f" Intervals over {' or '.join(over)}." if over else ""
    run, _ = choice.pick_run(found, found.ranked[0])
    interval = "95 % interval" if row["seeds"] > 1 else name_intervals(run)
    blocks.append(Table(["metric", "value", interval, "constraint"], rows, what))
    if found.prices:
        total = len(found.pool.table)
        rows = [[p.constraint.text, f"{p.meeting} of {total}", choice_text.price(found, p)] for p in found.prices]
        blocks += [Heading("What the constraints cost", 3), Table(["constraint", "met by", "price"], rows)]
        blocks += [Paragraph(f"{costs[0].upper()}{costs[1:]}.")] if (costs := choice_text.together(found)) else []
    if row["seeds"] > 1:
        why = choice_text.why(found, found.ranked[0])
        blocks.append(Paragraph(f"Record {run['doc_id']} is used{why}. Its own figures:"))
        blocks.append(Bullets(choice_text.own_figures(found, found.ranked[0])))
    return [*blocks, *([figure] if figure else [])]


def _span(row: Any, key: str) -> str:
    return span((row[f"{key}_low"], row[f"{key}_high"]))


# --- limits ----------------------------------------------------------------------------------------------------


def _limits(found: Choice, record: Record) -> Iterator[str]:
    """Yields what a reader must know before believing the figures."""
    yield from (str(warning) for warning in record.get("warnings") or [])
    if constant := choice_text.describe_constant(record):
        yield f"A {constant}."
    said = any("fitted to" in str(warning) for warning in record.get("warnings") or ())
    if "point" in record or not said:  # the warnings of a record say so of its own thresholds
        told = zip(describe_fits(record), fits(record), strict=True)
        yield from (f"The thresholds were {line}." for line, fit in told if fit.crossed)
    yield from _list_undefined(record)
    yield from _few_rows(record)
    row = found.pool.table.iloc[found.ranked[0]]
    if not found.pool.runs:
        yield from _seeds(int(row["seeds"]))
    yield (
        "Intervals over test rows say how far other rows of the same population could change a figure; not what "
        "another training, split or population would."
    )
    if len(found.pool.table) > 1:
        yield (
            f"The model was chosen among {len(found.pool.table)} candidates by figures of the same test rows that this "
            "card reports, so part of its lead is luck. Judge it on fresh rows before relying on it."
        )
    yield (
        "Attacks and searches bound errors from below only: the model may be less robust and less fair than shown. "
        "Fairness is reported for the groups of the table; others, and their intersections, were not looked at."
    )
    if card_sections.by_group(record):
        yield "Thresholds of each group treat equal scores in different groups differently, which may be unlawful."


def _list_undefined(record: Record) -> Iterator[str]:
    metrics = record["metrics"]
    lost = [key for key in metrics if metrics[key] is None and not card_sections.DETAIL.search(key)]
    lost = [key for key in lost if not key.endswith(tuple(POISONING))]  # figures of another model, or of other rows
    if lost:
        names = ", ".join(words(key, record) for key in lost)
        yield f"Undefined on these test rows, for want of rows of a group, of a class, or of both: {names}."


def _few_rows(record: Record) -> Iterator[str]:
    sizes = {name: record["metrics"].get(f"support_group{i}") for i, name in enumerate(groups(record))}
    few = [f"{name} ({size:.0f})" for name, size in sizes.items() if size is not None and size < FEW_ROWS]
    if few:
        yield f"Groups of fewer than {FEW_ROWS} test rows, whose figures say little: {', '.join(few)}."


def _seeds(seeds: int) -> Iterator[str]:
    if seeds == 1:
        yield "These are the figures of one seed: how much another training of the setting would differ is not known."
    elif seeds < FEW_SEEDS:
        yield (
            f"Only {seeds} seeds were trained: the interval over so few is wide, and holds the mean over all seeds in "
            "95 % of cases only where such figures are about normal."
        )
