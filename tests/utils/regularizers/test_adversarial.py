"""Adversarial training: the loss at the attacked row."""

from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils.losses.objective import cross_entropy
from utils.regularizers.adversarial import adversarial


def test_on_a_linear_model_it_is_the_loss_at_the_margin_less_the_dual_norm(dataset, context):
    """max over norm(d) <= r of l(z(x + d), y) = softplus(r norm(w) - (2y - 1) z), w over the movable columns."""
    rows, model = dataset("lin").test, nn.Linear(3, 1)
    found = adversarial(model, rows, context("lin", radius=0.3))
    margin = model(rows.x)[:, 0] * (2 * rows.y - 1)
    assert torch.allclose(found, F.softplus(0.3 * model.weight[0, 1:].norm() - margin), atol=1e-5)


def test_the_attack_of_the_context_is_the_one_used(dataset, context):
    rows, model = dataset("lin").test, nn.Linear(3, 1)
    ctx = replace(context("lin"), attack=lambda predict, batch, ctx: batch.x + 1)
    assert torch.equal(adversarial(model, rows, ctx), cross_entropy(model(rows.x + 1), rows.y))


def test_radius_zero_is_the_plain_loss(dataset, context, trained):
    rows = dataset("loan").test
    found = adversarial(trained("loan"), rows, context("loan", radius=0.0))
    assert torch.equal(found, cross_entropy(trained("loan")(rows.x), rows.y))


def test_its_gradient_is_that_of_the_loss_at_the_attacked_row(dataset, context):
    """The perturbation itself is held fixed (Danskin)."""
    rows, model, ctx = dataset("lin").test, nn.Linear(3, 1), context("lin")
    found = torch.autograd.grad(adversarial(model, rows, ctx).mean(), list(model.parameters()))
    moved = ctx.attack(model, rows, ctx)
    expected = torch.autograd.grad(cross_entropy(model(moved), rows.y).mean(), list(model.parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
