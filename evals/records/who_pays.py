"""The classes that win and lose by what a method adds to the one it builds on: who pays for a better worst class."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from evals.records.query import Record
from evals.records.rho import AVERAGE, GAIN, beside_base, worst_of
from evals.records.seed_intervals import by_setting
from utils.words.levels import name_class
from utils.words.numbers import read_number

SHOWN = 3  # classes of either kind in a line
LEAST = 0.005  # accuracy that a class wins or loses at the least to be named
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
    keys = _class_keys(frame, average)
    if not keys:
        return found
    runs = beside_base(frame, list(keys), base)
    groups = runs["group_id"].astype("category")
    for key, of_class in keys.items():
        gains = runs[f"{GAIN}{key}"].to_numpy(float)
        codes = groups.cat.codes.to_numpy(np.int64)
        low, high = by_setting(gains, codes, len(groups.cat.categories))
        means = pd.Series(gains).groupby(codes).mean()
        for code, mean in means.dropna().items():
            group = groups.cat.categories[code]
            names = (records[int(np.flatnonzero(codes == code)[0])].get("preprocessing") or {}).get("class_names") or ()
            found.setdefault(str(group), []).append(
                Change(_name(of_class, names), float(mean), float(low[code]), float(high[code]))
            )
    return {group: sorted(of, key=lambda change: change.mean) for group, of in found.items()}


def tell(
    frame: pd.DataFrame,
    records: Sequence[Record],
    shown: Sequence[str],
    base: Sequence[str],
    named: Mapping[str, tuple[str, str]],
) -> list[list[str]]:
    """Returns rows below ``HEADER`` for every average that stands beside its worst class, of rows that have a base.

    Args:
        frame: the runs.
        records: the same.
        shown: the metrics of the table.
        base: as in ``evals.records.rho.beside_base``.
        named: data set and name of the row of each ``group_id``.
    """
    rows = []
    for average in (key for key in shown if worst_of(key) in shown):
        changes = find_changes(frame, records, average, base)
        rows += [
            [*named[group], average, _listed(of[::-1], 1), _listed(of, -1)]
            for group, of in changes.items()
            if group in named
        ]
    return sorted(rows)


def _listed(changes: Sequence[Change], sign: int) -> str:
    """The classes that change in one direction, those that do most first."""
    moved = [change for change in changes if sign * change.mean >= LEAST]
    more = f", and {len(moved) - SHOWN} more" * (len(moved) > SHOWN)
    return ", ".join(map(str, moved[:SHOWN])) + more or "none"


def _name(of_class: int, names: Sequence[str]) -> str:
    return str(names[of_class]) if of_class < len(names) else name_class(of_class, ())


def _class_keys(frame: pd.DataFrame, average: str) -> dict[str, int]:
    """The keys of the classes in an accuracy, and the class of each."""
    parts = AVERAGE.fullmatch(average)
    if parts is None:
        return {}
    kind, radius = ("", "") if parts["radius"] is None else ("robust_", parts["radius"].removeprefix("_"))
    key = re.compile(rf"{re.escape(parts['before'])}{kind}accuracy_class_(\d+)(?:_([\d.]+(?:/\d+)?))?")
    found = {column: match for column in frame.columns if (match := key.fullmatch(str(column)))}
    if kind and not radius:  # at the radius of the training
        trained = {float(of) for of in frame["radius"].dropna()}
        at = {column: read_number(match[2]) for column, match in found.items() if match[2]}
        return {column: int(found[column][1]) for column, own in at.items() if trained == {own}}
    return {column: int(match[1]) for column, match in found.items() if (match[2] or "") == radius}
