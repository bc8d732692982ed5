"""Auto-PGD: closed forms on linear models, the published code on a trained net, what it must not depend on."""

import copy
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from sklearn.datasets import load_digits
from torch import nn

from utils import seeding
from utils.attacks.apgd import apgd, apgd_ascent, checkpoints, nearest
from utils.attacks.pgd import pgd
from utils.decides.threshold import Threshold, logit
from utils.scms.none import none
from utils.threats import Ball, causal, check_budget, everywhere, features, pixels
from utils.types import Batch, Context

SETTINGS = {"loss": "ce", "steps": 20, "restarts": 1, "targets": 9}
NORMS = ("linf", "l2", "l1")
PIXELS = {norm: partial(pixels, norm=norm) for norm in NORMS}
FEATURES = {norm: partial(features, norm=norm, movable_columns="all", relax=True) for norm in NORMS}
DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}


def attack(model, batch, ctx, **changes):
    return apgd(model, batch, ctx, **SETTINGS | {"threat": PIXELS["linf"]} | changes)


def images(x, y):
    n = len(y)
    return Batch(x, y, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=x.dtype), torch.arange(n))


def image_context(radius, seed=0, **changes):
    return Context(
        **{
            "scm": none(SimpleNamespace(loc=torch.zeros(1)), seed=0),
            "columns": (),
            "attack": attack,
            "epsilon": everywhere(radius),
            "decide": Threshold(0.5),
            "seed": seed,
            "generator": seeding.Rows(seeding.derive(seed, "attack"), torch.arange(0)),
        }
        | changes
    )


@pytest.fixture(scope="module")
def digits():
    """Handwritten digits, (1797, 1, 8, 8) in [0, 1], shuffled."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = torch.from_numpy(data.images[order] / 16).float().unsqueeze(1)
    return images(x, torch.from_numpy(data.target[order]))


@pytest.fixture(scope="module")
def net(digits):
    """A small convolutional net, somewhat robust by training on one-step attacks; in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolutions = [nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU()]
        convolutions += [nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU()]
        model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(96, 10))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(8):
            for rows in torch.randperm(797).split(80):
                x, y = digits.x[1000 + rows], digits.y[1000 + rows]
                point = x.clone().requires_grad_()
                (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model.eval()(point), y), point)
                optimizer.zero_grad()
                nn.functional.cross_entropy(model.train()((x + 0.1 * slope.sign()).clamp(0, 1)), y).backward()
                optimizer.step()
    return model.eval().requires_grad_(False)


def published(model, batch, *, norm, radius, loss, steps, targets=9):
    """x' of the authors' code; under l1 with its three radii, as in AutoAttack's standard version."""
    settings = {"norm": norm.capitalize(), "eps": radius, "n_iter": steps, "use_largereps": norm == "l1"}
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # of gradients that are zero
        if loss == "targeted":
            return APGDAttack_targeted(model, n_target_classes=targets, **settings).perturb(batch.x, batch.y)
        return APGDAttack(model, loss=loss, **settings).perturb(batch.x, batch.y)


def compare(model, digits, *, rows=1000, norm, radius, loss, steps, targets=9):
    """Robust rows of ours may exceed theirs by .2 points, or by what two runs of one attack differ by at random."""
    batch = digits.rows(slice(0, rows))
    settings = {"loss": loss, "steps": steps, "targets": targets}
    moved = attack(model, batch, image_context(radius), threat=PIXELS[norm], **settings)
    check_budget(pixels(image_context(radius), norm=norm), batch.x, moved, torch.full((rows,), radius))
    theirs = published(model, batch, norm=norm, radius=radius, **settings)
    clean, ours, other = (model(x).argmax(1) == batch.y for x in (batch.x, moved, theirs))
    disagreements = int((ours != other).sum())
    assert 0.05 * rows < other.sum() < clean.sum() - 0.05 * rows  # the comparison says something
    assert ours.sum() - other.sum() <= 0.002 * rows + 2 * disagreements**0.5


# The published implementation


