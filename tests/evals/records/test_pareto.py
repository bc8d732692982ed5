"""The frontier against brute force over all pairs, against moocore, and against areas computed by hand."""

import time

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull

from evals.records.pareto import efficient, hull, hypervolume, staircase

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


FEW = st.tuples(st.integers(1, 24), st.integers(2, 5)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(0, 5))  # whole numbers: ties and duplicates
)


@given(FEW, SIGNS)
def test_efficient_is_what_moocore_calls_nondominated_duplicates_kept(points, signs):
    directions = signs[: points.shape[1]]
    theirs = moocore.is_nondominated(points, maximise=[sign > 0 for sign in directions], keep_weakly=True)
    assert efficient(points, directions).tolist() == theirs.tolist()


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_efficient_is_what_moocore_calls_nondominated_on_many_points(objectives):
    points = np.random.default_rng(objectives).normal(size=(5000, objectives)).round(1)
    directions = [1, -1, 1, -1, 1][:objectives]
    theirs = moocore.is_nondominated(points, maximise=[sign > 0 for sign in directions], keep_weakly=True)
    assert efficient(points, directions).tolist() == theirs.tolist()


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
def test_a_hundred_thousand_points_take_no_quadratic_time(frontier):
    """At most 50 times as long as a tenth of them, where comparing all pairs would take 100 times as long."""
    points = np.abs(np.random.default_rng(0).normal(size=(100_000, 3)))
    if frontier == "sphere":  # every point is efficient, the worst case of elimination
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    seconds = {}
    for n in (10_000, 100_000):
        tries = []
        for _ in range(3):
            start = time.process_time()
            mask = efficient(points[:n], [1, 1, 1])
            tries.append(time.process_time() - start)
        seconds[n] = min(tries)
        assert mask.all() == (frontier == "sphere")
    assert seconds[100_000] < 50 * seconds[10_000], seconds


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


@given(FEW, SIGNS)
def test_hypervolume_is_that_of_moocore(points, signs):
    directions = signs[: points.shape[1]]
    reference = [0.5 if sign > 0 else 4.5 for sign in directions]
    theirs = moocore.hypervolume(points, reference, maximise=[sign > 0 for sign in directions])
    assert hypervolume(points, reference, directions) == pytest.approx(theirs)


@given(FEW, SIGNS, st.randoms())
def test_hypervolume_knows_no_order(points, signs, random):
    directions = signs[: points.shape[1]]
    order = random.sample(range(len(points)), len(points))
    volumes = [hypervolume(p, [2.5] * len(directions), directions) for p in (points, points[order])]
    assert volumes[0] == pytest.approx(volumes[1])


@given(FEW, SIGNS)
def test_dominated_points_add_no_hypervolume(points, signs):
    directions = signs[: points.shape[1]]
    best = points[efficient(points, directions)]
    volumes = [hypervolume(p, [2.5] * len(directions), directions) for p in (points, best)]
    assert volumes[0] == pytest.approx(volumes[1])


def test_a_reference_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="reference"):
        hypervolume([[1, 1]], [0], [1, 1])


# --- hull ------------------------------------------------------------------------------------------------------


def test_the_hull_leaves_out_what_a_mixture_attains():
    assert hull([[0, 4], [1, 3], [2, 2.5], [4, 0]], [1, 1]).tolist() == [[0, 4], [2, 2.5], [4, 0]]


@pytest.mark.parametrize("directions", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_hull_is_the_better_side_of_that_of_scipy(directions):
    """Its vertices between the best of each objective, by the outward normals of the edges."""
    points = np.random.default_rng(0).normal(size=(300, 2))
    full = ConvexHull(points * directions)
    outward = (full.equations[:, :2] > 0).all(axis=1)  # edges that face the better ends
    expected = points[np.unique(full.simplices[outward])]
    assert sorted(hull(points, directions).tolist()) == sorted(expected.tolist())


@given(arrays(float, (8, 2), elements=st.integers(0, 5)), st.tuples(*[st.sampled_from([-1, 1])] * 2))
def test_no_weights_find_a_better_point_than_the_hull(points, directions):
    """Support function, by brute force over directions of the quarter."""
    angles = np.linspace(0.01, np.pi / 2 - 0.01, 50)
    worth = np.stack([np.cos(angles), np.sin(angles)], 1) * directions
    corners = hull(points, directions)
    assert (corners @ worth.T).max(axis=0) == pytest.approx((points @ worth.T).max(axis=0))
    assert (np.diff(corners[:, 0]) >= 0).all()


def test_the_hull_of_one_point_is_it_and_of_none_empty():
    assert hull([[1, 2], [0, 1]], [1, 1]).tolist() == [[1, 2]]
    assert hull(np.empty((0, 2)), [1, 1]).shape == (0, 2)
