"""Two records compared: paired differences where both keep their decisions on the same rows, else by their figures."""

import math
from collections.abc import Sequence

import numpy as np

from evals.choosing import comparison
from evals.choosing.comparison import Difference, Otherwise
from evals.records import judged_rows, levelling, query, row_intervals
from utils.metrics import directions
from utils.records import decisions
from utils.records.decisions import Decisions
from utils.records.typed import Record
from utils.runs.data_sources import source_of

PAIRED, APART = "paired", "unpaired"
OF_GROUPS = ("accuracy", "fnr", "fpr")  # rates that are compared group by group


class Compared:
    """Two records, what they decide, and their differences.

    Attributes:
        records: the two.
        both: their decisions, where both keep them and the rows are the same.
        why: the reason why there are none, else empty.
        other_rows: a sentence for each metric that is left out, as the figures of the two are of other rows.
        rows: metric by metric, with how its interval was made.
        seeds: the same of the means over the seeds that both settings have, where there are two or more.
    """

    def __init__(self, records: tuple[Record, Record], stored: Sequence[Record], keys: Sequence[str], level: float):
        self.records, self.level = records, level
        self.names, self.classes = query.group_names(records), query.class_names(records)
        self.other_rows = judged_rows.tell_differing(records, keys)
        keys = [key for key in keys if not judged_rows.differ(records, [key])]
        self.both, self.why = _decisions(records)
        paired = comparison.compare(*self.both, self.names, self._of_interest(keys), level) if self.both else []
        self.by_key = {of.key: of for of in paired}
        self.rows = [
            (self.by_key[key], PAIRED) if key in self.by_key else (_apart(key, *records, level), APART) for key in keys
        ]
        self.pairs = _pairs(records, stored)
        self.seeds = comparison.over_seeds(self.pairs, keys) if len(self.pairs) > 1 else []

    def _of_interest(self, keys: Sequence[str]) -> list[str]:
        return [*keys, *(f"{rate}_group{i}" for rate in OF_GROUPS for i in range(len(self.names)))]

    def sides(self) -> list[str]:
        """Returns the error rates of the groups in both, with a word where the second levels a gap down."""

        def moved(key: str) -> tuple[float, float]:
            first, second = (_number(record["metrics"].get(key)) for record in self.records)
            return first, second

        return levelling.sides(directions.ERRORS, self.names, moved, self.records)

    def otherwise(self, group: int | None = None) -> Otherwise:
        """Returns how many rows, of one group or of all, the two decide otherwise. For those that have decisions."""
        assert self.both is not None
        first, second = self.both
        everyone = np.ones(len(first.y), dtype=bool)
        return comparison.otherwise(first, second, everyone if group is None else first.s == group)


def _decisions(records: tuple[Record, Record]) -> tuple[tuple[Decisions, Decisions] | None, str]:
    """Returns the decisions of both, or none and the reason."""
    read = []
    for record in records:
        if "point" in record:
            return None, f"record {record['doc_id']} keeps no decisions at its operating points"
        try:
            read.append(decisions.read(record))
        except ValueError as error:
            return None, f"record {record['doc_id']}: {error}"
    first, second = read
    return ((first, second), "") if first.rows == second.rows else (None, "they were judged on different test rows")


def _apart(key: str, first: Record, second: Record, level: float) -> Difference:
    """Returns the difference of figures of different rows, with the hybrid of their own intervals (Newcombe, 1998)."""
    (a, (a_low, a_high)), (b, (b_low, b_high)) = (
        (float(of["metrics"][key]), row_intervals.at_level(of, key, level)) for of in (first, second)
    )
    low, high = b - a - math.hypot(b - b_low, a_high - a), b - a + math.hypot(b_high - b, a - a_low)
    return Difference(key, a, b, low, high)


def _pairs(records: tuple[Record, Record], stored: Sequence[Record]) -> dict[int, dict[str, tuple[float, float]]]:
    """Returns the figures of both settings by seed and metric, of the seeds that both have on the same data."""
    first, second = (
        {
            of["seed"]: of
            for of in stored
            if of.get("group_id") == own.get("group_id") and source_of(of) == source_of(own)
        }
        for own in records
    )
    if records[0].get("group_id") == records[1].get("group_id"):
        return {}
    found = {}
    for seed in sorted(first.keys() & second.keys()):
        one, other = first[seed]["metrics"], second[seed]["metrics"]
        found[seed] = {k: (one[k], other[k]) for k in one.keys() & other.keys() if None not in (one[k], other[k])}
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
