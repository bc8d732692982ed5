"""Taylor models: no point of a domain lies beyond the bounds of any operation, in exact arithmetic."""

import copy
import operator
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from tests import soundness
from tests.soundness import KINDS, domain, excess, moving, points
from utils.adversary import taylor
from utils.adversary.taylor import Domain, NoBoundsError, Taylor, between, constant, join

SIZES = (0.0, 1e-6, 1e-3, 0.05, 0.5, 3.0, 30.0)
WEIGHT = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
BIAS = torch.tensor([1.0, -3.0, 0.0, 100.0])


def linear(x):
    """A layer whose weights are exact in the type of the numbers."""
    like = x.value if isinstance(x, Taylor) else x
    return F.linear(x, WEIGHT.T.to(like), BIAS[:3].to(like))


RULES = {
    "add": lambda x: x[..., :2] + x[..., 2:],
    "add a constant": lambda x: 3 + x + 0.1,
    "subtract": lambda x: x[..., :2] - x[..., 2:],
    "subtract from a constant": lambda x: 1 - x,
    "negate": operator.neg,
    "product of two that move": lambda x: x[..., :2] * x[..., 2:],
    "product with itself": lambda x: x * x,
    "product with a constant": lambda x: -2.5 * x * 0.1,
    "divided by a constant": lambda x: x / -3,
    "square": torch.square,
    "power": lambda x: x**2 + x.pow(1),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": lambda x: (x / 4).exp(),
    "relu": F.relu,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "clamp_min": lambda x: x.clamp_min(0.3),
    "clamp_max": lambda x: torch.clamp_max(x, -0.2),
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "clip": lambda x: torch.clip(x, min=-1),
    "linear": linear,
    "stack": lambda x: torch.stack([x[..., 0], x[..., 3] * 2, x[..., 1]], -1),
    "columns": lambda x: x[..., [2, 0]].unsqueeze(-1).squeeze(-1),
    "as it is": lambda x: F.dropout(x.reshape(x.shape).movedim(-1, -1), training=False),
    "layers": lambda x: torch.tanh(linear(F.gelu(x))).exp() * F.softplus(x[..., :1]),
}


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15)
@given(
    kind=st.sampled_from(KINDS),
    size=st.sampled_from(SIZES),
    scale=st.sampled_from([0.01, 1.0, 6.0]),
    rest=st.sampled_from([0.0, 0.0, 0.2]),
    seed=st.integers(0, 10**6),
)
def test_no_point_of_a_domain_lies_beyond_the_bounds_of_a_rule(rule, kind, size, scale, rest, seed):
    """Whole balls, boxes and what a ball leaves of them; bounds in single precision, points in double."""
    k = 1 + seed % 4
    assert excess(RULES[rule], domain(kind, size, k=k, p=12, seed=seed), scale=scale, rest=rest, seed=seed) <= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["product of two that move", "square", "tanh", "exp", "softplus", "gelu", "layers"])
def test_the_bounds_of_double_precision_hold_as_narrowly(rule, kind):
    for size in SIZES:
        of = domain(kind, size, seed=3, dtype=torch.float64)
        assert excess(RULES[rule], of) <= 1e-13 * max(1, size)  # points have roundings too


def test_where_torch_takes_softplus_for_a_line_its_step_is_within_the_bounds():
    centre = torch.linspace(19, 21, 801, dtype=torch.float64).unsqueeze(0)
    for half in (1e-3, 0.3, 2.0):
        of = Domain(torch.zeros_like(centre), torch.full_like(centre, half), None)
        numbers = Taylor(centre[0], torch.ones_like(centre), torch.zeros_like(centre[0]), of)
        low, high = F.softplus(numbers).bounds()
        found = F.softplus(centre[0] + points(of, 200)[:, 0])
        assert (low <= found).all()
        assert (found <= high).all()


