"""Rates of the levels of one sensitive attribute, and their differences to those of a reference level.

They are made of the counts of test rows that a record holds for the groups of each attribute alone, as
``utils.metrics.group`` files them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from utils.metrics.directions import by_attribute, split_some
from utils.metrics.intervals import clopper_pearson, newcombe
from utils.records.settings import metrics_of
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
    """The counts of a rate of every level of one attribute, as filed; (0, 0) where none are."""
    named = [read_group(name) for name in groups]
    end = by_attribute(attribute) if any(len(of) > 1 for of in named) else ""
    found: dict[str, Counted] = {}
    for i, level in enumerate(dict.fromkeys(of[attribute] for of in named)):
        part, whole = shares.get(f"{rate}_group{i}{end}") or (0, 0)
        found[level] = (int(part), int(whole))
    return found


def differences(record: Mapping[str, Any], rates: Sequence[str]) -> Iterator[Difference]:
    """Yields, for each attribute with a reference in the record's schema, the rates of its levels less the reference's.

    Intervals are Newcombe's (1998, method 10) of two independent shares, here from limits of Clopper and Pearson.

    Args:
        record: of a table with a schema, which names ``groups.reference``; the settings of its metric of groups say of
            how many rows a rate is defined (``groups_min``) and the ``level`` of the intervals.
        rates: such as fnr, whose counts the record holds for each group.
    """
    stored = record.get("preprocessing") or {}
    reference = ((stored.get("schema") or {}).get("groups") or {}).get("reference") or {}
    shares, groups, settings = record.get("shares") or {}, stored.get("groups") or (), settings_of(record)
    if not settings:
        return
    for attribute, first in reference.items():
        for rate in rates:
            counted = counts_by_level(shares, groups, attribute, rate)
            for name, own in counted.items():
                if name != first and first in counted:
                    yield Difference(attribute, name, rate, *_differ(own, counted[first], **settings))


def settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``groups_min`` and ``level`` of the metric of groups that judged a record; empty where none did."""
    group = metrics_of(record).get("group") or {}
    found = {key: group.get(key) for key in ("groups_min", "level")}
    return {} if None in found.values() else found


def _differ(
    own: Counted, other: Counted, groups_min: int, level: float
) -> tuple[float | None, float | None, float | None]:
    if min(own[1], other[1]) < max(groups_min, 1):
        return None, None, None
    part, whole = (np.array([own[i], other[i]]) for i in (0, 1))
    low, high = clopper_pearson(part, whole, level)
    bands = [(float(low[i]), float(high[i])) for i in (0, 1)]
    least, most = newcombe(own, other, bands)
    return own[0] / own[1] - other[0] / other[1], float(least), float(most)
