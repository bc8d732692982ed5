"""Operating points as records: what one model attains under each of the thresholds that are filed with it.

A point is a policy: the most accurate thresholds, one for each group, whose gap in a rate is at most so large on the
rows that they were fitted to. So the same point of every seed is one setting, and seeds can be averaged over.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from evals.records.query import Record
from evals.records.row_intervals import over_rows
from utils.decides.thresholds_text import describe_small
from utils.words.numbers import write_estimate

KEPT = ("auc", "prevalence", "support", "bayes")  # first words of metrics that thresholds do not change
NAMES = {  # of gaps that have one of their own
    "acceptance_rate": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
}
FITTED = "fitted"  # begins what the thresholds of a policy were fitted to
OTHER_END = {"_low": "_high", "_high": "_low"}
END = re.compile(r"_(low|high)$")


def with_points(records: Sequence[Record]) -> list[Record]:
    """The records, each followed by one for each of its operating points; later evaluations stand where they belong.

    That of a point has a ``point`` beside it, its number in the record, from 0, ``policy``, its name such as
    ``fnr_gap<=0.05``, and ``own_metrics``, those at the record's own thresholds; its ``group_id`` is that of the record
    with the policy, and of the metrics it has those that depend on its thresholds alone. What was judged at a point
    (``evaluate.py point=3``) is the point's, else the record's.
    """
    return [made for record in records for made in (at_own_thresholds(record), *_points(record))]


def at_own_thresholds(record: Record) -> Record:
    """The record without what was judged at its operating points."""
    return {**record, "evaluations": _judged_at(record, None)}


def _judged_at(record: Record, point: int | None) -> Any:
    """Returns the later evaluations at one operating point, or at the record's own thresholds."""
    return {name: of for name, of in (record.get("evaluations") or {}).items() if of.get("point") == point}


def _points(record: Record) -> Iterator[Record]:
    found = record.get("operating_points") or {}
    own = (record["metrics"], record.get("shares"), record.get("deviations")) if found else ({}, {}, {})
    kept, shares, deviations = map(_keep, own)
    for i, permitted in enumerate(found.get("permitted", ())):
        policy = name_limit(tuple(found["rates"]), permitted)
        yield {
            **record,
            "point": i,
            "policy": policy,
            "own_metrics": record["metrics"],
            "group_id": f"{record.get('group_id')}@{policy}",
            "metrics": kept | _with_recalls({key: values[i] for key, values in found["metrics"].items()}),
            "shares": shares | _recall_shares(_at(found.get("shares"), i)),
            "deviations": deviations | _at(found.get("deviations"), i),
            "evaluations": _judged_at(record, i),
        }


