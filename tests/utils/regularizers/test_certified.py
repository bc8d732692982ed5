"""Certified training: bounds of the loss and of decisions over the ball, in closed form where models are linear."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests import oracles
from utils import build
from utils.adversary.taylor import NoBoundsError
from utils.models.mlp import MLP
from utils.regularizers.certified import certified
from utils.scms.counterfactual import twins
from utils.views.stack import Stack, stack_batches, stack_contexts

FULL = {"warmup": 0.0, "spread": 0.0}


@pytest.fixture(scope="module")
def causal_al(option):
    """The attack whose loss it bounds."""
    return build.terms({"regularizer": option("regularizer", "causal_al")})["causal_al"].term


@pytest.mark.parametrize("name", ["lin", "imf"])
def test_on_a_linear_model_and_scm_it_has_a_closed_form(dataset, context, name):
    """z_low and z_high are the extremes over twins of z -+ r norm((J^T w)_N)."""
    model, rows, ctx = nn.Linear(3, 1), dataset(name).test, context(name, radius=0.3)
    reach = 0.3 * (torch.from_numpy(oracles.JACOBIAN[name]).float().T @ (model.weight[0] / ctx.scm.scale))[1:].norm()
    z = model(twins(ctx.scm, rows.x))[..., 0]
    low, high = z.amin(0) - reach, z.amax(0) + reach
    loss = F.softplus(torch.where(rows.y > 0, -low, high))
    found = certified(model, rows, ctx, warmup=0.0, spread=2.0)
    assert torch.allclose(found, loss + 2 * (high.sigmoid() - low.sigmoid()), atol=1e-4)


@pytest.mark.parametrize("name", ["nlm", "loan"])
@pytest.mark.parametrize("radius", [0.0, 0.05, 0.5])
def test_no_attack_has_a_larger_loss(dataset, context, trained, causal_al, name, radius):
    rows, ctx = dataset(name).test, context(name, radius=radius)
    bound, attacked = certified(trained(name), rows, ctx, **FULL), causal_al(trained(name), rows, ctx)
    assert (bound >= attacked - 1e-4).all()
    if radius <= 0.05:
        assert (bound - attacked).mean() < 0.01


def test_its_gradient_is_finite_without_a_radius_and_with_a_large_one(dataset, context):
    for radius in (0.0, 0.05, 5.0):
        model = MLP(7, 1, hidden=[8, 8], activation="tanh")
        certified(model, dataset("loan").test, context("loan", radius=radius), warmup=0.0, spread=1.0).sum().backward()
        assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_radius_grows_until_the_end_of_the_warmup(dataset, context, trained):
    rows = dataset("loan").test

    def at(progress, radius):
        ctx = replace(context("loan", radius=radius), progress=progress)
        return certified(trained("loan"), rows, ctx, warmup=0.5, spread=1.0)

    assert torch.allclose(at(0.25, 0.4), at(1.0, 0.2))
    assert torch.allclose(at(0.5, 0.4), at(1.0, 0.4))


def test_a_stack_has_the_terms_of_its_models(dataset, context):
    rows = dataset("loan").test.rows(slice(0, 30))
    models = [MLP(7, 1, hidden=[8, 8], activation="tanh") for _ in range(2)]
    contexts = [replace(context("loan", radius=0.2), progress=0.25)] * 2
    both = stack_contexts(contexts)
    together = certified(Stack(models), stack_batches([rows, rows]), both, warmup=0.5, spread=1.0)
    alone = [certified(m, rows, ctx, warmup=0.5, spread=1.0) for m, ctx in zip(models, contexts, strict=True)]
    assert torch.allclose(together, torch.stack(alone), atol=1e-5)


def test_a_model_without_bounds_is_refused_by_name(dataset, context):
    model = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 1))
    with pytest.raises(NoBoundsError, match="silu"):
        certified(model, dataset("lin").test, context("lin"), **FULL)
