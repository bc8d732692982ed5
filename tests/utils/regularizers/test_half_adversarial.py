"""Adversarial training on a share of each batch: which rows are attacked, by what, and the mean of all."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from utils.regularizers.half_adversarial import half_adversarial
from utils.types import Emphasis

RADIUS = 8 / 255


def lighter(predict, batch, ctx):
    """An attack that adds .1 to every pixel."""
    return batch.x + 0.1


def loss(model, x, y):
    return F.cross_entropy(model(x), y, reduction="none")


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 12)])
def test_the_first_rows_are_attacked_and_the_others_clean(network, images, image_context, share, count):
    batch, model = images(), network.eval()
    x = torch.cat([batch.x[:count] + 0.1, batch.x[count:]])
    found = half_adversarial(model, batch, image_context(batch), attack=lighter, share=share)
    assert torch.allclose(found, loss(model, x, batch.y))


def test_the_attack_is_asked_about_the_attacked_rows_alone(network, images, image_context):
    batch, asked = images(), []

    def asking(predict, rows, ctx):
        asked.append((rows, ctx.generator.index))
        return rows.x

    half_adversarial(network, batch, image_context(batch), attack=asking, share=0.5)
    ((rows, index),) = asked
    assert torch.equal(rows.y, batch.y[:6])
    assert torch.equal(index, batch.index[:6])


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_model_attacked_rows_lose_the_dual_norm_misclassified_ones_too(
    linear, images, image_context, term, norm
):
    """softplus(r ||w||_dual - (2y - 1) z) where no pixel is near black or white; a small ball takes 7 steps."""
    batch = images(classes=2)
    radius = RADIUS if norm == "linf" else 0.1
    ctx = image_context(batch, epsilon=lambda rows, at: torch.full_like(rows.w, radius))
    option = {"_target_": "utils.threats.pixels", "_partial_": True, "norm": norm}
    attack = {"_target_": "utils.attacks.apgd.apgd_ascent", "_partial_": True, "loss": "ce", "steps": 7}
    found = term("half_adversarial", attack=attack | {"threat": option})(linear, batch, ctx)
    margin = linear(batch.x)[:, 0] * (2 * batch.y - 1)
    dual = linear[1].weight.norm({"linf": 1, "l2": 2, "l1": torch.inf}[norm])
    least = torch.cat([torch.full((6,), radius) * dual, torch.zeros(6)]).double()
    assert (margin[:6] < 0).any()  # some are misclassified from the start
    assert torch.allclose(found, F.softplus(least - margin), rtol=1e-2)


def test_its_gradient_is_that_of_the_loss_at_the_mixed_rows_in_one_pass(network, images, image_context, term, heard):
    batch = images()
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    model = heard(network)
    found = torch.autograd.grad(term("half_adversarial")(model, batch, ctx).mean(), list(network.parameters()))
    (mixed,) = model.rows
    expected = torch.autograd.grad(F.cross_entropy(network(mixed), batch.y), list(network.parameters()))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(found, expected, strict=True))
    assert torch.equal(mixed[6:], batch.x[6:])
    assert not torch.equal(mixed[:6], batch.x[:6])


def test_the_model_stays_in_training_and_its_statistics_see_one_pass(network, images, image_context, term):
    batch = images()
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    term("half_adversarial")(network, batch, ctx)
    assert network.training
    assert network[1].num_batches_tracked == 1


def test_the_logits_at_the_attacked_rows_are_made_known(network, images, image_context):
    batch, told = images(), []
    model = network.eval()
    ctx = replace(image_context(batch), observe=lambda logits, rows: told.append((logits, rows)))
    half_adversarial(model, batch, ctx, attack=lighter, share=0.5)
    ((logits, rows),) = told
    assert torch.allclose(logits, model(batch.x[:6] + 0.1))
    assert torch.equal(rows.y, batch.y[:6])
    assert not logits.requires_grad


def test_the_loss_is_the_natural_part(network, images, image_context):
    batch, model = images(), network.eval()
    row = torch.arange(len(batch.y), dtype=torch.float64)
    term = partial(half_adversarial, attack=lighter, share=0.5)
    plain, weighed = (
        term(model, batch, image_context(batch, emphasis=emphasis))
        for emphasis in (None, Emphasis(row, torch.full_like(row, torch.nan)))
    )
    assert torch.allclose(weighed, row * plain)


def test_a_stack_has_its_first_rows_attacked_in_every_model(images, image_context, linear):
    batch = images(classes=2)
    stack = batch.__class__(*(torch.stack([column, column.flip(0)]) for column in batch))
    found = half_adversarial(linear, stack, image_context(batch, generator=()), attack=lighter, share=0.25)
    alone = half_adversarial(linear, stack.of_model(1), image_context(batch, generator=()), attack=lighter, share=0.25)
    assert torch.allclose(found[1], alone)


def test_a_share_out_of_range_is_refused(network, images, image_context, term):
    batch = images()
    with pytest.raises(ValueError, match=r"half_adversarial\.share=1\.5: expected a share of the rows in \[0, 1\]"):
        term("half_adversarial", share=1.5)(network, batch, image_context(batch))
