from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from utils.decides.threshold import Threshold
from utils.metrics.classification import auc, classification
from utils.metrics.intervals import Spread
from utils.types import SCM, Batch, Context

ROWS = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=2, max_size=40)


def context(probability: float = 0.5, seed: int = 0) -> Context:
    unused = cast(Any, None)
    return Context(cast(SCM, None), (), unused, unused, Threshold(probability), seed, torch.Generator())


def batch(logits: np.ndarray, y: np.ndarray) -> Batch:
    """Rows whose features are the logits, (n, k), for the model that answers its input."""
    n = len(y)
    return Batch(torch.tensor(logits), torch.tensor(y), torch.zeros(n).long(), torch.ones(n), torch.arange(n))


def evaluate(logits: np.ndarray, y: np.ndarray, **options: Any) -> dict[str, float | None]:
    ctx = context(options.pop("probability", 0.5), options.pop("seed", 0))
    return classification(lambda x: x, batch(logits, y), ctx, **{"intervals": 20, "level": 0.95, **options})


def sample(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    return (y + rng.normal(size=n) - 0.5)[:, None], y


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_two_class_figures_are_those_of_scikit_learn(rows):
    z, y = np.array(rows, dtype=np.int64).T
    assume(0 < y.sum() < len(y))
    labels = z >= 0
    found = evaluate(z[:, None].astype(np.float64), y)
    expected = {
        "accuracy": oracle.accuracy_score(y, labels),
        "balanced_accuracy": oracle.balanced_accuracy_score(y, labels),
        "worst_class_accuracy": oracle.recall_score(y, labels, average=None, labels=[0, 1]).min(),
        "mcc": oracle.matthews_corrcoef(y, labels),
        "auc": oracle.roc_auc_score(y, z),
        "prevalence": y.mean(),
        "acceptance_rate": labels.mean(),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_three_class_figures_are_those_of_scikit_learn(rows):
    y, labels = np.array(rows, dtype=np.int64).T
    assume(len(set(y.tolist())) == 3)
    found = evaluate(np.eye(3)[labels], y)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(y, labels))
    assert found["balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(y, labels))
    assert found["worst_class_accuracy"] == pytest.approx(oracle.recall_score(y, labels, average=None).min())
    assert found["mcc"] == pytest.approx(oracle.matthews_corrcoef(y, labels), abs=1e-12)


def test_three_classes_have_no_area_under_the_curve():
    found = evaluate(np.eye(3), np.arange(3))
    assert (found["auc"], found["prevalence"], found["acceptance_rate"]) == (None, None, None)


def test_labels_come_from_the_threshold_of_the_context():
    assert evaluate(np.zeros((2, 1)), np.array([1, 1]), probability=0.6)["acceptance_rate"] == 0


def test_one_class_alone_leaves_what_needs_both_undefined():
    found = evaluate(np.array([[1.0], [-1.0]]), np.array([1, 1]))
    undefined = {key for key, value in found.items() if value is None}
    both = ("balanced_accuracy", "worst_class_accuracy", "mcc", "auc")
    assert undefined == {key + end for key in both for end in ("", "_low", "_high")}


def test_constant_labels_have_zero_correlation_as_in_scikit_learn():
    assert evaluate(np.ones((4, 1)), np.array([0, 1, 0, 1]))["mcc"] == 0


def test_no_rows_leave_everything_undefined():
    assert set(evaluate(np.zeros((0, 1)), np.zeros(0, dtype=np.int64)).values()) == {None}


def test_a_model_that_answers_nan_is_refused():
    with pytest.raises(ValueError, match="nan on 1 of 2 rows"):
        evaluate(np.array([[np.nan], [0.0]]), np.array([0, 1]))


@pytest.mark.parametrize("key", ["balanced_accuracy", "mcc", "auc"])
def test_intervals_are_those_of_an_explicit_bootstrap_over_rows(key):
    """Oracle: rows resampled one draw at a time, each figure by scikit-learn; for the area this checks DeLong."""
    z, y = sample()
    rng = np.random.default_rng(1)
    score = {
        "balanced_accuracy": lambda rows: oracle.balanced_accuracy_score(y[rows], z[rows, 0] >= 0),
        "mcc": lambda rows: oracle.matthews_corrcoef(y[rows], z[rows, 0] >= 0),
        "auc": lambda rows: oracle.roc_auc_score(y[rows], z[rows, 0]),
    }[key]
    draws = [score(rng.integers(len(y), size=len(y))) for _ in range(400)]
    found = evaluate(z, y, intervals=4000, level=0.9)
    assert [found[f"{key}_low"], found[f"{key}_high"]] == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=0.012)


def test_delong_covers_the_true_area_as_often_as_it_says():
    """Scores N(1, 1) against N(0, 1) have the area Phi(1 / sqrt 2)."""
    truth, rng = 0.7602499389065233, np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 40])
    spreads = [auc(y + rng.normal(size=100), y, 0.9)[1] for _ in range(1000)]
    assert np.mean([of.low < truth < of.high for of in spreads]) == pytest.approx(0.9, abs=0.03)


def test_the_interval_of_an_area_from_a_single_positive_is_undefined():
    assert auc(np.array([0.0, 1.0, 2.0]), np.array([0, 0, 1]), 0.95) == (1.0, Spread(None, None, None))


def test_classes_apart_do_not_tell_how_far_chance_moves_what_is_no_share():
    found = evaluate(np.repeat([[-1.0], [1.0]], 40, axis=0), np.repeat([0, 1], 40))
    for key in ("auc", "balanced_accuracy", "mcc"):
        assert (found[key], found[f"{key}_low"], found[f"{key}_high"]) == (1, None, None)
    assert (found["accuracy_low"], found["accuracy_high"]) == (pytest.approx(0.025 ** (1 / 80), abs=1e-6), 1)
    assert found.deviations == {}


def test_what_the_intervals_rest_on_is_handed_out():
    z, y = sample()
    found, labels = evaluate(z, y), z[:, 0] >= 0
    recalls = {f"accuracy_class_{i}": (int((labels == i)[y == i].sum()), int((y == i).sum())) for i in (0, 1)}
    rates = {"accuracy": (labels == y).sum(), "prevalence": y.sum(), "acceptance_rate": labels.sum()}
    assert found.shares == {key: (int(part), len(y)) for key, part in rates.items()} | recalls
    assert found.deviations.keys() == {"balanced_accuracy", "mcc", "auc"}


def test_the_seed_of_the_context_fixes_the_intervals():
    z, y = sample()
    assert evaluate(z, y) == evaluate(z, y)
    assert evaluate(z, y)["mcc_low"] != evaluate(z, y, seed=1)["mcc_low"]


def test_no_draws_leave_out_what_needs_them():
    found = evaluate(*sample(), intervals=0)
    assert (found["mcc_low"], found["balanced_accuracy_low"]) == (None, None)
    assert None not in (found["accuracy_low"], found["auc_low"])
