"""Tables of poisoned settings, as header and rows: all settings, many metrics, the plain methods beside a search."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from evals.choosing.comparison import error_rates
from evals.poisoning import beside
from evals.poisoning.changed_rows import describe_changes
from evals.poisoning.paired import ENDINGS, Change, Setting
from utils.metrics.directions import ERRORS
from utils.system.tables import DASH
from utils.words.added_rows import DONE
from utils.words.numbers import write_estimate

Lines = list[list[str]]

ACCURACY = "accuracy"
SPLITS = {"valid": "validation", "test": "test"}
SPENDERS = ("optimiser", "learner")  # of CPU-seconds
CHANGED = ("setting", "metric", "change", "95 % interval")  # columns of the table of metrics that a terminal has first
FIELDS = ("setting", "name", "attack", "poison_metric", "objective", "seeds", "rows", "evaluations", "metric", "split")
COUNTED = tuple(key for key in DONE if key != "rows")  # last columns of the values, which came later


def of_settings(settings: Sequence[Setting]) -> Lines:
    """The table of all settings; what they have in common is no column."""
    searched = [f"{setting.metric} ({setting.objective})" for setting in settings]
    mixed = len(set(searched)) > 1
    measures = [
        f"{key}, {rows}" for key in ("metric" if mixed else settings[0].metric, ACCURACY) for rows in SPLITS.values()
    ]
    alone = all([*setting.done] in ([], ["added"]) for setting in settings)
    done = "rows added" if alone else "rows changed"
    rows = [["setting", "name", "attack", "metric", "seeds", done, "evaluations", *measures, "CPU-s"]]
    for setting, metric in zip(settings, searched, strict=True):
        facts = setting.runs.iloc[0]
        changes = [setting.change(key, split) for key in (setting.metric, ACCURACY) for split in SPLITS]
        number = f"{setting.mean('rows'):.4g}" if alone else describe_changes(setting.done)
        names = [setting.label, str(facts["name"]), str(facts["attack"]), metric, str(len(setting.runs))]
        counts = [number, f"{setting.mean('evaluations'):.4g}"]
        rows.append([*names, *counts, *map(_pair, changes), _spent(setting)])
    idle = {i for i, idle in ((0, len(settings) == 1), (3, not mixed)) if idle}
    return [[cell for i, cell in enumerate(line) if i not in idle] for line in rows]


def _spent(setting: Setting) -> str:
    seconds = [setting.seconds(spender) for spender in SPENDERS]
    return " + ".join(DASH if math.isnan(of) else f"{of:.2f}" for of in seconds)


def of_metrics(settings: Sequence[Setting], metrics: Sequence[str]) -> Lines:
    """The table of many metrics, on test rows."""
    rows = [["setting", "metric", "before", "after", *CHANGED[2:]]]
    for setting in settings:
        for key in metrics:
            found = setting.change(key, "test")
            means = [_mean(found.before, found.before_sd), _mean(found.after, found.after_sd)]
            change, _, interval = describe_change(found).partition(" ") if found.n else (DASH, "", "")
            rows.append([setting.label, key, *means, change, interval or DASH])
    return rows


def of_methods(setting: Setting, methods: Sequence[beside.Method]) -> Lines:
    """The table of a setting's search and the plain methods, on test rows."""
    rates = tuple(dict.fromkeys((*error_rates(setting.metric), *ERRORS)))  # what one gap gains the other may pay
    keys = [f"{rate}_group{i}" for rate in rates for i in range(len(setting.groups))]
    header = [
        "method",
        setting.metric,
        "change",
        ACCURACY,
        *(f"{of} {name}" for of in rates for name in setting.groups),
    ]
    first = methods[0]
    start = [three(first.rates[key].before) for key in keys]
    before = [beside.NOTHING, three(first.change.before), DASH, three(first.accuracy.before), *start, *[DASH] * 3]
    rows = [[*header, "within limits", "trainings", "CPU-s"], before]
    for method in methods:
        if not method.change.n:
            rows.append([method.name, *[DASH] * (len(before) - 2), f"not there: {method.error}"])
            continue
        figures = [three(method.change.after), describe_change(method.change), three(method.accuracy.after)]
        spent = [f"{method.within} of {method.change.n}", f"{method.trainings:.3g}", f"{method.seconds:.3g}"]
        rows.append([method.name, *figures, *(three(method.rates[key].after) for key in keys), *spent])
    return rows


def three(mean: float) -> str:
    """Three decimals, or a dash."""
    return DASH if math.isnan(mean) else f"{mean:.3f}"


def _pair(found: Change) -> str:
    """``0.108 ± 0.012 → 0.093 ± 0.010, -0.015 [-0.020, -0.010]``."""
    if not found.n:
        return DASH
    means = f"{_mean(found.before, found.before_sd)} → {_mean(found.after, found.after_sd)}"
    return f"{means}, {describe_change(found)}"


def describe_change(found: Change) -> str:
    """``-0.015 [-0.020, -0.010]``; without an interval three decimals, as means have."""
    if math.isnan(found.low):
        return f"{found.mean:+.3f}"
    value, _, interval = write_estimate(found.mean, found.low, found.high).partition(" ")
    return f"{'' if value.startswith('-') else '+'}{value} {interval}"


def _mean(mean: float, sd: float) -> str:
    return three(mean) + ("" if math.isnan(sd) else f" ± {sd:.3f}")


# --- all digits ------------------------------------------------------------------------------------------------


def of_values(settings: Sequence[Setting], metrics: Sequence[str]) -> Iterator[list[Any]]:
    """Yields header and rows with all digits, a row for each setting or method, metric and split; NaN for no figure."""
    yield [*FIELDS, *Change._fields, *(f"{spender}_seconds" for spender in SPENDERS), *COUNTED]
    for setting in settings:
        facts = setting.runs.iloc[0]
        names = [setting.label, facts["name"], facts["attack"], setting.metric, setting.objective]
        means = [len(setting.runs), setting.mean("rows"), setting.mean("evaluations")]
        counts = [setting.done.get(DONE[key], 0.0) for key in COUNTED]
        seconds = [setting.seconds(spender) for spender in SPENDERS]
        for key, split in _list_metrics(setting, metrics):
            yield [*names, *means, key, split, *setting.change(key, split), *seconds, *counts]
        for method in beside.methods_of(setting)[1:]:
            named = [f"{setting.label}; {method.name}", names[1], method.name, *names[3:]]
            seconds = [math.nan, method.seconds / method.trainings]
            for key, change in ((setting.metric, method.change), (ACCURACY, method.accuracy)):
                nothing = [math.nan] * len(COUNTED)
                yield [*named, means[0], "", method.trainings, key, "test", *change, *seconds, *nothing]


def _list_metrics(setting: Setting, metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields each metric with its splits: poisoned metric and accuracy on both, further ones on test rows."""
    first = dict.fromkeys((setting.metric, ACCURACY))
    yield from ((key, split) for key in first for split in ENDINGS)
    yield from ((key, "test") for key in metrics if key not in first)
