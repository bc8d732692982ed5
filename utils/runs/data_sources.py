"""The data that figures are of: runs of other rows never compare, nor group gaps about other sensitive attributes.

A source is a file by the fingerprint of its rows, or a generated data set by name, rows and version of its generator,
never by the seed. Two files that were given one name, or a file that took the name of a built-in data set, differ.
Records that do not tell, such as imported ones, are taken to be of the same data as those beside them.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from utils.metrics.directions import split_some
from utils.records.later import Record, evaluations, of_evaluation
from utils.runs.causal_figures import has
from utils.scms.identity import FIRST_GENERATED, attributes, part_of

DIGITS = 8  # of a fingerprint
STATED = ("path", "label", "attribute", "labels", "label_seed")  # settings of a data set that make it another
OF_GROUPS = re.compile(r".*(_gap|_difference)(_rest)?|.*_group\d+.*|.*_worst_group.*")
ENDS = re.compile(r"_(low|high|null)$")


def source_of(record: Record) -> str | None:
    """``people-1f0c9a2b`` or ``loan-2000rows``: a short name of the data of a record; None where it does not tell."""
    dataset = _settings(record)
    option = part_of(dataset)
    causal: Any = record.get("causal") or {}
    stated: Mapping[str, Any] = causal.get("source") or {}
    if "generated" not in stated and option in FIRST_GENERATED:
        stated = {"generated": option, "rows": dataset.get("rows"), "version": 1}
    if "generated" in stated:
        version = "" if stated.get("version") == 1 else f"-v{stated.get('version')}"
        return f"{stated['generated']}-{stated.get('rows')}rows{version}"
    fingerprint = record.get("fingerprint")
    return f"{record.get('dataset')}-{fingerprint[:DIGITS]}" if fingerprint else None


def file_of(record: Record) -> str:
    """The file that the data of a record were read from, or the option of its data set."""
    dataset = _settings(record)
    return Path(str(dataset["path"])).name if dataset.get("path") else part_of(dataset)


def _settings(record: Record) -> Mapping[str, Any]:
    params: Any = record.get("params") or {}
    found = params.get("dataset")
    return found if isinstance(found, Mapping) else {}


def sensitive_of(record: Record) -> str | None:
    """``[race,sex]``: the sensitive attributes of a record's data, in alphabetical order; None where it tells none."""
    dataset = _settings(record)
    found = attributes(dataset)
    return None if found is None else f"[{','.join(found)}]"


def describe_source(dataset: Mapping[str, Any]) -> str:
    """The data that the settings of a data set ask for, before they are read: those that differ do not compare."""
    option = part_of(dataset)
    asked = [*STATED, *(["rows"] if option in FIRST_GENERATED else [])]
    return ", ".join([option, *(f"{key} {dataset[key]}" for key in asked if dataset.get(key) is not None)])


@cache
def is_of_groups(key: str) -> bool:
    """Returns whether a figure is about the groups of all sensitive attributes, not of one of them alone."""
    gap, attribute, _ = split_some(ENDS.sub("", key))
    return not attribute and bool(OF_GROUPS.fullmatch(gap))


def sources(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records that tell by their source: that of most runs first, of equally many the newest."""
    return _by(records, [source_of(record) for record in records])


def attributes_apart(records: Sequence[Record], key: str) -> dict[str, list[Record]]:
    """The records that have a figure of groups by its attributes, in the order of ``sources``; else nothing."""
    having = [record for record in records if has(record, key)]
    if not having or not is_of_groups(of_evaluation(key, evaluations(having))[1]):
        return {}
    return _by(having, [sensitive_of(record) for record in having])


def _by(records: Sequence[Record], names: Sequence[str | None]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record, name in zip(records, names, strict=True):
        if name is not None:
            found.setdefault(name, []).append(record)
    return dict(sorted(found.items(), key=lambda item: (len(item[1]), max(map(_age, item[1]))), reverse=True))


def _age(record: Record) -> tuple[str, int]:
    """The time at which a record was made, in ISO 8601, and its number: later ones are greater."""
    return str(record.get("created") or ""), int(record.get("doc_id") or 0)
