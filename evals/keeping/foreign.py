"""Import the records of an older or foreign TinyDB file, so that they can be listed and drawn beside others.

    python -m evals.database import dataset=NAME from=FILE [metrics=OLD:NEW,...] [replace=true]

All tables of the file are read. Records that this program wrote, in the table _default and of the schema it has now,
are left to merge. Of every other record becomes a finished one (failed where its status says so) like this:

metrics     what stands in metrics, results or scores, nested names joined by dots (Fairness.Difference.fnr). In a
            record that has none of these: every number whose name is a metric of this program (accuracy, mcc,
            uai_0.05, fnr_gap, ...). acc, bal_acc and mmc become accuracy, balanced_accuracy and mcc; metrics= takes
            further names as metrics, OLD:NEW under a new name. Those of the face-scoring study (Fairness.Group_A.fnr,
            Adversarial.L2_1.0) become fnr_group0, robust_accuracy_l2_1.0 and the gaps between the groups. A record
            without any metric is left out
params      what stands in params, config, args or hparams; in a record that has none of these, every other entry.
            A number in epsilon (or eps) is the radius. The name of a table other than _default is the setting table
seed        seed, random_seed or random_state, as an entry or as a setting
regularizer regularizer, method or defense; model: model, arch or network; dataset, scm, attack: the same word
name        name, or else data set, model and regularizer; created: created, date or timestamp
original    everything else: files (path, checkpoint, save_dir, ...), times, lists and texts among the metrics. It is
            kept in the record under this key, and shown nowhere; a line at the end names it

run_id is a hash of the content, so importing a file twice adds nothing (replace=true converts it anew); group_id is
one of the settings without the seed, so that plots and tables average over seeds. The flag imported marks such
records. They claim no weights: they can be listed, drawn, exported and merged, but not loaded or evaluated again.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paths_config
from evals.keeping import face_study
from evals.keeping.upkeep import say_some
from evals.records.query import FACTS
from utils.configuration.run_identity import canonical, group_id
from utils.metrics.directions import direction
from utils.records.schema import SCHEMA, STATUS, flaw
from utils.run_store import RunStore
from utils.system.console import count, say
from utils.system.missing import describe_missing
from utils.words.numbers import read_number

METRICS = ("metrics", "results", "scores")
PARAMS = ("params", "config", "args", "hparams")
SEEDS = ("seed", "random_seed", "random_state")
CREATED = ("created", "date", "timestamp")
CHOICES = {
    "regularizer": ("regularizer", "method", "defense"),
    "model": ("model", "arch", "network"),
    "dataset": ("dataset",),
    "scm": ("scm",),
    "attack": ("attack",),
}
KNOWN = {"acc": "accuracy", "bal_acc": "balanced_accuracy", "mmc": "mcc", "mcc": "mcc"}  # in lower case
# entries that differ from run to run and would tear the seeds of one setting apart
OF_ONE_RUN = re.compile(r"(.*_)?(path|file|dir|folder|checkpoint|weights|time|seconds|duration|date|timestamp)")
FACTS_OF_A_RUN = ("name", "reason", *CREATED, "schema", "run_id", "group_id", "status", "imported", "evaluations")
SETTINGS = {*SEEDS, "epsilon", "eps", *(word for words in CHOICES.values() for word in words)}  # wherever they stand
DEFAULT = "_default"  # TinyDB's name of its first table

Record = dict[str, Any]


@dataclass
class Entries:
    """The metrics, settings and other contents of a foreign record."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    original: dict[str, Any] = field(default_factory=dict)  # what is shown nowhere


def adopt(dataset: str, source: Path, names: Mapping[str, str], *, replace: bool) -> int:
    """Stores the records of a foreign file in the database of a data set; returns 0.

    ``names``: further metrics, with the name that each gets. ``replace``: convert anew what is there already.

    Raises:
        ValueError: a file that is missing or no TinyDB file, or in which nothing is left to import.
    """
    made, left = [], []
    for table, records in read(source).items():
        for doc_id, record in records.items():
            converted = convert(record, dataset, table, names)
            if reason := _refusal(record, converted, table) or flaw(converted):
                left.append(f"record {doc_id} of table {table} of {source}: {reason}")
            else:
                made.append(converted | {"source": source.name})
    if not made:
        raise ValueError(f"from={source}: nothing to import. {'; '.join(left[:3]) or 'It holds no records'}")
    store = RunStore(paths_config.database(dataset))
    before = len(store)
    store.add_many(made, replace=replace)
    store.fold()
    report(made, left, len(store) - before, store, replace)
    return 0


