from functools import partial
from typing import Any, cast

import numpy as np
import pytest
import torch
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    equalized_odds_difference,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_score

from utils.decides.threshold import Threshold
from utils.metrics.confusion import RATES as SIGNED
from utils.metrics.group import group
from utils.metrics.intervals import Measured, at_level
from utils.types import SCM, Batch, Context

RATES = {
    "accuracy": accuracy_score,
    "fnr": false_negative_rate,
    "fpr": false_positive_rate,
    "tpr": true_positive_rate,
    "ppv": partial(precision_score, zero_division=np.nan),
    "acceptance_rate": selection_rate,
    "prevalence": lambda y_true, _: np.mean(y_true),
}
GAPS = ["demographic_parity_difference", "equalized_odds_difference", "fnr_gap", "fpr_gap", "accuracy_gap"]
ALL_GAPS = [*GAPS, "tpr_gap", "ppv_gap", "prevalence_gap"]
ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=40)
# every group has both classes, so that fairlearn, which says 0 where a rate is undefined, can be compared
FULL = [(y, y, s) for y in (0, 1) for s in range(3)]


def context(levels: int, seed: int = 0) -> Context:
    unused = cast(Any, None)
    return Context(cast(SCM, None), (), unused, unused, Threshold(0.5), seed, torch.Generator(), groups=levels)


def evaluate(
    y: Any, labels: Any, s: Any, *, groups: int = 3, seed: int = 0, classes: int = 2, **options: Any
) -> Measured:
    y, labels, s = (torch.as_tensor(np.asarray(column, dtype=np.int64)) for column in (y, labels, s))
    logits = labels[:, None] - 0.5 if classes == 2 else torch.nn.functional.one_hot(labels, classes).double()
    batch = Batch(logits, y, s, torch.ones(len(y)), torch.arange(len(y)))
    options = {"groups_min": 1, "intervals": 20, "level": 0.95, **options}
    return Measured(cast(Any, group(lambda x: x, batch, context(groups, seed), **options)))


