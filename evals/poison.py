"""The effects of rows added to the training rows, and which of them hold on rows that the search never saw.

``python -m evals.poison dataset=compas_two_years [where="..."] [metrics=all] [format=csv] [out=table.csv]``; options
and defaults stand in ``config/poison.yaml``. Differences are those of single seeds, with and without the added rows;
their intervals are Student's t, since seeds are few.
"""

import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from omegaconf import DictConfig

import paths_config
from evals.choosing.comparison import GAPS
from evals.poisoning import beside
from evals.poisoning.paired import ENDINGS, Change, Setting, list_paired, settings_of
from evals.poisoning.poison_text import Said, statement
from evals.records import levelling, query
from evals.table import DASH, LATEX, format_of, hand_out, markdown_table
from utils.metrics.directions import describe
from utils.system.console import count, escape_formulas
from utils.system.tables import stack
from utils.words.near import near
from utils.words.numbers import write_estimate
from utils.words.wrapping import fit

OPTIONS = paths_config.ROOT / "config" / "poison.yaml"
ACCURACY = "accuracy"
ERRORS = ("fnr", "fpr")  # rates of which less is better for whom they are about
SPLITS = {"valid": "validation", "test": "test"}
SPENDERS = ("optimiser", "learner")  # of CPU-seconds
LEGEND = (
    "Mean ± standard deviation over seeds without the added rows → with them; behind it the mean change, paired by "
    "seed, in brackets its 95 % interval by Student's t, which few seeds make wide; none where all seeds agree. The "
    "search saw the validation rows; the test rows were touched once. CPU-s: CPU-seconds an evaluation, of the "
    "optimiser + of the learner."
)
SEVERAL = "On the test rows. Each interval holds by itself: of 20 that only chance moves, one on average looks changed."
CHANGED = ("setting", "metric", "change", "95 % interval")  # columns of the second table that a terminal has first
BESIDE = (
    "Beside the search, for the same split, learner, seeds and limits; on the test rows, means over seeds, the change "
    "and its 95 % interval paired by seed. Within limits: of so many seeds the accuracy and harm that the search "
    "permits hold on validation; where they do for none of a method's tries, the nearest is shown. What has a number "
    "is swept, and the best is taken on validation. CPU-s: all trainings of a seed."
)
FIELDS = ("setting", "name", "attack", "poison_metric", "objective", "seeds", "rows", "evaluations", "metric", "split")


def parse_metrics(option: Any, settings: Sequence[Setting]) -> list[str]:
    """The metrics of the second table. Raises ValueError for one that is not known before and after."""
    words = [word.strip() for word in str("" if option is None else option).strip("[]").split(",") if word.strip()]
    runs = pd.concat([setting.runs for setting in settings])
    known = [key for key in list_paired(query.metrics(runs)) if any(s.change(key, "test").n for s in settings)]
    for word in words:
        if word not in (*known, "all"):
            raise ValueError(
                f"metrics={word} is not known with and without the added rows{near(word, known)} "
                f"There is {', '.join(known)}"
            )
    return known if "all" in words else words


def statements(settings: Sequence[Setting]) -> list[str]:
    """A sentence for each setting on what holds on the test rows."""
    found = []
    for setting in settings:
        names = query.group_names(setting.records), query.class_names(setting.records)
        words = f"the {describe(setting.metric, *names).partition(' (')[0]}"
        said = Said(setting.label, setting.metric, words, setting.objective, setting.mean("rows"), len(setting.runs))
        valid, test = (setting.change(setting.metric, split) for split in SPLITS)
        accuracy = None if setting.metric == ACCURACY else setting.change(ACCURACY, "test")
        found.append(f"{statement(said, valid, test, accuracy)}{_sides(setting, names[0])}")
    return found


def _sides(setting: Setting, groups: Sequence[str]) -> str:
    """Returns a sentence on the error rates of each group before and after, on the test rows, for each gap in one."""
    found = []
    for rate in (rate for rate in ERRORS if rate in GAPS.get(setting.metric, ())):
        changes = [setting.change(f"{rate}_group{i}", "test") for i in range(len(groups))]
        words = describe(rate)
        found.append(levelling.describe(words, groups, *zip(*((of.before, of.after) for of in changes), strict=True)))
    return "".join(f" {text[0].upper()}{text[1:]}." for text in found if text)


# --- text ------------------------------------------------------------------------------------------------------


