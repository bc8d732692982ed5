"""The base of a run: the same data, split, seed and learner, trained by the plain loss on the rows as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.records.query import Record
from utils.records.given_weights import name_file
from utils.records.settings import at, flat, left_out
from utils.runs.data_sources import source_of
from utils.scms.identity import part_of

SHARED = ("dataset", "model", "trainer", "fit_on")  # parts of the configuration that a base has too
METHODS = ("prepare", "added", "changed", "attack.poison", "regularizer", "decide")  # those that it may differ in
PLAIN = "erm"  # the regularizer that adds nothing
ONE_THRESHOLD = ("fixed", "mcc")  # options of decide that know no groups
BY_GROUP = "group_"  # begins those that do
AT_ONCE = ".skops"  # files of models that no gradients trained, and no trainer


def find_base(record: Record, stored: Sequence[Record]) -> Record | None:
    """Returns the base of a run, of several that which differs in fewest settings and is newest; None for none.

    A base has the decide of the run; of thresholds of groups, and of an operating point, one threshold for all will do.

    Args:
        record: of a finished run, or of one of its operating points.
        stored: the records of its database.
    """
    by_group = "point" in record or _option(record, "decide").startswith(BY_GROUP)
    if is_plain(record) and not by_group:
        return None
    own, numbers = flat(record["params"], "label"), []
    for other in stored:
        if "point" in other or not (is_plain(other) and _is_alike(record, other)):
            continue
        same = _part(record, "decide") == _part(other, "decide") and not is_plain(record)
        if same or (by_group and _option(other, "decide") in ONE_THRESHOLD):
            theirs = flat(other["params"], "label")
            differing = sum(own.get(key) != theirs.get(key) for key in own.keys() | theirs.keys())
            numbers.append((differing, -int(other["doc_id"]), other))
    return min(numbers, key=lambda found: found[:2])[2] if numbers else None


def list_methods(record: Record, base: Record) -> list[str]:
    """Returns what a run has that its base has not, by the options of the command line: ``prepare=massage``."""
    found = [key for key in METHODS if _part(record, key) != _part(base, key)]
    names = [key.partition(".")[0] for key in found]
    point = [f"the thresholds of its operating point {record['point']}"] if "point" in record else []
    return [f"{name}={_chosen(record, name)}" for name in names] + point


def _chosen(record: Record, name: str) -> Any:
    """Returns the option that was typed, or the file."""
    value = at(record["params"], f"choices.{name}") or at(record["params"], name)
    return _option(record, name) if isinstance(value, Mapping) else value


def is_plain(record: Record) -> bool:
    """Returns whether a run that finished has the rows as they are, and no term beside the plain loss."""
    altered = record.get("poison") or record.get("added") or any(_part(record, key) for key in METHODS[:4])
    plain = name_file(record["params"]) or not set(_part(record, "regularizer")) - {PLAIN}
    return record.get("status") == "finished" and not altered and bool(plain)


def _is_alike(record: Record, other: Record) -> bool:
    """Returns whether two runs say that they have the data, the split, the seed and the learner in common."""
    data, theirs = ((source_of(of), of.get("fingerprint"), of.get("seed")) for of in (record, other))
    told = data[0] is not None and _part(record, "model")
    return bool(told) and data == theirs and _shared(record) == _shared(other)


def _shared(record: Record) -> dict[str, Any]:
    """Returns the settings that a base has too, as far as the run reads them."""
    weights: Mapping[str, Any] = record.get("weights") or {}
    at_once = str(weights.get("path")).endswith(AT_ONCE)
    kept = {key: at(record["params"], key) for key in SHARED if not (at_once and key == "trainer")}
    out = left_out("identity") | left_out("label")
    return {key: value for key, value in flat(kept).items() if key not in out}


def _part(record: Record, key: str) -> Any:
    """Returns a part of a run's configuration, without those that are null; {} for none."""
    found = at(record["params"], key) or {}
    return {k: v for k, v in found.items() if v is not None} if isinstance(found, Mapping) else found


def _option(record: Record, name: str) -> str:
    found = _part(record, name)
    return part_of(found) if isinstance(found, Mapping) and found else ""
