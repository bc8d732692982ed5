"""Projected gradient descent: theory on linear models, foolbox on a trained net, and what it must not depend on."""

import copy
from dataclasses import replace
from functools import partial

import foolbox
import pytest
import torch
from torch import nn

from tests import oracles
from utils.attacks.pgd import pgd
from utils.scms.counterfactual import twins
from utils.threats import causal, check_budget, everywhere, features

SETTINGS = {"steps": 10, "rel_step": 0.25, "restarts": 1, "random_start": False}
FEATURES = {norm: partial(features, norm=norm, movable_columns="all", relax=True) for norm in ("l2", "linf")}
CAUSAL = partial(causal, norm="l2", twins=True)


def attack(model, batch, ctx, **changes):
    return pgd(model, batch, ctx, **SETTINGS | {"threat": FEATURES["l2"]} | changes)


def linear(scale=1.0):
    model = nn.Linear(3, 1).requires_grad_(False)
    model.weight.copy_(scale * torch.tensor([[0.5, -2.0, 1.0]]))
    model.bias.zero_()
    return model


def two_logits(model):
    """The same model as foolbox wants it."""
    return nn.Sequential(model, nn.ConstantPad1d((1, 0), 0.0))


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
def test_on_a_linear_model_it_reaches_the_dual_norm(dataset, context, norm, dual):
    """The logit moves by the radius times the dual norm of the weights, against the label."""
    model, rows = linear(), dataset("lin").test
    moved = attack(model, rows, context("lin", radius=0.3), threat=FEATURES[norm])
    away = (model(rows.x) - model(moved))[:, 0] * (2 * rows.y - 1)
    assert torch.allclose(away, 0.3 * model.weight.norm(p=dual).expand_as(away), atol=1e-5)


@pytest.mark.parametrize("name", ["lin", "imf"])
def test_on_a_linear_model_and_scm_it_reaches_the_worst_twin_less_the_dual_norm_of_the_reduced_form(
    dataset, context, name
):
    model, rows, ctx = linear(), dataset(name).test, context(name, radius=0.3)
    moved = attack(model, rows, ctx, threat=CAUSAL)
    jacobian = torch.from_numpy(oracles.JACOBIAN[name]).float()
    reach = 0.3 * (jacobian.T @ (model.weight[0] / ctx.scm.scale))[1:].norm()
    sign = 2 * rows.y - 1
    expected = (model(twins(ctx.scm, rows.x))[..., 0] * sign).amin(0) - reach
    assert torch.allclose(model(moved)[:, 0] * sign, expected, atol=1e-4)


@pytest.mark.parametrize("scale", [10.0, 1e3, 1e6])
def test_a_model_cannot_hide_its_gradient_behind_large_logits(dataset, context, scale):
    """Scaling the logits changes no decision, so it must not change what the attack finds."""
    rows, ctx = dataset("lin").test, context("lin", radius=0.5)
    plain, scaled = linear(), linear(scale)
    lost = [(m(attack(m, rows, ctx))[:, 0] >= 0) != rows.y.bool() for m in (plain, scaled)]
    assert torch.equal(*lost)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_is_at_least_as_strong_as_foolbox(dataset, context, trained, norm):
    """Same steps, same step length, from the row itself; robust accuracy at most two rows above foolbox's."""
    model, rows = trained("loan"), dataset("loan").train
    kind = {"l2": foolbox.attacks.L2ProjectedGradientDescentAttack, "linf": foolbox.attacks.LinfPGD}[norm]
    theirs = foolbox.PyTorchModel(two_logits(model).eval(), bounds=(-1e3, 1e3), device="cpu")
    for radius in (0.1, 0.3):
        attacker = kind(rel_stepsize=0.25, steps=10, random_start=False)
        _, found, _ = attacker(theirs, rows.x, rows.y, epsilons=radius)
        moved = attack(model, rows, context("loan", radius=radius), threat=FEATURES[norm])
        ours, other = (((model(x)[:, 0] >= 0) == rows.y.bool()).sum() for x in (moved, found))
        assert ours <= other + 2
        assert ours < ((model(rows.x)[:, 0] >= 0) == rows.y.bool()).sum()


