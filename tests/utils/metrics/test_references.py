"""Rates beside those of a reference group: sums of counts, and the published interval of a difference of shares."""

import numpy as np
import pytest

from evals.cards.levels_compared import against_reference
from utils.metrics.group import of_tables
from utils.metrics.references import compares_alone, counts_by_level, differences, is_of_intersections

GROUPS = ["sex=man,race=a", "sex=man,race=b", "sex=woman,race=a", "sex=woman,race=b"]
SHARES = {  # as the metric of groups files them of several attributes
    **{"fnr_group0_by_sex": [4, 30], "fnr_group1_by_sex": [56, 70]},
    **{"fnr_group0_by_race": [33, 70], "fnr_group1_by_race": [27, 30]},
}


def record(reference, shares=SHARES, groups=GROUPS, *, fewest=10, level=0.95, **of_groups):
    params = {"evaluation": {"metrics": {"group": {"groups_min": fewest, "level": level}}}}
    schema = {"sensitive": ["sex", "race"], "groups": {"reference": reference, **of_groups}}
    return {"shares": shares, "preprocessing": {"groups": groups, "schema": schema}, "params": params}


def test_the_counts_of_a_level_are_those_that_the_metric_of_groups_files():
    """Of random tables: the sums over the groups that have the level, by NumPy."""
    table = np.random.default_rng(0).integers(0, 50, (2, 3, 2, 2))  # sex, race, true and predicted class
    groups = [f"sex={sex},race={race}" for sex in ("man", "woman") for race in "abc"]
    _, shares = of_tables(table.reshape(1, 6, 2, 2), groups_min=1, sizes={"sex": 2, "race": 3})
    shares = {key: (part[0], whole[0]) for key, (part, whole) in shares.items()}
    for attribute, axis, levels in (("sex", 1, ["man", "woman"]), ("race", 0, ["a", "b", "c"])):
        own = table.sum(axis)
        expected = {level: (own[i, 1, 0], own[i, 1].sum()) for i, level in enumerate(levels)}
        assert counts_by_level(shares, groups, attribute, "fnr") == expected


def test_the_counts_of_a_level_are_those_filed_for_its_attribute():
    assert counts_by_level(SHARES, GROUPS, "sex", "fnr") == {"man": (4, 30), "woman": (56, 70)}
    assert counts_by_level(SHARES, GROUPS, "race", "fnr") == {"a": (33, 70), "b": (27, 30)}


def test_a_difference_is_the_groups_rate_less_the_references():
    (found,) = differences(record({"sex": "man"}), ["fnr"])
    assert (found.attribute, found.level, found.rate) == ("sex", "woman", "fnr")
    assert found.value == pytest.approx(56 / 70 - 4 / 30)
    assert found.low < found.value < found.high


def test_the_interval_holds_that_of_newcombe_1998():
    """56 of 70 less 48 of 80: .2, and .0524 to .3339 from Wilson's limits; Clopper and Pearson's are a little wider."""
    shares = {"fnr_group0": [48, 80], "fnr_group1": [56, 70]}
    of = record({"sex": "man"}, shares, ["sex=man", "sex=woman"])
    (found,) = differences(of, ["fnr"])
    assert found.value == pytest.approx(0.2)
    assert 0.0524 - 0.02 < found.low < 0.0524
    assert 0.3339 < found.high < 0.3339 + 0.02


def test_intervals_are_of_the_level_that_the_runs_metric_of_groups_has():
    """A published interval of 99 % is wider than that of 95 %, on both sides."""
    (usual,), (wide,) = (differences(record({"sex": "man"}, level=level), ["fnr"]) for level in (0.95, 0.99))
    assert wide.low < usual.low < usual.high < wide.high
    (_, table) = against_reference(record({"sex": "man"}, level=0.99), ["fnr"])
    assert table.header[-1] == "99 % interval"
    assert table.rows[0][-1] == f"[{wide.low:+.3f}, {wide.high:+.3f}]"


def test_without_a_metric_of_groups_nothing_is_compared():
    judged = record({"sex": "man"}) | {"params": {"evaluation": {"metrics": {}}}}
    assert list(differences(judged, ["fnr"])) == []


def test_too_few_rows_are_undefined():
    (found,) = differences(record({"sex": "man"}, fewest=31), ["fnr"])
    assert (found.value, found.low, found.high) == (None, None, None)


def test_without_a_reference_nothing_is_compared():
    assert list(differences(record({}), ["fnr"])) == []
    assert list(differences({"preprocessing": {"groups": GROUPS}}, ["fnr"])) == []


def test_groups_alone_are_asked_for_by_the_schema_of_several_attributes():
    assert compares_alone(record({}, each="alone"))
    assert not compares_alone(record({}))
    assert not compares_alone({"preprocessing": {}})


@pytest.mark.parametrize(
    ("key", "of_all"),
    [("fnr_gap", True), ("fnr_gap_rest", True), ("fnr_gap_by_sex", False), ("accuracy", False), ("fnr_group1", False)],
)
def test_gaps_of_intersections_are_told_from_those_of_one_attribute(key, of_all):
    assert is_of_intersections(key) is of_all
