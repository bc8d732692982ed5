"""PGD-AT: the loss at the attacked row."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from utils.types import Emphasis

RADIUS = 8 / 255


@pytest.mark.parametrize("start", ["uniform", "normal", "clean"])
def test_on_a_linear_model_it_is_the_loss_at_the_margin_less_the_dual_norm(linear, images, image_context, term, start):
    """max over |d| <= r of l(z(x + d), y) = softplus(r sum |w| - (2y - 1) z) where no pixel is near black or white."""
    batch = images(classes=2)
    margin = linear(batch.x)[:, 0] * (2 * batch.y - 1)
    found = term("pgd_at", start=start)(linear, batch, image_context(batch))
    assert torch.allclose(found, F.softplus(RADIUS * linear[1].weight.abs().sum() - margin), atol=1e-12)


def test_at_black_and_white_it_has_only_the_room_that_pixels_have(linear, images, image_context, term):
    """x = 1 cannot rise: only the weights that the attack follows downwards count."""
    batch = images(classes=2)
    batch = batch._replace(x=torch.ones_like(batch.x))
    toward = -(2 * batch.y - 1).unsqueeze(1) * linear[1].weight  # of the damage, (n, 16)
    margin = linear(batch.x)[:, 0] * (2 * batch.y - 1)
    found = term("pgd_at")(linear, batch, image_context(batch))
    assert torch.allclose(found, F.softplus(RADIUS * -toward.clamp_max(0).sum(1) - margin), atol=1e-12)


def test_its_gradient_is_that_of_the_loss_at_the_attacked_rows(network, images, image_context, term, heard):
    batch = images()
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    model = heard(network)
    found = torch.autograd.grad(term("pgd_at")(model, batch, ctx).mean(), list(network.parameters()))
    (moved,) = model.rows  # the training meets x' alone
    expected = torch.autograd.grad(F.cross_entropy(network(moved), batch.y), list(network.parameters()))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, expected, strict=True))


def test_the_model_stays_in_training_and_its_statistics_see_one_pass(network, images, image_context, term):
    batch = images()
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    term("pgd_at")(network, batch, ctx)
    assert network.training
    assert network[1].num_batches_tracked == 1


def test_the_loss_is_the_natural_part(network, images, image_context, term):
    batch, model = images(), network.eval()
    row = torch.arange(len(batch.y), dtype=torch.float64)
    plain, weighed = (
        term("pgd_at")(model, batch, image_context(batch, emphasis=emphasis))
        for emphasis in (None, Emphasis(row, torch.full_like(row, torch.nan)))
    )
    assert torch.allclose(weighed, row * plain, atol=1e-12)


def test_the_logits_of_the_loss_are_made_known(network, images, image_context, term):
    batch, told = images(), []
    ctx = replace(image_context(batch), observe=lambda logits, rows: told.append(logits))
    found = term("pgd_at")(network.eval(), batch, ctx)
    assert torch.allclose(F.cross_entropy(told[0], batch.y, reduction="none"), found)
    assert not told[0].requires_grad