@pytest.mark.parametrize(
    ("norm", "radius", "loss", "steps", "rows"),
    [
        ("linf", 0.12, "dlr", 20, 500),
        ("l2", 0.5, "targeted", 20, 200),
        ("l1", 1.5, "ce", 40, 400),
        pytest.param("linf", 0.12, "ce", 20, 500, marks=pytest.mark.slow),
        pytest.param("linf", 0.12, "targeted", 20, 200, marks=pytest.mark.slow),
        pytest.param("l2", 0.5, "ce", 20, 500, marks=pytest.mark.slow),
        pytest.param("l1", 1.5, "targeted", 40, 150, marks=pytest.mark.slow),
    ],
)
def test_it_is_as_strong_as_the_published_code(net, digits, norm, radius, loss, steps, rows):
    compare(net, digits, rows=rows, norm=norm, radius=radius, loss=loss, steps=steps, targets=2)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "radius", "targets"), [("linf", 0.12, 9), ("l2", 0.5, 9), ("l1", 1.5, 5)])
def test_it_is_as_strong_as_the_published_code_with_the_steps_of_autoattack(net, digits, norm, radius, targets):
    for loss in ("ce", "targeted"):
        compare(net, digits, norm=norm, radius=radius, loss=loss, steps=100, targets=targets)


@pytest.mark.parametrize(("norm", "radius", "share"), [("linf", 0.02, 0.9), ("l2", 0.1, 0.5)])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_from_the_same_starts_it_goes_the_way_of_the_published_code(net, digits, norm, radius, share, loss):
    """In double precision most rows end at the same points; so "ce" makes the choices of the cross-entropy.

    The code parts from its paper where exactly three quarters of the steps rose, and in what it compares the first
    loss of an interval with; that shows in l2, where steps end anywhere and not at the ball's corners.
    """
    model, x = copy.deepcopy(net).double(), digits.rows(slice(0, 100)).x.double()
    batch, ctx, ball = images(x, model(x).argmax(1)), image_context(radius), Ball(norm, 3)
    moved = attack(model, batch, ctx, threat=PIXELS[norm], loss=loss, steps=100)
    noise = seeding.normal(x.unsqueeze(0), ctx.on(batch).generator)
    cube = ball.uniform(x.unsqueeze(0), x.new_ones(1, 1, 1), ctx.on(batch).generator) if norm == "linf" else None
    start = noise / ball.size(noise) if cube is None else cube
    theirs = APGDAttack(model, norm=norm.capitalize(), eps=radius, n_iter=100, loss=loss)
    theirs.init_hyperparam(x)
    best, held, *_ = theirs.attack_single_run(x, batch.y, x_init=x + radius * start[0])
    same = torch.isclose(moved, best, atol=1e-6).flatten(1).all(1)
    assert same[held.bool()].double().mean() > share


def test_it_is_at_least_as_strong_as_plain_pgd(net, digits):
    batch, ctx = digits.rows(slice(0, 500)), image_context(0.12)
    plain = pgd(net, batch, ctx, threat=PIXELS["linf"], steps=20, rel_step=0.25, restarts=1, random_start=False)
    kept = [(net(x).argmax(1) == batch.y).sum() for x in (attack(net, batch, ctx), plain)]
    assert kept[0] <= kept[1] + 1


# Linear models


