"""The card of a chosen model, after Mitchell et al. 2019 (arXiv 1810.03993), as Markdown, HTML and JSON.

It begins with what the model is fit for: what it decides, for whom, how well by group, and what is not known. Then come
its choice, its figures, its data, and at the end what identifies it. All of it is read from the database.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evals.cards import added_rows_facts, base_compared, card_sections, fitness, technical_identity
from evals.cards import tradeoff as drawing
from evals.cards.card_sections import number, span, words
from evals.cards.document import (
    Block,
    Code,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
    as_json,
    list_contents,
    markdown,
    page,
)
from evals.cards.front_matter import front_matter
from evals.choosing import choice, choice_text
from evals.choosing.choice import Choice
from evals.plots.style import render
from evals.records.points import describe_limit
from evals.records.query import Record
from utils.system import atomic

FORMATS: dict[str, Callable[[Document], str]] = {".md": markdown, ".html": page, ".json": as_json}
SUFFIXES = (".md", ".html")  # of the files that are written unasked
TEXTS = (".md", ".txt")
AFTER = "Sections after Mitchell et al. 2019, arXiv 1810.03993."
DEFAULTS = {
    "intended_use": "Research on what accuracy, fairness and robustness cost each other. It is a research model: it "
    "was judged by a program for comparing methods, and by nobody for use on persons.",
    "out_of_scope": "Decisions on persons, alone or as advice; rows from another population, time or way of measuring "
    "than those of the data set below; attacks stronger than or unlike those it was judged against.",
}


def files(option: Any) -> list[Path]:
    """The files that ``card`` names, by commas; none for null. Raises ValueError for another suffix than FORMATS."""
    names = [word.strip() for word in str("" if option is None else option).split(",") if word.strip()]
    for name in names:
        if Path(name).suffix.lower() not in FORMATS:
            raise ValueError(f"card={name}: expected a name ending in {', '.join(FORMATS)}, auto or null")
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
        suffix = path.suffix.lower()
        made[path] = FORMATS[suffix](document).encode()
        if figure is not None and suffix == ".md":
            made[image] = render(figure, "png")
    for path, content in made.items():  # all of them made before the first is written
        atomic.write_bytes(path, content)
    return list(made)


def _caption(found: Choice, x: str, y: str) -> str:
    lines = [c.text for c in found.question.constraints if c.key in (x, y)]
    dashed = f"; dashed the limit{'s' * (len(lines) > 1)} {' and '.join(lines)}" if lines else ""
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
    stored: Sequence[Record],
    intended_use: str,
    out_of_scope: str,
) -> Document:
    """The card of the best candidate, from its run that is to be used; ``stored`` are the records of the database."""
    best = found.ranked[0]
    record, _ = choice.pick_run(found, best)
    row = found.pool.table.iloc[best]
    runs = [other for other in found.pool.records if "point" not in other]
    seeds = [other for other in runs if other.get("group_id") == row["plain_group"]]
    point = f", operating point {record['point']}, {describe_limit(record['policy'])}" if "point" in record else ""
    lead = f"Record {record['doc_id']} of the database {dataset}{point}. {AFTER}"
    blocks: list[Block] = [
        *fitness.section(found, record, notes, intended_use=intended_use, out_of_scope=out_of_scope),
        *_describe_choice(found, facts, figure),
        *card_sections.performance(record),
        *base_compared.section(record, stored),
        *card_sections.robustness(record),
        *card_sections.individual(record),
        *card_sections.thresholds(record),
        *card_sections.data(record),
        *added_rows_facts.section(record),
        Heading("Use"),
        Code("\n".join(commands.values())),
        *technical_identity.details(record, seeds),
    ]
    front = front_matter(record, str(row["label"]), found.question.keys)
    return Document(f"Model card: {row['label']}", lead, [list_contents(blocks), *blocks], front)


# --- how it was chosen -----------------------------------------------------------------------------------------


def _describe_choice(found: Choice, facts: str, figure: Figure | None) -> list[Block]:
    row = found.pool.table.iloc[found.ranked[0]]
    lines = [choice_text.describe_competition(found, facts)]
    lines += choice_text.describe_comparison(found) if found.question.sure else []  # that of luck is a known limit
    blocks: list[Block] = [
        Heading("How it was chosen"),
        *(Paragraph(f"{line[0].upper()}{line[1:]}.") for line in lines),
        *(_describe_means(found) if row["seeds"] > 1 else []),
    ]
    if found.prices:
        total = len(found.pool.table)
        rows = [[p.constraint.text, f"{p.meeting} of {total}", choice_text.price(found, p)] for p in found.prices]
        blocks += [Heading("What the limits cost", 3), Table(["limit", "met by", "price"], rows)]
        blocks += [Paragraph(f"{costs[0].upper()}{costs[1:]}.")] if (costs := choice_text.together(found)) else []
    return [*blocks, *([figure] if figure else [])]


def _describe_means(found: Choice) -> list[Block]:
    """Returns the means over seeds by which the setting was chosen, and which of its runs this card is of."""
    row, keys = found.pool.table.iloc[found.ranked[0]], found.question.keys
    run, _ = choice.pick_run(found, found.ranked[0])
    rows = [
        [words(key, run), number(row[key]), _span(row, key), "; ".join(choice_text.meetings(found, row, key))]
        for key in keys
    ]
    over = dict.fromkeys(text for key in keys if (text := choice_text.over(row, key)))
    what = f"Means over {row['seeds']} seeds." + (f" Intervals over {' or '.join(over)}." if over else "")
    used = f"This card is of record {run['doc_id']}{choice_text.why(found, found.ranked[0])}."
    return [Table(["metric", "mean", "95 % interval", "limit"], rows, what), Paragraph(used)]


def _span(row: Any, key: str) -> str:
    return span((row[f"{key}_low"], row[f"{key}_high"]))