def _keep(held: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns those of a record's own figures that thresholds do not change."""
    return {key: value for key, value in (held or {}).items() if key.startswith(KEPT)}


def _at(held: Mapping[str, Sequence[Any]] | None, i: int) -> dict[str, Any]:
    """Returns the figures filed for point i, without undefined ones."""
    return {key: values[i] for key, values in (held or {}).items() if values[i] is not None}


def _recall_shares(shares: dict[str, Any]) -> dict[str, Any]:
    """Adds the counts of true positive rates, computed from those of false negative rates."""
    recalls = {
        key.replace("fnr", "tpr", 1): [whole - part, whole]
        for key, (part, whole) in shares.items()
        if key.startswith("fnr_group")
    }
    return recalls | shares


def _with_recalls(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adds true positive rates, 1 - fnr, and their gaps, which records leave to be computed from those in fnr."""
    found: dict[str, float | None] = {}
    for key, value in metrics.items():
        if recall := _recall_of(key):
            name, least, sign = recall
            found[name] = None if value is None else least + sign * value
    return {**found, **metrics}


@cache
def _recall_of(key: str) -> tuple[str, int, int] | None:
    """Returns the key of the true positive rate of one in fnr, a and b of a + b * fnr; None of other keys."""
    name, _, of = key.partition("_")
    if name != "fnr":
        return None
    if of.startswith("signed_gap"):  # of the other sign, so that its ends change places
        return f"tpr_{END.sub(lambda end: OTHER_END[end[0]], of)}", 0, -1
    return f"tpr_{of}", *((1, -1) if of.startswith("group") else (0, 1))


class Fit(NamedTuple):
    """A gap that thresholds were fitted to, and what became of it."""

    key: str  # of the gap, as metrics have it
    permitted: float
    confidence: float | None  # of keeping to it on other rows too, of a fit with a margin
    fitted: (
        float | None
    )  # the gap on the rows that they were fitted to, of several rates the largest; None in older records
    test: float | None
    interval: tuple[float, float]  # over the test rows, NaN where it is not known

    @property
    def crossed(self) -> bool:
        """Returns whether the test gap, or its interval, exceeds what was permitted."""
        return self.test is not None and max(self.test, self.interval[1]) > self.permitted


class FittedTo(NamedTuple):
    """The gaps that thresholds were fitted to, none without a limit, the limit, and what the fit says of it."""

    keys: list[str]  # of the gaps, as metrics have them
    permitted: float
    gap: float | None  # on the rows that they were fitted to
    confidence: float | None


def fitted_to(record: Record) -> FittedTo:
    """Returns what the thresholds of a point, or those that a run fitted, were fitted to."""
    held = record.get("fitted") or {}
    if "point" in record:
        found, i = record["operating_points"], record["point"]
        rates, permitted, of = found["rates"], found["permitted"][i], found.get("fitted") or {}
        held = {"gap": of["gap"][i]} if "gap" in of else {}
    else:
        decide = record["params"].get("decide") or {}
        rates, permitted = [decide.get("rate")], decide.get("permitted")
    if not isinstance(permitted, int | float):  # None, or what a decision rule of one's own means by the word
        return FittedTo([], math.nan, None, None)
    keys = [gap_of(str(rate)) for rate in rates]
    return FittedTo(keys, float(permitted), held.get("gap"), held.get("confidence"))


def fits(record: Record) -> list[Fit]:
    """Returns what became of each gap that thresholds were fitted to; empty without a limit."""
    keys, permitted, there, confidence = fitted_to(record)
    metrics = record["metrics"]
    return [Fit(key, permitted, confidence, there, metrics.get(key), over_rows(record, key)) for key in keys]


def small_groups(record: Record) -> str:
    """Describes the threshold of groups with too few rows for one of their own, of a point or of the run's own."""
    held: Mapping[str, Any] = record["operating_points"] if "point" in record else record
    return describe_small(held.get("fitted"))


def gap_of(rate: str) -> str:
    """The metric that is the gap in a rate."""
    return NAMES.get(rate, f"{rate}_gap")


def describe_fits(record: Record) -> list[str]:
    """``fitted to fnr_gap<=0.05 (0.038 on those rows); test 0.082 [0.040, 0.130], which exceeds 0.05``, one a gap."""
    return [_in_words(fit) for fit in fits(record)]


def _in_words(fit: Fit) -> str:
    there = "" if fit.fitted is None else f" ({fit.fitted:.3f} on those rows)"
    shown = write_estimate(fit.test, *fit.interval)
    crossed = ""
    if fit.test is not None and fit.crossed:
        word = "which exceeds" if fit.test > fit.permitted else "whose interval crosses"
        crossed = f", {word} {fit.permitted:g}"
    margin = "" if fit.confidence is None else f" with a confidence of {fit.confidence:g}"
    return f"{FITTED} to {fit.key}<={fit.permitted:g}{margin}{there}; test {shown}{crossed}"


def describe_limit(policy: str) -> str:
    """Describes the limit that thresholds were fitted to: ``fitted to fnr_gap<=0.05``, or without a limit on it."""
    gap = policy.removeprefix("any ")
    return f"{FITTED} to {policy}" if gap == policy else f"{FITTED} without a limit on {gap}"


@cache
def name_limit(rates: tuple[str, ...], permitted: float | None) -> str:
    """``fnr_gap<=0.05``, of several rates joined by +; without a limit ``any fnr_gap``."""
    gap = "+".join(f"{rate}_gap" for rate in rates)
    return f"any {gap}" if permitted is None else f"{gap}<={permitted:g}"
