"""CAL: the loss at the worst point of the causal perturbation ball."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests import oracles
from utils import build
from utils.losses.objective import cross_entropy
from utils.scms.counterfactual import twins


@pytest.fixture(scope="module")
def causal_al(option):
    """The term as the configuration states it."""
    return build.terms({"regularizer": option("regularizer", "causal_al")})["causal_al"].term


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_at_radius_zero_it_is_the_loss_of_the_worst_twin(dataset, context, trained, causal_al, name):
    rows, ctx = dataset(name).test, context(name, radius=0.0)
    found = causal_al(trained(name), rows, ctx)
    expected = cross_entropy(trained(name)(twins(ctx.scm, rows.x)), rows.y).amax(0)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["lin", "imf"])
def test_on_a_linear_model_and_scm_it_has_a_closed_form(dataset, context, causal_al, name):
    """softplus(r norm((J^T w)_N) - (2y - 1) z) at the worst twin."""
    model, rows, ctx = nn.Linear(3, 1), dataset(name).test, context(name, radius=0.3)
    reach = (torch.from_numpy(oracles.JACOBIAN[name]).float().T @ (model.weight[0] / ctx.scm.scale))[1:].norm()
    margin = (model(twins(ctx.scm, rows.x))[..., 0] * (2 * rows.y - 1)).amin(0)
    assert torch.allclose(causal_al(model, rows, ctx), F.softplus(0.3 * reach - margin), atol=1e-4)


def test_it_grows_with_the_radius(dataset, context, trained, causal_al):
    found = [causal_al(trained("loan"), dataset("loan").test, context("loan", radius=r)) for r in (0.0, 0.05, 0.5)]
    assert (found[1] >= found[0] - 1e-4).all()
    assert found[0].mean() < found[1].mean() < found[2].mean()


def test_random_points_find_at_most_what_the_gradient_finds_on_a_linear_model(dataset, context, option, causal_al):
    node = option("regularizer", "causal_al_random")
    node["causal_al_random"]["attack"]["samples"] = 50
    random = build.terms({"regularizer": node})["causal_al_random"].term
    model, rows = nn.Linear(3, 1), dataset("lin").test
    by_random, by_gradient = (term(model, rows, context("lin", radius=0.5)) for term in (random, causal_al))
    assert (by_random <= by_gradient + 1e-5).all()
    assert (by_random > causal_al(model, rows, context("lin", radius=0.0)) - 1e-5).all()


def test_it_carries_gradient_to_the_model(dataset, context, causal_al):
    model = nn.Linear(3, 1)
    causal_al(model, dataset("lin").test, context("lin")).mean().backward()
    assert model.weight.grad.abs().sum() > 0
