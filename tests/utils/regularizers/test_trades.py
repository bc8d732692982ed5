"""TRADES: natural loss plus the divergence between the answers at x and at the worst x'."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from utils.types import Emphasis

RADIUS, BETA = 8 / 255, 6.0


def kl(p, q):
    """Sum of p (log p - log q) over the classes, (n, C) each."""
    return (p * (p.log() - q.log())).sum(1)


def published(view, x, start):
    """Ten sign steps of the divergence from a fixed p(x), each a quarter of the radius, cut to ball and pixels."""
    p = view(x).softmax(1).detach()
    moved = x + start
    for _ in range(10):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(kl(p, view(moved).softmax(1)).sum(), moved)
        moved = moved + RADIUS / 4 * slope.sign()
        moved = torch.max(torch.min(moved, x + RADIUS), x - RADIUS).clamp(0, 1)
    return moved.detach()


def watched(network, batch, make):
    """A context that lets attacks see the network in eval mode, and what it sees."""
    view = copy.deepcopy(network).eval().requires_grad_(False)
    return make(batch, view=view), view


def test_the_inner_attack_is_the_published_one(network, images, image_context, term, heard):
    batch = images()
    ctx, view = watched(network, batch, image_context)
    model = heard(network)
    term("trades")(model, batch, ctx)
    start = 0.001 * ctx.on(batch).normal(batch.x.unsqueeze(0)).squeeze(0)
    assert torch.allclose(model.rows[1], published(view, batch.x, start), atol=1e-12)


def test_the_loss_is_the_published_formula(network, images, image_context, term, heard):
    """l(h(x), y) + beta KL(p(x), p(x')), here from softmax and logarithm by hand."""
    batch = images()
    ctx, _ = watched(network, batch, image_context)
    model = heard(network)
    found = term("trades", beta=BETA)(model, batch, ctx)
    clean, attacked = (network(x).softmax(1) for x in model.rows)
    natural = -clean[torch.arange(len(batch.y)), batch.y].log()
    assert torch.allclose(found, natural + BETA * kl(clean, attacked), atol=1e-12)


def test_for_two_classes_the_divergence_is_that_of_bernoulli_answers(images, image_context, term, heard, linear):
    batch, model = images(classes=2), heard(linear)
    found = term("trades", beta=BETA)(model, batch, image_context(batch))
    p, q = (model.model(x).sigmoid()[:, 0] for x in (model.rows[-2], model.rows[-1]))
    natural = -torch.where(batch.y == 1, p.log(), (1 - p).log())
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert torch.allclose(found, natural + BETA * divergence, atol=1e-12)


def test_the_gradient_is_that_of_the_formula_at_the_attacked_rows(network, images, image_context, term, heard):
    """The perturbation itself is held fixed, and both answers move."""
    batch = images()
    ctx, _ = watched(network, batch, image_context)
    model = heard(network)
    found = torch.autograd.grad(term("trades", beta=BETA)(model, batch, ctx).mean(), list(network.parameters()))
    clean, attacked = (network(x) for x in model.rows)
    loss = F.cross_entropy(clean, batch.y) + BETA * kl(clean.softmax(1), attacked.softmax(1)).mean()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(found, expected, strict=True))
    assert not model.rows[1].requires_grad


def test_running_statistics_move_by_the_two_passes_of_the_loss_alone(network, images, image_context, term, heard):
    batch, twin = images(), copy.deepcopy(network)
    ctx, _ = watched(network, batch, image_context)
    model = heard(network)
    term("trades")(model, batch, ctx)
    for x in (batch.x, model.rows[1]):
        twin(x)
    assert len(model.rows) == 2
    assert torch.equal(network[1].running_mean, twin[1].running_mean)
    assert network[1].num_batches_tracked == 2


def test_the_model_stays_in_training(network, images, image_context, term):
    batch = images()
    term("trades")(network, batch, watched(network, batch, image_context)[0])
    assert all(part.training for part in network.modules())


def test_emphasis_weighs_each_part_of_each_row(network, images, image_context, term):
    batch = images()
    ctx, _ = watched(network, batch, image_context)
    ones, zeros = torch.ones_like(batch.w), torch.zeros_like(batch.w)
    row = torch.arange(len(batch.y), dtype=torch.float64)

    def run(natural, boundary):
        return term("trades", beta=BETA)(network, batch, replace(ctx, emphasis=Emphasis(natural, boundary)))

    natural, boundary = run(ones, zeros), run(zeros, ones)
    assert torch.allclose(run(row, 2 * row), row * natural + 2 * row * boundary)


def test_the_logits_at_the_attacked_rows_are_made_known_without_their_graph(
    network, images, image_context, term, heard
):
    batch, told = images(), []
    ctx, _ = watched(network, batch, image_context)
    model = heard(network)
    term("trades")(model, batch, replace(ctx, observe=lambda logits, rows: told.append((logits, rows))))
    ((logits, rows),) = told
    assert torch.allclose(logits, network(model.rows[1]))
    assert not logits.requires_grad
    assert torch.equal(rows.y, batch.y)


def test_a_row_gets_the_same_loss_in_any_order(network, images, image_context, term):
    batch, model = images(), network.eval()
    order = torch.randperm(len(batch.y), generator=torch.Generator().manual_seed(1))
    loss = term("trades")(model, batch, image_context(batch))
    assert torch.allclose(term("trades")(model, batch.rows(order), image_context(batch)), loss[order], atol=1e-12)


def test_radius_zero_is_the_plain_loss(network, images, image_context, term):
    batch, model = images(), network.eval()
    ctx = image_context(batch, epsilon=lambda rows, at: torch.zeros_like(rows.w))
    found = term("trades")(model, batch, ctx)
    assert torch.allclose(found, F.cross_entropy(model(batch.x), batch.y, reduction="none"), atol=1e-12)


def test_the_clean_start_where_the_divergence_is_flat_is_refused(network, images, image_context, term):
    batch = images()
    with pytest.raises(ValueError, match=r"regularizer\.trades\.start=clean.*use normal or uniform"):
        term("trades", start="clean")(network, batch, image_context(batch))
