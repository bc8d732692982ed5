"""CAPIFY: each of its three parts in closed form where there is one, the whole row by row."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from tests import oracles
from utils import build, seeding
from utils.losses.objective import cross_entropy
from utils.scms.counterfactual import twins as twins_of


@pytest.fixture(scope="module")
def causal_adv(option):
    """The term with some settings changed; the three parts are off unless they are named."""

    def run(model, rows, ctx, **changes):
        node = option("regularizer", "causal_adv")["causal_adv"]
        node |= {"space": "latent", "mask": "actionable", "steps": 10, "rel_step": 1.0}
        node |= {"linearity": 0.0, "gradient": 0.0, "twins": 0.0} | changes
        return build.terms({"regularizer": {"causal_adv": node}})["causal_adv"].term(model, rows, ctx)

    return run


def reduced_form(model, ctx, name):
    """(J^T w) in the SCM's units, 0 at the attribute."""
    found = torch.from_numpy(oracles.JACOBIAN[name]).float().T @ (model.weight[0] / ctx.scm.scale)
    return found * torch.tensor([0.0, 1.0, 1.0])


def test_its_twins_part_is_the_loss_of_the_worst_twin(dataset, context, trained, causal_adv):
    rows, ctx = dataset("loan").test, context("loan")
    found = causal_adv(trained("loan"), rows, ctx, twins=2.0)
    expected = cross_entropy(trained("loan")(twins_of(ctx.scm, rows.x)), rows.y).amax(0)
    assert torch.allclose(found, 2 * expected, atol=1e-5)


def test_on_a_linear_model_in_the_features_only_the_weights_are_penalised(dataset, context, causal_adv):
    """gamma = 0; 3 norm(m w)^2 with m the actionable columns, x2 and x3."""
    model, rows = nn.Linear(3, 1), dataset("lin").test
    found = causal_adv(model, rows, context("lin", radius=0.5), space="features", linearity=5.0, gradient=3.0)
    assert torch.allclose(found, (3 * model.weight[0, 1:].square().sum()).expand_as(found), atol=1e-4)


@pytest.mark.parametrize("name", ["lin", "imf"])
def test_on_a_linear_model_and_scm_the_latent_gradient_is_the_residual_times_the_reduced_form(
    dataset, context, causal_adv, name
):
    """grad F(0) = (sigmoid(z) - y) (J^T w)_N."""
    model, rows, ctx = nn.Linear(3, 1), dataset(name).test, context(name)
    found = causal_adv(model, rows, ctx, space="latent", gradient=1.0)
    residual = torch.sigmoid(model(rows.x)[:, 0]) - rows.y
    assert torch.allclose(found, residual.square() * reduced_form(model, ctx, name).square().sum(), atol=1e-5)


def test_on_a_linear_model_and_scm_the_latent_departure_is_at_an_end_of_the_steepest_line(dataset, context, causal_adv):
    """F is convex along a = (J^T w)_N and flat across it.

    So gamma = l(z + s r norm(a)) - l(z) - s r norm(a) l'(z), s = 1 or -1; but for a rare start just across the line,
    where gamma is 0 and has no slope.
    """
    model, rows, ctx = nn.Linear(3, 1), dataset("lin").test, context("lin", radius=0.5)
    found = causal_adv(model, rows, ctx, space="latent", linearity=1.0)
    z, step = model(rows.x)[:, 0], 0.5 * reduced_form(model, ctx, "lin").norm()
    loss = cross_entropy(z.unsqueeze(1), rows.y)
    ends = [
        cross_entropy((z + s * step).unsqueeze(1), rows.y) - loss - s * step * (torch.sigmoid(z) - rows.y)
        for s in (-1, 1)
    ]
    nearest = torch.minimum((found - ends[0]).abs(), (found - ends[1]).abs())
    assert (nearest < 1e-2 * torch.maximum(*ends) + 1e-5).double().mean() >= 0.98
    assert (found <= torch.maximum(*ends) + 1e-4).all()


