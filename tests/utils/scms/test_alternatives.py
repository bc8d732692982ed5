"""Graphs with one arrow less, or one turned around: by hand."""

import pytest

from tests.truths import THREE_LEVELS, binary
from utils.scms.alternatives import Arrow, arrows, changes, reverse, without
from utils.types import Column

SEX, AGE, JOB, PAY = binary("sex", sensitive=True), *(Column(name, "continuous") for name in ("age", "job", "pay"))
COLUMNS = (SEX, AGE, JOB, PAY)
GRAPH = {"job": ("sex", "age"), "pay": ("sex", "job")}


def test_every_arrow_can_be_left_out_and_those_be_turned_that_close_no_circle_and_leave_the_sensitive_a_root():
    assert {change.name: change.parents for change in changes(COLUMNS, GRAPH)} == {
        "without sex -> job": {"job": ("age",), "pay": ("sex", "job")},
        "without sex -> pay": {"job": ("sex", "age"), "pay": ("job",)},
        "without job -> pay": {"job": ("sex", "age"), "pay": ("sex",)},
        "pay -> job reversed": {"job": ("sex", "age", "pay"), "pay": ("sex",)},
        "without age -> job": {"job": ("sex",), "pay": ("sex", "job")},
        "job -> age reversed": {"job": ("sex",), "pay": ("sex", "job"), "age": ("job",)},
    }


def test_an_arrow_beside_another_way_cannot_be_turned():
    """age -> job -> pay and age -> pay: pay -> age would close pay -> age -> job -> pay."""
    graph = {"job": ("age",), "pay": ("age", "job")}
    assert reverse(COLUMNS, graph, Arrow("age", "pay")) is None
    assert reverse(COLUMNS, graph, Arrow("age", "job")) == {"pay": ("age", "job"), "age": ("job",)}
    assert reverse(COLUMNS, graph, Arrow("job", "pay")) == {"job": ("age", "pay"), "pay": ("age",)}


def test_an_arrow_into_a_sensitive_attribute_can_be_turned_and_none_out_of_one():
    graph = {"sex": ("age",), "pay": ("sex",)}
    assert reverse(COLUMNS, graph, Arrow("age", "sex")) == {"pay": ("sex",), "age": ("sex",)}
    assert reverse(COLUMNS, graph, Arrow("sex", "pay")) is None


def test_arrows_are_between_attributes_and_those_near_to_the_sensitive_ones_come_first():
    assert arrows(THREE_LEVELS.columns, THREE_LEVELS.parents) == [
        Arrow("race", "job"),
        Arrow("race", "member"),
        Arrow("job", "member"),
        Arrow("age", "job"),
    ]


def test_all_indicators_of_an_attribute_lose_an_arrow_together_and_get_one_together():
    columns, graph = THREE_LEVELS.columns, THREE_LEVELS.parents
    races = ("race=0", "race=1", "race=2")
    kept = without(columns, graph, Arrow("race", "job"))
    assert [kept[f"job={i}"] for i in range(3)] == [("age",)] * 3
    assert kept["member"] == graph["member"]
    turned = reverse(columns, graph, Arrow("job", "member"))
    assert [turned[f"job={i}"] for i in range(3)] == [(*races, "age", "member")] * 3
    assert turned["member"] == ("race=2",)


@pytest.mark.parametrize("arrow", [Arrow("sex", "pay"), Arrow("pay", "job")])
def test_a_flag_of_what_is_missing_is_part_of_what_it_tells_of(arrow):
    """pay -> job turned around makes pay and its flag children of job; the flag never causes pay by itself."""
    flag = binary("pay is missing", tells="pay")
    graph = {"pay": ("sex",), "pay is missing": ("sex",), "job": ("pay", "pay is missing")}
    columns = (*COLUMNS, flag)
    assert arrows(columns, graph) == [Arrow("sex", "pay"), Arrow("pay", "job")]
    kept = without(columns, graph, arrow)
    assert kept == ({"job": graph["job"]} if arrow.cause == "sex" else {k: graph[k] for k in ("pay", flag.name)})
    if arrow.cause == "pay":
        assert reverse(columns, graph, arrow) == {"pay": ("sex", "job"), flag.name: ("sex", "job")}
