"""The ranker of training rows against log-odds that are known."""

import numpy as np
import pytest
import torch

from utils.datasets.ranking import rank
from utils.types import Batch


def test_scores_order_rows_as_the_true_log_odds_do():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(4000, 3))).float()
    logit = x @ torch.tensor([2.0, -1.0, 0.0])
    y = torch.from_numpy(rng.random(4000)) < torch.sigmoid(logit.double())
    rows = Batch(x, y.long(), torch.zeros(4000, dtype=torch.long), torch.ones(4000), torch.arange(4000))
    assert np.corrcoef(rank(rows, "massage").numpy(), logit.numpy())[0, 1] > 0.99


def test_weights_count():
    x = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    rows = Batch(x, torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.long), torch.ones(4), torch.arange(4))
    alike = rank(rows, "massage").tolist()
    assert alike[2] == pytest.approx(alike[0], abs=1e-6)
    heavy = rank(rows._replace(w=torch.tensor([1.0, 1.0, 1.0, 9.0])), "massage")
    assert heavy[2] > heavy[0]
