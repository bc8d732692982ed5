"""Intervals of a metric over test rows: as the record holds them, else of a share of test rows."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from evals.records.query import Record
from utils.metrics import intervals
from utils.records import later
from utils.records.settings import metrics_of
from utils.runs.causal_figures import OF_SEVERAL

Interval = tuple[float, float]  # lower and upper end, NaN where they are not known

LEVEL = 0.95
UNKNOWN: Interval = (math.nan, math.nan)
OF_ROWS = ("accuracy", "acceptance_rate", "prevalence", "robust_accuracy", "uai")  # first words of shares of all rows
NOT_OF_ROWS = ("_worst_class", "_worst_group", "_gap", "_difference", "_after_worst", "_class_")
SEARCHED = ("_valid", "_valid_unpoisoned")  # of validation rows, which a search for rows to add has seen


def levels_of(record: Record) -> list[float]:
    """The levels of a record's intervals, as its metrics or its operating points ask for; .95 where none says."""
    points = "point" in record and not record.get("imported")
    asked: Iterable[Any] = [record["params"].get("operating_points")] if points else metrics_of(record).values()
    return sorted({float(of["level"]) for of in asked if of and of.get("level")}) or [LEVEL]


def name_intervals(record: Record) -> str:
    """``90 % interval``, or ``90 % or 95 % interval`` where metrics have their own."""
    return f"{' or '.join(f'{100 * level:g} %' for level in levels_of(record))} interval"


def of_share(share: float, rows: float, level: float = LEVEL) -> Interval:
    """The interval of Clopper and Pearson (1934) of a share of independent rows, a whole number of them."""
    low, high = intervals.clopper_pearson(np.array(round(share * rows)), np.array(round(rows)), level)
    return float(low), float(high)


def over_rows(record: Record, key: str) -> Interval:
    """Returns the interval of a metric of a record over its test rows; its ends are NaN where that is not known.

    It is the interval that the record holds, or that of a share of the test rows (``of_share``). What is a share of
    other rows, such as individuals drawn from a causal model, is told by not being a whole number of the test rows.
    ``<evaluation>/<key>`` is that of a later evaluation, of the rows that were judged then.
    """
    name, plain = later.of_evaluation(key, record.get("evaluations") or ())
    if name is not None:
        held: Mapping[str, Any] = record["evaluations"][name]
        judged = {"test": held["rows"]["judged"]} if held.get("rows") else record.get("rows")
        judged = held.get("judged") or judged
        own: Any = {**record, "metrics": held.get("metrics"), "rows": judged, "evaluations": {}}
        return over_rows(own, plain)
    metrics: Mapping[str, Any] = record.get("metrics") or {}
    low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
    if low is not None and high is not None:
        return float(low), float(high)
    value, rows = metrics.get(key), _rows(record, key)
    if value is None or not rows or not whole(value * rows) or not 0 <= value <= 1:
        return UNKNOWN
    return of_share(value, rows, levels_of(record)[0])


def at_level(record: Record, key: str, level: float) -> Interval:
    """The interval of a metric of a record at a level, from the counts filed with it; unknown where there are none.

    ``<evaluation>/<key>`` is that of a later evaluation, of the counts filed with that one. Of draws that are all one
    value, as those of a rate of 0 are, nothing is known: their deviation is 0, the truth's need not be.
    """
    name, plain = later.of_evaluation(key, record.get("evaluations") or ())
    held: Mapping[str, Any] = record if name is None else record["evaluations"][name]
    values = held.get("metrics") or {}
    low, high = intervals.at_level(plain, values, held.get("shares") or {}, held.get("deviations") or {}, level)
    return UNKNOWN if low is None or high is None or low == high else (float(low), float(high))


def _rows(record: Record, key: str) -> float:
    """Returns the number of test rows that a metric is a share of; 0 where it is no share."""
    no_share = OF_SEVERAL.search(key) or any(word in key for word in NOT_OF_ROWS) or key.endswith(SEARCHED)
    if no_share or not key.startswith(OF_ROWS):
        return 0
    metrics = record.get("metrics") or {}
    _, group, number = key.rpartition("_group")
    if group and number.isdigit():
        return float(metrics.get(f"support_group{number}") or 0)
    judged = metrics.get("robust_rows") if key.startswith("robust") else None
    return float(judged or (record.get("rows") or {}).get("test") or 0)


def whole(number: float) -> bool:
    """Returns whether a share times the number of its rows is a number of rows, up to rounding."""
    return abs(number - round(number)) <= 1e-6 * max(1.0, abs(number))
