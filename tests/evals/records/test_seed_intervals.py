"""Intervals over seeds: every resample in its order, scipy, and how often they hold the truth."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evals.records import query
from evals.records.seed_intervals import bootstrap, by_setting, student
from tests.evals.records.test_query import record


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=5))
def test_few_seeds_give_the_percentiles_of_every_ordered_resample(values):
    """Oracle: all n^n of them, as inverse of their distribution."""
    means = [np.mean(drawn) for drawn in product(values, repeat=len(values))]
    expected = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    low, high = bootstrap(np.array([values], float))
    assert [low[0], high[0]] == pytest.approx(expected)


@pytest.mark.parametrize("n", [6, 7, 20])
def test_more_seeds_give_those_of_a_bootstrap_by_scipy(n):
    values = np.random.default_rng(0).normal(size=n)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1))
    low, high = bootstrap(values[None])
    assert [low[0], high[0]] == pytest.approx(list(oracle.confidence_interval), abs=0.06)


def test_three_seeds_give_their_range():
    """All three alike are drawn with probability 1/27, more than a fortieth."""
    low, high = bootstrap(np.array([[0.3, 0.1, 0.2]]))
    assert (low[0], high[0]) == pytest.approx((0.1, 0.3))


@pytest.mark.parametrize("interval", [bootstrap, student])
def test_one_seed_has_no_interval(interval):
    assert np.isnan(interval(np.array([[0.3]]))).all()


def test_student_is_the_interval_of_scipy():
    values = np.array([0.3, 0.1, 0.2, 0.4])
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert np.ravel(student(values[None])) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "held"), [(2, 0.5), (3, 0.75), (5, 0.84)])
def test_the_bootstrap_of_few_seeds_is_too_narrow_and_student_is_not(n, held):
    """The range of n holds the median with 1 - 2^(1 - n)."""
    runs = np.random.default_rng(0).normal(size=(8000, n))
    for interval, expected in ((bootstrap, held), (student, 0.95)):
        low, high = interval(runs)
        assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("n", [4, 8])
def test_the_order_of_the_seeds_does_not_matter(n):
    values = np.random.default_rng(0).normal(size=n)
    assert np.array_equal(bootstrap(values[None]), bootstrap(values[None, ::-1]))


def test_settings_are_apart_and_missing_values_do_not_count():
    values = np.array([1.0, 5.0, 2.0, np.nan, 7.0, 3.0])
    low, high = by_setting(values, np.array([0, 1, 0, 1, 2, 0]), 4, bootstrap)
    assert low == pytest.approx([1, np.nan, np.nan, np.nan], nan_ok=True)
    assert high == pytest.approx([3, np.nan, np.nan, np.nan], nan_ok=True)


def test_aggregate_has_the_interval_beside_the_mean():
    rows = query.aggregate(query.frame([record(1), record(2, seed=1), record(3, "llr")]), ["accuracy"])
    assert rows["accuracy_low"].tolist() == pytest.approx([0.6, np.nan], nan_ok=True)
    assert rows["accuracy_high"].tolist() == pytest.approx([0.7, np.nan], nan_ok=True)


def test_aggregate_takes_another_interval():
    rows = query.aggregate(query.frame([record(1), record(2, seed=1)]), ["accuracy"], student)
    assert rows["accuracy_high"].iloc[0] == pytest.approx(0.65 + 12.706205 * 0.05, abs=1e-6)


def test_an_interval_over_rows_that_is_asked_for_stays_itself():
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4}
    rows = query.aggregate(query.frame([record(1, metrics=metrics)]), ["accuracy", "accuracy_low"])
    assert rows["accuracy_low"].tolist() == [0.4]