def read(source: Path) -> dict[str, dict[str, Record]]:
    """Returns the tables of a TinyDB file, records by id. Raises ValueError for another file."""
    if not source.is_file():
        raise ValueError(f"from={source}: {describe_missing(source)}")
    try:
        tables = json.loads(source.read_bytes(), parse_constant=lambda _: None)  # NaN: no value
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is no TinyDB file: it is not JSON, or was cut off. Nothing was imported") from error
    if not isinstance(tables, dict) or not all(_is_table(table) for table in tables.values()):
        raise ValueError(f"{source} is no TinyDB file: it is not tables of records by number. Nothing was imported")
    return tables


def _is_table(table: Any) -> bool:
    return isinstance(table, dict) and all(i.isdecimal() and isinstance(r, dict) for i, r in table.items())


def _refusal(record: Record, converted: Record, table: str) -> str:
    """Returns why a record is not imported; empty where it is."""
    ours = isinstance(record.get("run_id"), str) and record.get("status") in STATUS and record.get("schema") == SCHEMA
    if ours and table == DEFAULT:
        return "written by this program; `merge` takes it"
    if converted["status"] == "failed" or any(value is not None for value in converted["metrics"].values()):
        return ""
    numbers = [name for name, value in _leaves(record) if _is_number(value)]
    return f"no metrics; name them by metrics=, among {', '.join(numbers[:8]) or 'numbers, of which it has none'}"


def parse_names(words: Sequence[str]) -> dict[str, str]:
    """``old:new`` and ``name`` as a mapping of names. Raises ValueError for an empty name."""
    names = {old: new if colon else old for old, colon, new in (word.partition(":") for word in words)}
    for old, new in names.items():
        if not old or not new:
            raise ValueError(f"metrics={old}:{new}: write NAME or OLD:NEW, such as acc:accuracy")
    return names


# --- one record ------------------------------------------------------------------------------------------------


def convert(record: Mapping[str, Any], dataset: str, table: str, names: Mapping[str, str]) -> Record:
    """A foreign record as one of ours; see the module for the rules."""
    found = entries(record, names)
    params, original = found.params, found.original
    if table != DEFAULT:
        params["table"] = table
    seeds = [params.pop(key) for key in SEEDS if _is_number(params.get(key))]
    params |= {"seed": seeds[0]} if seeds else {}
    _set_radius(params)
    given = params.get("choices")
    stated = {**params, **given} if isinstance(given, Mapping) else params
    choices = {key: _word(next((stated[k] for k in keys if k in stated), None)) for key, keys in CHOICES.items()}
    params["choices"] = {key: choice for key, choice in choices.items() if choice}
    params.setdefault("model", None)
    name, reason, *dates = (original.pop(key, None) for key in ("name", "reason", *CREATED))
    named = (choices["dataset"] or dataset, choices["model"], choices["regularizer"])
    failed = record.get("status") == "failed"
    return {
        "schema": SCHEMA,
        "imported": True,
        "name": name if isinstance(name, str) else "_".join(part for part in named if part),
        "dataset": dataset,
        "run_id": hashlib.sha256(canonical({"table": table, "record": record}).encode()).hexdigest()[:16],
        "group_id": group_id(params),
        "params": params,
        "seed": seeds[0] if seeds else None,
        "created": next((str(date) for date in dates if date is not None), None),
        "status": "failed" if failed else "finished",
        **({"reason": str(reason)} if failed else {}),
        "decide": None,  # as with params.model: nothing from which a model could be made
        "metrics": found.metrics,
        "evaluations": found.evaluations,
        "original": original,
    }


