"""The training rows that were added to a run's, or removed or changed, as a reader of its record sees them."""

from collections.abc import Iterator, Mapping
from typing import Any

import paths_config
from evals.cards import plain_methods
from evals.cards.card_sections import groups, number, part, words
from evals.cards.document import Block, Heading, Paragraph, Table
from evals.poisoning.changed_rows import count_changes, describe_carried, describe_trivial
from evals.poisoning.paired import ends
from evals.records import levelling
from evals.records.query import Record
from utils.metrics import directions
from utils.system.console import count
from utils.words.added_rows import DONE, describe_origins

SPLITS = {"valid": "On validation rows", "test": "On test rows"}
PLAIN = ", by the run's own thresholds"  # not those of its operating points, which the model without rows has not
BESIDE = "Plain methods beside it, on test rows"  # of which the card has a table
FILES = {"csv": "Table of the rows", "changes": "List of the changed rows", "trace": "Trace of the search"}
INVENTED = "They are points that a search chose: observations of nobody."
TRAINING_ROWS = "Their features are those of people in the training data, again; their labels were chosen."
MOVED = "They began as the features of people in the training data, which bounds or fixed columns may have changed."
NARROWING = ("bounds", "fixed")  # settings of a search that change people's features
OBJECTIVES = {
    "fair": "so that the model becomes fairer in",
    "unfair": "as an attacker would, so that the model becomes less fair in",
}
TRAINED = {  # what was done to rows -> how the model was trained
    "added": "on {rows} more than the data have",
    "removed": "without {rows} of the data",
    "relabelled": "with the labels of {rows} changed",
    "reweighed": "with the weights of {rows} changed",
}
LAW = (
    "Consent and law: these rows use people's features again, for a purpose those people may not have agreed to, and "
    "a chosen label may contradict what happened to them. Where a person can be identified, data-protection law asks "
    "for a lawful purpose and accurate data (in the EU, GDPR article 5(1)(b) and (d)), and limits decisions made by "
    "such a model alone (article 22). This is no legal advice; seek some before the model decides about anybody."
)
COUNTED_OTHERWISE = (
    "Consent and law: people's records were left out, or count otherwise, for the group and the label that they have, "
    "so the model learned from another population than the data describe. Where a person can be identified, "
    "data-protection law asks for a lawful purpose and fair processing (in the EU, GDPR article 5(1)(a) and (b)), and "
    "limits decisions made by such a model alone (article 22). This is no legal advice."
)
NOBODY = (
    "Consent and law: the rows describe nobody, so what the model learned from them need not be true of anybody it "
    "decides about, who may ask for accurate data and for reasons (in the EU, GDPR articles 5(1)(d) and 22). This is "
    "no legal advice."
)


def facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yields name and value of what was done to rows, of the search and its effects; nothing of a run as it was."""
    if added := record.get("added"):
        yield "Rows of a file", f"{added['rows']} ({added['distinct']} distinct) of {added['path']}"
        yield from _describe_origins(added)
        yield "SHA-256 of the file", str(added["sha256"])
    if poison := record.get("poison"):
        yield from _of_rows(poison)
        yield from _of_search(record, poison)
        yield from _of_effects(record, poison)
        for key, name in FILES.items():
            if poison.get(key) and not (key == "csv" and _changed(poison) and not poison["rows"]):
                yield name, f"{paths_config.poison().name}/{poison[key]['path']}"


def _of_rows(poison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields how many rows were added, and what they are; how many went or changed."""
    changed = _changed(poison)
    if poison["rows"] or not changed:
        yield "Added rows", f"{poison['rows']} ({poison['distinct']} distinct)"
        for key, name in (("labels", "Their classes"), ("groups", "Their groups")):
            if poison.get(key):
                yield name, _describe_counts(poison[key])
        yield from _describe_origins(poison.get("origins") or {})
    for word, number_ in changed.items():
        yield f"{word[0].upper()}{word[1:]} rows", f"{number_}{_of_cells(poison, word)}"


