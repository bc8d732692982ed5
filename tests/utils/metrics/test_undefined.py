"""Why figures are undefined: sentences by hand, from what the metric ``group`` reports."""

import numpy as np
import pytest

from tests.utils.metrics.test_group import evaluate
from utils.metrics.undefined import explain_undefined

NAMES = ("women", "men")


def sentences(y, labels, s, *, names=NAMES, groups_min=1):
    found = evaluate(y, labels, s, groups=len(names), groups_min=groups_min)
    return explain_undefined(found, found.shares, names, groups_min=groups_min, row="test row")


def test_what_is_defined_is_not_spoken_of():
    assert sentences([0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1]) == []


def test_a_group_without_positives_is_named_with_the_gaps_that_need_them():
    assert sentences([0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]) == [
        "fnr_gap, tpr_gap, equalized_odds_difference are undefined: group men has no test row of class 1",
    ]


def test_a_group_without_negatives_is_named():
    (found,) = sentences([1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1])
    assert found == "fpr_gap, equalized_odds_difference are undefined: group women has no test row of class 0"


def test_a_group_of_which_nobody_is_accepted_has_no_precision():
    (found,) = sentences([0, 1, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1])
    assert found == "ppv_gap is undefined: group men has no test row that the model gives class 1"


def test_a_small_group_is_named_with_its_rows():
    y = labels = np.array([0, 1] * 12)
    found = sentences(y, labels, np.repeat([1, 0], [20, 4]), groups_min=10)
    assert found == [
        "every gap is undefined: group women has 4 test rows, fewer than evaluation.metrics.group.groups_min=10"
    ]


def test_a_group_with_few_positives_is_named_with_their_number():
    y = labels = np.concatenate([[0, 1] * 20, [1] * 4, [0] * 36])
    found = sentences(y, labels, np.repeat([0, 1], 40), groups_min=5)
    few = "fewer than evaluation.metrics.group.groups_min=5"
    assert found == [
        f"fnr_gap, tpr_gap, equalized_odds_difference are undefined: group men has 4 test rows of class 1, {few}",
        f"ppv_gap is undefined: group men has 4 test rows that the model gives class 1, {few}",
    ]


def test_of_a_small_group_without_positives_only_its_own_rates_are_named_beside():
    y = labels = np.array([0, 1] * 10 + [0] * 4)
    found = sentences(y, labels, np.repeat([0, 1], [20, 4]), groups_min=10)
    assert found[1] == "fnr_group1, tpr_group1 are undefined: group men has no test row of class 1"


def test_a_declared_group_without_rows_is_named():
    found = sentences([0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1], names=("a", "b", "sex=1, race=2"))
    assert found == [
        "every gap is undefined, and every rate of group sex=1, race=2: it has no test row; "
        "<gap>_rest is that of the other groups"
    ]


@pytest.mark.parametrize(("prevalence", "label"), [(0.0, 1), (1.0, 0)])
def test_a_class_without_rows_is_named(prevalence, label):
    metrics = {"accuracy": 0.5, "prevalence": prevalence, "balanced_accuracy": None, "auc": None}
    (found,) = explain_undefined(metrics, {}, (), groups_min=1, row="test row")
    assert found == f"balanced_accuracy, auc are undefined: there is no test row of class {label}"


def test_of_several_classes_the_empty_one_is_named():
    metrics = {"accuracy": 0.5, "accuracy_class_0": 0.5, "accuracy_class_3": None, "auc": None}
    (found,) = explain_undefined(metrics, {}, (), groups_min=1, row="test row")
    assert found == "accuracy_class_3, auc are undefined: there is no test row of class 3"


def test_no_rows_take_one_sentence():
    assert explain_undefined({"accuracy": None, "auc": None}, {}, NAMES, groups_min=10, row="test row") == [
        "every metric is undefined: there are no test rows"
    ]