def _first(settings: Sequence[Setting]) -> list[list[str]]:
    """Header and rows of the first table; what all settings have in common is no column."""
    searched = [f"{setting.metric} ({setting.objective})" for setting in settings]
    mixed = len(set(searched)) > 1
    measures = [
        f"{key}, {rows}" for key in ("metric" if mixed else settings[0].metric, ACCURACY) for rows in SPLITS.values()
    ]
    header = ["setting", "name", "attack", "metric", "seeds", "rows added", "evaluations", *measures, "CPU-s"]
    rows = []
    for setting, metric in zip(settings, searched, strict=True):
        facts = setting.runs.iloc[0]
        changes = [setting.change(key, split) for key in (setting.metric, ACCURACY) for split in SPLITS]
        counts = [f"{setting.mean(fact):.4g}" for fact in ("rows", "evaluations")]
        names = [setting.label, str(facts["name"]), str(facts["attack"]), metric]
        seconds = [setting.seconds(spender) for spender in SPENDERS]
        spent = " + ".join(DASH if math.isnan(of) else f"{of:.2f}" for of in seconds)
        rows.append([*names, str(len(setting.runs)), *counts, *map(_cell, changes), spent])
    idle = {i for i, idle in ((0, len(settings) == 1), (3, not mixed)) if idle}
    return [[cell for i, cell in enumerate(line) if i not in idle] for line in (header, *rows)]


def _second(settings: Sequence[Setting], metrics: Sequence[str]) -> list[list[str]]:
    """Header and rows of the table of many metrics, on test rows."""
    rows = [["setting", "metric", "before", "after", *CHANGED[2:]]]
    for setting in settings:
        for key in metrics:
            found = setting.change(key, "test")
            means = [_mean(found.before, found.before_sd), _mean(found.after, found.after_sd)]
            change, _, interval = _change(found).partition(" ") if found.n else (DASH, "", "")
            rows.append([setting.label, key, *means, change, interval or DASH])
    return rows


def _third(setting: Setting, methods: Sequence[beside.Method]) -> list[list[str]]:
    """Header and rows of the table of one setting's search and the plain methods."""
    groups = query.group_names(setting.records)
    rates = [rate for rate in ERRORS if rate in GAPS.get(setting.metric, ())] or list(ERRORS)
    header = ["method", setting.metric, "change", ACCURACY, *(f"{rate} {name}" for rate in rates for name in groups)]
    rows = [[*header, "within limits", "trainings", "CPU-s"]]
    first = methods[0]
    start = [_three(c.before) for rate in rates for c in first.rates[rate]]
    rows.append([beside.NOTHING, _three(first.change.before), DASH, _three(first.accuracy.before), *start, *[DASH] * 3])
    for method in methods:
        if not method.change.n:
            rows.append([method.name, *[DASH] * (len(rows[0]) - 2), f"not there: {method.error}"])
            continue
        own = [_three(c.after) for rate in rates for c in method.rates[rate]]
        held = f"{method.within} of {method.change.n}"
        spent = [f"{method.trainings:.3g}", f"{method.seconds:.3g}"]
        shown = [_three(method.change.after), _change(method.change), _three(method.accuracy.after), *own, held, *spent]
        rows.append([method.name, *shown])
    return rows


def _three(mean: float) -> str:
    return DASH if math.isnan(mean) else f"{mean:.3f}"


def _compared(settings: Sequence[Setting]) -> Iterator[tuple[str, list[list[str]], list[str]]]:
    """Yields for each setting with plain methods beside it its label, their table, and what follows from it."""
    for setting in settings:
        if methods := beside.methods_of(setting):
            best = beside.best_of(setting, methods)
            groups = query.group_names(setting.records)
            said = [beside.verdict(setting, methods)]
            said += [f"{best.name}: {text}" for text in beside.sides(setting, best, groups)] if best else []
            yield setting.label, _third(setting, methods), said


def _cell(found: Change) -> str:
    """``0.108 ± 0.012 → 0.093 ± 0.010, -0.015 [-0.020, -0.010]``."""
    if not found.n:
        return DASH
    means = f"{_mean(found.before, found.before_sd)} → {_mean(found.after, found.after_sd)}"
    return f"{means}, {_change(found)}"


def _change(found: Change) -> str:
    """``-0.015 [-0.020, -0.010]``; without an interval three decimals, as means have."""
    if math.isnan(found.low):
        return f"{found.mean:+.3f}"
    value, _, interval = write_estimate(found.mean, found.low, found.high).partition(" ")
    return f"{'' if value.startswith('-') else '+'}{value} {interval}"


