"""The rows that a figure is of, where these are fewer than all test rows: figures of other rows do not compare.

``evaluation.metrics.*.rows`` and ``evaluation.rows`` leave rows out; the counts that are filed with a record tell.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.records.query import Record
from utils.records import later
from utils.records.settings import metrics_of
from utils.runs.causal_figures import has
from utils.system.console import count

PART = re.compile(r"(robust_accuracy|accuracy)_(?:worst_(?:class|group)|class_\d+|group\d+)(?=_|$)")  # of an average
WORST = re.compile(r"worst_(?:class|group)_accuracy")
PEOPLE = {  # first words of what is of individuals, by the function that judges them
    "unfair_area": ("uai", "counterfactual"),
    "proofs": ("fair_certified", "unfair_certified", "open", "proven_radius"),
}
SHARES = ("accuracy", "robust_accuracy", *chain.from_iterable(PEOPLE.values()))  # and of all rows that were judged
DRAWN = -np.inf  # in place of a number of rows, of individuals that were drawn from a causal model
ROWS = "rows_of_"  # before a metric, in the columns of ``with_rows``
SHOWN = 3  # records in a sentence


def count_fewer(record: Record, key: str) -> int | None:
    """Returns the number of rows that a figure is of; None where these are all test rows, or it is not known.

    Of a figure of a class or a group, the rows of which those of that class or group were taken. Individuals that are
    drawn from a causal model are no rows, see ``count_rows``.

    Args:
        record: a record.
        key: a metric, or ``<evaluation>/<metric>`` of a later evaluation.
    """
    found = _count(record, key)
    return None if found is None or found == DRAWN else int(found)


def count_rows(record: Record, key: str) -> float:
    """Returns the number of rows that a figure is of where these are fewer, DRAWN of drawn individuals, else inf."""
    return _count(record, key) or np.inf


def _count(record: Record, key: str) -> float | None:
    """Returns the number of rows that a figure is of where these are fewer, DRAWN of drawn individuals, else None."""
    name, plain = later.of_evaluation(key, record.get("evaluations") or ())
    held: Mapping[str, Any] = record if name is None else record["evaluations"][name]
    if _are_drawn(plain, metrics_of(record if name is None else {"params": held.get("settings")})):
        return DRAWN
    rows: Mapping[str, Any] = held.get("rows") or {}
    rows = {"test": rows["judged"]} if name is not None and rows else held.get("judged") or record.get("rows") or {}
    average = WORST.sub("accuracy", PART.sub(r"\1", plain))
    share = (held.get("shares") or {}).get(average) if average.startswith(SHARES) else None
    judged = share[1] if share else rows.get("test")
    if share is None and average.startswith("robust"):
        judged = (held.get("metrics") or {}).get("robust_rows") or judged
    everyone = rows.get("test", 0) + rows.get("unjudged", 0)
    return int(judged) if isinstance(judged, int | float) and judged < everyone else None


def _are_drawn(key: str, metrics: Mapping[str, Mapping[str, Any]]) -> bool:
    """Returns whether a figure is of individuals from a causal model, by the settings of the metrics of its record."""
    judging = (node for node in metrics.values() if node and node.get("individuals") == "scm")
    return any(key.startswith(PEOPLE.get(node["_target_"].rpartition(".")[2], ())) for node in judging)


def with_rows(frame: pd.DataFrame, records: Sequence[Record], keys: Sequence[str]) -> pd.DataFrame:
    """Returns a frame of records with ``rows_of_<metric>``, as ``count_rows`` counts them."""
    counted = {f"{ROWS}{key}": [count_rows(record, key) for record in records] for key in keys}
    return pd.concat([frame, pd.DataFrame(counted, index=frame.index, dtype=float)], axis=1)


def describe(rows: float) -> str:
    """``10 rows``, ``all test rows`` or, of DRAWN, ``individuals of the causal model``."""
    if rows == DRAWN:
        return "individuals of the causal model"
    return count(int(rows), "row") if np.isfinite(rows) else "all test rows"


def differ(records: Sequence[Record], keys: Sequence[str]) -> dict[str, dict[float, list[Record]]]:
    """Returns of the figures that some records have of fewer rows than others, the records by rows, most rows first."""
    found = {}
    for key in dict.fromkeys(keys):
        by_rows: dict[float, list[Record]] = {}
        for record in (record for record in records if has(record, key)):
            by_rows.setdefault(count_rows(record, key), []).append(record)
        if len(by_rows) > 1:
            found[key] = dict(sorted(by_rows.items(), reverse=True))
    return found


def tell_differing(records: Sequence[Record], keys: Sequence[str]) -> list[str]:
    """``accuracy: of 10 rows in records 15, 16; of all test rows in record 1``, a line for all keys of the same."""
    alike: dict[str, list[str]] = {}
    for key, by_rows in differ(records, keys).items():
        listed = "; ".join(f"of {describe(rows)} in {name_records(_ids(of))}" for rows, of in reversed(by_rows.items()))
        alike.setdefault(listed, []).append(key)
    return [f"{', '.join(of)}: {listed}. Figures of other rows do not compare" for listed, of in alike.items()]


def tell_drawn(records: Sequence[Record], keys: Sequence[str]) -> list[str]:
    """Returns the lines of ``tell_differing``, by data set, for figures some of which are of drawn individuals."""
    by_data: dict[str, list[Record]] = {}
    for record in records:
        by_data.setdefault(record["dataset"], []).append(record)
    told = [(data, line) for data, of in by_data.items() for line in tell_differing(of, keys)]
    return [f"{data}: {line}" for data, line in told if describe(DRAWN) in line]


class Fewer(NamedTuple):
    """The records that are left out of a comparison, as figures of theirs are of fewer rows than those of others."""

    which: NDArray[np.bool_]
    why: list[str]  # a sentence for each metric


def find_fewer(records: Sequence[Record], keys: Sequence[str]) -> Fewer:
    """Returns which records have a figure of fewer rows than others, so that those of most rows stay."""
    out, why = np.zeros(len(records), dtype=bool), []
    for key in dict.fromkeys(keys):
        rows = np.array([count_rows(record, key) for record in records], dtype=float)
        most = rows[~out].max(initial=DRAWN)
        lost = ~out & (rows < most)
        if lost.any():
            few = " or ".join(map(describe, np.unique(rows[lost])))
            left = [record for record, is_lost in zip(records, lost, strict=True) if is_lost]
            why.append(
                f"{count(len(left), 'run')} whose {key} is of {few}, not of {describe(most)} as of the others "
                f"({name_records(_ids(left))}); judge on as many rows, or choose these by where="
            )
        out |= lost
    return Fewer(out, why)


def _ids(records: Sequence[Record]) -> list[Any]:
    return [record.get("doc_id") for record in records]


def name_records(doc_ids: Sequence[Any]) -> str:
    """``record 15``, ``records 15, 16, 17 and 4 more``."""
    ids = [str(number) for number in doc_ids]
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"record{'s' * (len(ids) > 1)} {', '.join(ids[:SHOWN])}{more}"
