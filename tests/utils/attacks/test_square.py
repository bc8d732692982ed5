"""Square Attack: the optimum of linear models, the published code on a trained net, what it must not depend on."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import nn

from tests.utils.attacks.robust_digits import PUBLISHED, batch, by_chance, image_context, images, right, robust_net
from utils.attacks.square import HALVINGS, _blocks, square
from utils.decides.threshold import Threshold, logit
from utils.threats import causal, check_budget, features, pixels
from utils.views.stack import UnstackableError

NORMS = ("linf", "l2", "l1")
PIXELS = {norm: partial(pixels, norm=norm) for norm in NORMS}
FEATURES = {norm: partial(features, norm=norm, movable_columns="continuous", relax=False) for norm in NORMS}
RADIUS = {"linf": 0.12, "l2": 0.6, "l1": 1.5}


def attack(model, rows, ctx, **changes):
    return square(model, rows, ctx, **{"threat": PIXELS["linf"], "queries": 60, "p_init": 0.8, "restarts": 1} | changes)


def grey(n=6, channels=1, side=4, dtype=torch.float32):
    """Images away from black and white, all of class 1."""
    x = 0.3 + 0.4 * torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return batch(x, torch.ones(n, dtype=torch.int64))


def linear(shape, bias=0.0):
    """z = w . x + b of images, random w."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(shape.numel(), 1)).requires_grad_(False)
    model[1].bias.fill_(bias)
    return model


def larger(side):
    """The digits with every pixel ``side`` times as high and wide, and the net that averages them back."""
    whole = images()._replace(x=nn.functional.interpolate(images().x, scale_factor=side))
    return nn.Sequential(nn.AvgPool2d(side), robust_net()), whole


def published(model, rows, *, norm, radius, queries):
    """x' of the authors' code with the schedule of AutoAttack's standard version."""
    with torch.random.fork_rng():
        theirs = SquareAttack(model, norm=PUBLISHED[norm], n_queries=queries, eps=radius, resc_schedule=False)
        return theirs.perturb(rows.x, rows.y)


# Theory


@pytest.mark.parametrize("channels", [1, 3])
def test_under_linf_it_finds_the_worst_corner_of_a_linear_model(channels):
    """min of w.x + b over the ball is w.x + b - radius * sum of |w|; windows of one pixel suffice to get there."""
    rows = grey(channels=channels)
    model = linear(rows.x[0].shape, bias=100.0)  # never fooled, so that the search goes on
    moved = attack(model, rows, image_context(0.1), queries=1500)
    least = model(rows.x)[:, 0] - 0.1 * model[1].weight.abs().sum()
    assert torch.allclose(model(moved)[:, 0], least, atol=1e-4)


@pytest.mark.parametrize(("norm", "dual", "share"), [("l2", 2, 0.7), ("l1", torch.inf, 0.7)])
def test_it_comes_near_the_dual_norm_of_a_linear_model(norm, dual, share):
    """The best move of a linear model is radius * dual norm of w; random search gets most of it."""
    rows = grey(side=6)
    model = linear(rows.x[0].shape, bias=100.0)
    moved = attack(model, rows, image_context(0.2), threat=PIXELS[norm], queries=1500)
    fall = (model(rows.x) - model(moved))[:, 0] / (0.2 * model[1].weight.norm(p=dual))
    assert (fall <= 1 + 1e-4).all()
    assert (fall > share).all()


def test_it_needs_no_gradient():
    """A model that answers in steps falls to a point beyond the step."""

    def steps(x):
        return torch.where(x.mean((1, 2, 3)) > 0.5, 1.0, -1.0).unsqueeze(1)

    rows = grey(n=40)
    rows = rows._replace(y=(steps(rows.x)[:, 0] > 0).long())
    near = (rows.x.mean((1, 2, 3)) - 0.5).abs() < 0.02
    moved = attack(steps, rows, image_context(0.1), queries=300)
    fooled = (steps(moved)[:, 0] > 0) != rows.y.bool()
    assert fooled[near].all()
    assert not fooled[(rows.x.mean((1, 2, 3)) - 0.5).abs() > 0.1].any()


def test_windows_halve_when_published():
    """Andriushchenko et al. 2020, section 4: of 10,000 queries, after 10, 50, 200, 500, 1000, 2000, 4000, ..."""
    blocks = list(_blocks(10_000))
    assert [q for block in blocks for q in block] == list(range(10_000))
    assert {h + 1 for h in HALVINGS} <= {block.start for block in blocks}


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_perturbation_is_as_long_as_the_radius_where_the_range_of_pixels_leaves_room(norm):
    rows = grey(side=6)
    moved = attack(linear(rows.x[0].shape, 100.0), rows, image_context(0.2), threat=PIXELS[norm])
    length = (moved - rows.x).flatten(1).norm(p={"l2": 2, "l1": 1}[norm], dim=1)
    assert torch.allclose(length, torch.tensor(0.2), rtol=1e-4)


# The published code


