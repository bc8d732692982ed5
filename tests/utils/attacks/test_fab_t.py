"""FAB-T: least distances of linear models, the published code on a trained net, what it must not depend on."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from pyautoattack.fab_projections import projection_l1, projection_l2, projection_linf
from pyautoattack.fab_pt import FABAttack_PT
from scipy.optimize import linprog
from torch import nn

from tests.utils.attacks.robust_digits import PUBLISHED, batch, by_chance, image_context, images, right, robust_net
from utils.attacks import fab_t as module
from utils.attacks.fab_t import fab_t, to_plane
from utils.decides.threshold import Threshold, logit
from utils.threats import causal, check_budget, features, pixels
from utils.views.stack import UnstackableError

NORMS = ("linf", "l2", "l1")
ORDER = {"linf": torch.inf, "l2": 2, "l1": 1}
DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}
PIXELS = {norm: partial(pixels, norm=norm) for norm in NORMS}
FEATURES = {norm: partial(features, norm=norm, movable_columns="continuous", relax=False) for norm in NORMS}
RADIUS = {"linf": 0.12, "l2": 0.6, "l1": 1.5}
SETTINGS = {"steps": 10, "restarts": 1, "targets": 9, "alpha_max": 0.1, "eta": 1.05, "beta": 0.9}


def attack(model, rows, ctx, **changes):
    return fab_t(model, rows, ctx, **SETTINGS | {"threat": PIXELS["linf"]} | changes)


def published(model, rows, *, norm, radius, steps):
    """x' of the authors' code."""
    with torch.random.fork_rng():
        theirs = FABAttack_PT(model, norm=PUBLISHED[norm], n_iter=steps, eps=radius, targeted=True)
        return theirs.perturb(rows.x, rows.y)


def linear(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs)).requires_grad_(False)


def grey(n=40):
    """Images (n, 1, 4, 4) away from black and white."""
    return 0.4 + 0.2 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# The nearest point of a plane


def planes(n=60, d=12, seed=0):
    """Points of a cube, some coordinates at its faces, planes that meet the cube, and lacking (n,)."""
    draw = torch.Generator().manual_seed(seed)
    point, other, normal = (torch.rand(n, d, generator=draw, dtype=torch.float64) for _ in range(3))
    point = torch.where(torch.rand(n, d, generator=draw) < 0.3, point.round(), point)
    normal = (2 * normal - 1) * (torch.rand(n, d, generator=draw) < 0.9)
    return point, normal, ((other - point) * normal).sum(-1)


def shortest(norm, point, normal, lacking):
    return to_plane(norm, normal, lacking.unsqueeze(0), point.unsqueeze(0), 1 - point.unsqueeze(0))[0]


@pytest.mark.parametrize("norm", NORMS)
def test_a_move_ends_in_the_plane_and_in_the_cube(norm):
    point, normal, lacking = planes()
    move = shortest(norm, point, normal, lacking)
    assert torch.allclose((move * normal).sum(-1), lacking, atol=1e-6)
    assert ((point + move > -1e-9) & (point + move < 1 + 1e-9)).all()


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_no_move_to_the_plane_is_shorter_by_linear_programming(norm):
    """min of t with -t <= m_i <= t, or of the sum of t_i with -t_i <= m_i <= t_i, over the moves m in the cube."""
    point, normal, lacking = planes(n=25)
    length = shortest(norm, point, normal, lacking).norm(p=ORDER[norm], dim=-1)
    d = point.shape[1]
    bounds_of = np.ones((d, 1)) if norm == "linf" else np.eye(d)
    below = np.block([[np.eye(d), -bounds_of], [-np.eye(d), -bounds_of]])
    cost = np.r_[np.zeros(d), np.ones(bounds_of.shape[1])]
    for x, w, gap, found in zip(point.numpy(), normal.numpy(), lacking.tolist(), length.tolist(), strict=True):
        box = [*zip(-x, 1 - x, strict=True), *[(0, None)] * bounds_of.shape[1]]
        plane = np.r_[w, np.zeros(bounds_of.shape[1])][None]
        best = linprog(cost, below, np.zeros(2 * d), plane, [gap], box)
        assert found == pytest.approx(best.fun, abs=1e-6)


def test_under_l2_the_move_is_the_projection_onto_plane_and_cube():
    """m is nearest to 0 exactly where m . (m - other) <= 0 for every other move of the convex set (Kolmogorov)."""
    point, normal, lacking = planes()
    move = shortest("l2", point, normal, lacking)
    for norm in ("linf", "l1"):  # moves of the same set
        other = shortest(norm, point, normal, lacking)
        assert ((move * (move - other)).sum(-1) <= 1e-6).all()
    length = projection_l2(point, normal, (normal * point).sum(-1) + lacking).norm(dim=-1)
    assert torch.allclose(move.norm(dim=-1), length, atol=1e-6)


@pytest.mark.parametrize(("norm", "theirs"), [("linf", projection_linf), ("l1", projection_l1)])
def test_a_move_is_as_long_as_the_published_one(norm, theirs):
    point, normal, lacking = (part.float() for part in planes(n=300, d=40))
    length = theirs(point, normal, (normal * point).sum(-1) + lacking).norm(p=ORDER[norm], dim=-1)
    assert torch.allclose(shortest(norm, point, normal, lacking).norm(p=ORDER[norm], dim=-1), length, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_plane_out_of_reach_is_neared_as_far_as_the_cube_goes(norm):
    point, normal, _ = planes()
    move = shortest(norm, point, normal, torch.full((len(point),), 1e3, dtype=torch.float64))
    corner = torch.where(normal > 0, 1 - point, torch.where(normal < 0, -point, 0))
    assert torch.allclose(move * normal, corner * normal, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_without_bounds_a_move_has_the_length_of_the_dual_norm(norm):
    """|lacking| over the dual norm of the normal; where that is 0, nothing moves."""
    _, normal, lacking = planes()
    normal[0] = 0
    endless = torch.full((1, *normal.shape), torch.inf, dtype=torch.float64)
    move = to_plane(norm, normal, lacking.unsqueeze(0), endless, endless)[0]
    length = lacking.abs() / normal.norm(p=DUAL[norm], dim=-1)
    assert torch.allclose(move.norm(p=ORDER[norm], dim=-1)[1:], length[1:])
    assert (move[0] == 0).all()


# Least distances


@pytest.mark.parametrize("outputs", [1, 3, 10])
@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_it_reaches_the_least_distance_to_another_class(norm, outputs):
    """min over classes j of (z_y - z_j) / dual norm of w_y - w_j; broken just above that radius, not below."""
    model, x = linear(16, outputs).double(), grey()
    model[1].bias.sub_(model(x).mean(0))
    w, z = model[1].weight, model(x)
    if outputs == 1:
        w, z = (torch.cat([torch.zeros_like(of), of], axis) for of, axis in ((w, 0), (z, 1)))
    y = z.argmax(1)
    far = (w[y].unsqueeze(1) - w).norm(p=DUAL[norm], dim=-1)
    gap = z.gather(1, y.unsqueeze(1)) - z
    least = (gap / far).masked_fill(gap == 0, torch.inf).amin(1)
    for factor, lost in ((1.0001, True), (0.9999, False)):
        ctx = image_context(lambda rows, ctx, f=factor: f * least[rows.index], dtype=torch.float64)
        moved = attack(model, batch(x, y), ctx, threat=PIXELS[norm], steps=30)
        inside = least < 0.3  # others meet black or white first
        assert ((ctx.decide(model(moved), y) != y) == lost)[inside].all()
        assert inside.sum() > 10


@pytest.mark.parametrize("label", [0, 1])
def test_two_classes_are_told_apart_by_the_threshold_of_the_decision(label):
    """Of a linear model the distance of a row is |z - logit of the threshold| over the dual norm of w."""
    model, x, decide = linear(16, 1), grey().float(), Threshold(0.3)
    model[1].bias.sub_(model(x).mean() - logit(0.3))
    margin = (model(x)[:, 0] - logit(0.3)) * (2 * label - 1)
    least = margin / model[1].weight.abs().sum()
    radius = float(least[margin > 0].median()) * 1.01
    rows = batch(x, torch.full((len(x),), label))
    moved = attack(model, rows, image_context(radius, decide=decide))
    assert torch.equal(decide(model(moved), rows.s) != rows.y, least < radius)
    assert (margin < 0).sum() < (least < radius).sum() < len(x)


# The published code


@pytest.mark.parametrize("norm", ["l2", *(pytest.param(norm, marks=pytest.mark.slow) for norm in ("linf", "l1"))])
def test_it_is_as_strong_as_the_published_code(norm):
    rows = images().rows(slice(0, 100))
    moved = attack(robust_net(), rows, image_context(RADIUS[norm]), threat=PIXELS[norm], steps=15)
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm], steps=15)
    ours, other = (right(robust_net(), x, rows.y) for x in (moved, theirs))
    assert 10 < other.sum() < right(robust_net(), rows.x, rows.y).sum() - 10
    assert abs(ours.sum() - other.sum()) <= by_chance(ours, other)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_in_a_hundred_steps_it_is_as_strong_as_the_published_code(norm):
    rows = images().rows(slice(0, 1000))
    moved = attack(robust_net(), rows, image_context(RADIUS[norm]), threat=PIXELS[norm], steps=100)
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm], steps=100)
    ours, other = (right(robust_net(), x, rows.y) for x in (moved, theirs))
    assert abs(ours.sum() - other.sum()) <= by_chance(ours, other)


# What it keeps to


@pytest.mark.parametrize("norm", NORMS)
def test_it_keeps_to_ball_and_pixels(norm):
    rows = images().rows(slice(0, 100))
    radius = torch.linspace(0, 1, 100) * RADIUS[norm]
    ctx = image_context(lambda rows, ctx: radius[rows.index])
    moved = attack(robust_net(), rows, ctx, threat=PIXELS[norm], restarts=2)
    check_budget(PIXELS[norm](ctx), rows.x, moved, radius)
    assert not torch.equal(moved, rows.x)


def test_rows_move_only_where_that_fools_the_model():
    rows = images().rows(slice(0, 200))
    moved = attack(robust_net(), rows, image_context(0.12))
    before, after = (right(robust_net(), x, rows.y) for x in (rows.x, moved))
    still = (moved == rows.x).flatten(1).all(1)
    assert torch.equal(still, ~before | after)
    assert 0 < still.sum() < 200


def test_radius_zero_changes_nothing():
    rows = images().rows(slice(0, 50))
    assert torch.equal(attack(robust_net(), rows, image_context(0.0)), rows.x)


@pytest.mark.parametrize("norm", NORMS)
def test_rows_together_equal_rows_one_by_one(norm):
    """In double precision, so that no sum of another order tips a step."""
    model = copy.deepcopy(robust_net()).double()
    rows, ctx = images().rows(slice(0, 15)), image_context(RADIUS[norm], dtype=torch.float64)
    rows = rows._replace(x=rows.x.double())
    run = partial(attack, model, threat=PIXELS[norm], restarts=2)
    alone = torch.cat([run(rows.rows(slice(i, i + 1)), ctx) for i in range(15)])
    backwards = run(rows.rows(torch.arange(14, -1, -1)), ctx).flip(0)
    together = run(rows, ctx)
    assert torch.allclose(together, alone, atol=1e-9)
    assert torch.allclose(together, backwards, atol=1e-9)
    assert 0 < right(model, together, rows.y).sum() < 15


def test_what_shares_a_forward_pass_changes_nothing(monkeypatch):
    """Classes one after another, or all at once."""
    model = copy.deepcopy(robust_net()).double()
    rows = images().rows(slice(0, 40))
    rows, ctx = rows._replace(x=rows.x.double()), image_context(0.12, dtype=torch.float64)
    found = []
    for numbers in (1, 40 * 64 * 2, 2**20):
        monkeypatch.setattr(module, "PASS", numbers)
        found.append(attack(model, rows, ctx))
    assert torch.allclose(found[0], found[1], atol=1e-9)
    assert torch.allclose(found[0], found[2], atol=1e-9)


def test_more_classes_and_more_restarts_never_weaken_it():
    """Nine target classes in place of one break nine to twelve rows more, whatever the kernel that trained the net."""
    rows, ctx = images().rows(slice(0, 200)), image_context(0.15)
    few, more, most = (
        right(robust_net(), attack(robust_net(), rows, ctx, steps=1, targets=t, restarts=r), rows.y)
        for t, r in ((1, 1), (9, 1), (9, 3))
    )
    assert not (more & ~few).any()
    assert not (most & ~more).any()
    assert most.sum() < few.sum()


def test_of_fewer_classes_all_others_are_tried():
    rows = images().rows(slice(0, 60))
    rows = rows._replace(y=rows.y % 3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).requires_grad_(False)
    found = [attack(model, rows, image_context(0.2), targets=t) for t in (2, 9)]
    assert torch.equal(*found)


@pytest.mark.parametrize("norm", NORMS)
def test_restarts_begin_at_random_where_the_row_itself_shows_no_gradient(norm):
    """Class 1 in a ball around the row, in whose middle the model is flat; every row has a start of its own."""

    def flat(x):
        return (0.01 - ((x - 0.5).abs().amax((1, 2, 3)) - 0.01).relu()).unsqueeze(1)

    rows = batch(torch.full((20, 1, 4, 4), 0.5), torch.ones(20, dtype=torch.int64))
    once, again, same, other = (
        attack(flat, rows, image_context(0.4, seed), threat=PIXELS[norm], restarts=restarts)
        for restarts, seed in ((1, 0), (2, 0), (2, 0), (2, 1))
    )
    assert torch.equal(once, rows.x)
    assert (flat(again) < 0).all()
    assert len(again.unique(dim=0)) > 10
    assert torch.equal(again, same)
    assert not torch.equal(again, other)


def test_a_model_without_gradient_is_left_alone():
    def steps(x):
        return torch.where(x.mean((1, 2, 3)) > 0.5, 1.0, -1.0).unsqueeze(1)

    x = grey().float()
    rows = batch(x, (steps(x)[:, 0] > 0).long())
    assert torch.equal(attack(steps, rows, image_context(0.01)), x)


def test_in_training_it_attacks_the_steady_view_of_the_model():
    rows, ctx = images().rows(slice(0, 30)), image_context(0.12)
    moved = attack(pytest.fail, rows, replace(ctx, view=robust_net()))
    assert torch.equal(moved, attack(robust_net(), rows, ctx))


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).eval()
    before = copy.deepcopy(model.state_dict())
    moved = attack(model, images().rows(slice(0, 20)), image_context(0.1))
    assert not moved.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_table_only_the_columns_that_may_move_do(dataset, context, trained, norm):
    rows, ctx = dataset("toy").test, context("toy", radius=0.5)
    moved = attack(trained("toy"), rows, ctx, threat=FEATURES[norm])
    check_budget(FEATURES[norm](ctx), rows.x, moved, ctx.epsilon(rows, ctx))
    assert torch.equal(moved[:, :2], rows.x[:, :2])
    assert not torch.equal(moved, rows.x)


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_table_a_linear_model_is_broken_at_the_least_distance_in_the_movable_columns(dataset, context, norm):
    rows, model = dataset("lin").test, nn.Linear(3, 1).requires_grad_(False)
    rows = rows._replace(y=(model(rows.x)[:, 0] >= 0).long())
    least = model(rows.x)[:, 0].abs() / model.weight[0, 1:].norm(p=DUAL[norm])
    ctx = context("lin", radius=float(least.median()) + 1e-4)
    moved = attack(model, rows, ctx, threat=FEATURES[norm])
    lost = (model(moved)[:, 0] >= 0) != rows.y.bool()
    assert torch.equal(lost, least < float(least.median()) + 1e-4)


# What is refused


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"restarts": 0}, "restarts=0: expected at least 1"),
        ({"targets": 0}, "targets=0: expected at least 1"),
        ({"alpha_max": 1.5}, "alpha_max=1.5: expected a weight from 0 to 1"),
        ({"eta": 0.9}, "eta=0.9: expected at least 1"),
        ({"beta": 1.0}, "beta=1.0: expected a share above 0 and below 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        attack(robust_net(), images().rows(slice(0, 2)), image_context(0.1), **setting)


def test_a_causal_threat_is_refused(dataset, context, trained):
    with pytest.raises(ValueError, match="attack=fab_t moves pixels or columns"):
        attack(trained("lin"), dataset("lin").test, context("lin"), threat=partial(causal, norm="l2", twins=True))


def test_a_stack_is_refused():
    rows = images().rows(slice(0, 2))
    with pytest.raises(UnstackableError, match="one model at a time"):
        attack(robust_net(), rows._replace(x=rows.x[None], y=rows.y[None]), image_context(0.1))
