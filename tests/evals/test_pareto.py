"""The frontier against brute force over all pairs, and against areas computed by hand."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evals.pareto import efficient, hypervolume, staircase

VALUES = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])  # few values, hence many ties
POINTS = st.tuples(st.integers(0, 24), st.integers(1, 5)).flatmap(lambda shape: arrays(float, shape, elements=VALUES))
SIGNS = st.lists(st.sampled_from([-1, 1]), min_size=5, max_size=5)


def brute_force(points, directions):
    gains = points * np.array(directions)
    dominated = [any((other >= row).all() and (other > row).any() for other in gains) for row in gains]
    return ~np.array(dominated, dtype=bool) & ~np.isnan(points).any(axis=1)


@given(POINTS, SIGNS)
def test_efficient_equals_brute_force(points, signs):
    directions = signs[: points.shape[1]]
    assert efficient(points, directions).tolist() == brute_force(points, directions).tolist()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_efficient_equals_brute_force_on_many_points(objectives):
    points = np.random.default_rng(objectives).normal(size=(300, objectives))
    directions = [1, -1, 1, -1][:objectives]
    assert efficient(points, directions).tolist() == brute_force(points, directions).tolist()


@given(POINTS, SIGNS, st.data())
def test_adding_a_dominated_point_changes_nothing(points, signs, data):
    directions = signs[: points.shape[1]]
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return
    worse = finite[data.draw(st.integers(0, len(finite) - 1))] - np.array(directions)
    assert efficient([*points, worse], directions).tolist() == [*efficient(points, directions), False]


@given(POINTS, SIGNS, st.randoms())
def test_permuting_the_points_permutes_the_mask(points, signs, random):
    directions = signs[: points.shape[1]]
    order = random.sample(range(len(points)), len(points))
    assert efficient(points[order], directions).tolist() == efficient(points, directions)[order].tolist()


def test_nan_is_never_efficient_and_evicts_nothing():
    assert efficient([[9, np.nan], [1, 1], [np.nan, 9]], [1, 1]).tolist() == [False, True, False]


def test_duplicates_stay_together():
    assert efficient([[1, 0], [1, 0], [0, 0]], [1, 1]).tolist() == [True, True, False]


def test_no_points_have_an_empty_mask():
    assert efficient(np.empty((0, 2)), [1, 1]).tolist() == []


@pytest.mark.parametrize("directions", [[1], [1, 0], [1, 1, 1]])
def test_directions_that_do_not_fit_are_refused(directions):
    with pytest.raises(ValueError, match="direction"):
        efficient([[1.0, 2.0]], directions)


@pytest.mark.parametrize("frontier", ["random", "sphere"])
def test_a_hundred_thousand_points_take_under_a_second(frontier):
    points = np.abs(np.random.default_rng(0).normal(size=(100_000, 3)))
    if frontier == "sphere":  # every point is efficient, the worst case of elimination
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    start = time.process_time()
    mask = efficient(points, [1, 1, 1])
    assert time.process_time() - start < 1
    assert mask.all() == (frontier == "sphere")


def test_staircase_alternates_efficient_points_and_the_corners_between():
    points = [[1, 3], [2, 2], [3, 0], [1, 1]]
    assert staircase(points, [1, 1]).tolist() == [[1, 3], [1, 2], [2, 2], [2, 0], [3, 0]]


def test_staircase_turns_with_the_directions():
    points = np.array([[1, 3], [2, 2], [3, 0], [1, 1]])
    expected = [[-3, 0], [-2, 0], [-2, -2], [-1, -2], [-1, -3]]
    assert staircase(-points, [-1, -1]).tolist() == expected


@given(arrays(float, (6, 2), elements=st.integers(0, 5)), st.tuples(*[st.sampled_from([-1, 1])] * 2))
def test_the_first_coordinate_of_the_staircase_never_falls(points, directions):
    assert (np.diff(staircase(points, directions)[:, 0]) >= 0).all()


def test_staircase_of_unknown_points_is_empty():
    assert staircase([[np.nan, 1]], [1, 1]).shape == (0, 2)


def test_hypervolume_of_one_point_is_its_box():
    assert hypervolume([[0.8, 0.1]], [0.5, 0.3], [1, -1]) == pytest.approx(0.3 * 0.2)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume([[2, 2], [9, -1], [np.nan, 5]], [0, 0], [1, 1]) == pytest.approx(4)


@given(st.integers(1, 3).flatmap(lambda m: arrays(float, (5, m), elements=st.integers(0, 4))))
def test_hypervolume_counts_the_unit_cells_that_points_dominate(points):
    cells = np.stack(np.meshgrid(*[np.arange(4)] * points.shape[1], indexing="ij"), -1).reshape(-1, points.shape[1])
    covered = (points[:, None] > cells).all(-1).any(0).sum()
    m = points.shape[1]
    assert hypervolume(points, [0] * m, [1] * m) == pytest.approx(covered)


def test_a_reference_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="reference"):
        hypervolume([[1, 1]], [0], [1, 1])
