"""Runs whose training rows a search changed: their figures with the rows as they are and as changed, seed by seed.

A record holds both on the test rows, ``fpr_gap_unpoisoned`` and ``fpr_gap``, and on the validation rows, by which the
search for rows was led, ``fpr_gap_valid_unpoisoned`` and ``fpr_gap_valid``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from evals.poisoning.changed_rows import count_changes
from evals.records import query
from evals.records.advice import Asked
from evals.records.seed_intervals import student
from utils.metrics.directions import bounds
from utils.system.console import count

ENDINGS = {"valid": ("_valid_unpoisoned", "_valid"), "test": ("_unpoisoned", "")}  # of keys, before and after
ROWS = {"valid": "validation rows, which the search saw", "test": "test rows, touched once"}


class Change(NamedTuple):
    """A metric of one setting before and after rows were added: means and standard deviations over its n seeds.

    ``mean`` is that of the differences of single seeds, ``low`` and ``high`` its 95 % interval by Student's t, that of
    the paired t-test: few seeds make it wide. Standard deviations and ends are NaN for one seed, and ends where every
    seed has the same difference.
    """

    n: int
    before: float
    before_sd: float
    after: float
    after_sd: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Setting:
    """The runs of one setting."""

    label: str  # what tells it apart
    runs: pd.DataFrame
    records: Sequence[query.Record]

    @property
    def metric(self) -> str:
        """The key of the metric that rows were searched for."""
        return str(self.runs["poison_metric"].iloc[0])

    @property
    def objective(self) -> str:
        """fair or unfair."""
        return str(self.runs["poison_objective"].iloc[0])

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups."""
        return query.group_names(self.records)

    @property
    def done(self) -> dict[str, float]:
        """The rows that were added, removed, relabelled and reweighed, means over seeds."""
        return count_changes(self.records)

    def mean(self, fact: str) -> float:
        """The mean over seeds of a fact of the poison, NaN where none states it."""
        stated = [float(found) for record in self.records if (found := record["poison"].get(fact)) is not None]
        return sum(stated) / len(stated) if stated else math.nan

    def seconds(self, spender: str) -> float:
        """CPU-seconds an evaluation, NaN where there was none."""
        spent = sum(float((r["poison"].get("seconds") or {}).get(spender, math.nan)) for r in self.records)
        evaluations = sum(r["poison"].get("evaluations") or 0 for r in self.records)
        return spent / evaluations if evaluations else math.nan

    def change(self, key: str, split: str) -> Change:
        """Returns the change of a metric on validation (``valid``) or test rows."""
        return change(self.runs, *ends(key, split))


def select_poisoned(records: Sequence[query.Record]) -> list[query.Record]:
    """Returns the runs that a poisoner added rows to, or might have. Raises ValueError where there is none."""
    found = [record for record in records if record.get("poison")]
    if not found:
        raise ValueError(f"none of {count(len(records), 'run')} was poisoned; train one with attack=bo_poison")
    return found


def select_rows(found: Sequence[query.Record], where: str | None) -> pd.DataFrame:
    """The rows of the poisoned runs that meet the conditions. Raises ValueError where none does."""
    table = query.where(query.frame(found), where)
    if table.empty:
        raise ValueError(f"where={where!r} leaves none of the {count(len(found), 'poisoned run')}; relax it")
    return table


def metric_of(runs: pd.DataFrame, asked: Asked, remedy: str = "") -> str:
    """The metric that the rows were searched for. Raises ValueError where runs have several."""
    metrics = sorted(map(str, runs["poison_metric"].unique()))
    if len(metrics) > 1:
        raise ValueError(
            f"these runs were poisoned for several metrics, {', '.join(metrics)}: "
            f"choose with {asked.add_condition(f'poison_metric=={metrics[0]}')}{remedy}"
        )
    return metrics[0]


def list_paired(columns: Iterable[str]) -> list[str]:
    """The metrics that are known with the training rows as they are and as changed, on test rows."""
    there = [str(column) for column in columns]
    known = set(there)
    return [key for key in there if f"{key}_unpoisoned" in known and not key.endswith("_valid")]


def ends(key: str, split: str) -> tuple[str, str]:
    """The columns of a metric before and after, on validation (``valid``) or test rows."""
    before, after = ENDINGS[split]
    return f"{key}{before}", f"{key}{after}"


def change(runs: pd.DataFrame, *columns: str) -> Change:
    """Returns the change from the first to the second column of one setting's runs; all NaN where none has both."""
    return change_of(runs.reindex(columns=list(columns)).to_numpy(dtype=float).tolist(), columns[1])


def change_of(pairs: Sequence[Sequence[float]], key: str) -> Change:
    """Returns the change of a metric from pairs (n, 2) of its values before and after, one pair a seed; NaN is none."""
    values = np.array(pairs, dtype=float).reshape(-1, 2)
    before, after = values[~np.isnan(values).any(1)].T
    if not len(before):
        return Change(0, *[math.nan] * 7)
    least, most = bounds(key)
    low, high = np.clip(student((after - before)[None]), least - most, most - least)
    return Change(
        n=len(before),
        before=float(before.mean()),
        before_sd=_sd(before),
        after=float(after.mean()),
        after_sd=_sd(after),
        mean=float((after - before).mean()),
        low=float(low[0]),
        high=float(high[0]),
    )


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def settings_of(records: Sequence[query.Record], where: str | None) -> list[Setting]:
    """The settings of the poisoned runs that meet the conditions. Raises ValueError where there are none."""
    found = select_poisoned(records)
    table = select_rows(found, where)
    groups = query.aggregate(table, [])
    labels = query.differences(found, groups, "dataset")
    settings = []
    for group, label in zip(groups.to_dict("records"), labels, strict=True):
        named = str(group["name"] if label == group["dataset"] else label)
        if labels.count(label) > 1:  # a difference that the label does not show
            named = f"{named} [{group['group_id'][:8]}]"
        runs = table[table["group_id"] == group["group_id"]]
        settings.append(Setting(named, runs, [found[int(i)] for i in runs.index]))
    return settings
