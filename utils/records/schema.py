"""The form of a record: the types of everything in it that a command reads. Keys that are not named here are free.

The checks run on every record that is read, so they are made of few calls: a check takes a value and gives nothing, or
what is wrong with it, which begins with its place in the value (``.metrics.auc is text, expected a number or null``).
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from utils.system.console import count

SCHEMA = 1  # of the records; a new number gives every run a new id
STATUS = ("finished", "failed")
RECORD_FILE = "record.json"  # what a run leaves in its folder
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
LARGEST = 2**63  # of a whole number; beyond, no table holds it
MOST_ROWS = 2**53  # that a share is of; up to here a float is exact
KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}

Check = Callable[[Any], str]


def flaw(record: Mapping[str, Any]) -> str:
    """Says what is wrong with a record in JSON types, and where; nothing where commands can read it."""
    found = RECORD(record) or _of_status(record) or _of_lengths(record) or _of_graphs(record)
    return found.removeprefix(".")


# --- checks ----------------------------------------------------------------------------------------------------


class Leaf:
    """A value of one of some types."""

    def __init__(self, words: str, *types: type, largest: float = LARGEST):
        self.types: Final = frozenset(types)
        self.words: Final = words
        self.largest: Final = largest

    def __call__(self, value: Any) -> str:
        """Says what is wrong with a value, if anything."""
        if type(value) not in self.types:
            return f" is {KINDS.get(type(value), type(value).__name__)}, expected {self.words}"
        return " is too large a number" if type(value) is int and abs(value) >= self.largest else ""

    def hold(self, values: Collection[Any]) -> bool:
        """Returns whether all values are such."""
        kinds = set(map(type, values))
        return kinds <= self.types and (int not in kinds or not any(type(v) is int and self(v) for v in values))


TEXT = Leaf("text", str)
TEXT_OR_NULL = Leaf("text or null", str, type(None))
NUMBER = Leaf("a number", int, float)
NUMBER_OR_NULL = Leaf("a number or null", int, float, type(None))
NUMBER_OR_TEXT = Leaf("a number or text", int, float, str)  # 8/255, or an infinite threshold
WHOLE = Leaf("a whole number", int)
SEED = Leaf("a number or null", int, float, type(None), largest=math.inf)
FLAG = Leaf("true or false", bool)
MAPPING = Leaf("a mapping", dict)
SECTION = Leaf("a mapping or null", dict, type(None))
LIST = Leaf("a list", list)


def each(check: Check) -> Check:
    """A list of such values."""

    def found(values: Any) -> str:
        if type(values) is not list:
            return LIST(values)
        if isinstance(check, Leaf) and check.hold(values):
            return ""
        return next((f"[{i}]{wrong}" for i, value in enumerate(values) if (wrong := check(value))), "")

    return found


def values(check: Check) -> Check:
    """A mapping to such values."""

    def found(mapping: Any) -> str:
        if type(mapping) is not dict:
            return MAPPING(mapping)
        if isinstance(check, Leaf) and check.hold(mapping.values()):
            return ""
        return next((f".{key}{wrong}" for key, value in mapping.items() if (wrong := check(value))), "")

    return found


def either(first: Check, second: Check) -> Check:
    """A value that one of two checks accepts; what the second finds where none does."""
    return lambda value: first(value) and second(value)


def optional(check: Check) -> Check:
    """Such a value, or null."""
    return lambda value: "" if value is None else check(value)


def several(check: Check, fewest: int, most: int | None = None) -> Check:
    """A list of so many such values."""
    items = each(check)
    expected = f"{fewest}" if most == fewest else f"at least {fewest}" if most is None else f"{fewest} to {most}"

    def found(values: Any) -> str:
        if wrong := items(values):
            return wrong
        fits = fewest <= len(values) and (most is None or len(values) <= most)
        return "" if fits else f" holds {count(len(values), 'value')}, expected {expected}"

    return found


def fields(required: Mapping[str, Check], others: Mapping[str, Check] | None = None) -> Check:
    """A mapping with the required keys and maybe others, each with its check; further keys are free."""
    known = {**required, **(others or {})}
    needed = required.keys()

    def found(mapping: Any) -> str:
        if type(mapping) is not dict:
            return MAPPING(mapping)
        if not needed <= mapping.keys():
            return f".{next(key for key in required if key not in mapping)} is missing"
        for key, value in mapping.items():
            if key in known and (wrong := known[key](value)):
                return f".{key}{wrong}"
        return ""

    return found


# --- the schema ------------------------------------------------------------------------------------------------

PAIR = several(NUMBER, 2, 2)


def _share(value: Any) -> str:
    """Numerator and denominator of a share of rows in [0, 1]; the numerator of an average over draws has a fraction."""
    if type(value) is list and len(value) == 2 and type(value[0]) in NUMBER.types and type(value[1]) in NUMBER.types:
        part, of = value
        if 0 <= part <= of and 0 < of < MOST_ROWS and of == int(of):
            return ""
    return PAIR(value) or f" is {value!r:.40}, expected rows counted and all rows, such as [3, 10]"


METRICS = values(NUMBER_OR_NULL)
SHARES = values(optional(_share))
WORDS = optional(each(TEXT))
RADIUS = optional(NUMBER_OR_TEXT)
NODE = fields({}, {"_target_": TEXT, "threat": SECTION, "perturbs": FLAG, "weight": NUMBER_OR_NULL})
PART = optional(NODE)
METRIC = fields(  # the settings of one
    {}, {"level": NUMBER_OR_NULL, "groups_min": NUMBER_OR_NULL, "attack": PART, "attacks": optional(values(NODE))}
)
PARENTS = either(TEXT_OR_NULL, each(TEXT))  # of a column in a causal graph
GRAPH = either(TEXT_OR_NULL, values(PARENTS))
DATASET = fields({}, {"_target_": TEXT, "graph": GRAPH, "sensitive": either(TEXT_OR_NULL, each(TEXT))})
FILE = fields({"path": TEXT, "sha256": TEXT})


def _logit(value: Any) -> str:
    """A threshold; an infinite one is filed as text."""
    named = type(value) is str and not INFINITE.fullmatch(value)
    return f" is {value!r:.20}, expected a number, inf or -inf" if named else NUMBER_OR_TEXT(value)


LOGITS = each(_logit)

CHOICES = values(optional(either(TEXT, each(TEXT))))
PARAMS = fields(
    {},
    {
        "choices": CHOICES,
        "epsilon": optional(
            fields({}, {"radius": RADIUS, "evaluate": each(NUMBER_OR_TEXT), "schedule": PART}),
        ),
        "watch": WORDS,
        "experiment": Leaf("text, a number or null", str, int, float, type(None)),
        "seed": SEED,
    },
)
TRAINED = fields(  # of runs that this program trained; the settings of imported ones are theirs
    {},
    {
        "model": MAPPING,
        "regularizer": values(NODE),
        "attack": optional(fields({}, {"evasion": PART, "poison": PART})),
        "prepare": PART,
        "decide": PART,
        "dataset": optional(DATASET),
        "scm": PART,
        "trainer": optional(fields({}, {"optimizer": PART})),
        "evaluation": optional(fields({}, {"metrics": optional(values(METRIC))})),
        "operating_points": optional(fields({}, {"level": NUMBER_OR_NULL})),
    },
)
DENOMINATORS = optional(values(each(NUMBER)))  # by rate, of each group
SMALL = optional(fields({"groups": each(TEXT), "rows": NUMBER, "threshold": TEXT}))  # groups with few rows
FITTED = fields(  # what thresholds were fitted to
    {},
    {
        "rate": TEXT_OR_NULL,
        "permitted": NUMBER_OR_NULL,
        "gap": NUMBER_OR_NULL,
        "rows": NUMBER_OR_NULL,
        "denominators": DENOMINATORS,
        "split": TEXT_OR_NULL,
        "confidence": NUMBER_OR_NULL,
        "bound": NUMBER_OR_NULL,
        "small": SMALL,
    },
)
FITTED_POINTS = fields(  # the same of all operating points
    {},
    {
        "gap": each(NUMBER),
        "accuracy": each(NUMBER),
        "rows": NUMBER_OR_NULL,
        "denominators": DENOMINATORS,
        "split": TEXT_OR_NULL,
        "small": SMALL,
    },
)
POINTS = fields(
    {
        "rates": several(TEXT, 1),
        "permitted": each(NUMBER_OR_NULL),
        "logits": each(LOGITS),
        "metrics": values(each(NUMBER_OR_NULL)),
    },
    {
        "fit_on": TEXT,
        "fitted": optional(FITTED_POINTS),
        "shares": optional(values(each(optional(_share)))),
        "deviations": optional(values(each(NUMBER_OR_NULL))),
    },
)
COLUMN = fields(
    {"name": TEXT, "kind": TEXT, "sensitive": FLAG, "levels": each(NUMBER)},
    {"attribute": TEXT, "texts": each(TEXT)},
)
PREPROCESSING = fields(
    {},
    {
        "columns": each(COLUMN),
        "loc": each(NUMBER),
        "scale": each(NUMBER),
        "groups": WORDS,
        "shape": each(WHOLE),
        "class_names": WORDS,
        "schema": MAPPING,
    },
)
ORIGINS: Final[
    Mapping[str, Check]
] = {  # what added rows are: copies of records, people's features with another label, invented
    "cells": values(values(NUMBER)),  # by group and class
    **dict.fromkeys(("distinct", "copies", "relabelled", "invented", "contradicted", "beyond"), NUMBER),
}
ADDED = fields({"path": TEXT, "sha256": TEXT, "rows": NUMBER}, ORIGINS)
BASELINE = fields(
    {"method": TEXT},
    {
        "error": TEXT,
        "words": WORDS,
        "trainings": NUMBER,
        "seconds": NUMBER,
        "violation": NUMBER,
        "broken": values(NUMBER),
        "valid": values(NUMBER_OR_NULL),
        "test": values(NUMBER_OR_NULL),
    },
)
POISON = fields(
    {
        "metric": TEXT,
        "objective": TEXT,
        "rows": NUMBER,
        "distinct": NUMBER,
        "evaluations": NUMBER,
        "claimed": fields({"before": values(NUMBER_OR_NULL), "after": values(NUMBER_OR_NULL)}),
        "steps": several(several(NUMBER_OR_NULL, 2, 2), 1),
    },
    {
        "failed": NUMBER_OR_NULL,
        "ended": TEXT_OR_NULL,
        "labels": values(NUMBER),
        "groups": values(NUMBER),
        "origins": optional(fields({"rows": NUMBER}, ORIGINS)),
        "csv": optional(FILE),
        "changes": optional(FILE),
        "trace": optional(FILE),
        "action": TEXT_OR_NULL,
        "numbers": values(NUMBER),
        "chosen": NUMBER,
        "removed": NUMBER,
        "relabelled": NUMBER,
        "reweighed": NUMBER,
        "baselines": each(BASELINE),
        "nearest": fields({"evaluation": NUMBER, "beyond": values(NUMBER)}),
        "carried": several(several(NUMBER_OR_NULL, 2, 2), 0),
        "trivial": fields({"trainings": NUMBER, "seconds": NUMBER}, {"rows": NUMBER, "of": TEXT}),
        "front": optional(each(values(NUMBER_OR_NULL))),
        "seconds": optional(values(NUMBER_OR_NULL)),
    },
)
CAUSAL = fields(
    {"option": TEXT, "settings": MAPPING, "source": SECTION, "fingerprint": TEXT},
    {"graph": optional(values(each(TEXT))), "equations": TEXT_OR_NULL, "sensitive": WORDS},
)
SENSITIVITY = fields(  # the figures of a model under several causal models, the chosen one first
    {"models": several(fields({"name": TEXT, "fingerprint": TEXT, "metrics": METRICS}), 1)},
    {"individuals": NUMBER, "left_out": NUMBER, "refits": fields({"number": NUMBER, "metrics": METRICS})},
)
MOVED = values(values(NUMBER_OR_NULL))  # by column, how far the rows of another file are from the training rows
JUDGED = fields(
    {"metrics": METRICS},
    {
        "settings": optional(fields({}, {"attack": PART})),
        "created": TEXT_OR_NULL,
        "warnings": WORDS,
        "shares": optional(SHARES),
        "deviations": optional(METRICS),
        "causal": optional(CAUSAL),
        "scm": optional(METRICS),
        "certificates": optional(FILE),
        "sensitivity": optional(SENSITIVITY),
        "judged": optional(values(NUMBER)),
        "rows": optional(fields({"file": TEXT, "sha256": TEXT, "judged": NUMBER, "unseen": TEXT}, {"moved": MOVED})),
    },
)


def _later(evaluation: Any) -> str:
    """A later evaluation; those of early versions are bare metrics."""
    return JUDGED(evaluation) if type(evaluation) is dict and "metrics" in evaluation else METRICS(evaluation)


DECIDE = fields(
    {},
    {
        "_target_": TEXT,
        "probability": NUMBER,
        "logits": either(LOGITS, each(LOGITS)),  # of each group one, or several between which a coin decides
        "shares": optional(each(each(NUMBER))),
        "warnings": WORDS,
    },
)
RECORD = fields(
    {"run_id": TEXT, "status": TEXT, "name": TEXT, "dataset": TEXT, "params": PARAMS},
    {
        "schema": NUMBER,
        "group_id": TEXT_OR_NULL,
        "seed": SEED,
        "created": TEXT_OR_NULL,
        "reason": TEXT_OR_NULL,
        "imported": FLAG,
        "fingerprint": TEXT_OR_NULL,
        "environment": optional(values(Leaf("text, a number or null", str, int, float, type(None)))),
        "metrics": METRICS,
        "shares": optional(SHARES),
        "deviations": optional(METRICS),
        "evaluations": optional(values(_later)),
        "warnings": WORDS,
        "seconds": optional(values(NUMBER_OR_NULL)),
        "rows": optional(values(NUMBER)),
        "units": optional(values(TEXT)),
        "weights": optional(FILE),
        "decisions": optional(FILE),  # of each test row, and the rows themselves
        "test_rows": optional(FILE),
        "certificates": optional(FILE),  # what was proven of each
        "decide": optional(DECIDE),
        "fitted": optional(FITTED),
        "scm": optional(METRICS),
        "preprocessing": optional(PREPROCESSING),
        "operating_points": optional(POINTS),
        "poison": optional(POISON),
        "added": optional(ADDED),
        "changed": optional(
            fields({"path": TEXT, "sha256": TEXT}, {"removed": NUMBER, "relabelled": NUMBER, "reweighed": NUMBER})
        ),
        "causal": optional(CAUSAL),
    },
)


# --- what several values have to be together -------------------------------------------------------------------


def _of_status(record: Mapping[str, Any]) -> str:
    """Says what a record lacks that one of its status has."""
    if not record["run_id"]:
        return ".run_id is empty"
    if record["status"] not in STATUS:
        return f".status is {record['status']!r:.40}, expected {' or '.join(STATUS)}"
    if record["status"] == "finished" and "metrics" not in record:
        return ".metrics is missing"
    trained = "" if record.get("imported") else TRAINED(record["params"])
    return trained and f".params{trained}"


def _of_graphs(record: Mapping[str, Any]) -> str:
    """Says what is wrong with a causal graph of a record, imported or not: its form, its columns, or a cycle."""
    dataset = record["params"].get("dataset")
    typed = dataset.get("graph") if type(dataset) is dict else None
    graphs = {".params.dataset.graph": typed}
    later = record.get("evaluations") or {}
    for place, of in (("", record), *((f".evaluations.{name}", of) for name, of in later.items())):
        if type(causal := of.get("causal")) is dict:
            graphs[f"{place}.causal.graph"] = causal.get("graph")
    columns = _columns(record.get("preprocessing") or {})
    return next((f"{place}{wrong}" for place, graph in graphs.items() if (wrong := _of_graph(graph, columns))), "")


def _columns(stored: Mapping[str, Any]) -> set[str]:
    """Returns what a graph may call the columns: their names, and of indicators such as ``job=clerk`` the attribute."""
    names = {column["name"] for column in stored.get("columns") or ()}
    return names | {name[:i] for name in names for i, sign in enumerate(name) if sign == "="}


def _of_graph(graph: Any, columns: Collection[str]) -> str:
    """Says what is wrong with child: parents over columns; where no columns are stored, any name may be one."""
    if (wrong := GRAPH(graph)) or type(graph) is not dict:
        return wrong
    parents = {child: [of] if type(of) is str else of or [] for child, of in graph.items()}
    unknown = [name for child, of in parents.items() for name in (child, *of) if columns and name not in columns]
    if unknown:
        listed = ", ".join(sorted(columns))
        return f" names {unknown[0]!r:.40}, which is no column; there are {listed:.200}"
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        arrows = " -> ".join(map(str, error.args[1]))
        return f" has the cycle {arrows:.200}"
    return ""


def _of_lengths(record: Mapping[str, Any]) -> str:
    """Lists that belong together and differ in length."""
    return _of_columns(record.get("preprocessing") or {}) or _of_points(record.get("operating_points") or {})


def _of_columns(stored: Mapping[str, Any]) -> str:
    n = len(stored.get("columns") or ())
    for key in ("loc", "scale"):
        if n and key in stored and len(stored[key]) != n:
            return f".preprocessing.{key} holds {count(len(stored[key]), 'value')} for {count(n, 'column')}"
    return ""


def _of_points(points: Mapping[str, Any]) -> str:
    n = len(points.get("permitted", ()))
    held = {"logits": {"": points.get("logits", ())}}
    held |= {kind: points.get(kind) or {} for kind in ("metrics", "shares", "deviations")}
    fitted = points.get("fitted") or {}
    held["fitted"] = {key: fitted[key] for key in ("gap", "accuracy") if key in fitted}
    for kind, lists in held.items():
        for key, of in lists.items():
            if len(of) != n:
                return f".operating_points.{kind}.{key} holds {count(len(of), 'value')} for {count(n, 'point')}"
    groups = set(map(len, points.get("logits", ())))
    return f".operating_points.logits are of {sorted(groups)} groups" if len(groups) > 1 else ""