class Linear(nn.Module):
    """Logits W x + b of flattened images or of vectors, in double precision."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x):
        return x.flatten(1) @ self.weight.T + self.bias


def some_images(n=20, side=4):
    """Random images of which a part of the pixels is black or white."""
    x = torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return images((1.5 * x - 0.25).clamp(0, 1), torch.arange(n) % 2)


def steepest_in_the_box(weight, x, radius, norm):
    """The largest of w . delta in the ball and the box, of every row: each pixel to its bound, the dearest first."""
    room = torch.where(weight > 0, 1 - x, x)
    if norm == "linf":
        return (room.clamp_max(radius) * weight.abs()).sum(-1)
    order = weight.abs().argsort(descending=True)
    before = room[:, order].cumsum(-1) - room[:, order]
    return (torch.minimum(room[:, order], (radius - before).clamp_min(0)) * weight[order].abs()).sum(-1)


@pytest.mark.parametrize("loss", ["ce", "dlr", "targeted"])
@pytest.mark.parametrize(
    ("norm", "radius", "share"),
    [("linf", 0.1, 0.999), ("linf", 0.6, 0.999), ("l1", 0.1, 0.999), ("l1", 0.6, 0.98), ("l1", 3.0, 0.95)],
)
def test_on_a_linear_model_it_reaches_the_optimum_within_ball_and_box(norm, radius, share, loss):
    """The bias is so large that no row is lost: the search goes on to its end. Sparse steps leave some per cent."""
    batch = some_images()
    batch = batch._replace(y=torch.ones_like(batch.y))
    weight = torch.randn(16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    model = Linear(weight.unsqueeze(0), 100.0)
    moved = attack(model, batch, image_context(radius), threat=PIXELS[norm], loss=loss, steps=100)
    reached = (model(batch.x) - model(moved))[:, 0]
    optimum = steepest_in_the_box(-weight, batch.x.flatten(1), radius, norm)
    assert (reached <= optimum + 1e-9).all()
    assert (reached >= share * optimum).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("k", [4, *(pytest.param(k, marks=pytest.mark.slow) for k in (3, 10))])
def test_on_a_linear_model_the_targeted_loss_finds_exactly_what_the_dual_norm_allows(dataset, context, norm, k):
    """Row x of class y is lost where z_y - z_j <= radius ||w_y - w_j||, the dual norm, for some class j."""
    generator = torch.Generator().manual_seed(k)
    model = Linear(torch.randn(k, 3, generator=generator), torch.randn(k, generator=generator))
    rows = dataset("lin").test
    rows = rows._replace(y=model(rows.x).argmax(1))
    lead = model(rows.x).gather(1, rows.y.unsqueeze(1)) - model(rows.x)
    reach = 0.3 * (model.weight[rows.y].unsqueeze(1) - model.weight).norm(p=DUAL[norm], dim=-1)
    distance = (lead / reach.clamp_min(1e-9)).scatter(1, rows.y.unsqueeze(1), torch.inf).amin(1)
    moved = attack(model, rows, context("lin", radius=0.3), threat=FEATURES[norm], loss="targeted", steps=100)
    lost = model(moved).argmax(1) != rows.y
    clear = (distance - 1).abs() > 0.01
    assert torch.equal(lost[clear], distance[clear] < 1)
    assert 0 < lost.sum() < len(lost)


@pytest.mark.parametrize("loss", ["ce", "dlr", "targeted"])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_what_is_lost_is_decided_by_the_threshold_of_the_context(dataset, context, loss, probability):
    """The logit has to pass logit(p), so exactly the rows within radius times dual norm of it are lost."""
    rows = dataset("lin").test
    model = Linear(torch.tensor([[0.5, -2.0, 1.0]]), 0.0)
    ctx = replace(context("lin", radius=0.2), decide=Threshold(probability))
    moved = attack(model, rows, ctx, threat=FEATURES["linf"], loss=loss)
    lead = (2 * rows.y - 1) * (model(rows.x)[:, 0] - logit(probability))
    clear = (lead - 0.7).abs() > 1e-3
    lost = ctx.decide(model(moved), rows.s) != rows.y
    assert torch.equal(lost[clear], lead[clear] < 0.7)


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_the_movable_columns_get_the_whole_radius(dataset, context, norm):
    """The logit, too large to be lost, falls by the radius times the dual norm of their weights."""
    rows = dataset("lin").test
    rows = rows._replace(y=torch.ones_like(rows.y))
    model = Linear(torch.tensor([[5.0, -2.0, 1.0]]), 100.0)
    threat = partial(features, norm=norm, movable_columns="actionable", relax=False)
    moved = attack(model, rows, context("lin", radius=0.3), threat=threat)
    fall = (model(rows.x) - model(moved))[:, 0]
    assert torch.allclose(fall, 0.3 * model.weight[0, 1:].norm(p=DUAL[norm]).expand_as(fall), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_a_model_cannot_hide_its_gradient_behind_large_logits(net, digits, scale):
    """In float32 the cross-entropy itself has none where the lead is above 104, of nearly all rows here."""
    batch, ctx = digits.rows(slice(0, 200)), image_context(0.12)
    kept = [(net(attack(lambda x, f=f: f * net(x), batch, ctx)).argmax(1) == batch.y) for f in (1.0, scale)]
    assert kept[1].sum() <= kept[0].sum() + 6


# What it returns


@settings(max_examples=40, deadline=None)
@given(
    norm=st.sampled_from(NORMS), radius=st.floats(0, 3), seed=st.integers(0, 2**31), loss=st.sampled_from(["ce", "dlr"])
)
def test_it_keeps_to_the_ball_and_to_black_and_white(norm, radius, seed, loss):
    generator = torch.Generator().manual_seed(seed)
    x = (1.5 * torch.rand(6, 1, 4, 4, generator=generator) - 0.25).clamp(0, 1)
    model = Linear(torch.randn(3, 16, generator=generator), torch.randn(3, generator=generator))
    batch, ctx = images(x, torch.arange(6) % 3), image_context(radius, seed)
    moved = attack(lambda v: model(v).sin(), batch, ctx, threat=PIXELS[norm], loss=loss, steps=7)
    assert ((moved >= 0) & (moved <= 1)).all()
    delta = (moved - x).double().flatten(1)
    length = delta.norm(p={"linf": torch.inf, "l2": 2, "l1": 1}[norm], dim=1)
    assert (length <= radius + 1e-5).all()


@pytest.mark.parametrize("norm", NORMS)
def test_radius_zero_changes_nothing(net, digits, norm):
    batch = digits.rows(slice(0, 20))
    assert torch.equal(attack(net, batch, image_context(0.0), threat=PIXELS[norm]), batch.x)


@pytest.mark.parametrize("norm", NORMS)
def test_every_row_has_a_radius_of_its_own(norm):
    """A linear model that is sure of every row makes each use all of its radius."""
    batch, radius = some_images(), torch.arange(20.0).double() / 1000
    batch = batch._replace(x=0.2 + 0.6 * batch.x, y=torch.ones_like(batch.y))
    model = Linear(torch.randn(1, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64), 100.0)
    ctx = image_context(0.0, epsilon=lambda rows, ctx: radius)
    size = Ball(norm, 3).size(attack(model, batch, ctx, threat=PIXELS[norm]) - batch.x).flatten()
    assert torch.allclose(size, radius, rtol=1e-4)


def test_a_row_that_is_wrong_from_the_start_stays_as_it_is(net, digits):
    batch = digits.rows(slice(0, 200))
    wrong = batch._replace(y=torch.where(batch.index % 2 == 0, (net(batch.x).argmax(1) + 1) % 10, batch.y))
    moved = attack(net, wrong, image_context(0.12))
    assert torch.equal(moved[::2], batch.x[::2])
    assert not torch.equal(moved[1::2], batch.x[1::2])


@pytest.mark.parametrize("norm", NORMS)
def test_the_ascent_goes_on_where_a_row_is_lost_and_keeps_what_is_worst(net, digits, norm):
    """Rows that are wrong from the start move too, and none has a smaller loss than where apgd ends."""
    batch, ctx = digits.rows(slice(0, 100)), image_context({"linf": 0.1, "l2": 0.5, "l1": 1.5}[norm])
    batch = batch._replace(y=torch.where(torch.arange(100) < 20, (batch.y + 1) % 10, batch.y))
    stopped = attack(net, batch, ctx, threat=PIXELS[norm])
    moved = apgd_ascent(net, batch, ctx, threat=PIXELS[norm], loss="ce", steps=20)
    check_budget(pixels(ctx, norm=norm), batch.x, moved, ctx.epsilon(batch, ctx))
    loss, before = (nn.functional.cross_entropy(net(x), batch.y, reduction="none") for x in (moved, stopped))
    assert (loss >= before - 1e-4).double().mean() > 0.9
    assert (moved[:20] != batch.x[:20]).flatten(1).any(1).all()


def test_rows_that_hold_under_the_ascent_are_those_that_hold_under_apgd(net, digits):
    """There the two are one search."""
    batch, ctx = digits.rows(slice(0, 200)), image_context(0.1)
    stopped, moved = attack(net, batch, ctx), apgd_ascent(net, batch, ctx, threat=PIXELS["linf"], loss="ce", steps=20)
    held = net(stopped).argmax(1) == batch.y
    assert 20 < held.sum() < 180
    assert torch.equal(stopped[held], moved[held])


def test_a_row_that_is_not_lost_gets_a_worse_point_from_more_restarts(net, digits):
    batch, ctx = digits.rows(slice(0, 200)), image_context(0.05)
    few, many = (attack(net, batch, ctx, restarts=n) for n in (1, 3))
    right = net(many).argmax(1) == batch.y
    loss = [nn.functional.cross_entropy(net(x), batch.y, reduction="none")[right] for x in (few, many)]
    assert right.any()
    assert (loss[1] >= loss[0] - 1e-5).all()


def test_only_the_movable_columns_move(dataset, context, trained):
    rows = dataset("loan").test
    still = [i for i, c in enumerate(dataset("loan").columns) if not c.actionable]
    for norm in NORMS:
        threat = partial(features, norm=norm, movable_columns="actionable", relax=False)
        moved = attack(trained("loan"), rows, context("loan", radius=0.3), threat=threat)
        assert torch.equal(moved[:, still], rows.x[:, still])
        assert not torch.equal(moved, rows.x)


def test_the_causal_ball_around_the_row_itself_is_climbed_as_well_as_by_pgd(dataset, context, trained):
    rows, ctx = dataset("loan").test, context("loan", radius=0.3)
    threat, model = partial(causal, norm="l2", twins=False), trained("loan")
    moved = attack(model, rows, ctx, threat=threat)
    check_budget(threat(ctx), rows.x, moved, ctx.epsilon(rows, ctx))
    plain = pgd(model, rows, ctx, threat=threat, steps=20, rel_step=0.25, restarts=1, random_start=False)
    ours, other = (((model(x)[:, 0] >= 0).long() == rows.y).sum() for x in (moved, plain))
    assert ours <= other + 1


# What it must not depend on, and what it must leave alone


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", ["targeted", pytest.param("ce", marks=pytest.mark.slow)])
def test_a_row_is_attacked_the_same_in_any_company(net, digits, norm, loss):
    """In double precision, so that sums in another order decide nothing."""
    batch = digits.rows(slice(0, 60))
    batch = batch._replace(x=batch.x.double(), w=batch.w.double())
    radius = {"linf": 0.12, "l2": 0.5, "l1": 1.5}[norm]
    model, ctx = copy.deepcopy(net).double(), image_context(radius)
    run = partial(attack, threat=PIXELS[norm], loss=loss, targets=2)
    together = run(model, batch, ctx)
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    parts = torch.cat([run(model, batch.rows(keep), ctx) for keep in shuffled.split(7)])
    assert torch.allclose(parts, together[shuffled], atol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_come_from_the_stream_of_the_context(net, digits, norm):
    run = partial(attack, net, digits.rows(slice(0, 50)), threat=PIXELS[norm], steps=3)
    first, second, other = run(image_context(0.05)), run(image_context(0.05)), run(image_context(0.05, seed=1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("radii", [(0.1, 0.2), (0.0, 0.2)])
def test_the_models_of_a_stack_are_attacked_as_if_alone(dataset, context, norm, radii):
    """In double precision, so that the last bits of another kernel decide nothing."""
    rows = dataset("lin").test.rows(slice(0, 40))
    rows = rows._replace(x=rows.x.double(), w=rows.w.double())
    weight = torch.tensor([[0.5, -2.0, 1.0], [1.0, 1.0, -0.3]], dtype=torch.double)
    ctx, seeds = context("lin"), (3, 4)

    def alone(i):
        own = replace(ctx, epsilon=everywhere(radii[i]), generator=seeding.generator(seeds[i], "attack"))
        return attack(Linear(weight[i : i + 1], 0.0), rows, own, threat=FEATURES[norm])

    stack = Batch(*(torch.stack([column, column]) for column in rows))
    both = replace(
        ctx, epsilon=everywhere(torch.tensor(radii).unsqueeze(1)), generator=seeding.generators(seeds, "attack")
    )
    together = attack(lambda x: (x * weight.unsqueeze(1)).sum(-1, keepdim=True), stack, both, threat=FEATURES[norm])
    assert together.dtype is torch.double
    assert torch.allclose(together, torch.stack([alone(0), alone(1)]), atol=1e-7)


def test_the_model_is_left_as_it_was(net, digits):
    model = copy.deepcopy(net).requires_grad_()
    before = copy.deepcopy(model.state_dict())
    moved = attack(model, digits.rows(slice(0, 50)), image_context(0.1))
    assert not moved.requires_grad
    assert not model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_in_training_it_attacks_the_steady_view_of_the_model(net, digits):
    """So that no running statistics move."""
    model, batch = copy.deepcopy(net).train(), digits.rows(slice(0, 50))
    before = copy.deepcopy(model.state_dict())
    attack(model, batch, image_context(0.1, view=net))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


# Work


class Counted:
    """A model that counts the rows of each pass."""

    def __init__(self, model):
        self.model, self.rows = model, []

    def __call__(self, x):
        self.rows.append(len(x))
        return self.model(x)


@pytest.mark.parametrize(("norm", "passes"), [("linf", 22), ("l2", 22), ("l1", 24)])
def test_rows_that_hold_take_the_clean_pass_one_at_each_start_and_one_a_step(net, digits, norm, passes):
    """Under l1 there are three starts, one in each ball."""
    batch = digits.rows(slice(0, 30))
    model = Counted(net)
    attack(model, batch._replace(y=net(batch.x).argmax(1)), image_context(1e-6), threat=PIXELS[norm])
    assert model.rows == [30] * passes


def test_rows_that_are_lost_leave_those_that_hold(net, digits):
    batch = digits.rows(slice(0, 200))
    batch, model = batch._replace(y=net(batch.x).argmax(1)), Counted(net)
    radius = torch.where(batch.index % 2 == 0, 0.5, 1e-6)
    attack(model, batch, image_context(0.0, epsilon=lambda rows, ctx: radius))
    assert model.rows[:2] == [200, 200]
    assert model.rows[-1] == 100


def test_checkpoints_are_the_published_ones_of_a_hundred_steps():
    """p = 0, .22, then p + max(p - the one before - .03, .06)."""
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


# The nearest point of ball and box


BOUNDED = st.floats(-3, 3, width=32)


@settings(max_examples=200, deadline=None)
@given(
    delta=st.lists(BOUNDED, min_size=5, max_size=5),
    x=st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
    radius=st.floats(0, 6),
)
def test_the_nearest_point_is_in_ball_and_box_and_nothing_in_them_is_nearer(delta, x, radius):
    """A point p of a convex set is the nearest to v exactly where (v - p) . (q - p) <= 0 for all q in the set."""
    delta, x = (torch.tensor([v], dtype=torch.float64) for v in (delta, x))
    room = torch.where(delta > 0, 1 - x, x)
    found = nearest(delta, torch.tensor([[radius]], dtype=torch.float64), room, events=1)
    assert ((found >= -x) & (found <= 1 - x)).all()
    assert found.abs().sum() <= radius + 1e-12
    size = torch.rand(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = torch.maximum(torch.minimum((2 * size - 1) * 2, 1 - x), -x)
    other = other * (radius / other.abs().sum(-1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
    other = torch.cat([other, steep_corner(delta - found, x, radius)])
    assert ((delta - found) * (other - found)).sum(-1).max() <= 1e-9


def steep_corner(direction, x, radius):
    """The point of ball and box that lies furthest in the direction: the dearest coordinates to their bounds."""
    room = torch.where(direction > 0, 1 - x, x)
    order = direction.abs().argsort(-1, descending=True)
    sorted_room = room.gather(-1, order)
    used = torch.minimum(sorted_room, (radius - (sorted_room.cumsum(-1) - sorted_room)).clamp_min(0))
    return torch.zeros_like(x).scatter(-1, order, used) * direction.sign()


def test_without_a_box_the_nearest_point_is_that_of_the_ball():
    delta = torch.randn(50, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radius = torch.linspace(0, 12, 50, dtype=torch.float64)
    found = nearest(delta, radius.unsqueeze(1), torch.full_like(delta, torch.inf), events=1)
    assert torch.allclose(found, Ball("l1").project(delta, radius), atol=1e-12)


# Refusals


@pytest.mark.parametrize("count", ["steps", "restarts", "targets"])
def test_a_count_of_nothing_is_refused(net, digits, count):
    with pytest.raises(ValueError, match=f"attack.evasion.{count}=0: expected at least 1"):
        attack(net, digits, image_context(0.1), **{count: 0})


def test_another_loss_is_refused(net, digits):
    with pytest.raises(ValueError, match="loss='cw' is not known; choose ce, dlr, targeted"):
        attack(net, digits, image_context(0.1), loss="cw")


def test_the_ascent_has_no_targets(net, digits):
    with pytest.raises(ValueError, match="'targeted' is not known; choose ce, dlr"):
        apgd_ascent(net, digits.rows(slice(0, 2)), image_context(0.1), threat=PIXELS["linf"], loss="targeted", steps=2)


def test_twins_are_refused(dataset, context, trained):
    with pytest.raises(ValueError, match="twins=false"):
        attack(trained("loan"), dataset("loan").test, context("loan"), threat=partial(causal, norm="l2", twins=True))