@pytest.mark.parametrize("norm", ["l2", *(pytest.param(norm, marks=pytest.mark.slow) for norm in ("linf", "l1"))])
def test_it_is_at_least_as_strong_as_the_published_code(norm):
    """On 8 x 8 pixels it is stronger: the published windows, at floor((h - s) u), never reach the last row of them."""
    rows = images().rows(slice(0, 250))
    moved = attack(robust_net(), rows, image_context(RADIUS[norm]), threat=PIXELS[norm], queries=150)
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm], queries=150)
    ours, other = (right(robust_net(), x, rows.y) for x in (moved, theirs))
    assert 30 < other.sum() < right(robust_net(), rows.x, rows.y).sum() - 10
    assert ours.sum() - other.sum() <= by_chance(ours, other)


@pytest.mark.parametrize(
    ("norm", "radius"),
    [("linf", 0.15), *(pytest.param(*of, marks=pytest.mark.slow) for of in (("l2", 2.4), ("l1", 25.0)))],
)
def test_on_larger_images_it_is_as_strong_as_the_published_code(norm, radius):
    """Where one row and column of pixels matter little, both find the same within chance."""
    model, whole = larger(4)
    rows = whole.rows(slice(0, 150))
    moved = attack(model, rows, image_context(radius), threat=PIXELS[norm], queries=80)
    theirs = published(model, rows, norm=norm, radius=radius, queries=80)
    ours, other = (right(model, x, rows.y) for x in (moved, theirs))
    assert 15 < other.sum() < 135
    assert abs(ours.sum() - other.sum()) <= by_chance(ours, other)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_with_all_queries_it_is_at_least_as_strong_as_the_published_code(norm):
    rows = images().rows(slice(0, 1000))
    moved = attack(robust_net(), rows, image_context(RADIUS[norm]), threat=PIXELS[norm], queries=5000)
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm], queries=5000)
    ours, other = (right(robust_net(), x, rows.y) for x in (moved, theirs))
    assert ours.sum() - other.sum() <= by_chance(ours, other)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.15), ("l2", 4.0), ("l1", 80.0)])
def test_on_images_in_colour_it_is_as_strong_as_the_published_code(norm, radius):
    """Under l1 a query heaps up more than the radius allows, and the projection keeps the tallest of it."""
    mix = nn.Conv2d(3, 1, 1, bias=False).requires_grad_(False)
    mix.weight.copy_(torch.tensor([0.5, 0.3, 0.2]).reshape(1, 3, 1, 1))
    net, whole = larger(4)
    model, rows = nn.Sequential(mix, net), whole.rows(slice(0, 300))
    rows = rows._replace(x=rows.x.repeat(1, 3, 1, 1))
    moved = attack(model, rows, image_context(radius), threat=PIXELS[norm], queries=200)
    theirs = published(model, rows, norm=norm, radius=radius, queries=200)
    ours, other = (right(model, x, rows.y) for x in (moved, theirs))
    assert 20 < other.sum() < 280
    assert ours.sum() - other.sum() <= by_chance(ours, other)


# What it keeps to


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 5), (2, 1)])
def test_it_keeps_to_ball_and_pixels(norm, channels, side):
    x = torch.rand(30, channels, side, side, generator=torch.Generator().manual_seed(0)).mul(1.4).sub(0.2).clamp(0, 1)
    rows, radius = batch(x, torch.arange(30) % 2), torch.linspace(0, 0.8, 30)
    ctx = image_context(lambda rows, ctx: radius[rows.index])
    moved = attack(linear(x[0].shape), rows, ctx, threat=PIXELS[norm])
    check_budget(PIXELS[norm](ctx), x, moved, radius)
    assert not torch.equal(moved, x)


@pytest.mark.parametrize("shape", [(1, 4, 7), (2, 9, 3)])
@pytest.mark.parametrize("norm", NORMS)
def test_images_need_not_be_square(norm, shape):
    rows = batch(torch.full((5, *shape), 0.5), torch.ones(5, dtype=torch.int64))
    model, ctx = linear(torch.Size(shape), bias=100.0), image_context(0.3)
    moved = attack(model, rows, ctx, threat=PIXELS[norm])
    check_budget(PIXELS[norm](ctx), rows.x, moved, torch.full((5,), 0.3))
    assert (model(moved) < model(rows.x)).all()


def test_radius_zero_changes_nothing():
    rows = images().rows(slice(0, 50))
    assert torch.equal(attack(robust_net(), rows, image_context(0.0)), rows.x)


def test_rows_that_are_wrong_already_stay():
    rows = images().rows(slice(0, 300))
    wrong = ~right(robust_net(), rows.x, rows.y)
    moved = attack(robust_net(), rows, image_context(0.1))
    assert wrong.any()
    assert torch.equal(moved[wrong], rows.x[wrong])


