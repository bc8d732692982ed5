"""Linear equations by least squares."""

from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LinearRegression

from tests.conftest import FITTED
from utils.scms.counterfactual import twins
from utils.scms.linear import linear

SETTINGS = FITTED | {"seed": 0}


def test_the_noise_is_the_residual_of_ordinary_least_squares(dataset):
    """Oracle: scikit-learn, fitted to the training rows in double precision."""
    data = dataset("loan")
    model = linear(data, **SETTINGS)
    train, test = data.train.x.double().numpy(), data.test.x.double().numpy()
    names = [c.name for c in data.columns]
    for child, parents in data.parents.items():
        given, i = [names.index(p) for p in parents], names.index(child)
        fit = LinearRegression().fit(train[:, given], train[:, i])
        expected = test[:, i] - fit.predict(test[:, given])
        assert model.to_noise(data.test.x)[:, i].numpy() == pytest.approx(expected, abs=1e-5)


def test_it_finds_the_equations_of_lin(dataset):
    """In standard deviations: x2 = 2 x1 + u2 and x3 = x1 - x2 + u3, sd of lin's columns .5, sqrt 2, 1.5."""
    data = dataset("lin", 20_000)
    effect = torch.diff(twins(linear(data, **SETTINGS), data.test.x), dim=0)[0]
    assert effect[:, 1].numpy() == pytest.approx(2 / 2**0.5, abs=0.03)
    assert effect[:, 2].numpy() == pytest.approx(-1 / 1.5, abs=0.03)


def test_a_constant_parent_is_no_trouble(dataset):
    x = dataset("toy").train.x.clone()
    x[:, 1] = 0.0
    data = replace(dataset("toy"), train=dataset("toy").train._replace(x=x))
    model = linear(data, **SETTINGS)
    assert torch.allclose(model.to_noise(x)[:, 2].mean(), torch.zeros(()), atol=1e-5)


def test_a_graph_without_arrows_leaves_every_column_a_root(dataset):
    data = dataset("imf")
    model = linear(data, **SETTINGS)
    assert torch.equal(model.to_noise(data.test.x), data.test.x)
    assert model.facts == {}


def test_a_data_set_without_a_graph_is_refused(dataset):
    with pytest.raises(ValueError, match=r"scm=linear needs a causal graph.*scm=independent"):
        linear(replace(dataset("toy"), parents=None), **SETTINGS)
