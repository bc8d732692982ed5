from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.decides.rows import gap, made, rows_of, scored
from utils.decides import group_exact as exact
from utils.decides import group_grid as grids
from utils.decides.exact_thresholds import TOGETHER
from utils.decides.group_thresholds import GroupThresholds

NAMES = ("women", "men")
group_exact = partial(exact.group_exact, confidence=None, groups_min=1)
group_grid = partial(grids.group_grid, confidence=None, groups_min=1)
GRID = np.linspace(-1.5, 1.5, 5)


def every_pair(z, batch, rates):
    """Errors and gap of each pair of the grid."""
    y = batch.y.numpy()
    for pair in [(a, b) for a in GRID for b in GRID]:
        labels = GroupThresholds(pair)(z, batch.s).numpy()
        yield int((labels != y).sum()), round(gap(labels, y, batch.s, 2, rates), 10)


@settings(max_examples=40, deadline=None)
@given(rows_of(2), st.sampled_from(list(TOGETHER)), st.sampled_from([0.0, 0.1, 0.4]))
def test_it_is_the_best_permitted_pair_of_the_grid_or_else_the_nearest(rows, rate, permitted):
    (z, batch), rates = made(rows), TOGETHER[rate]
    decide = group_grid(z, batch, NAMES, rate=rate, permitted=permitted, levels=5, reach=1.5)
    labels = decide(z, batch.s)
    found = int((labels != batch.y).sum()), round(gap(labels, batch.y, batch.s, 2, rates), 10)
    every = list(every_pair(z, batch, rates))
    smallest = min(g for _, g in every)
    allowed = [pair for pair in every if pair[1] <= max(permitted, smallest) + 1e-9]
    assert found == min(allowed)
    assert bool(decide.warnings) == (smallest > permitted)


def test_the_exact_thresholds_are_never_worse():
    z, batch = scored(2000)
    for permitted in (0.01, 0.05, 0.1, 0.2):
        settings = {"rate": "fnr", "permitted": permitted}
        grid = group_grid(z, batch, NAMES, **settings, levels=20, reach=1.5)
        errors = [(decide(z, batch.s) != batch.y).sum() for decide in (group_exact(z, batch, NAMES, **settings), grid)]
        assert errors[0] <= errors[1]


def test_where_the_grid_has_no_permitted_policy_it_says_so():
    z, batch = scored(2000)
    decide = group_grid(z, batch, NAMES, rate="fnr", permitted=0.0, levels=20, reach=1.5)
    assert "smallest gap, 0.0" in decide.warnings[0]


@pytest.mark.parametrize(("levels", "reach"), [(1, 1.5), (20, 0.0), (20, -1.0)])
def test_what_is_no_grid_is_refused(levels, reach):
    with pytest.raises(ValueError, match="expected 2 levels or more"):
        group_grid(*scored(50), NAMES, rate="fnr", permitted=0.1, levels=levels, reach=reach)


def test_a_gap_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match=r"decide.permitted=2: expected .* in \[0, 1\]"):
        group_grid(*scored(50), NAMES, rate="fnr", permitted=2, levels=20, reach=1.5)
