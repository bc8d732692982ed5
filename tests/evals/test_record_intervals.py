"""Intervals against published figures and by listing every sample."""

import math

import pytest

from evals.intervals import over_rows, wilson


def test_wilson_is_the_published_interval():
    """Newcombe 1998 (Statistics in Medicine 17, table I): 81 of 263 gives .2553 to .3662, 0 of 20 gives 0 to .1611."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def record(**metrics):
    return {"metrics": metrics, "rows": {"test": 400}}


def test_an_interval_of_the_record_comes_first():
    assert over_rows(record(accuracy=0.5, accuracy_low=0.1, accuracy_high=0.9), "accuracy") == (0.1, 0.9)


def test_a_share_of_the_test_rows_has_wilsons():
    assert over_rows(record(**{"uai_0.05": 0.05}), "uai_0.05") == wilson(0.05, 400)


def test_a_rate_of_a_group_is_a_share_of_its_rows():
    found = over_rows(record(accuracy_group1=0.5, support_group1=40.0), "accuracy_group1")
    assert found == wilson(0.5, 40)


def test_robust_accuracy_on_fewer_rows_is_a_share_of_those():
    assert over_rows(record(**{"robust_accuracy_0.1": 0.5, "robust_rows": 10}), "robust_accuracy_0.1") == wilson(
        0.5, 10
    )


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