@pytest.mark.parametrize(("mask", "kept"), [("actionable", [1, 2]), ("non_sensitive", [1, 2]), ("all", [0, 1, 2])])
def test_the_mask_chooses_the_coordinates_of_the_gradient(dataset, context, causal_adv, mask, kept):
    model, rows = nn.Linear(3, 1), dataset("lin").test
    found = causal_adv(model, rows, context("lin"), space="features", gradient=1.0, mask=mask)
    assert torch.allclose(found, model.weight[0, kept].square().sum().expand_as(found), atol=1e-5)


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_it_equals_the_row_by_row_reference_and_so_does_its_gradient(dataset, context, trained, causal_adv, name):
    """In double precision, from the same starts; the gradient goes through the inner gradients."""
    model = copy.deepcopy(trained(name)).double().requires_grad_(True)
    ctx, rows = context(name, radius=0.3), dataset(name).test.rows(slice(0, 6))
    double = {key: getattr(ctx.scm, key).double() for key in ("levels", "loc", "scale", "unit")}
    ctx, rows = replace(ctx, scm=replace(ctx.scm, **double)), rows._replace(x=rows.x.double(), w=rows.w.double())
    starts = torch.randn(1, *rows.x.shape, generator=seeding.generator(0, "attack"), dtype=torch.float64)[0]
    found = causal_adv(model, rows, ctx, linearity=1.0, gradient=1.0, twins=1.0, steps=5)
    expected = [
        oracles.causal_adv(
            name,
            lambda v: model((v - ctx.scm.loc) / ctx.scm.scale)[0],
            row,
            y,
            start,
            radius=0.3,
            steps=5,
            rel_step=1.0,
            mask=[float(c.actionable) for c in ctx.columns],
        )
        for row, y, start in zip(ctx.scm.own(rows.x).tolist(), rows.y.tolist(), starts, strict=True)
    ]
    assert torch.allclose(found, torch.stack(expected), rtol=1e-6)
    ours, theirs = (torch.autograd.grad(sum(v), list(model.parameters())) for v in (found, expected))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(ours, theirs, strict=True))


def test_the_parts_add_up_with_their_weights(dataset, context, trained, causal_adv):
    rows, parts = dataset("loan").test, {"linearity": 2.0, "gradient": 3.0, "twins": 4.0}

    def run(**weights):
        return causal_adv(trained("loan"), rows, context("loan", radius=0.5), **weights)

    alone = [weight * run(**{part: 1.0}) for part, weight in parts.items()]
    assert alone[0].mean() > 1e-3
    assert torch.allclose(run(**parts), sum(alone), rtol=1e-4, atol=1e-4)


def test_radius_zero_leaves_no_departure(dataset, context, trained, causal_adv):
    found = causal_adv(trained("loan"), dataset("loan").test, context("loan", radius=0.0), linearity=1.0)
    assert found.abs().max() < 1e-4


@pytest.mark.parametrize("space", ["latent", "features"])
@pytest.mark.parametrize("part", ["linearity", "gradient", "twins"])
def test_each_part_carries_gradient_to_the_model(dataset, context, causal_adv, space, part):
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    causal_adv(model, dataset("lin").test, context("lin", radius=0.5), space=space, **{part: 1.0}).mean().backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_in_the_noise_three_classes_will_do(dataset, context, causal_adv):
    rows = dataset("lin").test
    found = causal_adv(nn.Linear(3, 3), rows._replace(y=rows.index % 3), context("lin"), linearity=1.0, twins=1.0)
    assert torch.isfinite(found).all()


def test_in_the_features_three_classes_are_refused(dataset, context, causal_adv):
    with pytest.raises(ValueError, match="defined for two classes, and this model has 3"):
        causal_adv(nn.Linear(3, 3), dataset("lin").test, context("lin"), space="features", linearity=1.0)


def test_another_space_is_refused(dataset, context, causal_adv):
    with pytest.raises(ValueError, match="space='pixels' is not known; choose latent or features"):
        causal_adv(nn.Linear(3, 1), dataset("lin").test, context("lin"), space="pixels", twins=1.0)


def test_training_on_the_twins_alone_makes_lin_counterfactually_fair(dataset, context, train_on, option):
    """Ehyaei et al. 2024: the worst twin alone brings the unfair area near 0."""
    data, ctx, model = dataset("lin"), context("lin"), nn.Linear(3, 1)
    node = option("regularizer", "causal_adv")["causal_adv"] | {
        "space": "latent",
        "linearity": 0.0,
        "gradient": 0.0,
        "twins": 1.0,
    }
    terms = build.terms({"regularizer": {"causal_adv": node}})
    flips = []
    for nominal, which in ((1.0, {}), (0.0, terms)):
        torch.manual_seed(0)
        nn.init.zeros_(model.weight)
        train_on(data, model, ctx, which, nominal=nominal, epochs=15)
        decided = model(twins_of(ctx.scm, data.test.x))[..., 0] >= 0
        flips.append((decided[0] != decided[1]).double().mean())
    assert flips[0] > 0.3
    assert flips[1] < 0.1


def test_an_inner_loss_is_a_loss(dataset, context, causal_adv):
    """The part of the twins is bounded below by the row's own loss, softplus of minus its margin."""
    model, rows = nn.Linear(3, 1), dataset("lin").test
    own = F.softplus(-model(rows.x)[:, 0] * (2 * rows.y - 1))
    assert (causal_adv(model, rows, context("lin"), twins=1.0) >= own - 1e-5).all()
