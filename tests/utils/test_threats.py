"""Balls, perturbation sets, the ascent loop, and the check that an attack cannot cheat."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests import oracles
from utils import seeding
from utils.scms.counterfactual import factual_level, twins
from utils.scms.once import Known
from utils.threats import Ball, ascend, causal, check_budget, everywhere, features, movable, pull_back, worst
from utils.views.stack import stack_batches, stack_scms

NORMS = ["l2", "linf"]
ORDER = {"l2": 2, "linf": torch.inf}
VECTORS = st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=2, max_size=2)
RADIUS = st.just(0.0) | st.floats(2.0**-20, 10, width=32)
RADII = st.lists(RADIUS, min_size=2, max_size=2).map(torch.tensor)
FREE = torch.tensor([0.0, 1.0, 1.0])


def stream(seed=0):
    return seeding.generator(seed, "test")


def on_features(ctx, *, norm="l2", which="continuous"):
    return features(ctx, norm=norm, movable_columns=which, relax=True)


def in_noise(ctx, *, twins=True):
    return causal(ctx, norm="l2", twins=twins)


def moved_by(threat, x, length, seed=0):
    """Points exactly ``length`` from the centres of the threat's set, in random directions."""
    direction = torch.randn(threat.zero(x).shape, generator=stream(seed)) * threat.mask
    return threat.at(x)(length * threat.ball.steepest(direction))


def test_everywhere_gives_each_row_the_same(dataset):
    rows = dataset("lin").test
    assert everywhere(0.25)(rows, None).tolist() == [0.25] * len(rows.y)


# Balls


@pytest.mark.parametrize("norm", NORMS)
@given(VECTORS, RADII)
def test_a_projection_is_in_the_ball(norm, vectors, radius):
    found = Ball(norm).project(torch.tensor(vectors), radius)
    assert (found.double().norm(p=ORDER[norm], dim=-1) <= radius * (1 + 1e-6)).all()


@pytest.mark.parametrize("norm", NORMS)
@given(VECTORS, RADII)
def test_projecting_twice_is_projecting_once(norm, vectors, radius):
    once = Ball(norm).project(torch.tensor(vectors), radius)
    assert torch.allclose(Ball(norm).project(once, radius), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", NORMS)
@given(VECTORS, RADII, VECTORS)
def test_no_point_of_the_ball_is_nearer_than_the_projection(norm, vectors, radius, others):
    v, ball = torch.tensor(vectors).double(), Ball(norm)
    inside = ball.project(torch.tensor(others).double(), radius)
    distance = (v - ball.project(v, radius.double())).norm(dim=-1)
    assert (distance <= (v - inside).norm(dim=-1) * (1 + 1e-6) + 1e-9).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_point_inside_stays_to_the_bit(norm):
    v = torch.tensor([[0.01, -0.02, 0.03]])
    assert torch.equal(Ball(norm).project(v, torch.tensor([0.5])), v)


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
@given(VECTORS)
def test_the_steepest_direction_reaches_the_dual_norm(norm, dual, vectors):
    """max over norm(d) <= 1 of g.d is the 2-norm of g for l2, the 1-norm for linf."""
    g = torch.tensor(vectors).double()
    reached = (Ball(norm).steepest(g) * g).sum(-1)
    assert torch.allclose(reached, g.norm(p=dual, dim=-1), rtol=1e-9, atol=1e-9)


def test_uniform_points_fill_the_l2_ball_evenly():
    """The length of a uniform point of a 2-dimensional ball has a uniform square, and its mean is the centre."""
    points = Ball("l2").uniform(torch.zeros(20_000, 3), FREE, stream())
    share = points.norm(dim=-1).square().sort().values
    assert (share - torch.linspace(0, 1, 20_000)).abs().max() < 0.02  # Kolmogorov-Smirnov
    assert points.mean(0).abs().max() < 0.02


def test_uniform_points_fill_the_cube_evenly():
    points = Ball("linf").uniform(torch.zeros(20_000, 3), FREE, stream())[:, 1].sort().values
    assert (points - torch.linspace(-1, 1, 20_000)).abs().max() < 0.03


@pytest.mark.parametrize("norm", NORMS)
def test_uniform_points_leave_masked_coordinates_at_zero(norm):
    assert (Ball(norm).uniform(torch.zeros(50, 3), FREE, stream())[:, 0] == 0).all()


def test_an_image_is_one_perturbation():
    delta = torch.ones(2, 3, 4, 4)
    assert torch.allclose(Ball("l2", events=3).size(delta).flatten(), torch.full((2,), 48**0.5))


def test_another_norm_is_refused():
    with pytest.raises(ValueError, match="norm='l3' is not known; choose l1, l2 or linf"):
        Ball("l3")


# What may move


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("all", "abc"),
        ("non_sensitive", "bc"),
        ("continuous", "c"),
        ("actionable", "c"),
    ],
)
def test_the_movable_columns_are_those_of_their_name(dataset, which, names):
    columns = dataset("toy").columns
    mask = movable(columns, which, torch.zeros(()))
    assert "".join(c.name for c, m in zip(columns, mask, strict=True) if m) == names


