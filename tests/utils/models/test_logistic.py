"""Logistic regression."""

import torch

from utils.models.logistic import Logistic


def test_its_logit_is_linear_in_the_columns():
    model, x = Logistic(3, 1), torch.randn(5, 3)
    assert torch.allclose(model(x), x @ model.linear.weight.T + model.linear.bias, atol=1e-6)


def test_leading_dimensions_are_kept():
    assert Logistic(3, 4)(torch.zeros(2, 5, 3)).shape == (2, 5, 4)