@pytest.mark.parametrize("threat", [*FEATURES.values(), CAUSAL, partial(causal, norm="l2", twins=False)])
def test_it_keeps_to_its_set(dataset, context, trained, threat):
    rows, ctx = dataset("loan").test, context("loan", radius=0.3)
    moved = attack(trained("loan"), rows, ctx, threat=threat, restarts=2, random_start=True)
    check_budget(threat(ctx), rows.x, moved, ctx.epsilon(rows, ctx))


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_a_causal_point_is_in_the_semi_latent_ball_by_the_formulas(dataset, context, trained, name):
    rows, ctx = dataset(name).test.rows(slice(0, 30)), context(name, radius=0.2)
    moved = attack(trained(name), rows, ctx, threat=CAUSAL)
    pairs = zip(ctx.scm.own(rows.x).double().tolist(), ctx.scm.own(moved).double().tolist(), strict=True)
    for row, point in pairs:
        steps = [b - a for a, b in zip(oracles.noise(name, row), oracles.noise(name, point), strict=True)]
        assert sum(s * s for s in steps[1:]) ** 0.5 <= 0.2 + 2e-4
        assert point[0] in (0.0, 1.0)


def test_only_the_movable_columns_move(dataset, context, trained):
    rows = dataset("loan").test
    threat = partial(features, norm="l2", movable_columns="actionable", relax=False)
    moved = attack(trained("loan"), rows, context("loan", radius=0.3), threat=threat)
    still = [i for i, c in enumerate(dataset("loan").columns) if not c.actionable]
    assert torch.equal(moved[:, still], rows.x[:, still])
    assert not torch.equal(moved, rows.x)


def test_radius_zero_changes_nothing(dataset, context, trained):
    rows = dataset("loan").test
    ctx = context("loan", radius=0.0)
    assert torch.equal(attack(trained("loan"), rows, ctx, random_start=True, restarts=2), rows.x)


def test_rows_keep_their_own_radius(dataset, context, trained):
    rows, ctx = dataset("loan").test, context("loan")
    radius = torch.arange(float(len(rows.y))) / 100
    moved = attack(trained("loan"), rows, replace(ctx, epsilon=lambda batch, ctx: radius))
    assert torch.allclose((moved - rows.x).norm(dim=-1), radius, atol=1e-4)


@pytest.mark.parametrize("threat", [*FEATURES.values(), CAUSAL])
def test_rows_together_equal_rows_one_by_one(dataset, context, trained, threat):
    rows, ctx = dataset("nlm").test.rows(slice(0, 25)), context("nlm", radius=0.2)
    together = attack(trained("nlm"), rows, ctx, threat=threat)
    alone = [attack(trained("nlm"), rows.rows(slice(i, i + 1)), ctx, threat=threat) for i in range(25)]
    same = torch.isclose(together, torch.cat(alone), atol=1e-3).all(-1)
    assert same.sum() >= 24  # a tie between two twins may fall either way
    worst = [(trained("nlm")(x)[:, 0] * (1 - 2 * rows.y)) for x in (together, torch.cat(alone))]
    assert torch.allclose(*worst, atol=1e-4)


@pytest.mark.parametrize("threat", [FEATURES["l2"], CAUSAL])
def test_more_restarts_never_weaken_it(dataset, context, trained, threat):
    """The first start is the row itself whatever their number."""
    rows, ctx = dataset("nlm").test, context("nlm", radius=0.5)
    against = [
        trained("nlm")(attack(trained("nlm"), rows, ctx, threat=threat, restarts=n))[:, 0] * (1 - 2 * rows.y)
        for n in (1, 4)
    ]
    assert (against[1] >= against[0] - 1e-5).all()


def test_random_starts_come_from_the_stream_of_the_context(dataset, context, trained):
    rows = dataset("nlm").test
    run = partial(attack, trained("nlm"), rows, random_start=True, steps=0)
    first, second, other = run(context("nlm")), run(context("nlm")), run(context("nlm", seed=1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_model_is_left_as_it_was(dataset, context):
    model = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.Tanh(), nn.Linear(5, 1)).train()
    before = copy.deepcopy(model.state_dict())
    moved = attack(model, dataset("lin").test, context("lin"))
    assert not moved.requires_grad
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_three_classes_are_attacked_towards_any_other(dataset, context):
    """On a linear model the probability of the label falls in every row."""
    rows = dataset("lin").test
    model = nn.Linear(3, 3).requires_grad_(False)
    rows = rows._replace(y=rows.index % 3)
    moved = attack(model, rows, context("lin", radius=0.3))
    before, after = (model(x).softmax(-1).gather(1, rows.y.unsqueeze(1)) for x in (rows.x, moved))
    assert (after < before).all()


def test_no_start_at_all_is_refused(dataset, context):
    with pytest.raises(ValueError, match="restarts=0: expected at least 1 start"):
        attack(linear(), dataset("lin").test, context("lin"), restarts=0)


def test_everywhere_is_the_radius_it_says(dataset, context):
    ctx = replace(context("lin"), epsilon=everywhere(1 / 4))
    moved = attack(linear(), dataset("lin").test, ctx)
    assert torch.allclose((moved - dataset("lin").test.x).norm(dim=-1), torch.tensor(0.25), atol=1e-5)
