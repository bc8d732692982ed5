"""The numbers of a plot: the runs that are asked for, their settings, and which of these are efficient."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig
from pandas.api.types import is_numeric_dtype

from evals.plots import axis, spread
from evals.plots.axis import Axis, Side
from evals.plots.style import COLOURS, MARKERS
from evals.records import advice, pareto, points, query
from utils.runs.best import OF_CONSTANT, nearly_constant
from utils.system.console import count
from utils.words.near import near
from utils.words.numbers import read_number

HUES = ("regularizer", "prepare", "model", "scm", "attack", "decide", "radius", "name", "experiment")
MOST_POINTS = 100_000  # n^(m - 2) up to which a hypervolume takes seconds


@dataclass(frozen=True)
class Selection:
    """The runs that a plot is about."""

    records: Sequence[query.Record]  # all of the database, with their operating points where these are shown
    columns: Sequence[str]  # what the records hold
    runs: pd.DataFrame  # one row a chosen record: facts, metrics, axes, "kind" (the hue's value), "policy" (of a point)
    looks: Mapping[str, tuple[str, str]]  # kind -> colour, marker; of all records, whatever where= selects


@dataclass(frozen=True)
class Chart:
    """The settings of a selection on some axes."""

    records: Sequence[query.Record]
    runs: pd.DataFrame  # one row a record, or operating point, that has the axes
    groups: pd.DataFrame  # one row a setting: kind, policy, label with and model_label without it, means, sd, n
    axes: tuple[Axis, ...]
    bars: NDArray[np.float64]  # (settings, axes, 2), lower and upper ends
    efficient: NDArray[np.bool_]  # (settings,), none where an axis has no better end
    constant: NDArray[np.bool_]  # (settings,), those that predict one of two classes for nearly every row
    looks: Mapping[str, tuple[str, str]]
    left_out: int  # records that lack an axis

    @property
    def keys(self) -> list[str]:
        """The columns of the axes."""
        return [axis.key for axis in self.axes]

    @property
    def values(self) -> NDArray[np.float64]:
        """Means, (settings, axes)."""
        return self.groups[self.keys].to_numpy(dtype=float)

    @property
    def signs(self) -> list[int]:
        """+1 where higher is better, -1 where lower is."""
        return [axis.sign for axis in self.axes]

    @property
    def models(self) -> pd.Series:
        """Returns a mask of ``groups``: settings as trained, not operating points of them."""
        return self.groups["policy"].isna()

    @property
    def by_setting(self) -> list[list[query.Record]]:
        """The records of each setting."""
        of = self.runs["group_id"]
        return [[self.records[i] for i in self.runs.index[of == group]] for group in self.groups["group_id"]]

    @property
    def several(self) -> bool:
        """Returns whether some setting ran with several seeds."""
        return len(self.runs) > len(self.groups)


def select(records: Sequence[query.Record], options: DictConfig, keys: Sequence[str]) -> Selection:
    """The runs that the options ask for, with a column for every axis.

    Raises:
        ValueError: an option that names what the records do not hold, or none left.
    """
    if options.points:
        records = _with_points(records)
    table = query.frame(records)
    columns = [str(column) for column in table.columns]
    if options.hue not in HUES:
        raise ValueError(f"hue={options.hue}{near(str(options.hue), HUES)} Expected one of {', '.join(HUES)}")
    table = axis.with_axes(table, keys)
    policies = pd.Series([record.get("policy") for record in records], index=table.index, dtype=object)
    table = table.assign(kind=_kinds(table[str(options.hue)], str(options.hue)), policy=policies)
    runs = query.where(table, options.where)
    if runs.empty:
        raise ValueError(f"where={options.where!r} leaves none of the {count(len(table), 'run')}; relax it")
    return Selection(records, columns, runs, _looks(table, str(options.hue)))


def _with_points(records: Sequence[query.Record]) -> list[query.Record]:
    found: list[query.Record] = list(points.with_points(records))
    if len(found) == len(records):
        raise ValueError("points=true: none of these runs has operating points; leave it out")
    return found


def _kinds(values: pd.Series, hue: str) -> list[str]:
    said = f"{hue} " if is_numeric_dtype(values) else ""  # a bare 0.1 says nothing
    return [f"{said}{'none' if pd.isna(value) else value}" for value in values]


def _looks(table: pd.DataFrame, hue: str) -> dict[str, tuple[str, str]]:
    """Colour and marker per kind, in the order of the hue's values."""
    kinds = table.sort_values(hue, na_position="last")["kind"].unique()
    return dict(zip(kinds, zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False), strict=False))


