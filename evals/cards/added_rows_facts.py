"""The rows that were added to a run's training rows, as a reader of its record sees them."""

from collections.abc import Iterator, Mapping
from typing import Any

import paths_config
from evals.cards.card_sections import number, part, words
from evals.cards.document import Block, Heading, Paragraph, Table
from evals.poisoning.paired import ends
from evals.records.query import Record
from utils.system.console import count
from utils.words.added_rows import describe_origins

SPLITS = {"valid": "On validation rows", "test": "On test rows"}
PLAIN = ", by the run's own thresholds"  # not those of its operating points, which the model without rows has not
INVENTED = "They are points that a search chose: observations of nobody."
TRAINING_ROWS = "Their features are those of people in the training data, again; their labels were chosen."
MOVED = "They began as the features of people in the training data, which bounds or fixed columns may have changed."
NARROWING = ("bounds", "fixed")  # settings of a search that change people's features
OBJECTIVES = {
    "fair": "so that the model becomes fairer in",
    "unfair": "as an attacker would, so that the model becomes less fair in",
}
LAW = (
    "Consent and law: these rows use people's features again, for a purpose those people may not have agreed to, and "
    "a chosen label may contradict what happened to them. Where a person can be identified, data-protection law asks "
    "for a lawful purpose and accurate data (in the EU, GDPR article 5(1)(b) and (d)), and limits decisions made by "
    "such a model alone (article 22). This is no legal advice; seek some before the model decides about anybody."
)
NOBODY = (
    "Consent and law: the rows describe nobody, so what the model learned from them need not be true of anybody it "
    "decides about, who may ask for accurate data and for reasons (in the EU, GDPR articles 5(1)(d) and 22). This is "
    "no legal advice."
)


def facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yields name and value of what was added, of the search for it and of its effects; nothing of a run as it was."""
    if added := record.get("added"):
        yield "Rows of a file", f"{added['rows']} ({added['distinct']} distinct) of {added['path']}"
        yield from _describe_origins(added)
        yield "SHA-256 of the file", str(added["sha256"])
    if poison := record.get("poison"):
        yield "Added rows", f"{poison['rows']} ({poison['distinct']} distinct)"
        for key, name in (("labels", "Their classes"), ("groups", "Their groups")):
            if poison.get(key):
                yield name, _describe_counts(poison[key])
        yield from _describe_origins(poison.get("origins") or {})
        yield from _of_search(record, poison)


def _of_search(record: Record, poison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what was searched for, what came of it on each split, and the files."""
    metric = str(poison["metric"])
    yield "Searched for", f"{metric}, {poison['objective']}"
    failed = f", {poison['failed']} of them failed" if poison.get("failed") else ""
    ended = f"; {poison['ended']}" if poison.get("ended") else ""
    yield "Evaluations", f"{poison['evaluations']}{failed}{ended}"
    plain = PLAIN if record.get("operating_points") else ""
    for split, name in SPLITS.items():
        changes = (_describe_change(record, key, split) for key in dict.fromkeys((metric, "accuracy")))
        yield f"{name}{plain}", "; ".join(changes)
    for key, name in (("csv", "Table of the rows"), ("trace", "Trace of the search")):
        if poison.get(key):
            yield name, f"{paths_config.poison().name}/{poison[key]['path']}"


def _describe_change(record: Record, key: str, split: str) -> str:
    """Describes a figure of the run's own thresholds, with which the model without the rows was judged too."""
    metrics = record.get("own_metrics", record["metrics"])
    before, after = (metrics.get(end) for end in ends(key, split))
    return f"{key} {number(before)} before, {number(after)} after"


def _describe_origins(counted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what added rows are, as far as a record counts it."""
    if said := describe_origins(counted):
        yield "What they are", "; ".join(said)
    if cells := counted.get("cells"):
        yield "By group and class", "; ".join(f"{group}: {_describe_counts(of)}" for group, of in cells.items())
    if "contradicted" in counted:
        yield "Contradicted", f"{counted['contradicted']} by people with the same features and another label"


def _describe_counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} of {name}" for name, n in counts.items())


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
    law = LAW if _has_people(record) else NOBODY
    return [Heading("Added training rows"), Paragraph(lead), Table((), [list(f) for f in found], note), Paragraph(law)]


def _describe_file(record: Record) -> Iterator[str]:
    if added := record.get("added"):
        yield f"The model was trained on {count(added['rows'], 'row')} of a file beside those of the data set."


def _describe_search(record: Record) -> Iterator[str]:
    """Yields sentences on the rows that a search chose: how many, why, what they are, how they were found."""
    poison = record.get("poison")
    if not poison:
        return
    configured = _configured(record)
    why = OBJECTIVES.get(str(poison["objective"]), "for")
    metric = words(str(poison["metric"]), record).partition(" (")[0]
    yield f"The model was trained on {count(poison['rows'], 'row')} more than the data have, chosen {why} {metric}."
    if not poison.get("origins"):  # of an earlier version, that counted none
        yield TRAINING_ROWS if _has_people(record) else MOVED if configured.get("spread") else INVENTED
    if configured.get("_target_"):
        yield f"Found by: {part(configured)}."


def _configured(record: Record) -> Mapping[str, Any]:
    return (record["params"].get("attack") or {}).get("poison") or {}


def _has_people(record: Record) -> bool:
    """Returns whether some of the rows have the features of a person, as far as the record says it."""
    poison = record.get("poison") or {}
    counted: list[Mapping[str, Any]] = [record.get("added") or {}, poison.get("origins") or {}]
    configured = _configured(record)
    by_settings = bool(configured.get("spread")) and not any(map(configured.get, NARROWING))
    unsaid = bool(poison) and not poison.get("origins") and by_settings
    return unsaid or any(held.get("copies") or held.get("relabelled") for held in counted)


def _sums(poison: Mapping[str, Any]) -> str:
    return ", ".join(f"{poison[key]['path']} {poison[key]['sha256']}" for key in ("csv", "trace") if poison.get(key))
