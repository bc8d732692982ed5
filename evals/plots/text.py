"""The text of a plot: what standard output says, and the line above its axes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evals.choosing import choice_text
from evals.choosing.constraint import ENDS, Constraint
from evals.choosing.handing import Handed, hand_out
from evals.plots import axis
from evals.plots.chart import Chart, hypervolume, reference
from evals.records import judged_rows, query, table_notes
from evals.records.points import describe_fits, fits
from utils.system.console import count
from utils.system.tables import align
from utils.words.numbers import write_spread

CONSTANT = "nearly constant"  # prediction: one class for nearly every row


def extent(shown: Chart) -> str:
    """``42 runs, 14 settings, 3 seeds each; 5 efficient``."""
    models = shown.groups[shown.models]
    seeds = models["doc_ids"].map(len)
    low, high = seeds.min(), seeds.max()
    each = f"{count(high, 'seed')} each" if low == high else f"{low} to {high} seeds each"
    size = [count(int(shown.runs["policy"].isna().sum()), "run"), count(len(models), "setting"), each]
    if len(models) < len(shown.groups):
        size.append(count(len(shown.groups) - len(models), "operating point"))
    best = f"; {int(shown.efficient.sum()):,} efficient" if 0 not in shown.signs else ""
    return ", ".join(size) + best


def summary(shown: Chart, given: str | None) -> str:
    """Describes left-out runs, the efficient settings, their number, and the hypervolume."""
    listed = f"{describe_missing(shown)}{list_efficient(shown)}{measure(shown, given)}{describe_rows(shown)}"
    given = "".join(f"{said}\n" for said in table_notes.tell_given([shown.records[int(i)] for i in shown.runs.index]))
    return f"{listed}{describe_constant(shown)}{describe_crossed(shown)}{given}"


def describe_constant(shown: Chart) -> str:
    """Names the settings that are nearly constant predictions, three at most; nothing where there is none."""
    names = [full_label(row) for row in shown.groups[shown.constant].to_dict("records")]
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"{CONSTANT} predictions, whose small gaps mean little: {'; '.join(names[:3])}{more}\n" if names else ""


def describe_rows(shown: Chart) -> str:
    """Warns of figures that some runs have of fewer test rows than others; nothing where all are of as many."""
    runs = [shown.records[int(i)] for i in shown.runs.index]
    metrics = [axis.source(key, shown.runs.columns)[0] for key in shown.keys]
    return "".join(f"beware: {said}\n" for said in judged_rows.tell_differing(runs, metrics))


def describe_crossed(shown: Chart) -> str:
    """States how many of the policies exceed the gap that they were fitted to, by their interval on test rows."""
    found = [fits(shown.records[int(i)]) for i in shown.runs.index]
    limited = [own for own in found if own]
    beyond = sum(any(fit.crossed for fit in own) for own in limited)
    if not beyond:
        return ""
    fitted = count(len(limited), "policy", "policies")
    return (
        f"of {fitted} fitted to a limit on a gap {beyond:,} reach beyond it on test rows, by the gap or its interval\n"
    )


def measure(shown: Chart, given: str | None) -> str:
    """Describes the number of settings and, where every axis has a better end, the hypervolume and its reference."""
    if 0 in shown.signs:
        return f"{extent(shown)}\n"
    start = reference(shown, given)
    volume = hypervolume(shown, start)
    said = ", ".join(f"{key}={value:.4g}" for key, value in zip(shown.keys, start, strict=True))
    size = f"{volume:.4f} (reference point: {said})" if volume is not None else "left out, too many efficient ones"
    return f"{extent(shown)}\nhypervolume: {size}\n"


def describe_missing(shown: Chart) -> str:
    """States how many runs are left out for lack of a metric; empty where none is."""
    if not shown.left_out:
        return ""
    return f"left out: {count(shown.left_out, 'run')} without {' or '.join(dict.fromkeys(shown.keys))}\n"


def list_efficient(shown: Chart) -> str:
    """The efficient settings: name, setting, records, mean ± standard deviation, seeds; the best of x first."""
    first = f"-{shown.keys[0]}" if shown.signs[0] > 0 else shown.keys[0]
    return table(query.sort(shown.groups[shown.efficient], first), shown.keys, heading="efficient")


def table(settings: pd.DataFrame, keys: Sequence[str], *, heading: str) -> str:
    """Settings with the means of some metrics, in aligned columns."""
    keys = list(dict.fromkeys(keys))
    rows = [
        [row["name"], row["label"], ids(row["doc_ids"]), *(mean(row, key) for key in keys), str(len(row["doc_ids"]))]
        for row in settings.to_dict("records")
    ]
    return align([heading, "setting", "records", *keys, "seeds"], rows, first=keys)


def ids(found: Sequence[int]) -> str:
    """Numbers of records, the middle of many left out."""
    return ",".join(map(str, found)) if len(found) <= 6 else f"{found[0]},{found[1]},..,{found[-1]}"


def mean(row: dict[Any, Any], key: str) -> str:
    """``0.85 ± 0.07``; a dash where there is none."""
    return "-" if np.isnan(row[key]) else write_spread(row[key], row[f"{key}_sd"])


def full_label(row: Any) -> str:
    """The kind of a setting, and what else differs."""
    return str(row["kind"]) if row["label"] == row["kind"] else f"{row['kind']}, {row['label']}"


class Choice(NamedTuple):
    """The setting that a policy chooses."""

    row: int  # of the settings
    reason: str
    limits: tuple[Constraint, ...] = ()  # what it has to meet


def describe_choice(shown: Chart, choice: Choice, dataset: str) -> str:
    """The setting that a policy chooses, its figures, its records, and which of these to load; see ``hand_out``."""
    row = shown.groups.loc[choice.row].to_dict()
    keys = list(dict.fromkeys(shown.keys))
    runs = shown.runs[shown.runs["group_id"] == row["group_id"]]
    handed = hand_out(runs, keys, choice.limits, sure=False)
    own, record = runs.iloc[handed.place], shown.records[int(runs.index[handed.place])]
    lines = [f"chosen ({choice.reason}): {row['name']}, {row['label']}, records {ids(row['doc_ids'])}"]
    lines += [
        f"  {', '.join(f'{key} {mean(row, key)}' for key in keys)}",
        f"  {choice_text.format_load(record, dataset)}",
    ]
    lines[1:1] = [f"  {said}"] if (said := choice_text.describe_constant(record)) else []
    lines[-1] += _why(handed, choice.limits, own, keys, len(runs))
    lines += [f"  {sentence}" for sentence in describe_fits(record)]
    lines += [f"  {sentence}" for sentence in choice_text.warn_of_luck(len(shown.groups))]
    return "".join(f"{line}\n" for line in lines)


def _why(handed: Handed, limits: Sequence[Constraint], own: pd.Series, keys: Sequence[str], seeds: int) -> str:
    """States, of several seeds, the run's figures and why it is handed out; and the limits that its interval crosses.

    A mean that meets a limit has a seed that does.
    """
    words = []
    if seeds > 1:
        met = f"{handed.meeting} of {seeds} seeds meet {' and '.join(c.text for c in limits)} by themselves; of these"
        words = [", ".join(f"{key} {own[key]:.4f}" for key in keys)]
        words += [f"{met if limits else f'of {seeds} seeds'} the nearest to the mean"]
    table = pd.DataFrame([own])
    crossed = [c.text for c in limits if f"{c.key}{ENDS[0]}" in table and c.crossed(table)[0]]
    words += [f"its interval crosses {' and '.join(crossed)}"] if crossed else []
    return f"  # {'; '.join(words)}" if words else ""
