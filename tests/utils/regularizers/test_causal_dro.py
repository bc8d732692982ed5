"""First-order causal DRO: closed forms on lin in float64, and transport plans that try to do worse."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests import oracles
from utils.losses.objective import cross_entropy
from utils.regularizers.causal_dro import causal_dro
from utils.scms.counterfactual import twins

R = 0.3


def softplus(m):
    return np.logaddexp(0, m)


@pytest.fixture
def by_hand(dataset, context):
    """Of a linear model on lin: the rows, the model, the worst margin -(2y - 1) z over the twins, and (J^T w)_N."""
    model, rows, ctx = nn.Linear(3, 1), dataset("lin").test, context("lin")
    loc, scale = ctx.scm.loc.double().numpy(), ctx.scm.scale.double().numpy()
    w = model.weight[0].detach().double().numpy() / scale
    b = model.bias.item() - w @ loc
    worst = [
        max(-(2 * y - 1) * (w @ np.array(t) + b) for t in oracles.twins("lin", row))
        for row, y in zip((loc + scale * rows.x.double().numpy()).tolist(), rows.y.tolist(), strict=True)
    ]
    return rows, model, np.array(worst), (oracles.JACOBIAN["lin"].T @ w)[1:]


def test_order_2_is_the_root_mean_square_of_the_slope(by_hand, context):
    """mean softplus(m) + r norm((J^T w)_N) (mean sigmoid(m)^2)^(1/2), m the worst margin, in numpy."""
    rows, model, worst, reach = by_hand
    expected = softplus(worst) + R * np.linalg.norm(reach) * np.sqrt(np.mean((1 / (1 + np.exp(-worst))) ** 2))
    found = causal_dro(model, rows, context("lin", radius=R), order=2)
    assert np.allclose(found.detach().numpy(), expected, atol=1e-4)


def test_order_1_is_the_worst_case_over_all_transport_plans(by_hand, context):
    """Of a mean latent distance r (Shafieezadeh-Abadeh et al. 2015, arXiv 1509.09259): none exceeds it, one attains it.

    Free moves to the worst twin first; then every row goes its own way, or a part of one row goes all the way.
    """
    rows, model, worst, reach = by_hand
    length, n, rng = np.linalg.norm(reach), len(worst), np.random.default_rng(0)
    found = causal_dro(model, rows, context("lin", radius=R), order=1).mean().item()
    for _ in range(50):
        cost = rng.dirichlet(np.full(n, rng.choice([0.01, 0.1, 1]))) * R * n
        assert np.mean(softplus(worst + length * cost)) <= found + 1e-5
    moved = 1e-4  # of the mass of the likeliest to be wrong
    rest = np.mean(softplus(worst)) - moved * softplus(worst.max())
    assert rest + moved * softplus(worst.max() + length * R / moved) == pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize("order", [1, 2])
def test_at_radius_0_it_is_the_worst_twin(dataset, context, trained, order):
    rows, ctx, model = dataset("loan").test, context("loan", radius=0.0), trained("loan")
    expected = cross_entropy(model(twins(ctx.scm, rows.x)), rows.y).amax(0)
    assert torch.allclose(causal_dro(model, rows, ctx, order=order), expected, atol=1e-5)


def test_order_2_is_the_worst_case_to_first_order(dataset, context, trained):
    """Moves of root mean square r along the latent slopes raise the loss by what it says, up to r^2."""
    rows, model = dataset("nlm").test, trained("nlm")
    gained = []
    for r in (0.01, 0.005):
        ctx = context("nlm", radius=r)
        said = (
            causal_dro(model, rows, ctx, order=2) - causal_dro(model, rows, context("nlm", radius=0.0), order=2)
        ).mean()
        every = twins(ctx.scm, rows.x)
        pick = cross_entropy(model(every), rows.y).argmax(0)
        base = every[pick, torch.arange(len(pick))]
        u, own = ctx.scm.to_noise(ctx.scm.own(base)), ctx.scm.own(base)[:, 0]

        def loss(u, own=own, ctx=ctx):
            return cross_entropy(model(ctx.scm.model(ctx.scm.to_features(u, {0: own}))), rows.y)

        u.requires_grad_()
        (slope,) = torch.autograd.grad(loss(u).sum(), u)
        slope[:, 0] = 0
        step = r * slope / slope.square().sum(1).mean().sqrt()
        gained.append(((loss(u + step).mean() - loss(u).mean()) / said).item())
    assert abs(gained[1] - 1) < 0.6 * abs(gained[0] - 1) + 1e-3
    assert gained[1] == pytest.approx(1, abs=0.05)


def test_of_a_curved_model_order_1_takes_the_steepest_twin_of_the_batch(dataset, context, trained):
    """Central differences of the logit in both latent coordinates of nlm, row by row and twin by twin."""
    rows, model, ctx = dataset("nlm").test.rows(slice(0, 40)), trained("nlm"), context("nlm", radius=R)
    found = causal_dro(model, rows, ctx, order=1) - causal_dro(model, rows, context("nlm", radius=0.0), order=1)
    precise, loc, scale = copy.deepcopy(model).double(), ctx.scm.loc.double(), ctx.scm.scale.double()
    steepest = 0.0
    for row in (loc + scale * rows.x.double()).tolist():
        u = oracles.noise("nlm", row)
        for level in (0.0, 1.0):
            ends = [
                [u[0], *(v + step * (i == j) for j, v in enumerate(u[1:]))] for i in (0, 1) for step in (1e-4, -1e-4)
            ]
            moved = torch.tensor([oracles.features("nlm", end, {0: level}) for end in ends]).double()
            z = precise((moved - loc) / scale)[:, 0]
            steepest = max(steepest, ((z[::2] - z[1::2]) / 2e-4).norm().item())
    assert np.allclose(found.detach().numpy(), R * steepest, rtol=1e-3)


@pytest.mark.parametrize("order", [1, 2])
def test_its_gradient_is_that_of_central_differences(by_hand, context, order):
    rows, model, *_ = by_hand
    rows = rows._replace(x=rows.x.double(), w=rows.w.double())
    model = model.double()

    def value():
        return causal_dro(model, rows, context("lin", radius=R), order=order).mean()

    (slope,) = torch.autograd.grad(value(), model.weight)
    for i in range(3):
        ends = []
        for step in (1e-4, -2e-4):
            model.weight.data[0, i] += step
            ends.append(value().item())
        model.weight.data[0, i] += 1e-4
        assert slope[0, i].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-4)


def test_another_order_is_refused(dataset, context):
    with pytest.raises(ValueError, match=r"regularizer\.causal_dro\.order=3: expected 1 or 2"):
        causal_dro(nn.Linear(3, 1), dataset("lin").test, context("lin"), order=3)
