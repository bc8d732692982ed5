"""A choice in words, for the screen and for the card."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evals.choosing import choice
from evals.choosing.choice import Choice, Price
from evals.choosing.constraint import ENDS, SURE_ENDS, Constraint
from evals.records import judged_rows
from evals.records.seed_intervals import METHOD
from utils.records import given_weights
from utils.records.typed import Record
from utils.runs.best import nearly_constant
from utils.system.console import count
from utils.words.levels import name_class
from utils.words.numbers import write_estimate
from utils.words.quoting import load_call

UNCOUNTED = (
    "older or imported records without counts of these metrics; train again (existing=replace) or evaluate again"
)
LAXER = "; a laxer bound first permits "


def describe_competition(found: Choice, facts: str) -> str:
    """``chosen among 9 settings with model==mlp, 7 of which meet every limit``."""
    table = found.pool.table
    own, points = int((table["point"] < 0).sum()), int((table["point"] >= 0).sum())
    kind = "run" if found.pool.runs else "setting"
    parts = [count(own, kind)] if own else []
    parts += [count(points, f"operating point of {kind}s", f"operating points of {kind}s")] if points else []
    among = f"{' and '.join(parts)} {'compete' if len(table) > 1 else 'competes'}{f' ({facts})' if facts else ''}"
    alone = "; with one candidate there is no choice" if len(table) == 1 else ""
    return f"{among}, {len(found.ranked)} {'meets' if len(found.ranked) == 1 else 'meet'} every limit{alone}"


def describe_given(record: Record, seeds: int = 1) -> str:
    """States that a model is one of others' weights, and what is not known of it; nothing of one trained here."""
    given = given_weights.describe(record["params"])
    anew = "; seeds draw rows and attacks anew and train nothing" if seeds > 1 else ""
    return f"{given}; {given_weights.UNSEEN}{anew}" if given else ""


def describe_constant(record: Record) -> str:
    """States that a model predicts one class for every row, or nearly; nothing of another model."""
    metrics = record["metrics"]
    if metrics.get("worst_class_accuracy") == 0 and metrics.get("balanced_accuracy") == 0.5:
        return "constant prediction: no difference between groups, and no use"
    if not nearly_constant(metrics):
        return ""
    recall = metrics["worst_class_accuracy"]
    return f"nearly constant prediction: of one class {recall:.1%} are recognised, so small differences mean little"


def beside_constant(record: Record) -> str:
    """``accuracy 0.7410, balanced accuracy 0.5510; always class no: 0.7600, 0.5000``: no model is needed for that.

    "" where the record holds no classes of its test rows, as older ones.
    """
    named, constant = _constant(record)
    if not constant:
        return ""
    own = ", ".join(f"{key.replace('_', ' ')} {record['metrics'][key]:.4f}" for key in constant)
    return (
        f"{own}; always {named}: {', '.join(f'{value:.4f}' for value in constant.values())}{_behind(record, constant)}"
    )


def constant_figures(record: Record) -> str:
    """``always class no: accuracy 0.760, balanced accuracy 0.500``: the same without the figures of the run."""
    named, constant = _constant(record)
    said = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in constant.items())
    return f"always {named}: {said}{_behind(record, constant)}" if constant else ""


def _constant(record: Record) -> tuple[str, dict[str, float]]:
    """Returns the most frequent class of the test rows and what its prediction attains of the figures there are."""
    metrics, shares = record["metrics"], _shares_of_classes(record)
    if not shares or metrics.get("accuracy") is None:
        return "", {}
    most = max(range(len(shares)), key=shares.__getitem__)
    constant = {"accuracy": shares[most], "balanced_accuracy": 1 / sum(share > 0 for share in shares)}
    named = name_class(most, (record.get("preprocessing") or {}).get("class_names") or ())
    return named, {key: value for key, value in constant.items() if metrics.get(key) is not None}


def _behind(record: Record, constant: Mapping[str, float]) -> str:
    no_better = round(record["metrics"]["accuracy"] - constant["accuracy"], 12) <= 0
    return "; this run is no more accurate than that" if no_better else ""


def _shares_of_classes(record: Record) -> list[float]:
    """The share of each class among the test rows; none where it is not known."""
    if (one := record["metrics"].get("prevalence")) is not None:
        return [1 - one, one]
    counted: list[float] = []
    shares = record.get("shares") or {}
    while (key := f"accuracy_class_{len(counted)}") in shares:
        counted.append(shares[key][1])
    return [rows / sum(counted) for rows in counted]


