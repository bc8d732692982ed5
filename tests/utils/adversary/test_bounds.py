"""Bounds of networks over boxes: no point beyond them, exact where theory is, and none where nothing is known."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tests.conftest import FITTED
from utils.adversary.bounds import bounds_over, box, counterfactuals, has_bounds
from utils.models.logistic import Logistic
from utils.models.mlp import ACTIVATIONS, MLP
from utils.scms.linear import linear

EVERY = sorted(ACTIVATIONS)


def network(activation="tanh", *, hidden=(16, 16), seed=0, gain=1.0, outputs=1):
    torch.manual_seed(seed)
    model = MLP(3, outputs, hidden=hidden, activation=activation).requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(gain)
    return model


def boxes(seed, size, middle=1.0, rows=6):
    generator = torch.Generator().manual_seed(seed)
    centre = middle * torch.randn(rows, 3, generator=generator)
    return centre, size * torch.rand(rows, 3, generator=generator)


def within(centre, half, seed=0):
    """Random points of each box, its corners and its centre, (samples, rows, d)."""
    inside = 2 * torch.rand(100, *centre.shape, generator=torch.Generator().manual_seed(seed)) - 1
    corners = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3))).unsqueeze(1).expand(-1, len(centre), -1)
    return centre + half * torch.cat([inside, corners]).to(centre)


def output_bounds(model, centre, half):
    return bounds_over(model, box(centre, half))


def assert_hold(bounds, outputs):
    lower, upper = bounds
    assert (lower <= outputs).all()
    assert (outputs <= upper).all()


# Soundness


@pytest.mark.parametrize("activation", EVERY)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    size=st.sampled_from([0.0, 1e-6, 1e-3, 0.05, 0.5, 5.0, 100.0]),
    middle=st.sampled_from([0.0, 1.0, 30.0]),
    gain=st.sampled_from([0.3, 1.0, 4.0]),
)
def test_no_point_of_a_box_lies_beyond_its_bounds(activation, seed, hidden, size, middle, gain):
    model = network(activation, hidden=hidden, seed=seed, gain=gain, outputs=2)
    centre, half = boxes(seed, size, middle)
    assert_hold(output_bounds(model, centre, half), model(within(centre, half, seed)))


@pytest.mark.parametrize("activation", EVERY)
def test_one_neuron_is_bounded_wherever_its_curve_bends(activation):
    """All z of each interval, the middles on a grid; the bound is that of act(z) alone."""
    model = nn.Sequential(nn.Identity(), ACTIVATIONS[activation]())[1:]
    centre = torch.linspace(-25, 25, 1001).unsqueeze(1)
    for size in (0.01, 0.3, 2.0, 20.0):
        points = centre + size * torch.linspace(-1, 1, 401).reshape(-1, 1, 1)
        assert_hold(output_bounds(model, centre, torch.full_like(centre, size)), model(points))


@pytest.mark.parametrize("activation", EVERY)
def test_rounding_is_within_the_bounds(activation):
    """Single precision against double, on points: the box has no width, so all that is left is rounding."""
    model = network(activation, hidden=[200, 200], gain=3.0)
    centre, half = boxes(0, 0.0, middle=10.0, rows=200)
    bounds = output_bounds(model, centre, half)
    exact = model.double()(centre.double())
    assert_hold([bound.double() for bound in bounds], exact)
    assert (bounds[1] - bounds[0]).max() < 0.02 * exact.abs().max()


def test_an_undefined_box_has_no_defined_bounds():
    lower, upper = output_bounds(network(), torch.zeros(2, 3), torch.tensor([[1.0, 1.0, torch.nan]] * 2))
    assert not (lower >= 0).any()
    assert not (upper < 0).any()


def test_an_infinite_box_proves_nothing():
    lower, upper = output_bounds(network(), torch.zeros(2, 3), torch.full((2, 3), torch.inf))
    assert not (lower >= 0).any()
    assert not (upper < 0).any()


# Tightness


@pytest.mark.parametrize("model", [Logistic(3, 2), nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2, bias=False))])
def test_a_linear_network_has_its_exact_range(model):
    """Half the range is norm1(w * half), the dual norm of the box."""
    model = model.double().requires_grad_(False)
    centre, half = (part.double() for part in boxes(0, 2.0))
    slope = model(torch.eye(3).double()) - model(torch.zeros(3).double())
    lower, upper = output_bounds(model, centre, half)
    assert torch.allclose((upper + lower) / 2, model(centre), atol=1e-12)
    assert torch.allclose((upper - lower) / 2, half @ slope.abs(), atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "softplus"])
def test_what_is_left_beside_the_gradient_shrinks_with_the_square_of_the_box(activation):
    """Half the range less norm1(gradient * half), the gradient by autograd; a tenth of the box leaves a hundredth."""
    model = network(activation).double()
    centre, half = (part.double() for part in boxes(0, 1e-2))
    gradient = torch.func.vmap(torch.func.grad(lambda x: model(x)[0]))(centre)

    def left(scale):
        lower, upper = output_bounds(model, centre, scale * half)
        return (upper - lower).squeeze(-1) / 2 - (gradient * scale * half).abs().sum(-1)

    assert (left(0.1) < 0.012 * left(1.0)).all()
    assert (left(0.1) > 0).all()


def test_a_kink_out_of_reach_leaves_the_linear_range():
    model = nn.Sequential(nn.ReLU())
    lower, upper = output_bounds(model, torch.tensor([[2.0, -2.0, 0.5]]), torch.tensor([[1.0, 1.0, 1.0]]))
    assert torch.allclose(lower, torch.tensor([[1.0, 0.0, -0.375]]), atol=1e-5)  # chord of slope .75, .375 above
    assert torch.allclose(upper, torch.tensor([[3.0, 0.0, 1.5]]), atol=1e-5)


# What is not known


class Negated(MLP):
    """The same child, another function."""

    def forward(self, x):
        return -self.layers(x)


def hooked():
    model = network()
    model.layers[0].register_forward_hook(lambda module, x, y: -y)
    return model


@pytest.mark.parametrize(
    "predict",
    [
        lambda x: x,
        network().forward,
        Negated(3, 1, hidden=[4], activation="tanh"),
        hooked(),
        weight_norm(nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(3, 3), nn.GELU(approximate="tanh")),
        nn.Sequential(nn.Linear(3, 3), nn.Softplus(beta=2)),
        nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)),
        nn.ModuleList([nn.Linear(3, 3)]),
    ],
    ids=lambda p: type(p).__name__,
)
def test_no_bound_is_given_of_what_may_be_another_function(predict):
    assert not has_bounds(predict)


# Counterfactuals


def corners_of_noise(scm, radius):
    """Two opposite corners of a box of shifts, where neighbours move against each other, and all of its corners."""
    shift = radius * scm.unit
    against = shift * (-1.0) ** torch.arange(len(shift))
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=len(shift))))
    return torch.stack([-against, against]), signs * shift


def of_counterfactuals(scm, x, predict, shifts):
    """Bounds under every level and a function that gives the logits (samples, p, 1) under other shifts."""
    noise = scm.to_noise(scm.own(x)).repeat(len(scm.levels), 1)
    do = {column: scm.levels[:, j].repeat_interleave(len(x)) for j, column in enumerate(scm.sensitive)}
    held = counterfactuals(scm, noise, shifts, do)
    assert torch.equal(held.row, torch.arange(len(noise))), "no level is left open"
    bounds = bounds_over(predict, held.features)
    return bounds, lambda other: predict(scm.model(scm.to_features(noise + other.unsqueeze(1), do)))


@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan", "linear", "learned", "threshold"])
def test_no_shifted_counterfactual_lies_beyond_the_bounds(dataset, scm, name, radius):
    data = dataset(name if name in ("lin", "nlm", "imf", "loan") else "toy")
    model = MLP(len(data.columns), 1, hidden=[16, 16], activation="tanh").requires_grad_(False)
    shifts = radius * scm(name).unit * (2 * torch.rand(300, len(data.columns)) - 1)
    bounds, logits = of_counterfactuals(scm(name), data.test.x, model, shifts)
    assert_hold(bounds, logits(shifts))


def rescaled(scm):
    """The same equations in front of another model space."""
    return replace(scm, loc=scm.loc + 0.3, scale=scm.scale * torch.linspace(1.0, 0.02, len(scm.scale)))


@pytest.mark.parametrize("radius", [0.5, 3.0])
@pytest.mark.parametrize("units", [rescaled, lambda scm: scm], ids=["rescaled", "its own"])
@pytest.mark.parametrize("name", ["linear", "learned", "loan", "threshold"])
def test_of_a_fitted_scm_the_whole_box_of_noise_is_bounded(dataset, scm, name, units, radius):
    """Corners that are not among the shifts: the equations are bounded, not sampled. Age is a root of loan."""
    data = dataset("loan" if name == "loan" else "toy")
    fitted = units(linear(data, seed=0, **FITTED) if name == "loan" else scm(name))
    two, every = corners_of_noise(fitted, radius)
    model = nn.Sequential(nn.Linear(len(data.columns), 1)).requires_grad_(False)
    bounds, logits = of_counterfactuals(fitted, fitted.model(data.test.x), model, two)
    assert_hold(bounds, logits(every))


def test_of_linear_equations_and_a_linear_network_the_range_is_exact(dataset, scm):
    causal = rescaled(scm("linear"))
    two, every = corners_of_noise(causal, 0.5)
    model = Logistic(3, 1).requires_grad_(False)
    (lower, upper), logits = of_counterfactuals(causal, causal.model(dataset("toy").test.x), model, two)
    assert torch.allclose(lower, logits(every).amin(0), atol=1e-3)
    assert torch.allclose(upper, logits(every).amax(0), atol=1e-3)