def chart(
    records: Sequence[query.Record], options: DictConfig, asked: Sequence[Side], *, oriented: bool = True
) -> Chart:
    """Selects, averages and ranks the runs that have every axis asked for.

    With ``oriented`` each axis must have a better end; without, runs that have any of the axes are kept.

    Raises:
        ValueError: an option that names what the records do not hold, none left, or an axis on which causal figures of
            several causal models would be compared.
    """
    keys = [side.key for side in dict.fromkeys(asked)]
    chosen = select(records, options, keys)
    for key in keys:
        axis.find_column(key, chosen.runs)
    kept = [chosen.records[i] for i in chosen.runs.index]
    found = axis.axes(chosen.records, chosen.columns, asked, kept)
    if oriented:
        axis.require_direction(found, asked)
    runs = chosen.runs.dropna(subset=list(dict.fromkeys(keys)), how="any" if oriented else "all")
    if runs.empty:
        listed = f"{', '.join(keys[:-1])} and {keys[-1]}"
        raise ValueError(f"none of the {count(len(chosen.runs), 'run')} has {listed} together; plot others")
    metrics = [axis.source(key, chosen.columns)[0] for key in keys]
    advice.require_one([chosen.records[i] for i in runs.index], metrics, advice.Asked.read(options))
    return of(chosen, runs, found, str(options.bars))


def of(chosen: Selection, runs: pd.DataFrame, axes: tuple[Axis, ...], bars: str) -> Chart:
    """The chart of some runs of a selection."""
    keys = list(dict.fromkeys(axis.key for axis in axes))
    groups = query.aggregate(runs, keys)
    facts = runs.drop_duplicates("group_id").set_index("group_id")
    groups = groups.assign(**{fact: groups["group_id"].map(facts[fact]) for fact in ("kind", "policy")})
    groups["model_label"] = _apart(groups, query.differences(chosen.records, groups, "kind"))
    groups["label"] = _with_policy(groups["model_label"], groups["policy"])
    values = groups[[axis.key for axis in axes]].to_numpy(dtype=float)
    known = all(axis.sign for axis in axes)
    return Chart(
        records=chosen.records,
        runs=runs,
        groups=groups,
        axes=axes,
        bars=spread.bars(bars, runs, groups, [axis.key for axis in axes]),
        efficient=pareto.efficient(values, [axis.sign for axis in axes]) if known else np.zeros(len(groups), bool),
        constant=_constant(runs, groups),
        looks=chosen.looks,
        left_out=int(chosen.runs["policy"].isna().sum() - runs["policy"].isna().sum()),
    )


def _constant(runs: pd.DataFrame, groups: pd.DataFrame) -> NDArray[np.bool_]:
    """Returns a mask of the settings that are nearly constant predictions, by the mean over their runs."""
    found = pd.DataFrame({key: runs[key] if key in runs.columns else np.nan for key in OF_CONSTANT}, index=runs.index)
    means = found.groupby([runs["dataset"], runs["group_id"]]).mean()
    ours = means.loc[list(zip(groups["dataset"], groups["group_id"], strict=True))]
    return np.array([nearly_constant(of) for of in ours.to_dict("records")], dtype=bool)


def _apart(groups: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """The labels of the models, those that several of a kind would share with the beginning of their group_id."""
    models = groups["group_id"].str.partition("@")[0]
    shared = models.groupby([groups["kind"], pd.Series(labels, index=groups.index)]).transform("nunique") > 1
    named = zip(labels, models, shared, strict=True)
    return [f"{label} [{model[:8]}]" if several else label for label, model, several in named]


def _with_policy(labels: pd.Series, policies: pd.Series) -> list[str]:
    """A short text for each setting, that of an operating point with what it was fitted to."""
    pairs = zip(labels, policies, strict=True)
    return [label if pd.isna(policy) else f"{label}, {points.describe_limit(policy)}" for label, policy in pairs]


# --- hypervolume -----------------------------------------------------------------------------------------------


def reference(shown: Chart, given: str | None) -> list[float]:
    """Returns the reference point of the hypervolume: as given, or the worst value, 0 or 1 or beyond these.

    Raises:
        ValueError: not one number for each axis.
    """
    if given is not None:
        words = [word for word in given.strip("[]").split(",") if word.strip()]
        if len(words) != len(shown.axes):
            raise ValueError(f"reference={given}: expected {len(shown.axes)} numbers by commas, one for each axis")
        return [read_number(word) for word in words]
    return [_worst(column[~np.isnan(column)], sign) for column, sign in zip(shown.values.T, shown.signs, strict=True)]


def _worst(values: NDArray[np.float64], sign: int) -> float:
    if ((values >= 0) & (values <= 1)).all():
        return 0.0 if sign > 0 else 1.0
    return float(values.min() if sign > 0 else values.max())


def hypervolume(shown: Chart, start: Sequence[float]) -> float | None:
    """Returns the volume between reference and frontier; None where it would take minutes."""
    if int(shown.efficient.sum()) ** max(len(shown.axes) - 2, 0) > MOST_POINTS:
        return None
    return pareto.hypervolume(shown.values, start, shown.signs)