def why(found: Choice, candidate: int) -> str:
    """Explains this run: ``: of its 3 seeds 2 meet every limit by themselves; the nearest to the mean``.

    Where none does, that no single run of the setting meets them, and which this one misses.
    """
    _, handed = choice.pick_run(found, candidate)
    row, question = found.pool.table.iloc[candidate], found.question
    if found.pool.runs or (row["seeds"] == 1 and handed.meets):
        return ""
    if not question.constraints:
        return f": of its {count(row['seeds'], 'seed')} the nearest to the mean"
    by = " for sure" if question.sure else " by themselves"
    if handed.meets:
        few = f"{handed.meeting} meet" if handed.meeting > 1 else "this one meets"
        own = f"{few} every limit{by if handed.meeting > 1 else by.replace('themselves', 'itself')}"
        return f": of its {count(row['seeds'], 'seed')} {own}" + (
            "; of these the nearest to the mean" * (handed.meeting > 1)
        )
    return f": {none_meets(handed.missed, question.constraints, choice.pick_row(found, candidate), question.sure)}"


def none_meets(
    missed: Sequence[Constraint], constraints: Sequence[Constraint], own: pd.Series, sure: bool = False
) -> str:
    """``no single run of this setting meets fnr_gap<=0.1; this one is the nearest, with fnr_gap 0.1305``."""
    every = " and ".join(c.text for c in constraints) + (" together" if len(constraints) > 1 else "")
    figures = ", ".join(f"{c.key} {figure(own[c.key])}" for c in missed)
    every += " for sure" if sure else ""
    return f"no single run of this setting meets {every}; this one is the nearest, with {figures}"


def format_load(record: Record, dataset: str) -> str:
    """The call that loads a run, or an operating point of it; why there is none of a record without weights."""
    if record.get("imported"):
        return f"record {record['doc_id']} was imported without weights: it cannot be loaded"
    point = {"point": record["point"]} if "point" in record else {}
    schema = (record.get("preprocessing") or {}).get("schema")
    return load_call(record["doc_id"], dataset, schema=schema, **point)


def seeds(row: pd.Series) -> str:
    """``mean of 3 seeds, records 7,8,9``."""
    mean = f"mean of {row['seeds']} seeds, " if row["seeds"] > 1 else ""
    return f"{mean}{'records' if row['seeds'] > 1 else 'record'} {records(row)}"


def records(row: pd.Series) -> str:
    """``7,8,9``."""
    return ",".join(map(str, row["doc_ids"][:6])) + (",.." if len(row["doc_ids"]) > 6 else "")


def meetings(found: Choice, row: pd.Series, key: str) -> list[str]:
    """Describes how the mean of a candidate stands to every constraint on a metric."""
    return [describe_meeting(c, row) for c in found.question.constraints if c.key == key]


def own_figures(found: Choice, candidate: int) -> list[str]:
    """The figures of the run that is handed out: ``fnr_gap 0.09 [0.04, 0.13]``, and what they miss or cross."""
    row, lines = choice.pick_row(found, candidate), []
    for key in found.question.keys:
        said = [describe_standing(c, row, sure=found.question.sure) for c in found.question.constraints if c.key == key]
        lines.append(f"{key} {estimate(row, key)}" + "".join(f", {text}" for text in said))
    return lines


def describe_standing(constraint: Constraint, row: pd.Series, *, sure: bool) -> str:
    """Describes how one run stands to a constraint: ``meets fnr_gap<=0.1, but its interval crosses that``."""
    one = pd.DataFrame([row])
    if not constraint.met(one, sure=False)[0]:
        return f"misses {constraint.text}"
    if sure:
        known = not math.isnan(row[f"{constraint.key}_sure_high"])
        least = float(constraint.worst(one, SURE_ENDS)[0])
        if constraint.met(one, sure=True)[0]:
            return f"meets {constraint.text} for sure (the wide interval reaches {least:.4f})"
        return f"meets {constraint.text}, not for sure: " + (
            f"the wide interval reaches {least:.4f}" if known else "no counts are filed with it"
        )
    if math.isnan(row[f"{constraint.key}_low"]):
        return f"meets {constraint.text}; no interval is known"
    return f"meets {constraint.text}" + (", but its interval crosses that" if constraint.crossed(one)[0] else "")


def reached(found: Choice, candidate: int) -> dict[str, float]:
    """Returns by constraint the end of the wide interval that ``sure=true`` judges the run of a candidate by.

    Empty without ``sure``; NaN where no counts are filed with the metric.
    """
    one, question = pd.DataFrame([choice.pick_row(found, candidate)]), found.question
    bounds = [c for c in question.constraints if c.side] if question.sure else []
    return {c.text: float(c.worst(one, SURE_ENDS)[0]) for c in bounds}


