"""The rows that were added to a run's training rows, as a reader of its record sees them."""

from collections.abc import Iterator, Mapping
from typing import Any

import paths_config
from evals.cards.card_sections import number, part, words
from evals.cards.document import Block, Heading, Paragraph, Table
from evals.poisoning.paired import ends
from evals.records.query import Record
from utils.system.console import count

SPLITS = {"valid": "On validation rows", "test": "On test rows"}
INVENTED = "They are no observations of anybody."
TRAINING_ROWS = "Their features are those of people in the training data, again; their classes were chosen."
OBJECTIVES = {
    "fair": "so that the model becomes fairer in",
    "unfair": "as an attacker would, so that the model becomes less fair in",
}


def facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yields name and value of what was added, of the search for it and of its effects; nothing of a run as it was."""
    poison = record.get("poison")
    if not poison:
        return
    metric = str(poison["metric"])
    yield "Added rows", f"{poison['rows']} ({poison['distinct']} distinct)"
    for key, name in (("labels", "Their classes"), ("groups", "Their groups")):
        if poison.get(key):
            yield name, _describe_counts(poison[key])
    yield "Searched for", f"{metric}, {poison['objective']}"
    failed = f", {poison['failed']} of them failed" if poison.get("failed") else ""
    ended = f"; {poison['ended']}" if poison.get("ended") else ""
    yield "Evaluations", f"{poison['evaluations']}{failed}{ended}"
    for split, name in SPLITS.items():
        yield name, "; ".join(_describe_change(record, key, split) for key in dict.fromkeys((metric, "accuracy")))
    for key, name in (("csv", "Table of the rows"), ("trace", "Trace of the search")):
        if poison.get(key):
            yield name, f"{paths_config.poison().name}/{poison[key]['path']}"


def _describe_change(record: Record, key: str, split: str) -> str:
    before, after = (record["metrics"].get(end) for end in ends(key, split))
    return f"{key} {number(before)} before, {number(after)} after"


def _describe_counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} of {name}" for name, n in counts.items())


def section(record: Record) -> list[Block]:
    """The section of a model card; none of a run as it was."""
    poison = record.get("poison")
    if not poison:
        return []
    configured = (record["params"].get("attack") or {}).get("poison") or {}
    spread = configured.get("spread", False)
    how = f" Found by: {part(configured)}." if configured.get("_target_") else ""
    why = OBJECTIVES.get(str(poison["objective"]), "for")
    lead = f"The model was trained on {count(poison['rows'], 'row')} more than the data have, chosen {why} "
    lead += f"{words(str(poison['metric']), record).partition(' (')[0]}. {TRAINING_ROWS if spread else INVENTED}"
    note = "The search saw the validation rows, so what changed there promises nothing elsewhere. The files lie in the "
    note += f"folder of the databases. Their SHA-256: {_sums(poison)}."
    return [Heading("Added training rows"), Paragraph(lead + how), Table((), [list(f) for f in facts(record)], note)]


def _sums(poison: Mapping[str, Any]) -> str:
    return ", ".join(f"{poison[key]['path']} {poison[key]['sha256']}" for key in ("csv", "trace") if poison.get(key))