@pytest.mark.parametrize("norm", NORMS)
def test_rows_together_equal_rows_one_by_one(norm):
    """In double precision, so that no sum of another order tips a query; some rows are done early, some late."""
    model = copy.deepcopy(robust_net()).double()
    rows, ctx = images().rows(slice(0, 10)), image_context(RADIUS[norm], dtype=torch.float64)
    rows = rows._replace(x=rows.x.double())
    run = partial(attack, model, threat=PIXELS[norm], restarts=2, queries=25)
    alone = torch.cat([run(rows.rows(slice(i, i + 1)), ctx) for i in range(10)])
    backwards = run(rows.rows(torch.arange(9, -1, -1)), ctx).flip(0)
    together = run(rows, ctx)
    assert torch.allclose(together, alone, atol=1e-9)
    assert torch.allclose(together, backwards, atol=1e-9)
    assert 0 < right(model, together, rows.y).sum() < 10


def test_the_seed_chooses_the_windows():
    rows = images().rows(slice(0, 20))
    first, again, other = (attack(robust_net(), rows, image_context(0.1, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rows_have_windows_of_their_own():
    """Equal images with other numbers in the data move otherwise."""
    rows = grey()._replace(x=torch.full((6, 1, 8, 8), 0.5))
    moved = attack(linear(rows.x[0].shape, 100.0), rows, image_context(0.1), queries=5, p_init=0.1)
    assert len(moved.unique(dim=0)) == 6


def test_more_restarts_never_weaken_it():
    rows = images().rows(slice(0, 150))
    kept = [right(robust_net(), attack(robust_net(), rows, image_context(0.12), restarts=n), rows.y) for n in (1, 3)]
    assert not (kept[1] & ~kept[0]).any()
    assert kept[1].sum() < kept[0].sum()


def test_in_training_it_attacks_the_steady_view_of_the_model():
    rows, ctx = images().rows(slice(0, 30)), image_context(0.12)
    moved = attack(pytest.fail, rows, replace(ctx, view=robust_net()))
    assert torch.equal(moved, attack(robust_net(), rows, ctx))


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train().eval()
    before = copy.deepcopy(model.state_dict())
    moved = attack(model, images().rows(slice(0, 20)), image_context(0.1))
    assert not moved.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


# Two classes and tables


@pytest.mark.parametrize("label", [0, 1])
def test_two_classes_are_told_apart_by_the_threshold_of_the_decision(label):
    """Of a linear model a row is lost exactly where its margin from the threshold is less than radius * |w|_1."""
    rows = grey(n=60)._replace(y=torch.full((60,), label))
    model, decide = linear(rows.x[0].shape), Threshold(0.4)
    model[1].bias.sub_(model(rows.x).mean() - logit(0.4))
    margin = (model(rows.x)[:, 0] - logit(0.4)) * (2 * label - 1)
    reach = margin[margin > 0].median() + 1e-3
    radius = float(reach / model[1].weight.abs().sum())
    moved = attack(model, rows, image_context(radius, decide=decide), queries=1200)
    lost = decide(model(moved), rows.s) != rows.y
    assert torch.equal(lost, margin < reach)
    assert (margin < 0).sum() < lost.sum() < 60


@pytest.mark.parametrize("norm", NORMS)
def test_columns_that_are_frozen_keep_every_bit(dataset, context, trained, norm):
    rows, ctx = dataset("toy").test, context("toy", radius=0.5)
    moved = attack(trained("toy"), rows, ctx, threat=FEATURES[norm], queries=20)
    check_budget(FEATURES[norm](ctx), rows.x, moved, ctx.epsilon(rows, ctx))
    assert torch.equal(moved[:, :2], rows.x[:, :2])
    assert not torch.equal(moved, rows.x)


def test_on_the_columns_of_a_table_it_finds_the_worst_corner_of_a_linear_model(dataset, context):
    rows = dataset("lin").test
    model = nn.Linear(3, 1).requires_grad_(False)
    model.bias.fill_(100.0)
    rows = rows._replace(y=torch.ones_like(rows.y))
    moved = attack(model, rows, context("lin", radius=0.3), threat=FEATURES["linf"], queries=100)
    fall = (model(rows.x) - model(moved))[:, 0]
    assert torch.allclose(fall, 0.3 * model.weight[0, 1:].abs().sum().expand_as(fall), atol=1e-4)


# What is refused


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"restarts": 0}, "restarts=0: expected at least 1 start"),
        ({"p_init": 0.0}, "p_init=0.0: expected a share of the image"),
        ({"p_init": 1.5}, "p_init=1.5: expected a share of the image"),
    ],
)
def test_settings_out_of_range_are_refused(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        attack(robust_net(), images().rows(slice(0, 2)), image_context(0.1), **setting)


def test_a_causal_threat_is_refused(dataset, context, trained):
    with pytest.raises(ValueError, match="attack=square moves pixels or columns"):
        attack(trained("lin"), dataset("lin").test, context("lin"), threat=partial(causal, norm="l2", twins=True))


def test_a_stack_is_refused():
    rows = grey()
    stack = rows._replace(x=rows.x[None], y=rows.y[None])
    with pytest.raises(UnstackableError, match="one model at a time"):
        attack(linear(rows.x[0].shape), stack, image_context(0.1))
