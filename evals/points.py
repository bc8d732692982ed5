"""Operating points as records: what one model attains under each of the thresholds that are filed with it.

A point is a policy: the most accurate thresholds, one for each group, whose gap in a rate is at most so large on the
rows that they were fitted to. So the same point of every seed is one setting, and seeds can be averaged over.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from evals.query import Record

KEPT = ("auc", "prevalence", "support", "bayes")  # first words of metrics that thresholds do not change
FITTED = "fitted"  # begins what the thresholds of a policy were fitted to
OTHER_END = {"signed_gap_low": "signed_gap_high", "signed_gap_high": "signed_gap_low"}


def with_points(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The records, each followed by one for each of its operating points.

    That of a point has a ``point`` beside it, its number in the record, from 0, and ``policy``, its name such as
    ``fnr_gap<=0.05``; its ``group_id`` is that of the record with the policy, and of the metrics it has those that
    depend on its thresholds alone.
    """
    return [made for record in records for made in (dict(record), *_points(record))]


def _points(record: Record) -> Iterator[dict[str, Any]]:
    found = record.get("operating_points") or {}
    kept = _kept(record["metrics"]) if found else {}
    for i, permitted in enumerate(found.get("permitted", ())):
        policy = named(tuple(found["rates"]), permitted)
        yield {
            **record,
            "point": i,
            "policy": policy,
            "group_id": f"{record.get('group_id')}@{policy}",
            "metrics": kept | _with_recalls({key: values[i] for key, values in found["metrics"].items()}),
            "shares": _kept(record.get("shares")) | _recall_shares(_at(found.get("shares"), i)),
            "deviations": _kept(record.get("deviations")) | _at(found.get("deviations"), i),
            "evaluations": {},
        }


def _kept(held: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of a record's own figures thresholds do not change."""
    return {key: value for key, value in (held or {}).items() if key.startswith(KEPT)}


def _at(held: Mapping[str, Sequence[Any]] | None, i: int) -> dict[str, Any]:
    """What is filed of point i; nothing of what is undefined there."""
    return {key: values[i] for key, values in (held or {}).items() if values[i] is not None}


def _recall_shares(shares: dict[str, Any]) -> dict[str, Any]:
    """With the counts of true positive rates, told from those of false negative rates."""
    recalls = {
        key.replace("fnr", "tpr", 1): [whole - part, whole]
        for key, (part, whole) in shares.items()
        if key.startswith("fnr_group")
    }
    return recalls | shares


def _with_recalls(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """With true positive rates, 1 - fnr, and their gaps, which records leave to be told from those in fnr."""
    found: dict[str, float | None] = {}
    for key, value in metrics.items():
        name, _, of = key.partition("_")
        if name == "fnr" and of.startswith("signed_gap"):  # of the other sign, so that its ends change places
            found[f"tpr_{OTHER_END.get(of, of)}"] = None if value is None else -value
        elif name == "fnr":
            found[f"tpr_{of}"] = value if value is None or not of.startswith("group") else 1 - value
    return {**found, **metrics}


def fitted_to(policy: str) -> str:
    """What the thresholds of a policy were fitted to: ``fitted to fnr_gap<=0.05``, or without a limit on it."""
    gap = policy.removeprefix("any ")
    return f"{FITTED} to {policy}" if gap == policy else f"{FITTED} without a limit on {gap}"


@cache
def named(rates: tuple[str, ...], permitted: float | None) -> str:
    """``fnr_gap<=0.05``, of several rates joined by +; without a limit ``any fnr_gap``."""
    gap = "+".join(f"{rate}_gap" for rate in rates)
    return f"any {gap}" if permitted is None else f"{gap}<={permitted:g}"
