"""Intervals of means over rows: exact binomial quantiles, scipy's bootstrap, degenerate shares."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap

from utils.metrics import confusion
from utils.metrics.bootstrap import drawn, entries, of_means, with_intervals

SEED = SimpleNamespace(own_seed=0)


def ends(values, count=20_000, level=0.95):
    found = of_means({"key": torch.as_tensor(values)}, count, level, SEED)
    return [found["key_low"], found["key_high"]]


@pytest.mark.parametrize(("right", "n"), [(300, 400), (7, 400), (10, 20)])
def test_the_interval_of_a_share_is_that_of_the_binomial(right, n):
    """Resampling n rows of which a share p is right draws from Binomial(n, p): its exact quantiles, to a row."""
    exact = binom.ppf([0.025, 0.975], n, right / n) / n
    assert ends(np.arange(n) < right) == pytest.approx(exact, abs=1.01 / n)


def test_the_interval_of_a_mean_of_several_values_is_that_of_a_bootstrap_by_scipy():
    values = np.random.default_rng(0).choice([0, 1 / 3, 2 / 3, 1], p=[0.4, 0.3, 0.2, 0.1], size=200)
    oracle = bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1))
    assert ends(values) == pytest.approx(list(oracle.confidence_interval), abs=0.004)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_the_interval_lies_within_the_values_and_the_mean_is_theirs(values):
    found = of_means({"key": torch.tensor(values)}, 50, 0.9, SEED)
    assert found["key"] == pytest.approx(np.mean(values))
    assert min(values) <= found["key_low"] <= found["key_high"] <= max(values)


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_none_or_all_has_no_width(share):
    assert ends([bool(share)] * 10, count=20) == [share, share]


def test_no_rows_are_undefined():
    assert set(of_means({"key": torch.zeros(0)}, 20, 0.95, SEED).values()) == {None}


def test_no_draws_leave_the_mean():
    assert of_means({"key": torch.tensor([1.0, 0.0])}, 0, 0.95, SEED) == {"key": 0.5, "key_low": None, "key_high": None}


def test_equal_tables_have_equal_intervals_whatever_else_is_asked_for():
    rows = torch.tensor([True, False, True, True])
    together = of_means({"a": ~rows, "b": rows, "c": rows}, 30, 0.9, SEED)
    assert together["b_low"] == together["c_low"] == of_means({"b": rows}, 30, 0.9, SEED)["b_low"]


def test_the_seed_draws_the_intervals():
    table = np.array([40, 60])
    first, other = (drawn(table, 50, SimpleNamespace(own_seed=seed)) for seed in (0, 1))
    assert np.array_equal(first, drawn(table, 50, SEED))
    assert not np.array_equal(first, other)


def test_what_is_undefined_has_no_interval():
    draws = {"a": np.linspace(0, 1, 5), "b": np.linspace(0, 1, 5)}
    found = with_intervals({"a": np.nan, "b": 0.5}, draws, 0.5)
    assert found == entries("a", np.nan, None, None) | {"b": 0.5, "b_low": 0.25, "b_high": 0.75}


def test_many_intervals_in_one_call_are_those_of_each():
    """Of numpy.quantile, with draws that are undefined and without."""
    draws = np.random.default_rng(0).random((6, 50))
    draws[1, 7] = draws[4, :49] = np.nan
    draws[5] = np.nan
    expected = [tuple(np.nanquantile(row, [0.05, 0.95]).round(confusion.DIGITS)) for row in draws[:5]]
    assert confusion.intervals(draws, 0.9) == [*expected, (None, None)]