def describe_comparison(found: Choice) -> list[str]:
    """States the number of candidates compared, and what that means for the figures of the best."""
    each, question = len(found.pool.each), found.question
    if not (question.sure and question.constraints):
        return warn_of_luck(len(found.pool.table))
    of = f"{count(each, 'run', 'runs and points')} x {count(len(question.constraints), 'limit')}"
    level = f"1 - .05 / ({of}) = {found.pool.level:.7g}"
    lines = [f"for sure: the whole interval over the test rows of the run that is handed out, of level {level}"]
    if lost := choice.count_uncounted(found.pool, question):
        lines.append(f"{lost} of {each} are never sure: {UNCOUNTED}")
    return lines


def warn_of_luck(n: int) -> list[str]:
    """Warns that the best of n is the best partly by chance; nothing where there was no choice."""
    return [f"{n} candidates were compared: part of the lead of the best is luck"] * (n > 1)


def describe_meeting(constraint: Constraint, row: pd.Series) -> str:
    """Describes whether a candidate and its interval meet a constraint: ``met; its interval reaches 0.07``."""
    one = pd.DataFrame([row])
    how = "met by the mean" if row["seeds"] > 1 else "met"
    if not constraint.met(one, sure=False)[0]:
        return f"{constraint.text} missed by {abs(row[constraint.key] - constraint.bound):.4f}"
    if math.isnan(row[f"{constraint.key}_low"]):
        why = "its seeds agree, which gives no interval" if row["seeds"] > 1 else "no interval is known"
        return f"{constraint.text} {how}; {why}"
    if not constraint.crossed(one)[0]:
        return f"{constraint.text} {how} and by the whole interval"
    end = float(constraint.worst(one, ENDS)[0])
    return f"{constraint.text} {how}; its interval reaches {end:.4f}" if constraint.side else f"{constraint.text} {how}"


def figure(value: float) -> str:
    """Four decimals."""
    return "undefined" if value != value else f"{value:.4f}"


def estimate(row: Mapping[Any, Any] | pd.Series, key: str) -> str:
    """``0.746 [0.724, 0.768]``, a figure with its interval where it is known."""
    return write_estimate(row[key], row[f"{key}_low"], row[f"{key}_high"])


def estimate_over(row: Mapping[Any, Any] | pd.Series, key: str) -> str:
    """``0.746 [0.724, 0.768] over 3 seeds (Student)``, or without an interval where it is not known."""
    said = estimate(row, key) + ("" if math.isnan(row[f"{key}_low"]) else f" over {over(row, key)}")
    fewer = math.isfinite(row[f"{key}_rows"]) and row[f"{key}_over"] != "rows"
    return said + (f", of {judged_rows.describe(row[f'{key}_rows'])}" if fewer else "")


def over(row: Mapping[Any, Any] | pd.Series, key: str) -> str:
    """``3 seeds (Student)``, ``rows`` or ``10 rows``: what an interval is over; nothing where it is not known."""
    if row[f"{key}_over"] == "rows" and math.isfinite(row[f"{key}_rows"]):
        return judged_rows.describe(row[f"{key}_rows"])
    return f"{row['seeds']} seeds ({METHOD})" if row[f"{key}_over"] == "seeds" else str(row[f"{key}_over"])


def gain_of(found: Choice, candidate: int) -> float:
    """Returns by how much a candidate's objective is better than the chosen one's."""
    values = found.pool.table[found.question.objective]
    return float(found.question.better * (values.iloc[candidate] - values.iloc[found.ranked[0]]))


def price(found: Choice, paid: Price) -> str:
    """Describes the cost of a constraint."""
    if not paid.binds or paid.best is None:
        return "nothing: without it the choice stays"
    row, objective = found.pool.table.iloc[paid.best], found.question.objective
    own = f"{paid.constraint.key} {figure(row[paid.constraint.key])}"
    words = f"costs {paid.gain:.4f} of {objective}: without it {row['label']} ({own})"
    if paid.step in (None, paid.best):
        return words
    return f"{words}{LAXER}{describe_gain(found, int(paid.step or 0), paid)}"


def describe_gain(found: Choice, candidate: int, paid: Price | None = None) -> str:
    """``accuracy +0.0120 by loan_mlp_llr (uai_0.05 0.1400)``."""
    row, objective = found.pool.table.iloc[candidate], found.question.objective
    gain = found.question.better * gain_of(found, candidate)
    at = f" ({paid.constraint.key} {figure(row[paid.constraint.key])})" if paid else ""
    return f"{objective} {gain:+.4f} by {row['label']}{at}"


def together(found: Choice) -> str:
    """Describes the joint cost of constraints of which none costs anything alone; else an empty text."""
    if any(paid.binds for paid in found.prices) or not gain_of(found, found.free) > 0:
        return ""
    return f"no limit costs anything alone; without any of them {describe_gain(found, found.free)}"
