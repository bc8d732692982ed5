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
from tests.soundness import domain, uncovered
from utils.adversary.bounds import (
    Twins,
    ball,
    bounds_over,
    box,
    by_agreeing_noise,
    by_drawn_noise,
    counterfactuals,
    explain_no_bounds,
    has_bounds,
)
from utils.adversary.taylor import Domain, NoBoundsError
from utils.models.logistic import Logistic
from utils.models.mlp import ACTIVATIONS, MLP
from utils.scms.discrete import by_quantile, of_binary
from utils.scms.from_data import threshold_equation
from utils.scms.known import known
from utils.scms.linear import Line, linear
from utils.scms.structure import additive, regression_equation, scm_in_double, structural
from utils.types import Column

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


class Negated(MLP):
    """The same child, another function."""

    def forward(self, x):
        return -self.layers(x)


def hooked():
    model = network()
    model.layers[0].register_forward_hook(lambda module, x, y: -y)
    return model.requires_grad_(False)


def residual(inplace):
    """Adds what a layer gives before and after ReLU, which are the same numbers where it changes them in place."""
    layer, bend = nn.Linear(3, 2).requires_grad_(False), nn.ReLU(inplace=inplace)

    def predict(x):
        inner = layer(x)
        return bend(inner) + inner

    return predict


FUNCTIONS = {
    "a network that is told by no class": network().forward,
    "negated": Negated(3, 1, hidden=[4], activation="tanh").requires_grad_(False),
    "hooked": hooked(),
    "weight_norm": weight_norm(nn.Linear(3, 1)).requires_grad_(False),
    "dropout that is off": nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).eval().requires_grad_(False),
    "products of columns": lambda x: (x[..., :1] * x[..., 1:2] - x[..., 2:].square()) / 3,
    "columns by their numbers": lambda x: torch.stack([x[..., 2], 2 - x[:, 0].sigmoid()], -1),
    "residual": residual(inplace=False),
    "residual, changed in place": residual(inplace=True),
}


@pytest.mark.parametrize("size", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_whatever_has_bounds_is_bounded_as_the_function_that_it_is(name, size):
    predict, (centre, half) = FUNCTIONS[name], boxes(0, size)
    assert has_bounds(predict, 3)
    assert_hold(output_bounds(predict, centre, half), torch.stack([predict(x) for x in within(centre, half)]))


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
    at = centre.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(at)[:, 0].sum(), at)

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


def choosing(x):
    return x if x[..., 0] else -x


def changing(x):
    inner = x.square()
    same = inner
    same += 1.0
    return inner


UNKNOWN = {
    "of clone()": lambda x: x.clone(),
    "of GELU by approximate=tanh": nn.Sequential(nn.Linear(3, 3), nn.GELU(approximate="tanh")),
    "of softplus with beta=2": nn.Sequential(nn.Linear(3, 3), nn.Softplus(beta=2)),
    "of dropout()": nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)),
    "of layer_norm()": nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 3)),
    "of a power of 3": lambda x: x**3,
    "of a division by what the radius moves": lambda x: x[..., :1] / x[..., 1:],
    "of a comparison with what the radius moves": lambda x: x * (x[..., :1] != 0),
    "of a choice by what the radius moves": choosing,
    "of an operation in place": changing,
    "of detach()": lambda x: torch.where(x.detach() > 0, x, -x),
    "of some of the rows alone": lambda x: x[:1] - x,
    "of sum()": lambda x: x.sum(-1, keepdim=True),
    "takes tensors alone (TypeError)": lambda x: 1 / (1 + 2**x),
    "takes tensors alone (NotImplementedError)": nn.ModuleList([nn.Linear(3, 3)]),
}


@pytest.mark.parametrize("said", UNKNOWN)
def test_no_bound_is_given_of_what_has_no_rule_and_it_is_named(said):
    assert not has_bounds(UNKNOWN[said], 3)
    assert said in explain_no_bounds(UNKNOWN[said], 3)


def test_of_a_table_of_another_width_no_bounds_are_known():
    assert has_bounds(network(), 3)
    assert not has_bounds(network(), 4)


# Counterfactuals


def rescaled(scm):
    """The same equations in front of another model space."""
    return replace(scm, loc=scm.loc + 0.3, scale=scm.scale * torch.linspace(1.0, 0.02, len(scm.scale)))


def in_balls(scm, radius, norm="l2"):
    return lambda n: ball(scm, torch.full((n,), radius), norm)


