"""Bounds by Lipschitz constants: no point of a domain lies beyond them, and they are no looser than the norms are."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.soundness import KINDS, domain, moving, points
from utils.adversary.norm_bounds import bounds_near, spectral_norm
from utils.adversary.taylor import Domain, Taylor
from utils.models.mlp import MLP
from utils.views.stack import Stack


def made(kind, size, seed):
    """Features (40, 4) in domains of single precision, and points of these in double."""
    of = domain(kind, size, k=3, p=40, seed=seed)
    numbers, at = moving(of, 4, seed=seed, rest=0.1 * size)
    return numbers, at(points(of))


def network(layers, seed, gain=1.0):
    torch.manual_seed(seed)
    model = layers().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(gain)
    return model


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "sigmoid"])
@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    size=st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 3.0]),
    gain=st.sampled_from([0.1, 1.0, 5.0]),
    seed=st.integers(0, 10**6),
)
def test_no_point_of_a_domain_lies_beyond_the_bounds(activation, kind, size, gain, seed):
    """Points in double precision, bounds in single."""
    bend = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}[activation]
    model = network(
        lambda: nn.Sequential(nn.Linear(4, 9), bend(), nn.Linear(9, 7), bend(), nn.Linear(7, 2)), seed, gain
    )
    features, x = made(kind, size, seed)
    low, high = bounds_near(model, features)
    found = copy.deepcopy(model).double()(x)
    assert ((low.double() <= found) & (found <= high.double())).all()


def test_rounding_is_within_the_bounds():
    """Of features that do not move and large weights: single precision against double."""
    model = network(lambda: MLP(4, 1, hidden=[300, 300], activation="tanh"), 0, gain=30.0)
    features, x = made("ball", 0.0, 1)
    low, high = bounds_near(model, features)
    exact, computed = copy.deepcopy(model).double()(x), model(x.float()).double()
    assert ((low <= exact) & (exact <= high) & (low <= computed) & (computed <= high)).all()
    assert (computed != exact).any()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 30),
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    seed=st.integers(0, 999),
)
def test_the_norm_is_an_upper_bound_as_narrow_as_stated(rows, columns, scale, seed):
    matrix = scale * torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(seed))
    exact = torch.linalg.matrix_norm(matrix.double(), 2)
    found = spectral_norm(matrix).double()
    assert (found >= exact).all()
    assert (found <= 1.002 * exact * min(rows, columns) ** (1 / 32)).all()


@pytest.mark.parametrize("size", [300, 1000])
def test_the_norm_of_a_large_rotation_does_not_vanish(size):
    """All its singular values are 1."""
    matrix = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(0)))[0]
    assert 1 <= spectral_norm(matrix) <= 1.002 * size ** (1 / 32)


def test_a_matrix_of_zeros_has_no_norm():
    assert spectral_norm(torch.zeros(3, 4)) < 1e-15


def test_of_one_linear_layer_a_ball_has_its_exact_range():
    """The norm of the weights times the radius."""
    model, radius = nn.Linear(5, 1).requires_grad_(False), torch.full((8,), 0.3)
    half = radius.expand(5, -1)
    x = torch.randn(8, 5)
    slope = torch.eye(5).unsqueeze(1).expand(-1, 8, -1)
    features = Taylor(x, slope, torch.zeros_like(x), Domain(torch.zeros_like(half), half, radius, whole=True))
    low, high = bounds_near(model, features)
    expected = 2 * 0.3 * model.weight.norm() * 5 ** (1 / 32)
    assert torch.allclose(high - low, expected.expand(8, 1), rtol=3e-3)


def test_models_of_a_stack_have_the_bounds_of_each():
    models = [network(lambda: MLP(4, 1, hidden=[8, 8], activation="tanh"), seed) for seed in (0, 1)]
    each = [made("ball", 0.2, seed)[0] for seed in (0, 1)]
    value, rest, radius = (
        torch.stack([of(a) for a in each]) for of in (lambda a: a.value, lambda a: a.rest, lambda a: a.domain.radius)
    )
    slope, centre, half = (
        torch.stack([of(a) for a in each], 1)
        for of in (lambda a: a.slope, lambda a: a.domain.centre, lambda a: a.domain.half)
    )
    found = bounds_near(Stack(models), Taylor(value, slope, rest, Domain(centre, half, radius, whole=True)))
    for i, (model, features) in enumerate(zip(models, each, strict=True)):
        for end, own in zip(found, bounds_near(model, features), strict=True):
            assert torch.allclose(end[i], own, atol=1e-5)


def test_columns_that_are_read_several_times_move_the_model_as_often():
    """Twelve weights of 1 on three times four columns: along (1, 1, 1, 1) the sum changes by 3 * 2 * radius."""
    layer, radius = nn.Linear(12, 1).requires_grad_(False), torch.full((1,), 0.01)
    layer.weight.fill_(1.0)
    half, x = radius.expand(4, -1), torch.zeros(1, 4)
    slope = torch.eye(4).unsqueeze(1)
    features = Taylor(x, slope, torch.zeros_like(x), Domain(torch.zeros_like(half), half, radius, whole=True))
    low, high = bounds_near(lambda x: layer(x[..., [0, 1, 2, 3] * 3]), features)
    assert high >= layer.bias + 3 * 2 * 0.01
    assert low <= layer.bias - 3 * 2 * 0.01
    once = bounds_near(lambda x: x[..., [2, 0]], features)
    assert torch.allclose(once[1], torch.full((1, 2), 0.01), rtol=0.2)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: x[..., 0],
        lambda x: x[..., None],
        nn.Softplus(),
        nn.GELU(approximate="tanh"),
        lambda x: x * 2,
        lambda x: x.value_of_nothing,
        lambda x: torch.ones(3),
    ],
)
def test_without_a_rule_there_are_no_bounds(model):
    assert bounds_near(model, made("ball", 0.1, 0)[0]) is None


def test_where_nothing_moves_the_norm_is_that_of_no_column():
    found = spectral_norm(torch.ones(4, 3, 0))
    assert found.shape == (4,)
    assert (found >= 0).all()
    assert (found < 1e-15).all()