def _mean(mean: float, sd: float) -> str:
    return DASH if math.isnan(mean) else f"{mean:.3f}" + ("" if math.isnan(sd) else f" ± {sd:.3f}")


def markdown(settings: Sequence[Setting], metrics: Sequence[str], wide: int | None = None) -> str:
    """The tables, and below the first what holds; for a terminal of ``wide`` columns as it has room for."""
    header, *rows = first = _first(settings)
    narrow = wide is not None and max(map(len, markdown_table(first, None).splitlines())) > wide
    said = [f"{LEGEND}\n", "".join(f"- {line}\n" for line in statements(settings))]
    parts = [stack(header, rows, wide) if wide and narrow else markdown_table(first, wide), *said]
    parts += [markdown_table(_second(settings, metrics), wide, CHANGED), f"{SEVERAL}\n"] if metrics else []
    for label, (top, *below), verdicts in (compared := list(_compared(settings))):
        whole = markdown_table([top, *below], None)
        narrow = wide is not None and max(map(len, whole.splitlines())) > wide
        parts += [f"{label}:\n", stack(top, below, wide) if wide and narrow else whole]
        parts += ["".join(f"- {line}\n" for line in verdicts)]
    parts += [f"{BESIDE}\n"] if compared else []
    return "\n".join(part if wide is None else fit(part, wide) for part in parts)


def latex(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """The same for the booktabs package."""
    parts = [_tabular(_first(settings)), _escape(LEGEND), *map(_escape, statements(settings))]
    parts += [_tabular(_second(settings, metrics)), _escape(SEVERAL)] if metrics else []
    for label, table, verdicts in _compared(settings):
        parts += [_escape(f"{label}:"), _tabular(table), *map(_escape, verdicts), _escape(BESIDE)]
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def _tabular(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = [" & ".join(map(_escape, line)) + r" \\" for line in lines]
    opening = [rf"\begin{{tabular}}{{{'l' * len(lines[0])}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*opening, *rows, r"\bottomrule", r"\end{tabular}"])


def _escape(text: str) -> str:
    return text.translate(LATEX | {ord("→"): r"$\to$"})


def to_csv(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """One line per setting, metric and split, with all digits; an empty field where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIELDS, *Change._fields, *(f"{spender}_seconds" for spender in SPENDERS)])
    for setting in settings:
        for key, split in _list_metrics(setting, metrics):
            facts = setting.runs.iloc[0]
            names = [setting.label, facts["name"], facts["attack"], setting.metric, setting.objective]
            means = [len(setting.runs), setting.mean("rows"), setting.mean("evaluations"), key, split]
            figures = [*setting.change(key, split), *(setting.seconds(spender) for spender in SPENDERS)]
            writer.writerow(
                [*map(escape_formulas, (*names, *means)), *("" if math.isnan(figure) else figure for figure in figures)]
            )
        for method in beside.methods_of(setting)[1:]:
            facts = [f"{setting.label}; {method.name}", names[1], method.name, setting.metric, setting.objective]
            for key, change in ((setting.metric, method.change), (ACCURACY, method.accuracy)):
                means = [len(setting.runs), "", method.trainings, key, "test"]
                figures = [*change, math.nan, method.seconds / method.trainings]
                writer.writerow(
                    [*map(escape_formulas, (*facts, *means)), *("" if math.isnan(f) else f for f in figures)]
                )
    return text.getvalue()


def _list_metrics(setting: Setting, metrics: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields each metric with its splits: poisoned metric and accuracy on both, further ones on test rows."""
    first = dict.fromkeys((setting.metric, ACCURACY))
    yield from ((key, split) for key in first for split in ENDINGS)
    yield from ((key, "test") for key in metrics if key not in first)


FORMATS = {"markdown": markdown, "csv": to_csv, "latex": latex}


def poison(options: DictConfig) -> None:
    """Reads the database, builds the tables, prints or writes them."""
    in_format = format_of(options, FORMATS)
    settings = settings_of(query.read(str(options.dataset)), options.where)
    text = in_format(settings, parse_metrics(options.metrics, settings))
    hand_out(text, options.out, count(len(settings), "setting"))


if __name__ == "__main__":
    sys.exit(query.command(poison, OPTIONS, sys.argv[1:]))
