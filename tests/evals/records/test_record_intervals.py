"""Intervals of the figures of a record, those of shares against scipy's exact ones."""

import math

import pytest
from scipy.stats import binomtest

from evals.records.row_intervals import of_share, over_rows


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