def biased(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, labels and groups where group 1 is accepted less."""
    rng = np.random.default_rng(seed)
    s, y = rng.integers(2, size=n), rng.integers(2, size=n)
    return y, (rng.random(n) < 0.2 + 0.5 * y - 0.15 * s).astype(np.int64), s


@settings(max_examples=10, deadline=None)
@given(ROWS)
def test_gaps_are_those_of_fairlearn(rows):
    y, labels, s = np.array(rows + FULL).T
    frame = MetricFrame(metrics=RATES, y_true=y, y_pred=labels, sensitive_features=s)
    expected = {
        **{f"{rate}_gap": gap for rate, gap in frame.difference().items() if rate != "acceptance_rate"},
        "demographic_parity_difference": demographic_parity_difference(y, labels, sensitive_features=s),
        "equalized_odds_difference": equalized_odds_difference(y, labels, sensitive_features=s),
    }
    found = evaluate(y, labels, s)
    assert {key: found[key] for key in ALL_GAPS} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(ROWS)
def test_rates_per_group_are_those_of_fairlearn(rows):
    y, labels, s = np.array(rows + FULL).T
    frame = MetricFrame(metrics=RATES | {"support": count}, y_true=y, y_pred=labels, sensitive_features=s).by_group
    found = evaluate(y, labels, s)
    for name in frame.columns:
        assert [found[f"{name}_group{i}"] for i in range(3)] == pytest.approx(frame[name].tolist())


def test_a_group_without_positives_leaves_what_needs_them_undefined():
    found = evaluate([0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], groups=2)
    assert found["fnr_group1"] is None
    assert [key for key in GAPS if found[key] is None] == ["equalized_odds_difference", "fnr_gap"]


def test_an_undefined_gap_has_undefined_companions():
    found = evaluate([0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], groups=2)
    assert [found["fnr_gap" + end] for end in ("_low", "_high", "_null")] == [None, None, None]


def test_a_declared_group_without_rows_leaves_every_gap_undefined():
    found = evaluate(*biased(), groups=3)
    assert (found["support_group2"], found["accuracy_group2"], found["accuracy_group2_low"]) == (0, None, None)
    assert [found[key] for key in ALL_GAPS] == [None] * 8


def test_data_of_one_group_have_no_figures():
    assert evaluate([0, 1], [0, 1], [0, 0], groups=1) == {}


def test_a_signed_gap_is_the_rate_of_group_1_less_that_of_group_0():
    """By hand, of two rows a class: group 0 loses one positive and accepts one negative, group 1 accepts nobody."""
    y, s = [1, 1, 0, 0] * 2, [0] * 4 + [1] * 4
    found = evaluate(y, [1, 0, 1, 0, 0, 0, 0, 0], s, groups=2)
    gaps = {rate: found[f"{rate}_signed_gap"] for rate in SIGNED}
    expected = {"accuracy": 0, "fnr": 0.5, "fpr": -0.5, "tpr": -0.5, "ppv": None, "acceptance_rate": -0.5}
    assert gaps == expected | {"prevalence": 0}


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_the_gap_of_two_groups_is_the_size_of_the_signed_one(rows):
    y, labels, s = np.array(rows + FULL).T
    found = evaluate(y, labels, s % 2, groups=2)
    for rate in ("fnr", "fpr", "accuracy", "tpr", "ppv", "prevalence"):
        assert found[f"{rate}_gap"] == abs(found[f"{rate}_signed_gap"])


def test_swapping_the_groups_turns_the_sign():
    y, labels, s = biased()
    found, swapped = evaluate(y, labels, s, groups=2), evaluate(y, labels, 1 - s, groups=2)
    assert [found[f"{rate}_signed_gap"] for rate in SIGNED] == [-swapped[f"{rate}_signed_gap"] for rate in SIGNED]


def test_three_groups_have_no_signed_gap():
    assert not [key for key in evaluate(*np.array(FULL).T) if "signed" in key]


def test_a_signed_gap_of_a_small_group_is_undefined():
    found = evaluate(*biased(), groups=2, groups_min=1000)
    assert (found["fnr_signed_gap"], found["fnr_signed_gap_low"]) == (None, None)


def test_the_interval_of_a_signed_gap_lies_on_both_sides_of_zero_where_groups_are_alike():
    """And holds 0 about as often as it says, where that of the unsigned gap does so never but at 0."""
    rng = np.random.default_rng(0)
    samples = [evaluate(*rng.integers(2, size=(3, 200)), groups=2, intervals=200, level=0.9) for _ in range(300)]
    held = np.mean([found["fnr_signed_gap_low"] < 0 < found["fnr_signed_gap_high"] for found in samples])
    assert held == pytest.approx(0.9, abs=0.05)


def test_a_group_below_the_least_support_leaves_gaps_undefined_but_not_rates():
    y, labels, s = np.array([0, 1] * 12), np.array([0, 1] * 12), np.repeat([0, 1], [20, 4])
    found = evaluate(y, labels, s, groups=2, groups_min=5)
    assert found["accuracy_gap"] is None
    assert found["accuracy_group1"] == 1


def test_a_group_of_exactly_the_least_support_counts():
    y, labels, s = np.array([0, 1] * 12), np.array([0, 1] * 12), np.repeat([0, 1], [20, 4])
    assert evaluate(y, labels, s, groups=2, groups_min=4)["accuracy_gap"] == 0


def test_gaps_do_not_depend_on_which_group_is_which():
    y, labels, s = biased()
    found, swapped = evaluate(y, labels, s, groups=2), evaluate(y, labels, 1 - s, groups=2)
    assert {key: found[key] for key in GAPS} == {key: swapped[key] for key in GAPS}


def test_a_classifier_that_accepts_one_group_only_has_the_largest_gap():
    y, s = np.array([0, 1] * 10), np.repeat([0, 1], 10)
    found = evaluate(y, s, s, groups=2)
    assert [found[key] for key in GAPS] == [1, 1, 1, 1, 0]


def test_intervals_of_rates_are_exact_ones_by_scipy():
    y, labels, s = biased()
    own = s == 1
    found = evaluate(y, labels, s, groups=2, level=0.9)
    rows = {
        "tpr": labels[own & (y == 1)] == 1,
        "fpr": labels[own & (y == 0)] == 1,
        "ppv": y[own & (labels == 1)] == 1,
        "prevalence": y[own] == 1,
    }
    for rate, right in rows.items():
        key, ends = f"{rate}_group1", binomtest(int(right.sum()), len(right)).proportion_ci(0.9, method="exact")
        assert found.shares[key] == (right.sum(), len(right))
        assert (found[f"{key}_low"], found[f"{key}_high"]) == pytest.approx((ends.low, ends.high), abs=1e-6)


def explicit(y: np.ndarray, labels: np.ndarray, s: np.ndarray) -> list[float]:
    """The five gaps of two groups from boolean masks, in the order of GAPS."""

    def gap(values: np.ndarray, keep: np.ndarray) -> float:
        return abs(values[keep & (s == 0)].mean() - values[keep & (s == 1)].mean())

    everyone = np.ones(len(y), dtype=bool)
    fnr, fpr = gap(labels == 0, y == 1), gap(labels == 1, y == 0)
    return [gap(labels == 1, everyone), max(fnr, fpr), fnr, fpr, gap(labels == y, everyone)]


def test_intervals_of_gaps_are_those_that_their_rates_give():
    """See ``tests/utils/metrics/test_intervals.py``, also for values from elsewhere."""
    found = evaluate(*biased(), groups=2, level=0.9)
    for key in [*GAPS, "fnr_signed_gap", "ppv_signed_gap"]:
        low, high = at_level(key, found, found.shares, {}, 0.9)
        assert (found[f"{key}_low"], found[f"{key}_high"]) == pytest.approx((low, high), abs=1e-6)


def test_the_null_gap_is_the_mean_gap_of_permuted_groups():
    """Oracle: the group column permuted one draw at a time."""
    y, labels, s = biased(n=120)
    rng = np.random.default_rng(1)
    draws = np.array([explicit(y, labels, rng.permutation(s)) for _ in range(2000)])
    found = evaluate(y, labels, s, groups=2, intervals=4000)
    assert [found[f"{key}_null"] for key in GAPS] == pytest.approx(draws.mean(0), abs=0.006)


def test_where_groups_are_alike_the_gap_is_about_the_null_gap():
    """Averaged over samples in which groups are drawn at random, the two are equal by exchangeability."""
    rng = np.random.default_rng(0)
    samples = [evaluate(*rng.integers(2, size=(3, 100)), groups=2, intervals=100) for _ in range(200)]
    gap, null = (np.mean([found[key] for found in samples]) for key in ("fnr_gap", "fnr_gap_null"))
    assert null == pytest.approx(gap, abs=0.02)


def test_three_classes_have_accuracies_only():
    y = np.arange(60) % 3
    found = evaluate(y, np.where(np.arange(60) < 45, y, 0), np.repeat([0, 1], 30), groups=2, classes=3)
    assert {key.split("_")[0] for key in found} == {"accuracy", "support"}
    assert found["accuracy_gap"] == pytest.approx(1 - 20 / 30)


def test_the_seed_of_the_context_fixes_every_figure():
    assert evaluate(*biased(), groups=2) == evaluate(*biased(), groups=2)
    assert evaluate(*biased(), groups=2)["fnr_gap_null"] != evaluate(*biased(), groups=2, seed=1)["fnr_gap_null"]


def test_a_gap_needs_enough_of_the_rows_that_its_rate_is_of():
    """Group 1 has 40 rows, 4 of class 1 and 10 that are accepted."""
    y = np.concatenate([[0, 1] * 20, [1] * 4, [0] * 36])
    labels, s = np.concatenate([[0, 1] * 20, [1] * 10, [0] * 30]), np.repeat([0, 1], 40)
    found = evaluate(y, labels, s, groups=2, groups_min=5)
    assert [key for key in ALL_GAPS if found[key] is None] == ["equalized_odds_difference", "fnr_gap", "tpr_gap"]
    assert [rate for rate in SIGNED if found[f"{rate}_signed_gap"] is None] == ["fnr", "tpr"]
    assert (found["fnr_gap_null"], found["fnr_signed_gap_low"]) == (None, None)
    assert found["fnr_group1"] == 0
    found = evaluate(y, labels, s, groups=2, groups_min=4)
    assert None not in [found[key] for key in ALL_GAPS]


def test_without_permutations_no_chance_is_said():
    found = evaluate(*biased(), groups=2, intervals=0)
    assert found["fnr_gap"] is not None
    assert found["fnr_gap_null"] is None
