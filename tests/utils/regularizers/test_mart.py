"""MART: boosted cross-entropy at x', and a divergence that counts where the model is wrong at x."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils.types import Emphasis

BETA = 5.0


def parts(clean, attacked, y):
    """The two parts (n,) from probabilities (n, C): -log p_y - log(1 - max of the others), KL (1 - p_y)."""
    row = torch.arange(len(y))
    others = attacked.clone()
    others[row, y] = 0
    boosted = -attacked[row, y].log() - (1 - others.amax(1)).log()
    return boosted, (clean * (clean.log() - attacked.log())).sum(1) * (1 - clean[row, y])


def test_the_loss_is_the_published_formula(network, images, image_context, term, heard):
    batch, model = images(), heard(network)
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    found = term("mart", beta=BETA)(model, batch, ctx)
    boosted, distance = parts(*(network(x).softmax(1) for x in model.rows), batch.y)
    assert torch.allclose(found, boosted + BETA * distance, atol=1e-12)


def test_its_gradient_is_that_of_the_formula(network, images, image_context, term, heard):
    """Also through the weight 1 - p_y(x), as published."""
    batch, model = images(), heard(network)
    ctx = image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False))
    found = torch.autograd.grad(term("mart", beta=BETA)(model, batch, ctx).mean(), list(network.parameters()))
    boosted, distance = parts(*(network(x).softmax(1) for x in model.rows), batch.y)
    expected = torch.autograd.grad((boosted + BETA * distance).mean(), list(network.parameters()))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(found, expected, strict=True))


def test_the_attack_ascends_the_cross_entropy(images, image_context, term, heard, linear):
    """On z = w x it ends in the corner -(2y - 1) sign w of the ball."""
    batch, model = images(classes=2), heard(linear)
    term("mart")(model, batch, image_context(batch))
    corner = -(2 * batch.y - 1).unsqueeze(1) * model.model[1].weight.sign() * 8 / 255
    assert torch.allclose((model.rows[-1] - batch.x).flatten(1), corner, atol=1e-12)


def test_for_two_classes_the_boosted_part_is_twice_the_cross_entropy(images, image_context, term, heard, linear):
    """1 - p of the other class is p_y."""
    batch, model = images(classes=2), heard(linear)
    found = term("mart", beta=0.0)(model, batch, image_context(batch))
    logits = model.model(model.rows[-1])[:, 0]
    assert torch.allclose(found, 2 * F.binary_cross_entropy_with_logits(logits, batch.y.double(), reduction="none"))


def test_emphasis_weighs_each_part(network, images, image_context, term, heard):
    batch, model = images(), heard(network.eval())
    row = torch.arange(len(batch.y), dtype=torch.float64)
    ctx = image_context(batch, emphasis=Emphasis(row, 2 * row))
    found = term("mart", beta=BETA)(model, batch, ctx)
    boosted, distance = parts(*(network(x).softmax(1) for x in model.rows[-2:]), batch.y)
    assert torch.allclose(found, row * boosted + 2 * row * BETA * distance, atol=1e-12)


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_a_model_that_is_sure_and_wrong_has_a_finite_loss_and_gradient(images, image_context, term, size):
    batch = images()
    logits = nn.Parameter(size * F.one_hot((batch.y + 1) % 3, 3).double())
    loss = term("mart", steps=1)(lambda x: logits + 0 * x.sum(), batch, image_context(batch))
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


def test_running_statistics_move_by_the_two_passes_of_the_loss_alone(network, images, image_context, term):
    batch = images()
    term("mart")(network, batch, image_context(batch, view=copy.deepcopy(network).eval().requires_grad_(False)))
    assert network[1].num_batches_tracked == 2
