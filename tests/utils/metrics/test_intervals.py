"""Intervals from numerators and denominators: scipy's exact ones, a published example, and by hand."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from utils.metrics.intervals import at_level, clopper_pearson, ends, newcombe

GROUPS = {"fnr_group0": (2, 40), "fnr_group1": (9, 50), "fpr_group0": (5, 60), "fpr_group1": (0, 70)}
VALUES = {
    **{key: part / whole for key, (part, whole) in GROUPS.items()},
    "fnr_gap": 0.13,
    "fnr_gap_null": 0.02,
    "fnr_signed_gap": 0.13,
    "equalized_odds_difference": 0.13,
    "mcc": 0.5,
    "auc": 0.99,
    "other": 0.5,
}
SHARES = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def of(key, level=0.95, values=VALUES, shares=GROUPS, deviations=None):
    return at_level(key, values, shares, deviations or {}, level)


def exact(share, level):
    """By scipy."""
    found = binomtest(*share).proportion_ci(level, method="exact")
    return found.low, found.high


@given(SHARES, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_interval_of_a_share_is_that_of_scipy(share, level):
    assert at_level("a", {"a": share[0] / share[1]}, {"a": share}, {}, level) == pytest.approx(exact(share, level))


def test_many_shares_in_one_call_are_those_of_each():
    part, whole = np.array([0, 3, 10, 400]), np.array([400, 10, 10, 400])
    low, high = clopper_pearson(part, whole, 0.9)
    each = [exact((int(a), int(b)), 0.9) for a, b in zip(part, whole, strict=True)]
    assert list(zip(low, high, strict=True)) == [pytest.approx(ends) for ends in each]


def test_none_of_400_is_up_to_1_minus_the_400th_root_of_the_tail():
    """(1 - u)^400 = .025: about 3.69 / 400, and never 0."""
    low, high = at_level("a", {"a": 0.0}, {"a": [0, 400]}, {}, 0.95)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 400)))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_on_wilsons_limits_the_difference_is_the_published_one(first, second, low, high):
    """Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10."""
    bands = [binomtest(part, whole).proportion_ci(0.95, method="wilson") for part, whole in (first, second)]
    assert newcombe(first, second, bands) == pytest.approx((low, high), abs=5e-5)


def test_a_signed_gap_is_newcombes_difference_of_group_1_and_group_0():
    expected = newcombe(GROUPS["fnr_group1"], GROUPS["fnr_group0"], [exact((9, 50), 0.95), exact((2, 40), 0.95)])
    assert of("fnr_signed_gap") == pytest.approx(expected)


def test_a_gap_reaches_as_far_as_simultaneous_intervals_of_the_groups_are_apart():
    """Each of level .95^(1/2), by scipy."""
    (low0, high0), (low1, high1) = (exact(GROUPS[f"fnr_group{i}"], 0.95**0.5) for i in (0, 1))
    expected = (max(0, max(low0, low1) - min(high0, high1)), max(high0, high1) - min(low0, low1))
    assert of("fnr_gap") == pytest.approx(expected)


def test_equalized_odds_reach_from_the_largest_low_to_the_largest_high_of_four_rates_at_once():
    bands = {key: exact(share, 0.95**0.25) for key, share in GROUPS.items()}
    gaps = []
    for rate in ("fnr", "fpr"):
        lows, highs = zip(*(bands[f"{rate}_group{i}"] for i in (0, 1)), strict=True)
        gaps.append((max(0, max(lows) - min(highs)), max(highs) - min(lows)))
    assert of("equalized_odds_difference") == pytest.approx((max(g[0] for g in gaps), max(g[1] for g in gaps)))


def test_a_difference_in_acceptance_is_a_gap_of_acceptance_rates():
    shares = {f"acceptance_rate_group{i}": share for i, share in enumerate([(1, 9), (8, 9), (4, 9)])}
    values = {"demographic_parity_difference": 7 / 9, "acceptance_rate_gap": 7 / 9}
    found = ends(values, values, shares, {}, 0.9)
    assert found["demographic_parity_difference"] == found["acceptance_rate_gap"] != (None, None)


@pytest.mark.parametrize(
    ("key", "first", "end"),
    [
        ("worst_class_accuracy", "accuracy_class_", ""),
        ("robust_accuracy_worst_class_0.1", "robust_accuracy_class_", "_0.1"),
        ("robust_accuracy_worst_group_linf_8/255", "robust_accuracy_group", "_linf_8/255"),
        ("robust_accuracy_worst_class", "robust_accuracy_class_", ""),
    ],
)
def test_the_worst_reaches_from_the_smallest_low_to_the_smallest_high(key, first, end):
    """Over those that have rows: number 1 has none. Keys of other radii do not count."""
    shares = {f"{first}0{end}": (30, 40), f"{first}2{end}": (5, 6), f"{first}3{end}": (90, 90), f"{first}0_7": (1, 9)}
    bands = [exact(share, 0.95 ** (1 / 3)) for share in [(30, 40), (5, 6), (90, 90)]]
    found = at_level(key, {key: 0.75}, shares, {}, 0.95)
    assert found == pytest.approx((min(low for low, _ in bands), min(high for _, high in bands)))


@pytest.mark.parametrize("end", ["_valid", "_unpoisoned", "_valid_unpoisoned"])
def test_a_gap_of_a_poisoned_run_is_made_of_its_own_shares(end):
    shares = GROUPS | {f"fnr_group0{end}": (1, 9), f"fnr_group1{end}": (9, 9)}
    found = at_level(f"fnr_gap{end}", {f"fnr_gap{end}": 8 / 9}, shares, {}, 0.95)
    assert found == at_level("fnr_gap", {"fnr_gap": 8 / 9}, {"fnr_group0": (1, 9), "fnr_group1": (9, 9)}, {}, 0.95)


def test_a_metric_under_poisoning_is_the_metric():
    assert of("fnr_gap_under_poisoning", values={"fnr_gap_under_poisoning": 0.13}) == of("fnr_gap")


def test_a_deviation_has_normal_tails_within_the_range_of_the_figure():
    z = NormalDist().inv_cdf(0.995)
    assert of("mcc", 0.99, deviations={"mcc": 0.1}) == pytest.approx((0.5 - 0.1 * z, 0.5 + 0.1 * z))
    assert of("auc", 0.99, deviations={"auc": 0.1}) == (pytest.approx(0.99 - 0.1 * z), 1)


@pytest.mark.parametrize("key", ["other", "mcc", "fnr_gap_null", "fpr_gap", "fpr_signed_gap", "not_there"])
def test_what_nothing_is_known_of_has_no_interval(key):
    """Neither has what is undefined, though its parts are known."""
    assert of(key, values=VALUES | {"fpr_gap": None}) == (None, None)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_a_level_outside_0_to_1_is_refused(level):
    with pytest.raises(ValueError, match="for 95 % give 0.95"):
        of("fnr_gap", level)


@given(st.lists(SHARES, min_size=2, max_size=4), st.sampled_from([0.5, 0.95, 0.99999]))
def test_every_interval_holds_its_own_value(groups, level):
    shares = {f"{rate}_group{i}": share for rate in ("fnr", "fpr") for i, share in enumerate(groups)}
    rates = [part / whole for part, whole in groups]
    gap = max(rates) - min(rates)
    values = {"fnr_gap": gap, "fnr_worst_group": min(rates), "equalized_odds_difference": gap}
    if len(groups) == 2:
        values["fpr_signed_gap"] = rates[1] - rates[0]
    for key, (low, high) in ends(values, values, shares, {}, level).items():
        assert low <= values[key] <= high
