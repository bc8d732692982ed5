"""How far chance moves means over rows and what is no share of them: scipy's bootstrap, numpy's quantiles."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from utils.metrics.bootstrap import DRAWN, draw, of_means, spread, spread_tables
from utils.metrics.confusion import matthews, recalls
from utils.metrics.measuring import of_shares

SEED = SimpleNamespace(own_seed=0, each=())


def ends(values, count=20_000, level=0.95):
    found = of_means({"key": torch.as_tensor(values)}, count, level, SEED)
    return [found["key_low"], found["key_high"]]


@pytest.mark.parametrize(("right", "n"), [(300, 400), (7, 400), (10, 20), (0, 400), (400, 400)])
def test_what_is_0_or_1_of_every_row_is_a_share_of_them(right, n):
    found = of_means({"key": torch.arange(n) < right}, 20, 0.9, SEED)
    assert found == of_shares({"key": (right, n)}, 0.9)
    assert (found.shares, found.deviations) == ({"key": (right, n)}, {})


def test_the_interval_of_a_mean_of_several_values_is_that_of_a_bootstrap_by_scipy():
    values = np.random.default_rng(0).choice([0, 1 / 3, 2 / 3, 1], p=[0.4, 0.3, 0.2, 0.1], size=200)
    oracle = bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(1))
    assert ends(values) == pytest.approx(list(oracle.confidence_interval), abs=0.004)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_the_interval_of_other_values_lies_within_them_and_the_mean_is_theirs(values):
    found = of_means({"key": torch.tensor(values)}, 50, 0.9, SEED)
    assert found["key"] == pytest.approx(np.mean(values))
    if found["key_low"] is not None and not set(values) <= {0, 1}:
        assert min(values) <= found["key_low"] <= found["key"] <= found["key_high"] <= max(values)


def test_no_rows_are_undefined():
    assert set(of_means({"key": torch.zeros(0)}, 20, 0.95, SEED).values()) == {None}


def test_no_draws_leave_the_mean():
    found = of_means({"key": torch.tensor([1.0, 0.5])}, 0, 0.95, SEED)
    assert (found, found.deviations) == ({"key": 0.75, "key_low": None, "key_high": None}, {})


def test_the_deviation_is_that_of_the_mean():
    """sd / sqrt(n) of n rows."""
    values = torch.rand(300, generator=torch.Generator().manual_seed(0))
    found = of_means({"key": values}, 5000, 0.95, SEED).deviations["key"]
    assert found == pytest.approx(float(values.std()) / 300**0.5, rel=0.03)


def test_equal_tables_have_equal_intervals_whatever_else_is_asked_for():
    rows = torch.tensor([1.0, 0.5, 0.5, 1.0])
    together = of_means({"a": 1 - rows, "b": rows, "c": rows}, 30, 0.9, SEED)
    assert together["b_low"] == together["c_low"] == of_means({"b": rows}, 30, 0.9, SEED)["b_low"]


def test_the_seed_draws_the_intervals():
    table = np.array([40, 60])
    first, other = (draw(table, 50, seed) for seed in (0, 1))
    assert np.array_equal(first, draw(table, 50, 0))
    assert not np.array_equal(first, other)


def test_draws_that_are_undefined_do_not_count():
    """Against numpy."""
    draws = np.random.default_rng(0).random(50)
    with_holes = np.concatenate([draws, [np.nan] * 9])
    low, high = np.quantile(draws, [0.05, 0.95])
    found = spread(np.array([0.5, 0.5]), np.stack([with_holes, with_holes[::-1]]), 0.9)
    assert np.allclose(found, np.transpose([[low, high, draws.std()]] * 2))


def test_draws_around_another_value_are_stretched_to_hold_the_figure():
    assert spread(np.zeros(1), np.array([[0.1, 0.2, 0.3]]), 0.9).low == [0]


@pytest.mark.parametrize("draws", [np.ones(20), np.full(20, np.nan), np.zeros(0)])
def test_draws_that_do_not_vary_tell_nothing(draws):
    assert np.isnan(spread(np.ones(1), draws[None], 0.95)).all()


def test_a_level_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="level of 1.5 is not in"):
        spread(np.zeros(1), np.zeros((1, 2)), 1.5)


def test_the_intervals_of_many_tables_are_those_of_each_to_the_bit():
    """More than are drawn together, and one whose draws are undefined now and then, as it has one row of class 0."""
    rng = np.random.default_rng(0)
    tables, count = rng.integers(1, 60, (40, 2, 2)), DRAWN // 16
    tables[7] = [[1, 0], [2, 1]]
    seeds, figures = list(range(40)), {"mcc": matthews, "balanced": lambda t: recalls(t).mean(-1)}
    found = spread_tables(figures, tables, count, seeds, 0.9)
    for key, figure in figures.items():
        for i, table in enumerate(tables):
            draws = figure(draw(table, count, seeds[i]))
            draws = draws[~np.isnan(draws)]
            low, high = np.quantile(draws, [(1 - 0.9) / 2, (1 + 0.9) / 2])
            assert [end[i] for end in found[key]] == [low, high, draws.std()]


def test_the_means_of_a_stack_are_those_of_each_model():
    """Of figures that are shares of one model's rows, and of another's not."""
    each = tuple(SimpleNamespace(own_seed=seed, each=()) for seed in (3, 4))
    values = {"a": torch.tensor([[0.0, 1.0, 1.0], [0.5, 1.0, 0.0]]), "b": torch.tensor([[True, False, True]] * 2)}
    found = of_means(values, 20, 0.9, SimpleNamespace(each=each))
    for i, own in enumerate(each):
        alone = of_means({key: of[i] for key, of in values.items()}, 20, 0.9, own)
        assert (found[i], found[i].shares, found[i].deviations) == (alone, alone.shares, alone.deviations)
    assert [of.shares.keys() for of in found] == [{"a", "b"}, {"b"}]
