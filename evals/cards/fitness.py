"""The head of a model card: what the model decides, for whom, how well by group, and its known limits."""

from collections.abc import Iterator, Sequence

from evals.cards import card_sections
from evals.cards.card_sections import classes, describe_data, figure, groups, with_span, words
from evals.cards.document import Block, Bullets, Heading, Table
from evals.choosing import choice, choice_text
from evals.choosing.choice import Choice
from evals.records import judged_rows
from evals.records.points import Fit, fits
from evals.records.query import Record
from evals.records.row_intervals import name_intervals
from utils.metrics.directions import POISONING
from utils.records import given_weights
from utils.system.console import count
from utils.words.levels import name_class

TITLE = "Fitness for use"
FEW_SEEDS = 5
FEW_ROWS = 50
UNSEEN = ", which neither training nor thresholds have seen"  # of test rows
NOT_KNOWN = "; whether the training of these weights saw them is not known"
MOST_COLUMNS = 15  # of the data, that are listed


def section(
    found: Choice, record: Record, notes: Sequence[str], *, intended_use: str, out_of_scope: str
) -> list[Block]:
    """The section on a chosen run: its decision, its figures for the question, its use, its groups and its limits."""
    facts = [["Decides", decides(record)], ["Intended use", intended_use], ["Out of scope", out_of_scope]]
    facts += [["Chosen for", f"The {found.question}."]]
    if constant := choice_text.describe_constant(record):
        facts += [["Beware", f"{constant[0].upper()}{constant[1:]}."]]
    return [
        Heading(TITLE),
        Table((), facts),
        _figures(found, record),
        *card_sections.every_group(record),
        Heading("Known limits", 3),
        Bullets([*notes, *_limits(found, record)]),
    ]


def decides(record: Record) -> str:
    """``Class 1 or class 0 (1: the loan is repaid; 0: it is not) for a row of loan: .... From age, income.``"""
    stored, names = record.get("preprocessing") or {}, classes(record)
    several = (record["params"].get("model") or {}).get("outputs", 1) != 1
    one = (
        f"One of {len(names) or 'several'} classes"
        if several
        else f"C{name_class(1, names)[1:]} or {name_class(0, names)}"
    )
    said = card_sections.sheet_of(record).get("classes")
    label = ((stored.get("schema") or {}).get("label") or {}).get("column")
    explained = f" of {label}" if label else f" ({said})" if said else ""
    columns = card_sections.columns(record)
    named = ", ".join(columns) if len(columns) <= MOST_COLUMNS else f"{len(columns)} columns"
    source = f" From {named}." if columns else ""
    what = "an image" if stored.get("shape") else "a row"
    data = describe_data(record)
    stop = "" if data.endswith("?") else "."
    return f"{one}{explained} for {what} of {data}{stop}{source} {_thresholds(record, several=several)}"


def _thresholds(record: Record, *, several: bool) -> str:
    if several:
        return "The class of the largest probability is taken."
    return f"Thresholds: {'each group its own' if card_sections.by_group(record) else 'one for all groups'}."


def _figures(found: Choice, record: Record) -> Table:
    """The figures of the run for the question, how each stands to its limit, and a constant prediction beside them."""
    own, question = choice.pick_row(found, found.ranked[0]), found.question
    test, rows = (record.get("rows") or {}).get("test"), []
    for key in question.keys:
        limits = [c for c in question.constraints if c.key == key]
        said = "; ".join(choice_text.describe_standing(c, own, sure=question.sure) for c in limits)
        rows.append([words(key, record), with_span(own[key], (own[f"{key}_low"], own[f"{key}_high"])), said])
    if "accuracy" in record["metrics"] and "accuracy" not in question.keys:
        rows.append(["accuracy", figure(record, "accuracy"), ""])
    seen = NOT_KNOWN if given_weights.name_file(record["params"]) else UNSEEN
    fewer = "; figures of fewer say so" if any(judged_rows.count_fewer(record, key) for key in question.keys) else ""
    caption = f"On {count(test, 'test row')}{seen}{fewer}." if test else ""
    constant = choice_text.constant_figures(record)
    caption += f" {constant[0].upper()}{constant[1:]}." if constant else ""
    header = ["metric", f"value, {name_intervals(record)}", "limit"][: 3 if question.constraints else 2]
    return Table(header, [row[: len(header)] for row in rows], caption.strip())


# --- limits ----------------------------------------------------------------------------------------------------


def _limits(found: Choice, record: Record) -> Iterator[str]:
    """Yields what a reader must know before believing the figures."""
    yield from filter(None, [card_sections.sheet_of(record).get("caution")])
    if given := given_weights.describe(record["params"]):
        yield f"These are {given}: {given_weights.UNSEEN}."
    yield from (str(warning) for warning in record.get("warnings") or [])
    said = any("fitted to" in str(warning) for warning in record.get("warnings") or ())
    if "point" in record or not said:  # the warnings of a record say so of its own thresholds
        yield from (_describe_crossed(fit, record) for fit in fits(record) if fit.crossed)
    yield from _list_undefined(record)
    yield from _few_rows(record)
    row = found.pool.table.iloc[found.ranked[0]]
    if given:
        yield "Other seeds train nothing, they draw rows and attacks anew: another training may differ by more."
    elif not found.pool.runs:
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


def _describe_crossed(fit: Fit, record: Record) -> str:
    """States that thresholds do not keep to their limit on test rows; its figures stand among the gaps."""
    own = f"the {words(fit.key, record)}" if (fit.test or 0) > fit.permitted else "its interval"
    return f"The thresholds were fitted to {fit.key}<={fit.permitted:g} on other rows; on test rows {own} exceeds that."


def _list_undefined(record: Record) -> Iterator[str]:
    metrics = record["metrics"]
    lost = [key for key in metrics if metrics[key] is None and not card_sections.DETAIL.search(key)]
    lost = [key for key in lost if not key.endswith(tuple(POISONING))]  # figures of another model, or of other rows
    lost = [
        key for key in lost if key.replace(card_sections.SIGNED, "_gap") not in lost or card_sections.SIGNED not in key
    ]
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
