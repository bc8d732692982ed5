"""Rates beside those of a reference group: sums of counts, and the published interval of a difference of shares."""

import pytest

from utils.metrics.references import compares_alone, counts_by_level, differences, is_of_intersections

GROUPS = ["sex=man,race=a", "sex=man,race=b", "sex=woman,race=a", "sex=woman,race=b"]
SHARES = {
    "fnr_group0": [3, 20],
    "fnr_group1": [1, 10],
    "fnr_group2": [30, 50],
    "fnr_group3": [26, 20],
}


def record(reference, shares=SHARES, groups=GROUPS, **of_groups):
    schema = {"sensitive": ["sex", "race"], "groups": {"reference": reference, **of_groups}}
    return {"shares": shares, "preprocessing": {"groups": groups, "schema": schema}}


def test_the_counts_of_a_level_are_those_of_its_groups_together():
    assert counts_by_level(SHARES, GROUPS, "sex", "fnr") == {"man": (4, 30), "woman": (56, 70)}
    assert counts_by_level(SHARES, GROUPS, "race", "fnr") == {"a": (33, 70), "b": (27, 30)}


def test_a_difference_is_the_groups_rate_less_the_references():
    (found,) = differences(record({"sex": "man"}), ["fnr"], fewest=10, level=0.95)
    assert (found.attribute, found.level, found.rate) == ("sex", "woman", "fnr")
    assert found.value == pytest.approx(56 / 70 - 4 / 30)
    assert found.low < found.value < found.high


def test_the_interval_holds_that_of_newcombe_1998():
    """56 of 70 less 48 of 80: .2, and .0524 to .3339 from Wilson's limits; Clopper and Pearson's are a little wider."""
    shares = {"fnr_group0": [48, 80], "fnr_group1": [56, 70]}
    of = record({"sex": "man"}, shares, ["sex=man", "sex=woman"])
    (found,) = differences(of, ["fnr"], fewest=10, level=0.95)
    assert found.value == pytest.approx(0.2)
    assert 0.0524 - 0.02 < found.low < 0.0524
    assert 0.3339 < found.high < 0.3339 + 0.02


def test_too_few_rows_are_undefined():
    (found,) = differences(record({"sex": "man"}), ["fnr"], fewest=31, level=0.95)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_without_a_reference_nothing_is_compared():
    assert list(differences(record({}), ["fnr"], fewest=0, level=0.95)) == []
    assert list(differences({"preprocessing": {"groups": GROUPS}}, ["fnr"], fewest=0, level=0.95)) == []


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