def _changed(poison: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how many rows were removed, relabelled and reweighed; only what was done."""
    return {word: poison[key] for key, word in DONE.items() if key != "rows" and poison.get(key)}


def _of_cells(poison: Mapping[str, Any], word: str) -> str:
    """Returns from which groups and labels rows went, or to which they changed, as a search of their numbers says."""
    numbers = {cell: found for cell, found in (poison.get("numbers") or {}).items() if found}
    if not numbers or word == "reweighed" or (poison.get("trivial") or {}).get("better"):
        return ""
    return f" ({', '.join(f'{found:g} of {cell}' for cell, found in numbers.items())}, by group/label)"


def _of_search(record: Record, poison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what was searched for, how long, and what else was tried."""
    yield "Searched for", f"{poison['metric']}, {poison['objective']}"
    failed = f", {poison['failed']} of them failed" if poison.get("failed") else ""
    ended = f"; {poison['ended']}" if poison.get("ended") else ""
    yield "Evaluations", f"{poison['evaluations']}{failed}{ended}"
    if near := poison.get("nearest"):
        beyond = ", ".join(f"{key} by {by:.3g}" for key, by in near["beyond"].items())
        yield "Nearest to the limits", f"evaluation {near['evaluation']}, which breaks {beyond}"
    yield from (("Trivial attacks", text) for text in describe_trivial([record]))
    yield from (("Influence", text) for text in describe_carried([record]))


def _of_effects(record: Record, poison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what came of it on each split, for each group, and what plain methods reach."""
    plain = PLAIN if record.get("operating_points") else ""
    for split, name in SPLITS.items():
        changes = (_describe_change(record, key, split) for key in dict.fromkeys((poison["metric"], "accuracy")))
        yield f"{name}{plain}", "; ".join(changes)

    def moved(key: str) -> tuple[float, float]:
        before, after = (_own(record).get(end) for end in ends(key, "test"))
        return (float("nan") if before is None else before, float("nan") if after is None else after)

    if sides := levelling.sides(directions.ERRORS, groups(record), moved, [record]):
        yield f"By group, on test rows{plain}", "; ".join(sides)
    if beside := list(plain_methods.facts(record)):
        yield BESIDE, "; ".join(beside)


def _own(record: Record) -> Mapping[str, float | None]:
    """Returns the figures of the run's own thresholds, with which the model of rows as they are was judged too."""
    return record.get("own_metrics", record["metrics"])


def _describe_change(record: Record, key: str, split: str) -> str:
    """Describes a figure before and after."""
    before, after = (_own(record).get(end) for end in ends(key, split))
    return f"{key} {number(before)} before, {number(after)} after"


def _describe_origins(counted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what added rows are, as far as a record counts it."""
    if said := describe_origins(counted):
        yield "What they are", "; ".join(said)
    if cells := counted.get("cells"):
        yield "By group and class", "; ".join(f"{group}: {_describe_counts(of)}" for group, of in cells.items())
    if counted.get("rows") and "contradicted" in counted:
        yield "Contradicted", f"{counted['contradicted']} by people with the same features and another label"


def _describe_counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} of {name}" for name, n in counts.items())


# --- the card --------------------------------------------------------------------------------------------------


def section(record: Record) -> list[Block]:
    """The section of a model card; none of a run as it was."""
    found = list(facts(record))
    if not found:
        return []
    poison = record.get("poison")
    note = f"The files lie in the folder of the databases. Their SHA-256: {_sums(poison)}." if poison else ""
    if poison:
        note = f"The search saw the validation rows, so what changed there promises nothing elsewhere. {note}"
    lead = " ".join([*_describe_file(record), *_describe_search(record)])
    title = "Changed training rows" if poison and _changed(poison) else "Added training rows"
    rows = [[name, value] for name, value in found if name != BESIDE]
    blocks: list[Block] = [Heading(title), Paragraph(lead), Table((), rows, note)]
    blocks += plain_methods.section(record) if poison else []
    return [*blocks, *map(Paragraph, _list_law(record))]


def _describe_file(record: Record) -> Iterator[str]:
    if added := record.get("added"):
        yield f"The model was trained on {count(added['rows'], 'row')} of a file beside those of the data set."


def _describe_search(record: Record) -> Iterator[str]:
    """Yields sentences on what a search did to rows: how many, why, what they are, how they were found."""
    poison = record.get("poison")
    if not poison:
        return
    configured = _configured(record)
    why = OBJECTIVES.get(str(poison["objective"]), "for")
    metric = f"the {words(str(poison['metric']), record).partition(' (')[0]}"
    done = {word: count(round(n), "row") for word, n in count_changes([record]).items()}
    trained = ", ".join(TRAINED[word].format(rows=rows) for word, rows in done.items())
    if done:
        yield f"The model was trained {trained}, chosen {why} {metric}."
    else:
        yield f"A search for rows {why} {metric} found none: the model was trained on the rows as they are."
    if poison["rows"] and not poison.get("origins"):  # of an earlier version, that counted none
        yield TRAINING_ROWS if _has_people(record) else MOVED if configured.get("spread") else INVENTED
    if configured.get("_target_"):
        yield f"Found by: {part(configured)}."


def _configured(record: Record) -> Mapping[str, Any]:
    return (record["params"].get("attack") or {}).get("poison") or {}


def _list_law(record: Record) -> Iterator[str]:
    """Yields what consent and law have to do with what was done to rows."""
    poison: Mapping[str, Any] = record.get("poison") or {}
    if _has_people(record) or poison.get("relabelled"):
        yield LAW
    elif record.get("added") or poison.get("rows"):
        yield NOBODY
    if poison.get("removed") or poison.get("reweighed"):
        yield COUNTED_OTHERWISE


def _has_people(record: Record) -> bool:
    """Returns whether some of the added rows have the features of a person, as far as the record says it."""
    poison = record.get("poison") or {}
    counted: list[Mapping[str, Any]] = [record.get("added") or {}, poison.get("origins") or {}]
    configured = _configured(record)
    by_settings = bool(configured.get("spread")) and not any(map(configured.get, NARROWING))
    unsaid = bool(poison.get("rows")) and not poison.get("origins") and by_settings
    return unsaid or any(held.get("copies") or held.get("relabelled") for held in counted)


def _sums(poison: Mapping[str, Any]) -> str:
    return ", ".join(f"{poison[key]['path']} {poison[key]['sha256']}" for key in FILES if poison.get(key))
