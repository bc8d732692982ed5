"""A worst group of few rows is named beside its figure."""

import pytest

from utils.metrics.small_groups import worst_of_few

GROUPS = ["region=north", "region=east"]


@pytest.mark.parametrize(
    ("east", "told"),
    [
        ((1, 5), True),
        ((5, 5), False),  # the other one is the worst
        ((2, 10), False),  # rows enough
        ((0, 0), False),  # none, of which nothing is reported
    ],
)
def test_the_worst_group_is_named_where_it_has_few_rows(east, told):
    metrics = {"robust_accuracy_worst_group_0.05": 0.2, "robust_accuracy_worst_group_0.05_low": 0.1}
    metrics |= {"support_group1": float(east[1]), "robust_accuracy_0.05": 0.7}
    shares = {"robust_accuracy_group0_0.05": (70, 100), "robust_accuracy_group1_0.05": east}
    said = worst_of_few(metrics, shares, GROUPS, groups_min=10, row="test row")
    assert said == (
        [
            "robust_accuracy_worst_group_0.05 is of group region=east, which has 5 test rows; gaps are reported from "
            "evaluation.metrics.group.groups_min=10 on"
        ]
        if told
        else []
    )


def test_an_undefined_figure_is_of_no_group():
    assert worst_of_few({"robust_accuracy_worst_group": None}, {}, GROUPS, groups_min=10, row="test row") == []