def test_another_word_for_columns_is_refused(dataset):
    with pytest.raises(ValueError, match="'numeric' names no set of columns"):
        movable(dataset("toy").columns, "numeric", torch.zeros(()))


def test_an_empty_set_of_columns_is_refused(dataset):
    with pytest.raises(ValueError, match="no continuous column to move; choose another set"):
        movable(dataset("toy").columns[:2], "continuous", torch.zeros(()))


# Perturbation sets


@given(st.integers(0, 100), st.sampled_from(NORMS))
@settings(deadline=None)
def test_frozen_columns_keep_every_bit(dataset, context, seed, norm):
    x = dataset("toy").test.x
    delta = torch.randn(2, *x.shape, generator=stream(seed)) * 1e3
    moved = on_features(context("toy"), norm=norm).at(x)(delta)
    assert torch.equal(moved[:, :, :2], x[:, :2].expand(2, -1, -1))


def test_the_causal_set_at_rest_is_the_twins(dataset, context):
    ctx, x = context("loan"), dataset("loan").test.x
    threat = in_noise(ctx)
    assert torch.equal(threat.at(x)(threat.zero(x)), twins(ctx.scm, x))


def test_a_causal_perturbation_is_pushed_through_the_equations(dataset, context):
    """On lin one unit more of u2 adds 1 to x2 and takes 1 from x3, under either level."""
    ctx, x = context("lin"), dataset("lin").test.x
    delta = torch.tensor([0.0, 1.0, 0.0]).expand(2, len(x), 3)
    change = ctx.scm.own(in_noise(ctx).at(x)(delta)) - ctx.scm.own(twins(ctx.scm, x))
    assert torch.allclose(change, torch.tensor([0.0, 1.0, -1.0]).expand_as(change), atol=1e-5)


def test_a_causal_perturbation_of_the_attribute_does_nothing(dataset, context):
    ctx, x = context("lin"), dataset("lin").test.x
    delta = torch.tensor([5.0, 0.0, 0.0]).expand(2, len(x), 3)
    assert torch.equal(in_noise(ctx).at(x)(delta), twins(ctx.scm, x))


def test_without_twins_a_row_keeps_its_level(dataset, context):
    ctx, x = context("loan"), dataset("loan").test.x
    moved = moved_by(in_noise(ctx, twins=False), x, 0.5)
    assert moved.shape == (1, *x.shape)
    assert torch.equal(factual_level(ctx.scm, moved[0]), factual_level(ctx.scm, x))


# The ascent


