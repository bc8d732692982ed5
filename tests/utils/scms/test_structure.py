"""Mechanisms, topological order, sensitive levels, units of the radius."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.scms.known import known
from utils.scms.structure import (
    additive,
    in_radius_units,
    levels_product,
    nearest_level,
    resample,
    structural,
    topological,
)
from utils.types import Column


@given(st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_topological_order_puts_every_parent_before_its_children(ranks, pairs):
    names = tuple("abcdef")
    arrows = {(names[i], names[j]) for i, j in pairs if ranks[i] < ranks[j]}  # i causes j: no cycle by its ranks
    parents = {name: tuple(sorted(a for a, b in arrows if b == name)) for name in names}
    order = topological(parents, names)
    assert sorted(order) == list(range(6))
    assert all(order.index(names.index(a)) < order.index(names.index(b)) for a, b in arrows)


def test_a_cycle_is_refused_in_the_direction_of_its_arrows():
    with pytest.raises(ValueError, match="(a -> c -> b -> a|c -> b -> a -> c|b -> a -> c -> b)"):
        topological({"a": ("b",), "b": ("c",), "c": ("a",)}, ("a", "b", "c"))


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"\['wage'\].*\['a', 'b'\]"):
        topological({"b": ("wage",)}, ("a", "b"))


def test_levels_are_the_product_and_the_last_column_varies_fastest():
    columns = (
        Column("a", "binary", sensitive=True, levels=(0.0, 1.0)),
        Column("b", "continuous"),
        Column("c", "categorical", sensitive=True, levels=(1.0, 2.0, 5.0)),
    )
    assert levels_product(columns).tolist() == [[0, 1], [0, 2], [0, 5], [1, 1], [1, 2], [1, 5]]


def test_columns_need_not_be_in_topological_order():
    columns = (Column("child", "continuous"), Column("root", "binary", sensitive=True, levels=(0.0, 1.0)))
    scm = structural(columns, {"child": additive(("root",), lambda root: 3 * root)}, resample(torch.zeros(1, 2)))
    assert scm.to_features(torch.tensor([[0.5, 1.0]])).tolist() == [[3.5, 1.0]]
    assert scm.to_noise(torch.tensor([[3.5, 1.0]])).tolist() == [[0.5, 1.0]]


def test_the_radius_is_in_noise_units_by_default_and_leaves_the_sensitive_column(dataset):
    scm = known(dataset("loan"), seed=0, draws=1, sampling="noise", radius_unit="noise")
    assert scm.unit.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert scm.radius_unit == "noise"


def test_noise_sd_makes_one_radius_a_standard_deviation_of_every_latent(dataset):
    """The deviations of loan's noise: Gamma(10, 3.5) has sd 3.5 sqrt(10); the others are given."""
    scm = known(dataset("loan", 20_000), seed=0, draws=1, sampling="noise", radius_unit="noise_sd")
    assert scm.unit[0] == 0
    assert scm.unit[1:].numpy() == pytest.approx([3.5 * 10**0.5, 0.5, 2, 3, 2, 5], rel=0.03)
    assert scm.radius_unit == "noise_sd"


def test_another_radius_unit_is_refused(dataset, scm):
    with pytest.raises(ValueError, match="scm.radius_unit='sd'.*noise or noise_sd"):
        in_radius_units(scm("lin"), dataset("lin"), "sd")


def test_resampling_draws_seen_values_and_breaks_their_dependence():
    seen = torch.arange(1000.0).unsqueeze(1) * torch.tensor([1.0, -1.0])
    drawn = resample(seen)(5000, np.random.default_rng(0))
    assert torch.isin(drawn[:, 0], seen[:, 0]).all()
    assert torch.isin(drawn[:, 1], seen[:, 1]).all()
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.05  # -1 before


def test_the_nearest_level_is_exact_for_large_levels():
    """Distances by way of a matrix product would round these levels away in single precision."""
    levels = torch.tensor([[10001.0], [10002.0], [10003.0]])
    rows = levels.repeat(20, 1)
    assert torch.equal(nearest_level(rows, levels), torch.arange(3).repeat(20))
