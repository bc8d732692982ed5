"""The multilayer perceptron."""

import numpy as np
import pytest
import torch

from tests import oracles
from utils.models.mlp import MLP


def layers(model):
    found = [m for m in model.layers if isinstance(m, torch.nn.Linear)]
    return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in found]


@pytest.mark.parametrize("hidden", [[5], [7, 3], [100, 100]])
def test_it_is_the_formula_row_by_row(hidden):
    model, x = MLP(4, 1, hidden=hidden, activation="tanh"), torch.randn(6, 4)
    expected = [oracles.mlp_logit(layers(model), row) for row in x.double().numpy()]
    assert model(x)[:, 0].detach().numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_it_has_the_widths_it_is_given():
    shapes = [tuple(p.shape) for p in MLP(6, 3, hidden=[10, 20], activation="relu").parameters()]
    assert shapes == [(10, 6), (10,), (20, 10), (20,), (3, 20), (3,)]


def test_leading_dimensions_are_kept():
    model, x = MLP(4, 2, hidden=[5], activation="gelu"), torch.randn(3, 5, 4)
    assert model(x).shape == (3, 5, 2)
    assert torch.allclose(model(x)[1], model(x[1]), atol=1e-6)


def test_another_activation_is_refused():
    with pytest.raises(ValueError, match="model.activation='swish' is not known; choose one of"):
        MLP(4, 1, hidden=[5], activation="swish")


@pytest.mark.parametrize("hidden", [[], [0], [5, -1]])
def test_widths_that_are_none_are_refused(hidden):
    with pytest.raises(ValueError, match="must list at least one positive width; or use model=logistic"):
        MLP(4, 1, hidden=hidden, activation="tanh")
