"""Intervals of the figures of a record, those of shares against scipy's exact ones."""

import math

import pytest
from scipy.stats import binomtest

from evals.records.row_intervals import name_intervals, of_share, over_rows


def exact(hits, rows):
    """Clopper and Pearson's interval, by scipy."""
    return pytest.approx(tuple(binomtest(hits, rows).proportion_ci(0.95, method="exact")))


@pytest.mark.parametrize(("hits", "rows"), [(81, 263), (0, 20), (20, 20), (1, 3)])
def test_a_share_has_the_exact_interval(hits, rows):
    assert of_share(hits / rows, rows) == exact(hits, rows)


def record(**metrics):
    return {"metrics": metrics, "rows": {"test": 400}}


def test_an_interval_of_the_record_comes_first():
    assert over_rows(record(accuracy=0.5, accuracy_low=0.1, accuracy_high=0.9), "accuracy") == (0.1, 0.9)


def test_a_share_of_the_test_rows_has_the_exact_interval():
    assert over_rows(record(**{"uai_0.05": 0.05}), "uai_0.05") == exact(20, 400)


def test_a_rate_of_a_group_is_a_share_of_its_rows():
    found = over_rows(record(accuracy_group1=0.5, support_group1=40.0), "accuracy_group1")
    assert found == exact(20, 40)


def test_robust_accuracy_on_fewer_rows_is_a_share_of_those():
    assert over_rows(record(**{"robust_accuracy_0.1": 0.5, "robust_rows": 10}), "robust_accuracy_0.1") == exact(5, 10)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("uai_0.05", 1 / 3),
        ("mcc", 0.5),
        ("accuracy_gap", 0.5),
        ("robust_accuracy_worst_class", 0.5),
        ("accuracy", None),
    ],
)
def test_what_is_no_share_of_the_test_rows_has_none(key, value):
    assert all(map(math.isnan, over_rows(record(**{key: value}), key)))


def test_a_later_evaluation_has_the_interval_filed_with_it():
    held = record(accuracy=0.5) | {"evaluations": {"pgd@8/255": {"metrics": {"a": 0.3, "a_low": 0.2, "a_high": 0.4}}}}
    assert over_rows(held, "pgd@8/255/a") == (0.2, 0.4)


def test_a_later_evaluation_on_other_rows_has_the_interval_of_a_share_of_these():
    later = {"metrics": {"accuracy": 0.75}, "rows": {"judged": 40}}
    held = record(accuracy=0.5) | {"evaluations": {"new": later, "again": {"metrics": {"accuracy": 0.75}}}}
    assert over_rows(held, "new/accuracy") == exact(30, 40)
    assert over_rows(held, "again/accuracy") == exact(300, 400)


def test_the_interval_of_a_share_has_the_level_that_the_record_asks_for():
    asked = {"evaluation": {"metrics": {"group": {"level": 0.8}, "curve": {"steps": 3}}}}
    held = record(**{"uai_0.05": 0.05}) | {"params": asked}
    interval = binomtest(20, 400).proportion_ci(0.8, "exact")
    assert over_rows(held, "uai_0.05") == pytest.approx((interval.low, interval.high))
    assert name_intervals(held) == "80 % interval"
    assert name_intervals(record()) == "95 % interval"
    asked["evaluation"]["metrics"]["accuracy"] = {"level": 0.95}
    assert name_intervals(held) == "80 % or 95 % interval"
