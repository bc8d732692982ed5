"""Intervals over seeds: scipy, and by simulation how often they hold the truth."""

from math import exp

import numpy as np
import pytest
from scipy import stats

from evals.records import query
from evals.records.seed_intervals import by_setting, factors, student
from tests.evals.records.test_query import record

SIMULATED = 20_000
SEEDS = (2, 3, 5, 10)


def coverage(draw, mean, n, range_=(-np.inf, np.inf)):
    """The share of intervals that hold the mean of the figures that ``draw`` gives."""
    low, high = np.clip(student(draw(np.random.default_rng(n), (SIMULATED, n))), *range_)
    assert not np.isnan(low).any()
    return np.mean((low <= mean) & (mean <= high))


def error(share):
    """Four standard errors of a share of the simulated, which one test in 16,000 passes by chance."""
    return 4 * np.sqrt(share * (1 - share) / SIMULATED)


def test_one_seed_has_no_interval():
    assert np.isnan(student(np.array([[0.3]]))).all()


def test_seeds_that_agree_have_none():
    """.1 + .2 is not .3 in floating point."""
    assert np.isnan(student(np.array([[0.3, 0.1 + 0.2, 0.3], [0.1, 0.1, 0.1]]))).all()


@pytest.mark.parametrize("values", [[0.3, 0.1], [0.3, 0.1, 0.2, 0.4]])
def test_student_is_the_interval_of_scipy(values):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert np.ravel(student(np.array([values]))) == pytest.approx(expected)


def test_factors_are_those_of_the_tables():
    """t of .975 with 1, 2 and 3 degrees of freedom."""
    assert factors(4) * np.sqrt([2, 3, 4]) == pytest.approx([12.706, 4.303, 3.182], abs=5e-4)


@pytest.mark.parametrize("n", SEEDS)
def test_of_normal_figures_they_hold_the_mean_in_95_per_cent(n):
    assert coverage(lambda rng, shape: rng.normal(size=shape), 0, n) == pytest.approx(0.95, abs=error(0.95))


@pytest.mark.parametrize("n", SEEDS)
def test_so_they_do_where_the_figures_are_cut_to_a_range(n):
    """Normal figures about .9 of sd .03, whose intervals of few seeds reach far beyond 1."""
    assert coverage(lambda rng, shape: rng.normal(0.9, 0.03, shape), 0.9, n, (0, 1)) == pytest.approx(
        0.95, abs=error(0.95)
    )


@pytest.mark.parametrize(
    ("draw", "mean", "least"),
    [
        (lambda rng, shape: rng.beta(2, 8, shape), 0.2, 0.92),  # shares, a little skewed
        (lambda rng, shape: rng.binomial(4000, 0.02, shape) + rng.uniform(0, 1e-6, shape), 80, 0.94),  # few errors
        (lambda rng, shape: abs(rng.normal(size=shape)), np.sqrt(2 / np.pi), 0.91),  # gaps of what differs by chance
        (lambda rng, shape: rng.exponential(size=shape), 1, 0.88),
        (lambda rng, shape: rng.lognormal(0, 0.5, shape), exp(0.125), 0.89),
    ],
    ids=["beta", "binomial", "gap", "exponential", "lognormal"],
)
@pytest.mark.parametrize("n", SEEDS)
def test_of_skewed_figures_they_hold_it_a_little_less_often(draw, mean, least, n):
    """Where the range of the seeds holds the mean of 2 in half and of 3 in three quarters of cases."""
    assert coverage(draw, mean, n) >= least - error(least)


def test_settings_are_apart_and_missing_values_do_not_count():
    values = np.array([1.0, 5.0, 2.0, np.nan, 7.0, 3.0])
    low, high = by_setting(values, np.array([0, 1, 0, 1, 2, 0]), 4)
    half = 4.302653 / np.sqrt(3)
    assert low == pytest.approx([2 - half, np.nan, np.nan, np.nan], nan_ok=True)
    assert high == pytest.approx([2 + half, np.nan, np.nan, np.nan], nan_ok=True)


def test_aggregate_has_the_interval_beside_the_mean_cut_at_the_range_of_the_metric():
    rows = query.aggregate(query.frame([record(1), record(2, seed=1), record(3, "llr")]), ["accuracy"])
    assert rows["accuracy_low"].tolist() == pytest.approx([0.65 - 12.706205 * 0.05, np.nan], nan_ok=True)
    assert rows["accuracy_high"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


def test_an_interval_over_rows_that_is_asked_for_stays_itself():
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4}
    rows = query.aggregate(query.frame([record(1, metrics=metrics)]), ["accuracy", "accuracy_low"])
    assert rows["accuracy_low"].tolist() == [0.4]
