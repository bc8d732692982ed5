"""Against scipy's convex hull, brute force over mixtures, and thresholds without chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from tests.utils.decides.rows import curves_of, made, rows_of, scored
from utils.decides.exact_mixtures import hull, mixtures
from utils.decides.exact_thresholds import TOGETHER, most_accurate, sides

NAMES = ("women", "men", "others")
OF = st.sampled_from(list(TOGETHER.values()))
PERMITTED = st.sampled_from([0.0, 0.05, 0.3, 1.0])


def accepted(curve, mixture):
    """Expected share of each class (2,) accepted by a mixture of cuts."""
    places = np.searchsorted(curve.cuts, mixture.cuts)
    return np.array(mixture.shares) @ (1 - curve.rejected[places] / curve.rows)


def outcome(of, found, rates):
    """Expected errors and gap of the mixtures."""
    shares = np.array([accepted(*pair) for pair in zip(of, found, strict=True)])  # (g, 2)
    rows = np.array([curve.rows for curve in of])
    errors = (rows[:, 0] * shares[:, 0] + rows[:, 1] * (1 - shares[:, 1])).sum()
    by_rate = {"fnr": shares[:, 1], "fpr": shares[:, 0], "acceptance_rate": (shares * rows).sum(1) / rows.sum(1)}
    return errors, max(np.ptp(by_rate[rate]) for rate in rates)


@settings(max_examples=50, deadline=None)
@given(rows_of(2, size=20))
def test_the_hull_is_the_upper_part_of_the_convex_hull(rows):
    """Of the points of the curve and the two corners below them; scipy's, from Qhull."""
    curve = curves_of(*made(rows), NAMES[:2], ("fnr", "fpr"))[0]
    own = hull(curve)
    points = np.concatenate([1 - curve.rejected / curve.rows, [[0, 0], [1, 1], [1, 0]]])
    x = np.linspace(0, 1, 23)
    planes = ConvexHull(points).equations
    upper = planes[planes[:, 1] > 1e-9]
    expected = np.min([-(a * x + c) / b for a, b, c in upper], axis=0)
    np.testing.assert_allclose(np.interp(x, own.x, own.y), expected, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.one_of(rows_of(2), rows_of(3)), OF, PERMITTED)
def test_the_gap_is_permitted_and_the_shares_are_shares(rows, rates, permitted):
    groups = 1 + max(s for *_, s in rows)
    of = curves_of(*made(rows), NAMES[:groups], rates)
    found = mixtures(of, rates, permitted)
    assert outcome(of, found, rates)[1] <= permitted + 1e-7
    for mixture in found:
        assert sum(mixture.shares) == pytest.approx(1)
        assert list(mixture.cuts) == sorted(mixture.cuts)
        assert 1 <= len(mixture.cuts) <= 4


@settings(max_examples=50, deadline=None)
@given(rows_of(2), OF, PERMITTED)
def test_chance_never_makes_more_errors(rows, rates, permitted):
    of = curves_of(*made(rows), NAMES[:2], rates)
    errors, _ = outcome(of, mixtures(of, rates, permitted), rates)
    assert errors <= most_accurate(sides(of, rates), permitted).errors + 1e-6


def test_without_a_limit_chance_gains_nothing():
    of = curves_of(*scored(400), NAMES[:2], ("fnr",))
    errors, _ = outcome(of, mixtures(of, ("fnr",), 1.0), ("fnr",))
    assert errors == pytest.approx(most_accurate(sides(of, ("fnr",)), None).errors)


def test_equalised_odds_lie_on_the_lower_hull():
    """The best common point maximises P y - N x under both hulls (Hardt et al. 2016, section 4.2), by a fine grid."""
    of = curves_of(*scored(600), NAMES[:2], ("fnr", "fpr"))
    negatives, positives = np.sum([curve.rows for curve in of], axis=0)
    x = np.linspace(0, 1, 100_001)
    lower = np.min([np.interp(x, own.x, own.y) for own in map(hull, of)], axis=0)
    best = (negatives * x + positives * (1 - lower)).min()
    errors, _ = outcome(of, mixtures(of, ("fnr", "fpr"), 0.0), ("fnr", "fpr"))
    assert errors == pytest.approx(best, abs=0.05)
    assert errors <= best + 1e-6


def test_a_logit_that_no_threshold_rejects_is_refused():
    rows = [(0.0, 0, 0), (np.inf, 1, 0), (0.0, 0, 1), (1.0, 1, 1)]
    with pytest.raises(ValueError, match="there are infinite logits, 1, so.*group_exact"):
        mixtures(curves_of(*made(rows), NAMES[:2], ("fnr",)), ("fnr",), 0.0)