# Reach


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@example(size=1e-3, k=3, seed=34027)  # ends of a box that are known to fewer digits than its width
@given(size=st.sampled_from([1e-3, 0.05, 1.0, 40.0]), k=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_nothing_reaches_further_than_the_largest(kind, size, k, seed):
    of = domain(kind, size, k=k, p=20, seed=seed)
    slope = torch.randn(k, 20, generator=torch.Generator().manual_seed(seed))
    parts = slope.double() * (points(of, 400, seed) - of.centre)
    reach, (largest, at) = of.reach(slope), of.largest(slope)
    for bound, found in ((reach.above, parts), (largest, parts), (reach.below, -parts), (reach.size, parts.abs())):
        assert (found.sum(1) <= bound.double() + 1e-9 * size).all()
    assert of.whole or ((at - of.centre).abs() <= of.half + 1e-6 * size).all()


def farthest(slope, low, high, radius):
    """The largest slope . t over a box and a ball, by sequential quadratic programming from several starts."""
    found = []
    for start in (np.clip(np.zeros_like(low), low, high), (low + high) / 2, np.where(slope > 0, high, low)):
        solved = minimize(
            lambda t: -slope @ t,
            start,
            jac=lambda t: -slope,
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "ineq", "fun": lambda t: radius**2 - t @ t, "jac": lambda t: -2 * t},
            method="SLSQP",
            options={"ftol": 1e-12},
        )
        if solved.x @ solved.x <= radius**2 * (1 + 1e-6):
            found.append(slope @ np.clip(solved.x, low, high))
    return max(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_is_that_of_an_optimizer_where_box_and_ball_cut(kind):
    for seed in range(4):
        of = domain(kind, 1.0, k=4, p=6, seed=seed, dtype=torch.float64)
        slope = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        largest, _ = of.largest(slope)
        for j in range(6):
            low, high = ((of.centre + sign * of.half)[:, j].numpy() for sign in (-1, 1))
            radius = np.inf if of.radius is None else float(of.radius[j])
            if of.radius is None:
                expected = float(slope[:, j].abs() @ of.half[:, j])
            else:
                expected = farthest(slope[:, j].numpy(), low, high, radius) - float(slope[:, j] @ of.centre[:, j])
            assert float(largest[j]) >= expected - 1e-7
            assert float(largest[j]) == pytest.approx(float(expected), abs=1e-3 * float(slope[:, j].norm()))


def test_the_reach_of_a_ball_is_the_norm_and_of_a_box_the_sum():
    slope = torch.tensor([[3.0], [-4.0]])
    half, radius = torch.full((2, 1), 2.0), torch.tensor([2.0])
    assert Domain(torch.zeros(2, 1), half, radius, whole=True).reach(slope).above.item() == pytest.approx(10, rel=1e-5)
    assert Domain(torch.zeros(2, 1), half, None).reach(slope).above.item() == pytest.approx(14, rel=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1e-15, 1e15, 1e25])
def test_slopes_whose_squares_are_no_numbers_reach_as_far_as_others(size):
    slope = torch.full((3, 1), size)
    for kind in KINDS:
        of = domain(kind, 1.0, p=1)
        found = (slope.double() * (points(of, 100) - of.centre)).sum(1)
        for bound in (of.reach(slope).above, of.largest(slope)[0]):
            assert not (found > bound.double()).any()


# Numbers that do not move


def test_what_does_not_move_is_known_but_for_rounding():
    of = domain("ball", 1.0, p=5)
    value = torch.randn(5, 3)
    low, high = constant(value, of).bounds()
    assert torch.allclose(low, high, rtol=1e-5, atol=1e-5)
    low, high = between(value - 1, value + 2, of).bounds()
    assert torch.allclose(low, value - 1, atol=1e-5)
    assert torch.allclose(high, value + 2, atol=1e-5)
    assert (low <= value - 1).all()
    assert (high >= value + 2).all()
    joined = join([constant(value[:, 0], of), value[:, 1]], of)
    assert torch.equal(joined.value, value[:, :2])


def test_a_stack_is_bounded_as_its_models_one_by_one():
    """Two models with balls and weights of their own."""
    source = torch.Generator().manual_seed(0)
    value, slope = torch.randn(2, 5, 4, generator=source), torch.randn(3, 2, 5, 4, generator=source)
    weight, bias = torch.randn(2, 4, 3, generator=source), torch.randn(2, 1, 3, generator=source)
    radius = torch.rand(2, 5, generator=source)

    def over(value, slope, radius):
        half = radius.expand(3, *radius.shape)
        return Taylor(value, slope, 0.1 * value.abs(), Domain(torch.zeros_like(half), half, radius, whole=True))

    together = over(value, slope, radius)
    for product in (lambda x, w, b: torch.baddbmm(b, x, w), lambda x, w, b: torch.bmm(x, w) + b):
        low, high = product(together, weight, bias).tanh().bounds()
        for i in range(2):
            alone = F.linear(over(value[i], slope[:, i], radius[i]), weight[i].T, bias[i, 0]).tanh().bounds()
            torch.testing.assert_close((low[i], high[i]), alone, rtol=1e-5, atol=1e-5)


