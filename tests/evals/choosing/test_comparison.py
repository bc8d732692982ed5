"""Paired differences: against figures computed by hand, and their coverage against generated truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from evals.choosing import comparison
from utils.records.decisions import Decisions

NAMES = ["sex=f,race=a", "sex=f,race=b", "sex=m,race=a", "sex=m,race=b"]


def decided(labels, y, s, classes=2, groups=4):
    return Decisions(np.asarray(labels), np.asarray(y), np.asarray(s), classes, groups, "rows")


@pytest.fixture(scope="module")
def two():
    rng = np.random.default_rng(0)
    y, s = rng.integers(0, 2, 600), rng.integers(0, 4, 600)
    labels = [np.where(rng.random(600) < right, y, 1 - y) for right in (0.8, 0.7)]
    return [decided(of, y, s) for of in labels]


def by_hand(of):
    """Rates by pandas: of everybody, of each group, of each sex, and gaps."""
    table = pd.DataFrame({"y": of.y, "label": of.labels, "s": of.s})
    table["right"], table["sex"] = table["y"] == table["label"], table["s"] // 2
    found = {"accuracy": table["right"].mean(), "acceptance_rate": table["label"].mean()}
    fnr, fpr = (table[table["y"] == y].assign(wrong=lambda t: ~t["right"]) for y in (1, 0))
    found |= {"fnr": fnr["wrong"].mean(), "fpr": fpr["wrong"].mean()}
    for by, end in (("s", ""), ("sex", "_by_sex")):
        gaps = {key: np.ptp(of.groupby(by)["wrong"].mean()) for key, of in (("fnr", fnr), ("fpr", fpr))}
        found |= {f"{key}_gap{end}": gap for key, gap in gaps.items()}
        found[f"equalized_odds_difference{end}"] = max(gaps.values())
        if by == "sex":
            found[f"fnr_signed_gap{end}"] = np.diff(fnr.groupby(by)["wrong"].mean())[0]
        found[f"demographic_parity_difference{end}"] = np.ptp(table.groupby(by)["label"].mean())
    found |= {f"accuracy_group{i}": value for i, value in table.groupby("s")["right"].mean().items()}
    found["worst_class_accuracy"] = table.groupby("y")["right"].mean().min()
    return found


def test_figures_and_differences_are_those_computed_by_hand(two):
    first, second = map(by_hand, two)
    found = comparison.compare(*two, NAMES, list(first), 0.95)
    assert [of.key for of in found] == list(first)
    for of in found:
        assert (of.first, of.second) == pytest.approx((first[of.key], second[of.key])), of.key
        assert of.low < of.value < of.high, of.key


def test_the_interval_of_a_share_is_that_of_bonett_and_price(two):
    first, second = two
    right = [of.labels == of.y for of in two]
    b, c, n = (right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum(), 600
    p, q = (b + 1) / (n + 2), (c + 1) / (n + 2)
    half = norm.ppf(0.975) * np.sqrt((p + q - (q - p) ** 2) / (n + 2))
    [found] = comparison.compare(first, second, NAMES, ["accuracy"], 0.95)
    assert (found.low, found.high) == pytest.approx((q - p - half, q - p + half))


def test_swapped_models_have_opposite_differences(two):
    keys = ["accuracy", "fnr_gap", "worst_class_accuracy", "equalized_odds_difference"]
    one, other = (comparison.compare(*of, NAMES, keys, 0.9) for of in (two, two[::-1]))
    for a, b in zip(one, other, strict=True):
        assert (a.low, a.high) == pytest.approx((-b.high, -b.low))


def test_a_model_differs_by_nothing_from_itself(two):
    for of in comparison.compare(two[0], two[0], NAMES, ["accuracy", "fpr_gap", "fnr_group2"], 0.95):
        assert of.value == 0
        assert of.low < 0 < of.high


@pytest.mark.parametrize("seed", range(20))
def test_of_a_gap_of_several_rates_too_each_side_is_the_other_of_the_models_swapped(seed):
    rng = np.random.default_rng(seed)
    y, s = rng.integers(0, 2, 100), rng.integers(0, 3, 100)
    one, other = (decided(rng.integers(0, 2, 100), y, s, groups=3) for _ in "ab")
    keys = ["equalized_odds_difference", "accuracy_gap", "worst_class_accuracy"]
    for models in ((one, other), (one, one)):
        found, swapped = (comparison.compare(*of, NAMES, keys, 0.95) for of in (models, models[::-1]))
        for a, b in zip(found, swapped, strict=True):
            assert (a.low, a.high) == pytest.approx((-b.high, -b.low))


def test_other_rows_are_refused(two):
    with pytest.raises(ValueError, match="different test rows"):
        comparison.compare(two[0], replace(two[1], rows="others"), NAMES, [], 0.95)


def test_rows_decided_otherwise_are_counted_by_hand(two):
    first, second = two
    rows = first.s == 1
    found = comparison.otherwise(first, second, rows)
    a, b, y = (of[rows] for of in (first.labels, second.labels, first.y))
    assert found.rows == rows.sum()
    assert found.different == (a != b).sum()
    assert found.only_first == sum(1 for one, other in zip(a, b, strict=True) if one == 1 and other == 0)
    assert found.only_first + found.only_second == found.different
    assert found.first_right == sum(1 for one, other, is_ in zip(a, b, y, strict=True) if one != other and one == is_)
    assert found.first_right + found.second_right == found.different


def test_three_classes_have_accuracies_and_their_worst(two):
    rng = np.random.default_rng(1)
    y, s = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    first, second = (
        decided(np.where(rng.random(300) < 0.7, y, rng.integers(0, 3, 300)), y, s, classes=3, groups=2) for _ in "ab"
    )
    keys = ["accuracy", "worst_class_accuracy", "accuracy_gap", "fnr_gap", "accuracy_class_2"]
    found = {of.key: of for of in comparison.compare(first, second, ["a", "b"], keys, 0.95)}
    assert "fnr_gap" not in found
    worst = [min((of.labels == y)[y == k].mean() for k in range(3)) for of in (first, second)]
    assert (found["worst_class_accuracy"].first, found["worst_class_accuracy"].second) == pytest.approx(worst)


def cells_of(rng, n, first, second, draws, alike=0.8):
    """Cells (draws, k, 4) of rows on which rates of two models agree as normal numbers so much ``alike`` do."""
    found = []
    for rows, a, b in zip(n, first, second, strict=True):
        both = multivariate_normal.cdf(norm.ppf([a, b]), cov=[[1, alike], [alike, 1]])
        chances = np.clip([both, a - both, b - both, 1 - a - b + both], 0, 1)
        found.append(rng.multinomial(rows, chances / chances.sum(), size=draws))
    return np.stack(found, 1)


@pytest.mark.parametrize(
    ("n", "first", "second"),
    [
        ([100, 100], [0.3, 0.3], [0.3, 0.3]),  # no gap
        ([400, 400], [0.4, 0.2], [0.3, 0.3]),  # one gap is 0
        ([100, 100], [0.4, 0.2], [0.15, 0.3]),  # gaps that change sides
        ([400, 60], [0.4, 0.2], [0.25, 0.22]),
        ([300] * 4, [0.5, 0.3, 0.2, 0.4], [0.3] * 4),
        ([300] * 6, np.linspace(0.6, 0.9, 6), [0.75] * 6),
    ],
)
def test_intervals_of_gaps_hold_the_true_difference(n, first, second):
    draws = cells_of(np.random.default_rng(2), n, first, second, 1000)
    contrasts = comparison.pairs(len(n))
    true = np.ptp(second) - np.ptp(first)
    found = [comparison.of_largest("fnr_gap", counts, contrasts, 0.95) for counts in draws]
    held = np.mean([of.low <= true <= of.high for of in found])
    assert held > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize(("small", "least"), [(12, 0.89), (30, 0.94)])
def test_of_a_few_rows_beside_thousands_intervals_of_gaps_are_too_short_by_as_much_as_is_said(small, least):
    first, second = [0.97, 0.3], [0.3, 0.3]
    draws = cells_of(np.random.default_rng(4), [small, 3000], first, second, 4000, alike=0.0)
    found = [comparison.of_largest("fnr_gap", counts, comparison.pairs(2), 0.95) for counts in draws]
    assert least - 0.01 < np.mean([of.low <= -0.67 <= of.high for of in found]) < 0.95


@pytest.mark.parametrize(("n", "a", "b"), [(30, 0.5, 0.4), (200, 0.1, 0.05), (1000, 0.8, 0.78), (200, 0.02, 0.02)])
def test_intervals_of_shares_hold_the_true_difference(n, a, b):
    draws = cells_of(np.random.default_rng(3), [n], [a], [b], 1000)
    found = [comparison.of_share("accuracy", counts[0], 0.95) for counts in draws]
    assert np.mean([of.low <= b - a <= of.high for of in found]) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1000)


def test_a_group_without_rows_has_no_rates():
    y, s = np.array([0, 1, 1, 0]), np.array([0, 0, 0, 0])
    of = decided([0, 1, 0, 0], y, s, groups=2)
    found = {d.key: d for d in comparison.compare(of, of, ["a", "b"], ["fnr_group1", "accuracy"], 0.95)}
    assert np.isnan(found["fnr_group1"].first)
    assert found["accuracy"].first == 0.75


def test_over_seeds_the_interval_is_student_of_differences():
    pairs = {seed: {"accuracy": (0.7, 0.7 + step)} for seed, step in enumerate((0.01, 0.02, 0.03))}
    [found] = comparison.over_seeds(pairs, ["accuracy", "mcc"])
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((0.02, 0.02 - half, 0.02 + half))


def test_over_seeds_the_interval_ends_where_differences_do():
    pairs = {seed: {"fnr_gap": (0.5, after), "fnr_signed_gap": (0.5, after)} for seed, after in enumerate((0.1, 0.6))}
    found = comparison.over_seeds(pairs, ["fnr_gap", "fnr_signed_gap"])
    assert [(of.low, of.high) for of in found] == [(-1, 1), (-2, 2)]


def test_intervals_of_signed_gaps_hold_the_true_difference():
    draws = cells_of(np.random.default_rng(4), [150, 80], [0.4, 0.2], [0.25, 0.22], 1000)
    found = [comparison.of_largest("fnr_signed_gap", of, comparison.ONE_LESS_OTHER, 0.95) for of in draws]
    true = (0.22 - 0.25) - (0.2 - 0.4)
    held = np.mean([of.low <= true <= of.high for of in found])
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1000) < held < 0.99