def linear_damage(w):
    return lambda delta: (delta * w).sum(-1)


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2), ("linf", 1)])
def test_ascent_of_a_linear_damage_reaches_the_dual_norm(context, norm, dual):
    """max over norm(d) <= r of w.d is r times the dual norm of w, over the coordinates that may move."""
    w, radius = torch.tensor([3.0, -1.0, 2.0]), torch.tensor([0.1, 0.7])
    threat = on_features(context("lin"), norm=norm)
    delta, _ = ascend(linear_damage(w), torch.zeros(1, 2, 3), radius, threat, torch.zeros(2, 3), steps=5, rel_step=0.5)
    assert torch.allclose(linear_damage(w)(delta)[0], radius * w[1:].norm(p=dual), rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_one_whole_step_reaches_the_edge_however_steep_the_frozen_columns(context, norm):
    """The gradient is masked first and normalised then."""
    threat = on_features(context("lin"), norm=norm)
    damage = linear_damage(torch.tensor([1e3, 1.0, 2.0]))
    delta, _ = ascend(damage, torch.zeros(1, 2, 3), torch.ones(2), threat, torch.zeros(2, 3), steps=1, rel_step=1.0)
    assert torch.allclose(delta[0].norm(p=ORDER[norm], dim=-1), torch.ones(2), atol=1e-6)


@given(st.integers(0, 1000), st.sampled_from(NORMS), st.floats(0.1, 20))
@settings(deadline=None, max_examples=40)
def test_ascent_is_never_worse_than_its_start(context, seed, norm, rel_step):
    """However wild the damage and however long the steps."""
    threat, radius = on_features(context("lin"), norm=norm), torch.tensor([0.5, 2.0])
    start, w = torch.randn(2, 1, 2, 3, generator=stream(seed)) * torch.tensor([1.0, 9.0]).reshape(2, 1, 1, 1)

    def damage(delta):
        return (delta * w).sin().sum(-1)

    from_here = threat.ball.project(start * threat.mask, radius)
    delta, _ = ascend(damage, start, radius, threat, start[0], steps=3, rel_step=rel_step)
    assert (damage(delta) >= damage(from_here)).all()


@given(st.integers(0, 1000), st.sampled_from(NORMS))
@settings(deadline=None, max_examples=30)
def test_ascent_stays_in_the_ball_and_on_the_mask(context, seed, norm):
    threat, radius = on_features(context("lin"), norm=norm), torch.tensor([0.5, 0.0])
    start = 10 * torch.randn(1, 2, 3, generator=stream(seed))
    delta, _ = ascend(lambda d: (9 * d).cos().sum(-1), start, radius, threat, start[0], steps=4, rel_step=1.0)
    assert (delta[0].norm(p=ORDER[norm], dim=-1) <= radius * (1 + 1e-6)).all()
    assert (delta[..., 0] == 0).all()


def test_ascent_leaves_no_graph_and_no_gradient_in_the_model(context):
    model = nn.Linear(3, 1)
    delta, _ = ascend(
        lambda d: model(d).squeeze(-1),
        torch.zeros(1, 2, 3),
        torch.ones(2),
        on_features(context("lin")),
        torch.zeros(2, 3),
        steps=2,
        rel_step=1.0,
    )
    assert not delta.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_a_damage_that_is_not_a_number_leaves_the_start(context):
    threat = on_features(context("lin"))
    zero = torch.zeros(1, 2, 3)
    delta, _ = ascend(lambda d: d.sum(-1) * torch.nan, zero, torch.ones(2), threat, zero[0], steps=2, rel_step=1.0)
    assert torch.equal(delta, torch.zeros(1, 2, 3))


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_an_ascent_tells_the_damage_of_what_it_found(context, norm, steps):
    threat = on_features(context("lin"), norm=norm)
    start = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    wave = lambda d: (7 * d).sin().sum(-1)  # noqa: E731
    found, value = ascend(wave, start, torch.ones(5), threat, start[0], steps=steps, rel_step=1.0)
    assert torch.equal(value, wave(found))
    nothing = ascend(lambda d: wave(d) * torch.nan, start, torch.ones(5), threat, start[0], steps=steps, rel_step=1.0)
    assert nothing[1].isnan().all()


def test_whole_steps_find_the_largest_axis_of_a_quadratic_form(context):
    """As the power method finds the eigenvector of the largest eigenvalue."""
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    form = q @ torch.diag(torch.tensor([4.0, 1.0, -2.0])) @ q.T
    threat = on_features(context("lin"), which="all")
    start = torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(2))
    _, value = ascend(
        lambda d: (d @ form * d).sum(-1), start, torch.ones(20), threat, start[0], steps=30, rel_step=100.0
    )
    torch.testing.assert_close(value, torch.full((1, 20), 4.0), atol=1e-3, rtol=0)


def test_the_worst_candidate_is_the_one_of_largest_value():
    x = torch.arange(12.0).reshape(3, 2, 2)  # 3 candidates of 2 rows
    assert worst(x, torch.tensor([[0.0, 9.0], [5.0, 1.0], [2.0, 3.0]])).tolist() == [[4, 5], [2, 3]]


def test_candidates_together_equal_candidates_one_by_one(trained, dataset):
    x = dataset("loan").test.x.expand(3, -1, -1)
    together = trained("loan")(x)
    assert torch.allclose(together, torch.stack([trained("loan")(one) for one in x]), atol=1e-5)


# No cheating


def test_honest_points_on_the_edge_pass(dataset, context):
    for name in ("lin", "nlm", "imf", "loan"):
        ctx, x = context(name), dataset(name).test.x
        for threat in (on_features(ctx), on_features(ctx, norm="linf"), in_noise(ctx), in_noise(ctx, twins=False)):
            for radius in (0.0, 0.01, 1.0):
                for moved in moved_by(threat, x, radius):
                    check_budget(threat, x, moved, torch.full((len(x),), radius))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_points_at_a_large_radius_are_rounded_by_its_size(dataset, context, norm):
    threat, x = on_features(context("lin"), norm=norm), dataset("lin").test.x
    for moved in moved_by(threat, x, 1e6):
        check_budget(threat, x, moved, torch.full((len(x),), 1e6))


@pytest.mark.parametrize(
    "make", [on_features, partial(on_features, norm="linf"), in_noise, partial(in_noise, twins=False)]
)
def test_three_per_cent_beyond_the_radius_is_noticed(dataset, context, make):
    ctx, x = context("loan"), dataset("loan").test.x
    threat = make(ctx)
    with pytest.raises(AssertionError, match="left its ball"):
        check_budget(threat, x, moved_by(threat, x, 0.0103)[0], torch.full((len(x),), 0.01))


