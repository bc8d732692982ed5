"""The classes that win and lose by what a method adds to the one it builds on: who pays for a better worst class."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evals.records.judged_rows import ROWS, with_rows
from evals.records.query import Record
from evals.records.rho import ALIKE, AVERAGE, GAIN, beside_base, is_at_training_radius, worst_of
from evals.records.seed_intervals import by_setting
from utils.words.levels import name_class
from utils.words.numbers import SPELLED, read_number

SHOWN = 3  # classes of either kind in a line
LEAST = 0.005  # accuracy that a class wins or loses at the least to be named
ROBUST = "robust_"
RUN = (*ALIKE, "regularizer", "group_id", "doc_id")  # columns that runs are paired by
SPELLED_CLASS = re.compile(rf"(\d+)_({SPELLED})")  # class and radius
HEADER = ("data set", "regularizer", "accuracy", "gains, in points", "pays, in points")


class Change(NamedTuple):
    """The mean difference of a class's accuracy from that of the base, in [-1, 1], and its interval over seeds."""

    name: str
    mean: float
    low: float  # nan with one seed, and where all give the same
    high: float

    def __str__(self) -> str:
        ends = "" if np.isnan(self.low) else f" [{100 * max(self.low, -1):+.1f}, {100 * min(self.high, 1):+.1f}]"
        return f"{self.name} {100 * self.mean:+.1f}{ends}"


def find_changes(
    frame: pd.DataFrame, records: Sequence[Record], average: str, base: Sequence[str]
) -> dict[str, list[Change]]:
    """Returns by ``group_id`` the changes of all classes in one accuracy, those that lose most first.

    Args:
        frame: the runs, as ``query.frame`` gives them.
        records: the same.
        average: the accuracy, clean or robust, whose classes these are; ``robust_accuracy`` is at the training radius.
        base: as in ``evals.records.rho.beside_base``.
    """
    found: dict[str, list[Change]] = {}
    shares = read_classes(records, average)
    keys = [str(of_class) for of_class in shares.columns]
    known = with_rows(frame[[key for key in RUN if key in frame.columns]], records, [average])
    counted = {f"{ROWS}{key}": known[f"{ROWS}{average}"] for key in keys}  # of a class, those of all classes
    runs = known.assign(**dict(zip(keys, shares.to_numpy(float).T, strict=True)), **counted)
    runs = beside_base(runs, keys, base)
    groups = runs["group_id"].astype("category")
    codes = groups.cat.codes.to_numpy(np.int64)
    for key in keys:
        gains = runs[f"{GAIN}{key}"].to_numpy(float)
        low, high = by_setting(gains, codes, len(groups.cat.categories))
        means = pd.Series(gains).groupby(codes).mean()
        for code, mean in means.dropna().items():
            first = records[int(np.flatnonzero(codes == code)[0])]
            change = Change(_name(int(key), first), float(mean), float(low[code]), float(high[code]))
            found.setdefault(str(groups.cat.categories[code]), []).append(change)
    return {group: sorted(of, key=lambda change: change.mean) for group, of in found.items()}


class Told(NamedTuple):
    """Who pays, as a table and what it leaves open."""

    rows: list[list[str]]  # below ``HEADER``
    open: list[str]  # sentences


def tell(
    frame: pd.DataFrame,
    records: Sequence[Record],
    shown: Sequence[str],
    base: Sequence[str],
    named: Mapping[str, tuple[str, str]],
) -> Told:
    """Returns rows for every average that stands beside its worst class, of the runs that have a base.

    Args:
        frame: the runs.
        records: the same.
        shown: the metrics of the table.
        base: as in ``evals.records.rho.beside_base``.
        named: data set and name of the row of each ``group_id``.
    """
    rows, unknown = [], []
    for average in (key for key in shown if worst_of(key) in shown):
        changes = find_changes(frame, records, average, base)
        rows += [
            [*named[group], name_radius(average, records, group), _listed(of[::-1], 1), _listed(of, -1)]
            for group, of in changes.items()
            if group in named
        ]
        unknown += [average] if not changes and _has_base(frame, average, base) else []
    return Told(sorted(rows), [_tell_unknown(average, records) for average in unknown])


