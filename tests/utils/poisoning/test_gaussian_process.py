"""The posterior beside scikit-learn's GaussianProcessRegressor, derivatives beside differences."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from utils.poisoning import gaussian_process
from utils.poisoning.gaussian_process import Shape, condition, fit_shape

OWNER = torch.tensor([0, 1, 2, 2])
SHAPE = Shape(torch.tensor([4.0, 0.5, 2.0, 2.0], dtype=torch.float64), 1.7, 0.05)


@pytest.fixture
def told():
    source = torch.Generator().manual_seed(0)
    x = torch.rand(40, 4, generator=source, dtype=torch.float64)
    noise = torch.randn(40, generator=source, dtype=torch.float64)
    return x, torch.sin(5 * x[:, 0]) + 0.2 * noise


@pytest.fixture
def theirs(told):
    kernel = ConstantKernel(1.7) * Matern(SHAPE.weights.rsqrt().numpy(), nu=2.5)
    return GaussianProcessRegressor(kernel, alpha=SHAPE.noise, optimizer=None).fit(*(part.numpy() for part in told))


def test_the_posterior_is_that_of_scikit_learn(told, theirs):
    at = torch.rand(50, 4, dtype=torch.float64)
    found = condition(SHAPE, *told, at[:0]).predict(at)
    for own, their in zip(found, theirs.predict(at.numpy(), return_std=True), strict=True):
        assert own.numpy() == pytest.approx(their, abs=1e-9)


def test_points_under_way_leave_means_and_are_known_as_if_the_means_were_told(told, theirs):
    at = torch.rand(50, 4, dtype=torch.float64)
    found, before = condition(SHAPE, *told, at[:3]), condition(SHAPE, *told, at[:0])
    expected = before.predict(at)[0]
    both = np.concatenate([told[0], at[:3]]), np.concatenate([told[1], expected[:3]])
    mean, sd = theirs.fit(*both).predict(at.numpy(), return_std=True)
    assert found.predict(at)[0].numpy() == pytest.approx(expected.numpy(), abs=1e-9)
    assert found.predict(at)[0].numpy() == pytest.approx(mean, abs=1e-9)
    assert found.predict(at)[1].numpy() == pytest.approx(sd, abs=1e-9)


def test_slopes_of_the_density_are_its_differences(told):
    raw = torch.tensor([0.5, -0.3, 0.2, 0.1, -2.0], dtype=torch.float64)
    _, slopes = gaussian_process._loss(raw, *told, OWNER)
    for i, step in enumerate(1e-5 * torch.eye(5, dtype=torch.float64)):
        above, below = (gaussian_process._loss(raw + sign * step, *told, OWNER)[0] for sign in (1, -1))
        assert float(slopes[i]) == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_the_density_of_what_is_told_is_that_of_scikit_learn(told, theirs):
    """But for the priors, and for the constant."""
    raw = torch.tensor([*SHAPE.weights[:3].log(), np.log(SHAPE.scale), np.log(SHAPE.noise)], dtype=torch.float64)
    value, _ = gaussian_process._loss(raw, *told, OWNER)
    prior, _ = gaussian_process._prior(raw.exp())
    constant = len(told[1]) / 2 * np.log(2 * np.pi)
    assert value + float(prior) + constant == pytest.approx(-theirs.log_marginal_likelihood_value_)


def test_a_fit_finds_which_column_matters_and_how_much_is_noise(told):
    x, y = told
    shape = fit_shape(x, (y - y.mean()) / y.std(correction=0), OWNER)
    assert shape.weights[0] > 10 * shape.weights[1:].max()
    assert shape.weights[2] == shape.weights[3]
    assert shape.noise * float(y.var()) == pytest.approx(0.04, abs=0.03)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e3])
def test_a_fit_survives_what_is_told_twice_without_noise_or_is_noise_alone(noise):
    x = torch.rand(20, 2, dtype=torch.float64).repeat(2, 1)
    y = x[:, 0] + noise * torch.randn(40, dtype=torch.float64)
    shape = fit_shape(x, (y - y.mean()) / y.std(), torch.arange(2))
    assert all(np.isfinite([*shape.weights, shape.scale, shape.noise]))
