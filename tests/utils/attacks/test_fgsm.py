"""The fast gradient method: the closed form, and foolbox on a trained net."""

import copy
from functools import partial

import foolbox
import pytest
import torch
from torch import nn

from utils.attacks.fgsm import fgsm
from utils.scms.counterfactual import factual_level
from utils.threats import causal, check_budget, features

FEATURES = {norm: partial(features, norm=norm, movable_columns="all", relax=True) for norm in ("l2", "linf")}


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_its_examples_are_foolboxs(dataset, context, trained, norm):
    model, rows = trained("loan"), dataset("loan").test
    padded = nn.Sequential(model, nn.ConstantPad1d((1, 0), 0.0)).eval()
    theirs = foolbox.PyTorchModel(padded, bounds=(-1e3, 1e3), device="cpu")
    kind = {"l2": foolbox.attacks.L2FastGradientAttack, "linf": foolbox.attacks.LinfFastGradientAttack}[norm]
    _, found, _ = kind()(theirs, rows.x, rows.y, epsilons=0.2)
    ours = fgsm(model, rows, context("loan", radius=0.2), threat=FEATURES[norm])
    assert torch.allclose(ours, found, atol=1e-5)


def test_on_a_linear_model_it_is_the_sign_of_the_weights_against_the_label(dataset, context):
    model, rows = nn.Linear(3, 1), dataset("lin").test
    moved = fgsm(model, rows, context("lin", radius=0.3), threat=FEATURES["linf"])
    expected = rows.x - 0.3 * (2 * rows.y - 1).unsqueeze(1) * model.weight.sign()
    assert torch.allclose(moved, expected.detach(), atol=1e-6)


def test_frozen_columns_keep_every_bit(dataset, context, trained):
    rows = dataset("loan").test
    threat = partial(features, norm="linf", movable_columns="continuous", relax=False)
    moved = fgsm(trained("loan"), rows, context("loan", radius=0.3), threat=threat)
    assert torch.equal(moved[:, 0], rows.x[:, 0])
    assert (moved[:, 1:] != rows.x[:, 1:]).all()


def test_radius_zero_changes_nothing(dataset, context, trained):
    rows = dataset("loan").test
    assert torch.equal(fgsm(trained("loan"), rows, context("loan", radius=0.0), threat=FEATURES["l2"]), rows.x)


def test_in_the_noise_it_reaches_the_edge_of_a_twin(dataset, context, trained):
    rows, ctx = dataset("loan").test, context("loan", radius=0.2)
    threat = partial(causal, norm="l2", twins=True)
    moved = fgsm(trained("loan"), rows, ctx, threat=threat)
    check_budget(threat(ctx), rows.x, moved, ctx.epsilon(rows, ctx))
    assert (factual_level(ctx.scm, moved) != factual_level(ctx.scm, rows.x)).any()


def test_rows_together_equal_rows_one_by_one(dataset, context, trained):
    rows, ctx = dataset("nlm").test.rows(slice(0, 25)), context("nlm", radius=0.2)
    run = partial(fgsm, trained("nlm"), ctx=ctx, threat=FEATURES["l2"])
    alone = torch.cat([run(batch=rows.rows(slice(i, i + 1))) for i in range(25)])
    assert torch.allclose(run(batch=rows), alone, atol=1e-5)


def test_the_model_is_left_as_it_was(dataset, context):
    model = nn.Linear(3, 1)
    before = copy.deepcopy(model.state_dict())
    moved = fgsm(model, dataset("lin").test, context("lin"), threat=FEATURES["linf"])
    assert not moved.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