def in_parts(scm, kind, radius):
    """Parts of balls, cut until they are small, or at the surface."""
    k = int((scm.unit > 0).sum())
    return lambda n: domain(kind, radius, k=k, p=n, seed=k)


@pytest.mark.parametrize("radius", [0.0, 0.05, 3.0])
@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan", "linear", "learned", "threshold"])
def test_no_counterfactual_lies_beyond_the_bounds(dataset, scm, name, radius):
    """Points of whole balls of either norm and of parts of them, in double precision; bounds are in single precision.

    Equations are bounded, not sampled: those of all known SCMs too.
    """
    data, causal = dataset(name if name in ("lin", "nlm", "imf", "loan") else "toy"), scm(name)
    model = MLP(len(data.columns), 1, hidden=[16, 16], activation="tanh").requires_grad_(False)
    x = data.test.x[:40]
    for of in (in_balls(causal, radius), in_balls(causal, radius, "linf"), in_parts(causal, "cut", radius)):
        assert uncovered(causal, x, model, of, by_drawn_noise) == 0
    if radius:
        assert uncovered(causal, x, model, in_parts(causal, "corner", radius), by_drawn_noise) == 0


@pytest.mark.parametrize("radius", [0.5, 3.0])
@pytest.mark.parametrize("name", ["linear", "learned", "loan", "threshold"])
def test_counterfactuals_are_bounded_in_front_of_any_model_space(dataset, scm, name, radius):
    data = dataset("loan" if name == "loan" else "toy")
    fitted = rescaled(linear(data, seed=0, **FITTED) if name == "loan" else scm(name))
    model, x = nn.Sequential(nn.Linear(len(data.columns), 1)).requires_grad_(False), fitted.model(data.test.x[:40])
    for norm in ("l2", "linf"):
        assert uncovered(fitted, x, model, in_balls(fitted, radius, norm), by_drawn_noise) == 0


def test_a_radius_in_deviations_of_the_noise_moves_each_column_by_its_own(dataset):
    data = dataset("loan")
    causal = known(data, seed=0, draws=1, sampling="noise", radius_unit="noise_sd")
    model = MLP(len(data.columns), 1, hidden=[16], activation="gelu").requires_grad_(False)
    for of in (in_balls(causal, 0.5), in_parts(causal, "cut", 0.5)):
        assert uncovered(causal, data.test.x[:40], model, of, by_drawn_noise) == 0


def test_columns_that_nothing_touches_are_those_of_the_row(dataset, scm):
    """At radius 0 the row's own twin is the row, whatever rounding its abduction leaves."""
    causal, x = scm("loan"), dataset("loan").test.x[:40]
    own = causal.own(x)
    level = (own[:, 0] > 0.5).long()
    twins = Twins(own, causal.to_noise(own) + 1.0, level)
    held = counterfactuals(causal, twins, ball(causal, torch.zeros(40), "l2"), by_drawn_noise(twins)).features
    assert torch.allclose(held.value, x, atol=1e-5)
    low, high = held.bounds()
    assert (low <= x).all()
    assert (x <= high).all()
    assert (high - low).max() < 1e-4


def ends_of_linear(scm, x, model, radius, norm):
    """The least and the largest logit within a radius of every twin, by the dual norm, in double precision."""
    exact, w = scm_in_double(scm), model.linear.weight[0].double()
    noise = exact.to_noise(exact.own(x.double())).expand(len(exact.levels), -1, -1)
    do = {column: exact.levels[:, j : j + 1] for j, column in enumerate(exact.sensitive)}
    logit = (exact.model(exact.to_features(noise, do)) @ w).flatten() + model.linear.bias.double()
    steps, nobody = torch.diag(exact.unit)[exact.unit > 0], {0: exact.levels[0]}
    moved, still = (exact.model(exact.to_features(of, nobody)) for of in (steps, 0 * steps))
    reach = radius * torch.linalg.vector_norm((moved - still) @ w, ord=2 if norm == "l2" else 1)
    return logit - reach, logit + reach


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["linear", "lin", "imf"])
def test_of_linear_equations_and_a_linear_network_the_range_is_exact(dataset, scm, name, norm):
    """The norm of the slopes that the equations pass on, or their sum: no interval between the nodes loses any."""
    causal = rescaled(scm(name)) if name == "linear" else scm(name)
    x = causal.model(scm(name).own(dataset("toy" if name == "linear" else name).test.x[:40]))
    model = Logistic(3, 1).requires_grad_(False)
    own = causal.own(x).repeat(2, 1)
    twins = Twins(own, causal.to_noise(own), torch.arange(2).repeat_interleave(40))
    held = counterfactuals(causal, twins, ball(causal, torch.full((80,), 0.5), norm), by_drawn_noise(twins))
    found = bounds_over(model, held.features)
    for bound, exact in zip(found, ends_of_linear(causal, x, model, 0.5, norm), strict=True):
        assert torch.allclose(bound.squeeze(-1).double(), exact, atol=1e-3)