def test_one_row_beyond_its_own_radius_is_noticed(dataset, context):
    threat, x = on_features(context("lin")), dataset("lin").test.x
    radius = torch.full((len(x),), 1.0)
    radius[3] = 0.5
    with pytest.raises(AssertionError, match="left its ball by 0.5"):
        check_budget(threat, x, moved_by(threat, x, 1.0)[0], radius)


def test_a_moved_frozen_column_is_noticed(dataset, context):
    x = dataset("lin").test.x
    with pytest.raises(AssertionError, match="freezes"):
        check_budget(on_features(context("lin")), x, x + torch.tensor([1e-6, 0, 0]), torch.ones(len(x)))


@pytest.mark.parametrize("make", [on_features, in_noise])
def test_a_point_that_is_not_a_number_is_noticed(dataset, context, make):
    x = dataset("lin").test.x
    with pytest.raises(AssertionError):
        check_budget(make(context("lin")), x, x * torch.tensor([1, 1, torch.nan]), torch.ones(len(x)))


def test_a_sensitive_level_that_does_not_exist_is_noticed(dataset, context):
    """Half a level, with every other column where its equation puts it."""
    ctx, x = context("lin"), dataset("lin").test.x
    noise = ctx.scm.to_noise(ctx.scm.own(x))
    moved = ctx.scm.model(ctx.scm.to_features(noise, {0: torch.full((len(x),), 0.5)}))
    with pytest.raises(AssertionError, match="level that its threat does not reach"):
        check_budget(in_noise(ctx), x, moved, torch.ones(len(x)))


def test_a_changed_level_is_noticed_where_twins_are_not_reached(dataset, context):
    ctx, x = context("lin"), dataset("lin").test.x
    with pytest.raises(AssertionError, match="level that its threat does not reach"):
        check_budget(in_noise(ctx, twins=False), x, twins(ctx.scm, x)[0], torch.ones(len(x)))


def test_flipping_the_attribute_without_its_consequences_is_noticed(dataset, context):
    """On lin the noises of x2 and x3 then differ by 2 and 1."""
    ctx, x = context("lin"), dataset("lin").test.x
    with pytest.raises(AssertionError, match="left its ball by 1.2"):
        check_budget(in_noise(ctx), x, x * torch.tensor([-1.0, 1, 1]) + torch.tensor([1.0, 0, 0]), torch.ones(len(x)))


def test_a_binary_column_kept_by_a_threshold_may_flip_with_its_twin(dataset, context):
    """Its noise is an interval; only the way to the edge counts."""
    ctx, x = context("toy", causal="threshold"), dataset("toy").test.x
    for radius in (0.0, 0.3):
        for moved in moved_by(in_noise(ctx), x, radius):
            check_budget(in_noise(ctx), x, moved, torch.full((len(x),), radius))


def test_the_causal_distance_is_that_of_the_formulas(dataset, context):
    """Row by row: the noise of a moved point is at the radius from the noise of its row, but for the attribute."""
    ctx, x = context("loan"), dataset("loan").test.x[:20]
    for moved in moved_by(in_noise(ctx), x, 0.4):
        pairs = zip(ctx.scm.own(x).double().tolist(), ctx.scm.own(moved).double().tolist(), strict=True)
        for row, point in pairs:
            steps = [b - a for a, b in zip(oracles.noise("loan", row), oracles.noise("loan", point), strict=True)]
            assert sum(s * s for s in steps[1:]) ** 0.5 == pytest.approx(0.4, abs=2e-4)
            assert point[0] in (0.0, 1.0)


def test_without_relaxing_only_continuous_columns_move(dataset, context):
    """So that every attacked row stays in the schema of the data."""
    threat = features(context("loan"), norm="l2", movable_columns="all", relax=False)
    kinds = [c.kind for c in dataset("loan").columns]
    assert threat.mask.tolist() == [float(kind == "continuous") for kind in kinds]


@pytest.mark.parametrize("known", [False, True])
def test_a_gradient_is_pulled_back_by_the_reduced_form(dataset, context, known):
    """On lin x = J u: dF/du = J^T dF/dx with J = [[1, 0, 0], [2, 1, 0], [-1, -1, 1]]; the attribute does not move."""
    ctx, train, keep = context("lin"), stack_batches([dataset("lin").train]), torch.tensor([[3, 1, 4]])
    x = train.of_each(keep).x
    ctx = replace(ctx, scm=replace(stack_scms([ctx.scm]), known=Known(train).at(x, keep) if known else None))
    threat, gradient = causal(ctx, norm="l2", twins=False), torch.tensor([1.0, 2.0, 4.0]).expand_as(x) * ctx.scm.scale
    found = pull_back(gradient, threat, threat.at(x), x)
    assert torch.allclose(found, torch.tensor([0.0, 2.0 - 4.0, 4.0]).expand_as(x), atol=1e-5)
    assert not known or ctx.scm.known.tables
