"""The axes of a plot: a metric, or what it lacks to 1, with its words and its better end.

An axis is a metric's key (``fnr_gap``), that of a later evaluation (``audit/fnr_gap``), ``1-<metric>``, or the key of
an accuracy with ``error`` in its place: ``error`` is ``1-accuracy``, ``robust_error_0.05`` ``1-robust_accuracy_0.05``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import DictConfig

from evals.records import query
from utils.metrics.directions import bounds, describe, direction, headlines
from utils.records import later
from utils.runs import causal_figures, data_sources
from utils.system.console import count

UNITS = {
    "noise": "noise units",
    "noise_sd": "noise sd",
    "noise_and_flow_sd": "noise units (of flows noise sd)",
}  # of causal radii, see the SCM's radius_unit
RADIUS = re.compile(r"radius \S+")
SIGNED = "_signed_gap"  # best in the middle, at 0
ENDS = {"higher": 1, "lower": -1}
OTHER_END = {"low": "high", "high": "low"}


class Side(NamedTuple):
    """An axis as it is asked for."""

    key: str
    better: Any = None  # higher or lower, null where the metric's name says it
    option: str = ""  # that says which end is better, where there is one


@dataclass(frozen=True)
class Axis:
    """One axis of a plot."""

    key: str  # the column of the runs
    words: str  # the same for a reader
    sign: int  # +1 where higher is better, -1 where lower is, 0 for neither
    ends: tuple[float, float]  # of its range, infinite where it has none

    @property
    def brief(self) -> str:
        """The words without their unit."""
        return self.words.partition(" (")[0]


def sides(options: DictConfig, *names: str) -> list[Side]:
    """The axes that the options of these names ask for. Raises ValueError for one that is null."""
    for name in names:
        if options[name] is None:
            raise ValueError(f"kind={options.kind} needs {name}=..., a metric")
    return [Side(str(options[name]).replace(" ", ""), options[f"{name}_better"], f"{name}_better") for name in names]


def parse_sides(words: Any) -> list[Side]:
    """The axes of a list: ``[accuracy,fnr_gap]``, the brackets optional."""
    found = [word.strip().replace(" ", "") for word in str("" if words is None else words).strip("[]").split(",")]
    return [Side(word) for word in dict.fromkeys(found) if word]


# --- those that the records are about ---------------------------------------------------------------------------


def find_watched(records: Sequence[query.Record]) -> list[str]:
    """Returns the metrics that the runs are about: what the first of them watches, then gaps of operating points."""
    traded = [f"{rate}_gap" for record in records for rate in (record.get("operating_points") or {}).get("rates", ())]
    watched = [key for record in records[:1] for key in record["params"].get("watch") or ()]
    return list(dict.fromkeys([*watched, *traded]))


def defaults(
    records: Sequence[query.Record], keys: Sequence[str], x: str | None = None, y: str | None = None
) -> tuple[str, str]:
    """The two axes, of which none, one or both are given; a single metric is both."""
    found = choose(records, keys, 2, [x, y])
    return found[0], found[-1]


def choose(records: Sequence[query.Record], keys: Sequence[str], n: int, given: Sequence[str | None] = ()) -> list[str]:
    """At most ``n`` metrics: those given, for others accuracy, what the runs are about, then the ``keys`` they have."""
    about = dict.fromkeys(
        key for key in ("accuracy", *find_watched(records), *keys) if key in keys and key not in given
    )
    free = (key for key in about if _compares(records, key))
    found = [key or next(free, None) for key in (*given, *[None] * (n - len(given)))]
    return [key for key in found if key] or list(keys[:1])


def _compares(records: Sequence[query.Record], key: str) -> bool:
    """Returns whether figures are of one causal model and about the same groups; of several data no other key is."""
    return causal_figures.compares(records, key) and len(data_sources.attributes_apart(records, key)) <= 1


def fill_axes(
    records: Sequence[query.Record], options: DictConfig, names: Sequence[str] = ("x", "y"), metrics: int = 0
) -> DictConfig:
    """The options with axes of these names, and a list of ``metrics``, of the runs where they were not given.

    Raises:
        ValueError: no run has a metric.
    """
    runs = query.frame(records)
    table = query.where(runs, options.where)
    table = table if len(table) else runs  # that no run is left is told later
    known = [key for key in query.metrics(table) if not key.endswith(query.DETAILS) and table[key].notna().any()]
    if not known:
        raise ValueError(f"none of the {count(len(table), 'run')} has a metric; there is nothing to show")
    evaluations = later.evaluations(records)
    directed = [key for key in known if direction(later.of_evaluation(key, evaluations)[1])]
    keys = list(dict.fromkeys([*headlines(directed), *directed, *known]))
    kept = [records[i] for i in table.index]
    found = choose(kept, keys, len(names), [query.to_text(options[name]) for name in names])
    made: dict[str, Any] = {name: found[min(i, len(found) - 1)] for i, name in enumerate(names)}
    if metrics and options.metrics is None:
        made["metrics"] = ",".join(choose(kept, keys, metrics))
    return DictConfig(dict(options) | made)


# --- columns ---------------------------------------------------------------------------------------------------


def source(key: str, columns: Iterable[str]) -> tuple[str, bool]:
    """The metric behind an axis, and whether the axis is what that lacks to 1."""
    there = set(columns)
    if key in there:
        return key, False
    if key.startswith("1-"):
        return key.removeprefix("1-"), True
    head, found, tail = key.rpartition("error")
    accuracy = f"{head}accuracy{tail}"
    return (accuracy, True) if found and accuracy in there else (key, False)


def with_axes(table: pd.DataFrame, keys: Iterable[str]) -> pd.DataFrame:
    """The table with a column for every axis that is derived of a metric, its interval over rows included."""
    made: dict[str, pd.Series] = {}
    for key in keys:
        metric, turned = source(key, table.columns)
        if turned and metric in query.metrics(table):
            made[key] = 1 - table[metric]
            made |= {
                f"{key}_{end}": 1 - table[f"{metric}_{other}"]
                for end, other in OTHER_END.items()
                if f"{metric}_{other}" in table.columns
            }
    return pd.concat([table, pd.DataFrame(made, index=table.index)], axis=1)


def find_column(key: str, table: pd.DataFrame) -> str:
    """The column of an axis that some run has. Raises ValueError, with near misses where there is no such column."""
    metric = key if key in table.columns else source(key, table.columns)[0]
    if metric in query.FACTS:
        raise ValueError(f"{metric} is no metric. Metrics here: {', '.join(query.metrics(_some(table)))}")
    some = _some(table)
    if metric in table.columns and metric not in some.columns:
        raise ValueError(
            f"{metric} is undefined in all {count(len(table), 'run')}; the warnings of their records say why"
            f"{query.of_the_rest([metric], some)}"
        )
    query.find_column(metric, some)
    return key


def _some(table: pd.DataFrame) -> pd.DataFrame:
    """The facts, and the metrics that some run has."""
    return table[[*query.FACTS, *(m for m in query.metrics(table) if table[m].notna().any())]]


# --- words -----------------------------------------------------------------------------------------------------


def axes(
    records: Sequence[query.Record], columns: Sequence[str], asked: Sequence[Side], shown: Sequence[query.Record]
) -> tuple[Axis, ...]:
    """The axes in words and with their better ends; 0 where neither the option nor the metric's name says it.

    ``columns`` are those of the records, without derived ones; the records ``shown`` say what a causal figure is.

    Raises:
        ValueError: an option that is neither higher nor lower.
    """
    evaluations, names = later.evaluations(records), (query.group_names(records), query.class_names(records))
    units = {UNITS.get(str((record.get("units") or {}).get("radius")), "") for record in records}
    remarks = [causal_figures.remark(shown, source(side.key, columns)[0]) for side in asked]
    pairs = zip(asked, remarks, strict=True)
    return tuple(_axis(side, columns, evaluations, names, units, remark) for side, remark in pairs)


def _axis(
    side: Side,
    columns: Sequence[str],
    evaluations: set[str],
    names: tuple[Sequence[str], Sequence[str]],
    units: set[str],
    remark: str,
) -> Axis:
    if side.better not in (None, *ENDS):
        raise ValueError(f"{side.option}={side.better}: expected higher or lower")
    metric, turned = source(side.key, columns)
    evaluation, plain = later.of_evaluation(metric, evaluations)
    words = causal_figures.with_remark(_with_unit(plain, describe(plain, *names), units), remark)
    if turned:
        words = words.replace("accuracy", "error", 1) if "accuracy" in words else f"1 - {words}"
    if evaluation is not None:
        words = f"{words} [{evaluation}]"
    least, most = bounds(metric)
    ends, own = ((1 - most, 1 - least), -direction(plain)) if turned else ((least, most), direction(plain))
    return Axis(side.key, words, own if side.better is None else ENDS[side.better], ends)


def _with_unit(key: str, words: str, units: set[str]) -> str:
    """The radius of a causal metric with its unit, where all records have one."""
    unit = next(iter(units)) if len(units) == 1 else ""
    return RADIUS.sub(rf"\g<0> {unit}", words, count=1) if key.startswith("uai") and unit else words


def require_direction(found: Sequence[Axis], asked: Sequence[Side]) -> None:
    """Refuses an axis of which neither end is known to be better. Raises ValueError."""
    for axis, side in zip(found, asked, strict=True):
        if not axis.sign:
            unsigned = axis.key.replace(SIGNED, "_gap")
            remedy = f"say {side.option}=higher or {side.option}=lower" if side.option else "leave it out"
            if unsigned != axis.key:
                remedy = f"take {unsigned}, which has no sign"
            raise ValueError(f"it is not known which end of {axis.key} is better; {remedy}")
