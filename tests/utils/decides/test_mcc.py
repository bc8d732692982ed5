import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from utils.decides.mcc import mcc
from utils.decides.threshold import logit
from utils.types import Batch

GRID = np.arange(101) / 100
# many ties, logits on the very thresholds, and far beyond them
LOGITS = st.one_of(
    st.floats(-6, 6, width=32), st.integers(0, 100).map(lambda i: logit(i / 100)), st.sampled_from([0.0, 1e30, -1e30])
)
ROWS = st.lists(st.tuples(LOGITS, st.integers(0, 1)), min_size=1, max_size=25)


def batch(y: list[int]) -> Batch:
    n = len(y)
    return Batch(torch.zeros(n, 1), torch.tensor(y), torch.zeros(n).long(), torch.ones(n), torch.arange(n))


def correlation(y, labels) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a single class
        return float(matthews_corrcoef(y, labels))


def brute_force(z: torch.Tensor, y: list[int]) -> np.ndarray:
    """scikit-learn's correlation at each of the 101 thresholds, computed once for equal labels."""
    labels = np.array([z.double().numpy()[:, 0] >= logit(t) for t in GRID])
    distinct, which = np.unique(labels, axis=0, return_inverse=True)
    return np.array([correlation(y, row) for row in distinct])[which.reshape(-1)]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([torch.float32, torch.float64]))
def test_the_threshold_is_the_lowest_of_the_best_by_brute_force(rows, dtype):
    z, y = torch.tensor([[score] for score, _ in rows], dtype=dtype), [label for _, label in rows]
    every = brute_force(z, y)
    best = np.flatnonzero(every >= every.max() - 1e-12)[0]
    assert mcc(z, batch(y), levels=101).probability == GRID[best]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_deciding_with_the_threshold_gives_the_correlation_that_selection_saw(rows):
    z, y = torch.tensor([[score] for score, _ in rows], dtype=torch.float32), [label for _, label in rows]
    labels = mcc(z, batch(y), levels=101)(z, batch(y).s)
    assert correlation(y, labels.numpy()) == pytest.approx(brute_force(z, y).max(), abs=1e-12)


def test_separable_scores_take_the_lowest_separating_threshold():
    z = torch.tensor([[logit(0.2)], [logit(0.4)], [logit(0.9)]], dtype=torch.float64)
    assert mcc(z, batch([0, 0, 1]), levels=101).probability == 0.41


def test_weights_of_rows_change_nothing():
    rows = batch([0, 1, 0, 1])
    z = torch.tensor([[-1.0], [-0.5], [0.5], [1.5]])
    heavy = rows._replace(w=torch.tensor([9.0, 0.0, 0.0, 5.0]))
    assert mcc(z, heavy, levels=101) == mcc(z, rows, levels=101)


def test_a_constant_score_has_no_correlation_and_takes_the_lowest_threshold():
    assert mcc(torch.zeros(4, 1), batch([0, 1, 0, 1]), levels=101).probability == 0


def test_two_levels_are_0_and_1():
    z = torch.tensor([[-1.0], [float("inf")]])
    assert mcc(z, batch([0, 1]), levels=2).probability == 1


def test_large_counts_do_not_overflow():
    n = 200_000  # the product of the four margins is beyond 64 bits
    z = torch.linspace(-2, 2, n)[:, None]
    assert mcc(z, batch((z[:, 0] > 0).long().tolist()), levels=101).probability == pytest.approx(0.5, abs=0.011)


def test_three_logits_are_refused():
    with pytest.raises(ValueError, match="decide=fixed"):
        mcc(torch.zeros(2, 3), batch([0, 1]), levels=101)


def test_nan_logits_are_refused():
    with pytest.raises(ValueError, match="1 of 2 logits are nan"):
        mcc(torch.tensor([[0.0], [float("nan")]]), batch([0, 1]), levels=101)


def test_a_single_level_is_refused():
    with pytest.raises(ValueError, match="levels=1"):
        mcc(torch.zeros(2, 1), batch([0, 1]), levels=1)
