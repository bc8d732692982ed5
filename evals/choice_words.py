"""A choice in words, for the screen and for the card."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from evals.choice import Choice, Constraint, Price

LAXER = "; a laxer bound first permits "
IDLE = "decides the same about everybody: no difference between groups, and no use"


def competing(found: Choice, facts: str) -> str:
    """``chosen among 9 settings with model==mlp, 7 of which meet every constraint``."""
    table = found.pool.table
    own, points = int((table["point"] < 0).sum()), int((table["point"] >= 0).sum())
    kind = "run" if found.pool.runs else "setting"
    parts = [count(own, kind)] if own else []
    parts += [count(points, f"operating point of {kind}s", f"operating points of {kind}s")] if points else []
    among = f"{' and '.join(parts)} {'compete' if len(table) > 1 else 'competes'}{f' ({facts})' if facts else ''}"
    alone = "; with one candidate there is no choice" if len(table) == 1 else ""
    return f"{among}, {len(found.ranked)} {'meets' if len(found.ranked) == 1 else 'meet'} every constraint{alone}"


def idle(record: Mapping[str, Any]) -> bool:
    """Whether a model decides the same about everybody: right about all of one class and none of the other."""
    metrics = record["metrics"]
    return metrics.get("worst_class_accuracy") == 0 and metrics.get("balanced_accuracy") == 0.5


def count(n: int, noun: str, several: str | None = None) -> str:
    """``3 seeds``."""
    return f"{n} {noun}" if n == 1 else f"{n} {several or f'{noun}s'}"


def why(found: Choice, row: pd.Series, meets: bool) -> str:
    """Why this run of the setting."""
    if found.pool.runs or row["seeds"] == 1:
        return ""
    if not found.question.constraints:
        return ": of its seeds the nearest to the mean"
    if meets:
        return ": of its seeds that meet every constraint, the nearest to the mean"
    return ": of its seeds the nearest to the mean; none of them meets every constraint by itself"


def seeds(row: pd.Series) -> str:
    """``mean of 3 seeds, records 7,8,9``."""
    mean = f"mean of {row['seeds']} seeds, " if row["seeds"] > 1 else ""
    return f"{mean}{'records' if row['seeds'] > 1 else 'record'} {records(row)}"


def records(row: pd.Series) -> str:
    """``7,8,9``."""
    return ",".join(map(str, row["doc_ids"][:6])) + (",.." if len(row["doc_ids"]) > 6 else "")


def meetings(found: Choice, row: pd.Series, key: str) -> list[str]:
    """How a candidate stands to every constraint on a metric."""
    return [meeting(c, row) for c in found.question.constraints if c.key == key]


def meeting(constraint: Constraint, row: pd.Series) -> str:
    """How a candidate meets a constraint, and whether its interval does: ``met; its interval reaches 0.07``."""
    one = pd.DataFrame([row])
    how = "met by the mean" if row["seeds"] > 1 else "met"
    if not constraint.met(one, sure=False)[0]:
        return f"{constraint.text} missed by {abs(row[constraint.key] - constraint.bound):.4f}"
    if math.isnan(row[f"{constraint.key}_low"]):
        return f"{constraint.text} {how}; no interval is known"
    if constraint.met(one, sure=True)[0]:
        return f"{constraint.text} {how} and by the whole interval"
    end = float(constraint.worst(one, sure=True)[0])
    return f"{constraint.text} {how}; its interval reaches {end:.4f}" if constraint.side else f"{constraint.text} {how}"


def figure(value: float) -> str:
    """Four decimals."""
    return "undefined" if value != value else f"{value:.4f}"


def interval(row: Mapping[Any, Any] | pd.Series, key: str) -> str:
    """``[0.7900, 0.8300] over seeds``, or nothing where it is not known."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return "" if math.isnan(low) else f"[{low:.4f}, {high:.4f}] over {row[f'{key}_over']}"


def gain_of(found: Choice, candidate: int) -> float:
    """How much better a candidate's objective is than the chosen one's."""
    values = found.pool.table[found.question.objective]
    return float(found.question.better * (values.iloc[candidate] - values.iloc[found.ranked[0]]))


def price(found: Choice, paid: Price) -> str:
    """What a constraint costs, in words."""
    if not paid.binds or paid.best is None:
        return "nothing: without it the choice stays"
    words = f"binds: without it {bought(found, paid.best, paid)}"
    if paid.step in (None, paid.best):
        return words
    return f"{words}{LAXER}{bought(found, int(paid.step or 0), paid)}"


def bought(found: Choice, candidate: int, paid: Price | None = None) -> str:
    """``accuracy +0.0120 by loan_mlp_llr (uai_0.05 0.1400)``."""
    row, objective = found.pool.table.iloc[candidate], found.question.objective
    gain = found.question.better * gain_of(found, candidate)
    at = f" ({paid.constraint.key} {figure(row[paid.constraint.key])})" if paid else ""
    return f"{objective} {gain:+.4f} by {row['label']}{at}"


def together(found: Choice) -> str:
    """What constraints cost of which none costs anything beside the others; nothing where one does, or none do."""
    if any(paid.binds for paid in found.prices) or not gain_of(found, found.free) > 0:
        return ""
    return f"no constraint binds alone; without any of them {bought(found, found.free)}"