class Sine(nn.Module):
    """A regression of which no bounds are known."""

    def forward(self, parents):
        return parents[..., 0].sin()


STRANGE = {
    "additive": additive(("a",), torch.sin),
    "posterior": by_quantile(("a",), Sine(), of_binary, low=0.0, step=1.0),
    "threshold": threshold_equation(("a",), Sine()),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_an_equation_without_a_rule_is_named(kind):
    columns = (Column("s", "binary", levels=(0.0, 1.0), sensitive=True), *(Column(c, "continuous") for c in "ab"))
    causal, x = structural(columns, {"b": STRANGE[kind]}, lambda n, rng: torch.zeros(n, 3)), torch.zeros(5, 3)
    twins = Twins(x, causal.to_noise(x), torch.zeros(5, dtype=torch.long))
    for possible in (by_drawn_noise(twins), by_agreeing_noise(twins, torch.zeros(5, 3, dtype=torch.bool))):
        with pytest.raises(NoBoundsError, match="in the equation of b no bounds are known of sin"):
            counterfactuals(causal, twins, ball(causal, torch.ones(5), "l2"), possible)


@pytest.mark.parametrize("size", [1.0, 50.0])
def test_what_equations_add_and_take_away_is_bounded_in_double_precision(size):
    """Terms that cancel, in front of a noise that is small: abduction and prediction round each on their own."""
    columns = (Column("s", "binary", levels=(0.0, 1.0), sensitive=True), *(Column(c, "continuous") for c in "abc"))
    equations = {
        "b": regression_equation(("s", "a"), Line(torch.ones(1, 2), torch.zeros(1)).requires_grad_(False)),
        "c": regression_equation(
            ("s", "a", "b"), Line(torch.tensor([[1.0, 1000.0, -1000.0]]), torch.zeros(1)).requires_grad_(False)
        ),
    }
    causal = structural(columns, equations, lambda n, rng: torch.zeros(n, 4))
    x = size * torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0], x[:, 2] = (x[:, 0] > 0).float(), x[:, 1] + 1e-3 * x[:, 2]
    model = Logistic(4, 1).requires_grad_(False)
    for radius in (0.0, 1e-6, 0.05):
        assert uncovered(causal, x, model, in_balls(causal, radius), by_drawn_noise) == 0


def test_halves_of_halves_leave_no_gap_between_them():
    """Centres of boxes that are cut 24 times along one side, where their shift cancels the noise but for rounding."""
    n, source = 20_000, torch.Generator().manual_seed(0)
    columns = (Column("s", "binary", levels=(0.0, 1.0), sensitive=True), Column("a", "continuous"))
    causal = replace(structural(columns, {}, lambda n, rng: torch.zeros(n, 2)), unit=torch.tensor([0.0, 11.07]))
    half = 0.1 + 0.9 * torch.rand(1, n, generator=source)
    centre, exact_centre, exact_half = torch.zeros(1, n), torch.zeros(1, n).double(), half.double()
    for depth in range(25):
        side = torch.where(torch.rand(1, n, generator=source) < 0.5, -1.0, 1.0)
        centre, half = centre + side * half / 2, half / 2
        exact_centre, exact_half = exact_centre + side.double() * exact_half / 2, exact_half / 2
        own = torch.stack([torch.zeros(n), -(11.07 * centre[0]) * (1 + 1e-6 * torch.randn(n, generator=source))], -1)
        twins = Twins(own, own, torch.zeros(n, dtype=torch.long))
        held = counterfactuals(causal, twins, Domain(centre, half, None), by_drawn_noise(twins)).features
        low, high = (end[:, 1].double() for end in held.bounds())
        for end in (exact_centre - exact_half, exact_centre + exact_half):
            at = own[:, 1].double() + causal.unit[1].double() * end[0]
            assert (low <= at).all(), depth
            assert (at <= high).all(), depth