# Exact arithmetic


def rational(x):
    """The numbers of a tensor as fractions: what they are, exactly."""
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(x.double().numpy())


class Interval:
    """Fractions from low to high, arrays; the naive arithmetic of Moore (1966)."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def linear(self, weight, bias):
        positive, negative = np.maximum(weight, 0), np.minimum(weight, 0)
        ends = self.low @ positive.T + self.high @ negative.T, self.high @ positive.T + self.low @ negative.T
        return Interval(*(end + bias for end in ends))

    def relu(self):
        return Interval(np.maximum(self.low, 0), np.maximum(self.high, 0))

    def square(self):
        ends = self.low**2, self.high**2
        return Interval(np.where((self.low <= 0) & (self.high >= 0), 0, np.minimum(*ends)), np.maximum(*ends))


def layers_of(seed):
    torch.manual_seed(seed)
    return [nn.Linear(2, 4).requires_grad_(False), nn.Linear(4, 1).requires_grad_(False)]


BENDS = {"relu": lambda x: np.maximum(x, 0), "square": lambda x: x**2}


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize("seed", range(4))
def test_exact_values_at_rational_points_lie_within_the_bounds(bend, seed):
    """A small net in fractions, at corners, the centre and other points of a box; no rounding is left anywhere."""
    layers = layers_of(seed)
    source = torch.Generator().manual_seed(seed)
    centre, half = torch.randn(1, 2, generator=source), torch.rand(1, 2, generator=source)
    of = Domain(torch.zeros(2, 1), half.T, None)
    numbers = Taylor(centre, torch.eye(2).unsqueeze(1), torch.zeros(1, 2), of)
    low, high = layers[1](getattr(torch, bend)(layers[0](numbers))).bounds()
    c, h = rational(centre[0]), rational(half[0])
    weights = [(rational(layer.weight), rational(layer.bias)) for layer in layers]
    values = []
    for share in [(Fraction(i, 3), Fraction(j, 3)) for i in range(-3, 4) for j in range(-3, 4)]:
        inner = BENDS[bend](weights[0][0] @ (c + h * np.array(share)) + weights[0][1])
        values.append((weights[1][0] @ inner + weights[1][1])[0])
    assert Fraction(float(low)) <= min(values)
    assert max(values) <= Fraction(float(high))
    hull = getattr(Interval(c - h, c + h).linear(*weights[0]), bend)().linear(*weights[1])
    assert hull.low[0] <= min(values) <= max(values) <= hull.high[0], "as does the interval of fractions"


@pytest.mark.parametrize("seed", range(4))
def test_of_one_linear_layer_bounds_are_the_interval_of_fractions_but_for_rounding(seed):
    layer = layers_of(seed)[0]
    source = torch.Generator().manual_seed(seed)
    centre, half = torch.randn(1, 2, generator=source), torch.rand(1, 2, generator=source)
    of = Domain(torch.zeros(2, 1), half.T, None)
    low, high = layer(Taylor(centre, torch.eye(2).unsqueeze(1), torch.zeros(1, 2), of)).bounds()
    c, h = rational(centre[0]), rational(half[0])
    hull = Interval(c - h, c + h).linear(rational(layer.weight), rational(layer.bias))
    for bound, exact, side in ((low, hull.low, 1), (high, hull.high, -1)):
        gap = [(e - Fraction(float(b))) * side for b, e in zip(bound[0], exact, strict=True)]
        assert all(0 <= float(g) < 2e-5 for g in gap)


@pytest.mark.parametrize("seed", range(4))
def test_where_no_kink_is_in_reach_a_relu_net_is_bounded_within_the_interval_of_fractions(seed):
    """Slopes know that columns move together; naive intervals do not."""
    layers = layers_of(seed)
    source = torch.Generator().manual_seed(seed)
    centre, half = torch.randn(1, 2, generator=source), 0.05 * torch.rand(1, 2, generator=source)
    of = Domain(torch.zeros(2, 1), half.T, None)
    low, high = layers[1](layers[0](Taylor(centre, torch.eye(2).unsqueeze(1), torch.zeros(1, 2), of)).relu()).bounds()
    c, h = rational(centre[0]), rational(half[0])
    weights = [(rational(layer.weight), rational(layer.bias)) for layer in layers]
    inner = Interval(c - h, c + h).linear(*weights[0])
    assert not ((inner.low < 0) & (inner.high > 0)).any(), "a case without a kink"
    hull = inner.relu().linear(*weights[1])
    assert float(hull.low[0]) - 2e-5 <= float(low)
    assert float(high) <= float(hull.high[0]) + 2e-5


# Rounding


@pytest.mark.parametrize("rule", ["linear", "product of two that move", "tanh", "exp", "gelu", "softplus", "layers"])
def test_rounding_of_large_numbers_is_within_the_bounds(rule):
    """Nothing moves: what is left is rounding alone, of numbers up to some hundreds."""
    for scale in (1e-3, 1.0, 10.0):
        of = domain("ball", 0.0, k=1, p=300)
        assert excess(RULES[rule], of, scale=scale) <= 0


@pytest.mark.parametrize("width", [10, 300])
def test_sums_of_many_products_that_cancel_are_within_the_bounds(width):
    source = torch.Generator().manual_seed(0)
    weight = torch.randn(3, width, generator=source)
    weight[:, 1::2] = -weight[:, ::2] * (1 + 1e-6)

    def layer(x):
        return F.linear(x, weight.to(x.value if isinstance(x, Taylor) else x))

    for kind in KINDS:
        of = domain(kind, 1e-6, p=50)
        numbers, at = moving(of, width, scale=100.0)
        numbers.value[:, 1::2] = numbers.value[:, ::2]
        low, high = layer(numbers).bounds()
        found = layer(at(points(of)))
        assert (low <= found).all()
        assert (found <= high).all()


# What is not known


def test_domains_without_numbers_prove_nothing():
    for size in (torch.nan, torch.inf):
        for kind in ("ball", "box"):
            of = domain(kind, size, p=5)
            numbers = Taylor(torch.zeros(5, 2), torch.ones(3, 5, 2), torch.zeros(5, 2), of)
            for rule in (torch.relu, torch.square, torch.exp, F.gelu, linear_of_two):
                low, high = rule(numbers).bounds()
                assert not (low > 1e-3).any()
                assert not (high < -1e-3).any()
                if rule is not torch.exp:
                    assert not (high < 1e30).any()


def linear_of_two(x):
    return F.linear(x, torch.ones(2, 2))


UNKNOWN = {
    "clone": lambda x: x.clone(),
    "sin": torch.sin,
    "matmul": lambda x: torch.matmul(x, torch.ones(4, 1)),
    "softmax": lambda x: x.softmax(-1),
    "sum": lambda x: x.sum(-1),
    "cat": lambda x: torch.cat([x, x], -1),
    "layer_norm": nn.LayerNorm(4),
    "dropout.. in training": F.dropout,
    "power of 3": lambda x: x**3,
    "division": lambda x: x / x,
    "weights that move": lambda x: F.linear(torch.ones(2, 4), x),
    "some of the rows": lambda x: x[0],
    "stacked": lambda x: torch.stack([x, x]),
    "squeezed": lambda x: x.squeeze(0),
    "before the last": lambda x: x.unsqueeze(0),
    "another shape": lambda x: x.reshape(*x.shape, 1),
    "shape": lambda x: x.reshape(-1),
    "another order": lambda x: x.movedim(0, 1),
    "comparison": lambda x: x == 0,
    "choice": lambda x: x if x else -x,
    "in place": lambda x: operator.iadd(x, 1),
    "approximate=tanh": partial(F.gelu, approximate="tanh"),
    "beta=2": partial(F.softplus, beta=2),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operation_without_a_rule_is_refused_by_name(name):
    numbers, _ = moving(domain("ball", 1.0))
    with pytest.raises(NoBoundsError, match=name):
        UNKNOWN[name](numbers)


# Mutations: the checks above can fail


def half_slope_of_square(a):
    found = taylor_square(a)
    return Taylor(found.value, -found.slope, found.rest, found.domain)


def product_without_remainder(a, b):
    found = taylor_multiply(a, b)
    known = isinstance(a, Taylor) and isinstance(b, Taylor)
    return Taylor(found.value, found.slope, found.rest * (not known), found.domain)


def halved_rest(a):
    found = taylor_tanh(a)
    return Taylor(found.value, found.slope, found.rest / 2, found.domain)


def steeper(a):
    found = taylor_tanh(a)
    return Taylor(found.value, found.slope * 1.3, found.rest, found.domain)


def linear_without_rounding(a, weight, bias=None):
    return Taylor(F.linear(a.value, weight, bias), a.slope @ weight.T, a.rest @ weight.T.abs(), a.domain)


def half_length(slope):
    return taylor_length(slope) / 2


def bent_about_a_value_out_of_reach(v, low, high):
    return taylor_exp_tangent(v + (v >= high) * 0.5, low, high)


taylor_square, taylor_multiply, taylor_tanh = taylor._square, taylor._multiply, taylor._tanh
taylor_length, taylor_exp_tangent = taylor._length, taylor._exp_tangent


def replaced(monkeypatch, name, rule):
    """Puts another rule in place of one, wherever it is looked up."""
    old = getattr(taylor, name)
    monkeypatch.setattr(taylor, name, rule)
    for table in (taylor.METHODS, taylor.FUNCTIONS):
        for key in [key for key, own in table.items() if own is old]:
            monkeypatch.setitem(table, key, rule)


def worst(rules, kinds=KINDS):
    """The largest excess of some rules over domains of all kinds and sizes."""
    return max(
        excess(RULES[rule], domain(kind, size, seed=seed), seed=seed)
        for rule in rules
        for kind in kinds
        for size in (0.0, 0.05, 3.0)
        for seed in range(3)
    )


MUTATIONS = {
    "a sign of the slope of a square": ("_square", half_slope_of_square, ["square", "power"]),
    "the remainder of a product": ("_multiply", product_without_remainder, ["product of two that move"]),
    "half the rest of tanh": ("_tanh", halved_rest, ["tanh"]),
    "the slope of tanh": ("_tanh", steeper, ["tanh"]),
    "the rounding of a linear layer": ("_linear", linear_without_rounding, ["linear"]),
    "half the reach": ("_length", half_length, ["add", "linear"]),
    "a tangent at a value out of reach": ("_exp_tangent", bent_about_a_value_out_of_reach, ["exp"]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_rule_is_found_out(monkeypatch, mutation):
    name, rule, rules = MUTATIONS[mutation]
    assert worst(rules) <= 0
    replaced(monkeypatch, name, rule)
    assert worst(rules) > 0


def test_a_largest_that_forgets_the_box_or_cuts_too_much_is_found_out(monkeypatch):
    """Of the bounds by duality those with too small a ball are below what points reach."""

    def gap():
        of = domain("cut", 1.0, k=3, p=30, seed=1)
        slope = torch.randn(3, 30, generator=torch.Generator().manual_seed(0))
        found = (slope.double() * (points(of, 400) - of.centre)).sum(1)
        return float((found - of.largest(slope)[0].double()).max())

    assert gap() <= 0
    own = Domain.reach
    monkeypatch.setattr(Domain, "reach", lambda self, slope: own(self._replace(half=self.half / 2), slope))
    assert gap() > 0


def test_a_check_without_points_on_the_surface_would_not_do():
    """Points come as far as the bounds: the largest of a linear function is nearly reached by some."""
    for kind in KINDS:
        of = domain(kind, 1.0, k=2, p=20)
        slope = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
        found = (slope.double() * (soundness.points(of, 2000) - of.centre)).sum(1).amax(0)
        largest = of.largest(slope)[0].double()
        assert ((largest - found) <= 0.12 * slope.norm(dim=0) * of.half.norm(dim=0)).float().mean() > 0.8


# --- at points -------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(size=st.sampled_from([1e-3, 0.1, 3.0]), seed=st.integers(0, 10**6))
def test_numbers_at_points_of_a_ball_are_within_their_bounds_and_none_is_beyond_the_furthest(size, seed):
    """Of a network: in double precision, at points of a smaller ball, whose bounds are no looser than of the whole."""
    of = domain("ball", size, k=3, p=20, seed=seed)
    numbers, at = moving(of, 4, seed=seed)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).requires_grad_(False)
    t = size / 2 * F.normalize(torch.randn(30, 3, generator=torch.Generator().manual_seed(seed)), dim=-1)
    logits = net(numbers).within(0.5)[..., 0]
    exact = copy.deepcopy(net).double()(at(t.double().unsqueeze(-1).expand(-1, -1, 20)))[..., 0]
    low, high = logits.at(t)
    assert ((low <= exact) & (exact <= high)).all()
    for sign, furthest in ((1.0, exact.amax(0)), (-1.0, exact.amin(0))):
        least, most = logits.at_furthest(t, torch.full((20,), sign))
        assert ((least <= furthest) & (furthest <= most)).all()
    least, most = net(numbers)[..., 0].bounds()
    inner = logits.bounds()
    assert ((least <= inner[0]) & (inner[1] <= most)).all()
