"""Rates of the levels of one sensitive attribute, and their differences to those of a reference level.

They are made of the counts of test rows that a record holds for every group: what is added up are people, so no figure
is estimated twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from utils.metrics.directions import split_some
from utils.metrics.intervals import clopper_pearson, newcombe
from utils.words.levels import read_group

Counted = tuple[int, int]  # rows of a part, and all of which they are


class Difference(NamedTuple):
    """A rate of a level less that of the reference; None where one of them has too few rows."""

    attribute: str
    level: str
    rate: str
    value: float | None
    low: float | None
    high: float | None


def compares_alone(record: Mapping[str, Any]) -> bool:
    """Returns whether a record's schema asks for the groups of each attribute alone, of which there are several."""
    schema = (record.get("preprocessing") or {}).get("schema") or {}
    return (schema.get("groups") or {}).get("each") == "alone" and len(schema.get("sensitive") or ()) > 1


def is_of_intersections(key: str) -> bool:
    """Returns whether a key is a gap between the groups of all attributes together."""
    gap, attribute, _ = split_some(key)
    return not attribute and (gap.endswith("_gap") or gap.endswith("_difference"))


def counts_by_level(
    shares: Mapping[str, Sequence[Any]], groups: Sequence[str], attribute: str, rate: str
) -> dict[str, Counted]:
    """The counts of a rate of every level of one attribute, over the groups that have it."""
    found: dict[str, Counted] = {}
    for i, name in enumerate(groups):
        level = read_group(name)[attribute]
        part, whole = shares.get(f"{rate}_group{i}") or (0, 0)
        before = found.get(level, (0, 0))
        found[level] = (before[0] + int(part), before[1] + int(whole))
    return found


def differences(record: Mapping[str, Any], rates: Sequence[str], *, fewest: int, level: float) -> Iterator[Difference]:
    """Yields, for each attribute with a reference in the record's schema, the rates of its levels less the reference's.

    Intervals are Newcombe's (1998, method 10) of two independent shares, here from limits of Clopper and Pearson.

    Args:
        record: of a table with a schema, which names ``groups.reference``.
        rates: such as fnr, whose counts the record holds for each group.
        fewest: rows below which a rate is undefined.
        level: of the intervals, in (0, 1).
    """
    stored = record.get("preprocessing") or {}
    reference = ((stored.get("schema") or {}).get("groups") or {}).get("reference") or {}
    shares, groups = record.get("shares") or {}, stored.get("groups") or ()
    for attribute, first in reference.items():
        for rate in rates:
            counted = counts_by_level(shares, groups, attribute, rate)
            for name, own in counted.items():
                if name != first and first in counted:
                    yield Difference(attribute, name, rate, *_differ(own, counted[first], fewest, level))


def _differ(own: Counted, other: Counted, fewest: int, level: float) -> tuple[float | None, float | None, float | None]:
    if min(own[1], other[1]) < max(fewest, 1):
        return None, None, None
    part, whole = (np.array([own[i], other[i]]) for i in (0, 1))
    low, high = clopper_pearson(part, whole, level)
    bands = [(float(low[i]), float(high[i])) for i in (0, 1)]
    return own[0] / own[1] - other[0] / other[1], *newcombe(own, other, bands)