def _has_base(frame: pd.DataFrame, average: str, base: Sequence[str]) -> bool:
    """Returns whether some run is compared with its base in an average."""
    return average in frame.columns and bool(beside_base(frame, [average], base)[f"{GAIN}{average}"].notna().any())


def _tell_unknown(average: str, records: Sequence[Record]) -> str:
    """Says why it is not known who pays in an average, and which metrics tell."""
    keys = dict.fromkeys(key for record in records for key in record["metrics"])
    others = [key for key in keys if worst_of(key) in keys and key != average]
    pair = next((key for key in others if key.startswith(ROBUST) and not read_classes(records, key).empty), None)
    remedy = f"; metrics={pair},{worst_of(pair)} tells of that radius" if pair else ""
    return f"Who gains and who pays in {average} is not known: no accuracy of each class is filed with it{remedy}"


def name_radius(average: str, records: Sequence[Record], group: str) -> str:
    """``robust_accuracy at 0.1``: an average, where it names no radius with that of the training of a setting."""
    if not is_at_training_radius(average):
        return average
    own = next(record for record in records if record.get("group_id") == group)
    radius = (own["params"].get("epsilon") or {}).get("radius")
    return average if radius is None else f"{average} at {radius}"


def _listed(changes: Sequence[Change], sign: int) -> str:
    """The classes that change in one direction, those that do most first."""
    moved = [change for change in changes if sign * change.mean >= LEAST]
    more = f", and {len(moved) - SHOWN} more" * (len(moved) > SHOWN)
    return ", ".join(map(str, moved[:SHOWN])) + more or "none"


def _name(of_class: int, record: Record) -> str:
    names = (record.get("preprocessing") or {}).get("class_names") or ()
    return str(names[of_class]) if of_class < len(names) else name_class(of_class, ())


def read_classes(records: Sequence[Record], average: str) -> pd.DataFrame:
    """Returns the accuracy of each class that an average is of, (records, classes), nan where there is none.

    As filed among the metrics, else by the counts: those at the training radius are filed as counts alone.
    """
    parts = AVERAGE.fullmatch(average)
    if parts is None:
        return pd.DataFrame()
    start = f"{'' if parts['radius'] is None else ROBUST}accuracy_class_"
    return pd.DataFrame([_of_classes(_holder(r, parts["before"]), start, parts["radius"] or "", r) for r in records])


def _holder(record: Record, before: str) -> Mapping[str, Any]:
    """The record, or its later evaluation of this name."""
    return (record.get("evaluations") or {}).get(before.removesuffix("/"), {}) if before else record


def _of_classes(held: Mapping[str, Any], start: str, end: str, record: Record) -> dict[int, float]:
    """The accuracy of each class, by its number."""
    shares = {key: part / whole for key, (part, whole) in (held.get("shares") or {}).items() if key.startswith(start)}
    figures = {key: value for key, value in (held.get("metrics") or {}).items() if key.startswith(start)}
    every = {key.removeprefix(start): value for key, value in (shares | figures).items() if value is not None}
    ended = {key.removesuffix(end): value for key, value in every.items() if key.endswith(end)}
    found = {int(key): value for key, value in ended.items() if key.isdigit()}
    return found if found or end or not start.startswith(ROBUST) else _at_training(every, record)


def _at_training(every: Mapping[str, float], record: Record) -> dict[int, float]:
    """Returns of accuracies by class and radius, ``3_8/255``, those at the radius of the training."""
    radius = (record["params"].get("epsilon") or {}).get("radius")
    spelled = {key: SPELLED_CLASS.fullmatch(key) for key in every}
    if radius is None:
        return {}
    own = read_number(radius)
    return {int(of[1]): every[key] for key, of in spelled.items() if of and read_number(of[2]) == own}