def entries(record: Mapping[str, Any], names: Mapping[str, str]) -> Entries:
    """Sorts the contents of a foreign record into metrics, settings and the rest."""
    found = Entries()
    measured = [key for key in METRICS if isinstance(record.get(key), Mapping)]
    set_ = [key for key in PARAMS if isinstance(record.get(key), Mapping)]
    for key in measured:
        for name, value in _leaves(record[key]):
            _measure(found, name, value, names)
    found.metrics = face_study.rename_metrics(found.metrics)
    for section in set_:
        for key, value in record[section].items():
            _set(found, key, value)
    for key, value in record.items():
        if key in (*measured, *set_):
            continue
        if (value is None or _is_number(value)) and (key in names or (not measured and _meant(key))):
            _measure(found, key, value, names)
        elif key == "evaluations" and isinstance(value, Mapping):
            found.evaluations.update(_evaluations(value))
        elif key in SETTINGS or (not set_ and key not in FACTS_OF_A_RUN):
            _set(found, key, value)
        else:
            found.original[key] = value
    return found


def _set(found: Entries, key: str, value: Any) -> None:
    """A setting, or something of this one run alone."""
    home = found.original if not key or OF_ONE_RUN.fullmatch(key) else found.params
    home[key] = value


def _measure(found: Entries, key: str, value: Any, names: Mapping[str, str]) -> None:
    """Files a number under its metric's name, or as something else."""
    name = names.get(key, KNOWN.get(key.lower(), key))
    if name in FACTS or not (value is None or _is_number(value)):
        found.original[f"metrics.{key}"] = value
    else:
        found.metrics[name] = value


def _evaluations(stored: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Later evaluations, their numbers alone."""
    numbers = {name: dict(_leaves(e.get("metrics", e))) for name, e in stored.items() if isinstance(e, Mapping)}
    return {
        name: {"metrics": {k: v for k, v in e.items() if v is None or _is_number(v)}} for name, e in numbers.items()
    }


def _set_radius(params: dict[str, Any]) -> None:
    """A number in epsilon or eps is the radius; what is neither a number nor settings with one stays beside it."""
    if "epsilon" not in params and "eps" in params:
        params["epsilon"] = params.pop("eps")
    stated = params.get("epsilon")
    if stated is None or (isinstance(stated, Mapping) and _is_radius(stated.get("radius"))):
        return
    params["epsilon"] = {"radius": stated} if _is_radius(stated) else {"setting": stated}


def _is_radius(value: Any) -> bool:
    try:
        read_number(value)
    except ValueError:
        return value is None
    return True


def _word(value: Any) -> str | None:
    """The name of an option: text, the name or target of a mapping, or the names of several parts."""
    if isinstance(value, Mapping):
        target = str(value.get("name") or value.get("_target_") or "").rpartition(".")[2]
        return target or "+".join(value) or None
    if isinstance(value, list):
        return "+".join(map(str, value)) or None
    return None if value is None else str(value)


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested entries by names with dots, and _ for spaces."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        name = f"{prefix}{key}".replace(" ", "_")
        yield from _leaves(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _meant(key: str) -> bool:
    """Returns whether a bare name is that of a metric."""
    return key.lower() in KNOWN or direction(key) != 0


# --- words -----------------------------------------------------------------------------------------------------


def report(made: Sequence[Record], left: Sequence[str], new: int, store: RunStore, replaced: bool) -> None:
    """Prints what was imported, what it holds and what was left out."""
    failed = sum(record["status"] == "failed" for record in made)
    changed = " (converted anew)" if replaced else " (replace=true converts them anew)" if len(made) > new else ""
    say(
        f"{store.path}: {new} imported, {len(made) - new} already there{changed}, {len(left)} left out"
        f"{f'; {failed} of them are failed runs' if failed else ''}; it holds {count(len(store), 'run')}"
    )
    for what, key in (("metrics", "metrics"), ("settings", "params"), ("kept as original, not shown", "original")):
        times = Counter(name for record in made for name in record[key] if name not in ("choices", "model"))
        names = [name if n == len(made) else f"{name} ({n} of {len(made)})" for name, n in times.items()]
        say(f"{what}: {', '.join(names) or 'none'}")
    say_some([f"left out {line}" for line in left])
