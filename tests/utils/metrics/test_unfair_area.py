"""Unfair areas: exact where theory is, the row-by-row reference elsewhere, and what they must not depend on."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from tests import oracles
from utils import seeding
from utils.adversary import ball_bounds, ball_search, causal_balls
from utils.decides.threshold import Threshold
from utils.metrics import unfair_area as module
from utils.metrics.unfair_area import unfair_area
from utils.models.logistic import Logistic
from utils.models.mlp import MLP
from utils.models.random_forest import RandomForest
from utils.threats import Ball
from utils.views.stack import Stack, stack_batches, stack_contexts
from utils.words.numbers import read_radii

SETTINGS = {
    "radii": {"0.05": 0.05, "0.01": 0.01},
    "individuals": "rows",
    "n": 100,
    "rows": None,
    "samples": 100,
    "steps": 10,
    "rel_step": 0.25,
    "restarts": 1,
    "estimators": "separate",
    "intervals": 0,
    "level": 0.95,
}


def areas(model, batch, ctx, **changes):
    radii = {"radii": read_radii(changes["radii"])} if "radii" in changes else {}
    found = unfair_area(model, batch, ctx, **SETTINGS | changes | radii)
    return {key: value for key, value in found.items() if not key.endswith(("_low", "_high"))}


def linear(weights, bias=0.0):
    """A classifier with these weights in model space."""
    model = nn.Linear(len(weights), 1).requires_grad_(False)
    model.weight.copy_(torch.tensor([weights]))
    model.bias.fill_(bias)
    return model


def only(columns, which, weight=3.0):
    return linear([weight if c.name in which else 0.0 for c in columns], bias=0.2)


def shares_of(slacks):
    """Bounds of the unfair share: without and with the individuals within float tolerance of the boundary."""
    return [sum(s < tolerance for s in slacks) / len(slacks) for tolerance in (-1e-4, 1e-4)]


def assert_share(found, slacks):
    low, high = shares_of(slacks)
    assert low - 1e-9 <= found <= high + 1e-9


def natural_weights(model, ctx):
    """Weights and bias of a linear model on natural units, double precision."""
    w = (model.weight[0] / ctx.scm.scale).double()
    return w.numpy(), float(model.bias.double() - (w * ctx.scm.loc).sum())


# A linear classifier on a linear SCM


@pytest.mark.parametrize("name", ["lin", "imf"])
@settings(max_examples=15, deadline=None)
@given(
    weights=st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3),
    bias=st.floats(-2, 2, width=32),
    probability=st.sampled_from([0.1, 0.5, 0.75]),
    radius=st.sampled_from([0.0, 0.05, 0.7]),
)
def test_the_gradient_is_exact_on_a_linear_classifier_and_scm_and_random_points_never_above(
    dataset, context, name, weights, bias, probability, radius
):
    """x is unfair if and only if some twin's margin is less than r norm((J^T w)_N) on the side of its decision."""
    ctx, rows = replace(context(name), decide=Threshold(probability)), dataset(name).test
    model = linear(weights, bias)
    found = areas(model, rows, ctx, radii=[radius], samples=20)
    w, b = natural_weights(model, ctx)
    cut, people = math.log(probability / (1 - probability)), ctx.scm.own(rows.x).double().tolist()
    slacks = [oracles.linear_slack(name, w, b, x, radius, cut) for x in people]
    alone = [oracles.linear_slack(name, w, b, x, radius, cut, levels=[round(x[0])]) for x in people]
    assert_share(found[f"uai_gradient_{radius}"], slacks)
    assert_share(found[f"uai_ar_gradient_{radius}"], alone)
    assert_share(found[f"uai_{radius}"], slacks)
    assert found[f"uai_random_{radius}"] <= shares_of(slacks)[1] + 1e-9
    assert_share(found["uai_cf"], [oracles.linear_slack(name, w, b, x, 0.0, cut) for x in people])


def test_on_imf_it_is_the_ordinary_ball_with_a_flipped_attribute(dataset, context):
    """Unfair if some attribute value puts the row within r norm((w2, w3)) of the boundary, natural units."""
    ctx, rows, model = context("imf"), dataset("imf").test, linear([1.0, 0.8, -1.2], 0.1)
    w, b = natural_weights(model, ctx)
    slacks = []
    for x in ctx.scm.own(rows.x).double().tolist():
        sign = 1 if w @ x + b >= 0 else -1
        margins = [sign * (w[0] * attribute + w[1] * x[1] + w[2] * x[2] + b) for attribute in (0.0, 1.0)]
        slacks.append(min(margins) - 0.3 * math.hypot(w[1], w[2]))
    assert_share(areas(model, rows, ctx, radii=[0.3])["uai_0.3"], slacks)


def test_the_flip_rate_of_two_levels_is_the_counterfactual_area(dataset, context, trained):
    found = areas(trained("loan"), dataset("loan").test, context("loan"))
    assert found["counterfactual_flip_rate"] == found["uai_cf"]


def test_the_flip_rate_is_the_mean_share_of_the_other_twins(dataset, context):
    """Three levels, a classifier of the attribute that accepts level 2 alone: the others flip 1 of 2, it flips both."""
    ctx, rows = three_levels(context, dataset)
    found = areas(linear([1.0, 0.0, 0.0], -1.5), rows, ctx)
    share = float((rows.x[:, 0] == 2).double().mean())
    assert found["counterfactual_flip_rate"] == pytest.approx(share + (1 - share) / 2)
    assert found["uai_cf"] == 1


def three_levels(context, dataset):
    """lin with an attribute of three levels; every third row has the third."""
    ctx, rows = context("lin"), dataset("lin").test
    x = rows.x.clone()
    x[::3, 0] = 2.0
    return replace(ctx, scm=replace(ctx.scm, levels=torch.tensor([[0.0], [1.0], [2.0]]))), rows._replace(x=x)


# What theory says of fair and unfair classifiers


@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan"])
def test_a_classifier_of_the_attribute_alone_is_unfair_to_everybody(dataset, context, name):
    columns = dataset(name).columns
    model = linear([1.0 if c.sensitive else 0.0 for c in columns], -0.5)
    found = areas(model, dataset(name).test, context(name))
    assert found["uai_cf"] == found["uai_0.01"] == found["uai_0.05"] == 1
    assert found["uai_ar_0.05"] == 0  # its own level does not change


def test_no_weight_on_the_attribute_and_its_descendants_is_counterfactually_fair(dataset, context):
    """In loan everything descends from gender but age."""
    found = areas(only(dataset("loan").columns, ["age"]), dataset("loan").test, context("loan"))
    assert found["uai_cf"] == 0


def test_no_weight_on_the_attribute_alone_is_not_fair(dataset, context):
    found = areas(linear([0.0, 2.0, 0.0]), dataset("lin").test, context("lin"))
    assert found["uai_cf"] > 0.3


def test_a_constant_classifier_is_fair_to_everybody(dataset, context):
    found = areas(linear([0.0] * 7, 1.0), dataset("loan").test, context("loan"), radii=[5.0])
    assert {value for key, value in found.items() if key.startswith("uai")} == {0.0}


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_threshold_that_decides_for_all_alike_is_fair_to_everybody(dataset, context, trained, probability):
    ctx = replace(context("loan"), decide=Threshold(probability))
    assert areas(trained("loan"), dataset("loan").test, ctx, radii=[0.5])["uai_0.5"] == 0


def test_a_point_on_the_threshold_belongs_to_class_1(dataset, context):
    """z = x1 is 0 or 1, all of class 1; z = -x1 is 0 or -1, two classes."""
    rows, ctx = dataset("lin").test, context("lin")
    assert areas(linear([1.0, 0.0, 0.0]), rows, ctx)["uai_0.05"] == 0
    assert areas(linear([-1.0, 0.0, 0.0]), rows, ctx)["uai_cf"] == 1


def test_radius_zero_and_one_level_is_fair_to_everybody(dataset, context, trained):
    ctx, rows = context("nlm"), dataset("nlm").test
    one = replace(ctx, scm=replace(ctx.scm, levels=ctx.scm.levels[:1]))
    found = areas(trained("nlm"), rows.rows(rows.s == 0), one, radii=[0])
    assert found["uai_cf"] == found["counterfactual_flip_rate"] == 0
    assert found["uai_0"] < 0.02  # but for rows on the boundary to float tolerance


def test_one_level_leaves_causal_robustness(dataset, context, trained):
    ctx, rows = context("nlm"), dataset("nlm").test
    rows = rows.rows(rows.s == 0)
    one = areas(trained("nlm"), rows, replace(ctx, scm=replace(ctx.scm, levels=ctx.scm.levels[:1])), radii=[0.3])
    both = areas(trained("nlm"), rows, ctx, radii=[0.3])
    assert one["uai_0.3"] == one["uai_ar_0.3"] == both["uai_ar_0.3"]


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_it_grows_with_the_radius_and_contains_its_parts(dataset, context, trained, name):
    found = areas(trained(name), dataset(name).test, context(name), radii=[0.5, "1/20", 0.01])
    for kind in ("", "gradient_", "random_"):
        shares = [found["uai_cf"], *(found[f"uai_{kind}{r}"] for r in ("0.01", "1/20", "0.5"))]
        assert shares == sorted(shares)
        assert all(found[f"uai_ar_{kind}{r}"] <= found[f"uai_{kind}{r}"] for r in ("0.01", "1/20", "0.5"))
    assert found["uai_cf"] < found["uai_0.5"]


def test_who_is_unfair_at_one_radius_is_unfair_at_every_larger_one(dataset, context):
    """On imf, a decision that flips for u2 in (.006, .01) alone: longer steps of .25 * .05 leap over it."""
    rows = dataset("imf").test
    ctx, x = context("imf"), rows.x.clone()
    x[:, 1] = ctx.scm.model(torch.zeros(len(x), 3))[:, 1]

    def shell(x):
        return (ctx.scm.own(x)[..., 1:2] - 0.008).abs() - 0.002

    found = areas(shell, rows._replace(x=x), ctx, radii=[0.05, 0.01], samples=1)
    assert areas(shell, rows._replace(x=x), ctx, radii=[0.05], samples=1)["uai_gradient_0.05"] == 0
    assert found["uai_gradient_0.01"] == found["uai_gradient_0.05"] == found["uai_0.05"] == 1


def test_it_grows_with_the_levels(dataset, context):
    ctx, rows = three_levels(context, dataset)
    rows = rows.rows(rows.x[:, 0] < 2)
    two = replace(ctx, scm=replace(ctx.scm, levels=ctx.scm.levels[:2]))
    model = linear([0.0, 1.0, 0.4])
    few, many = (areas(model, rows, c) for c in (two, ctx))
    assert all(few[key] <= many[key] for key in few if key.startswith("uai"))
    assert few["uai_cf"] < many["uai_cf"]


# Estimators


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_random_search_is_the_row_by_row_search_on_the_same_directions(dataset, context, trained, name):
    """Every individual x twin x direction, one point at a time in double precision."""
    ctx, rows = replace(context(name), decide=Threshold(0.6)), dataset(name).test.rows(slice(0, 25))
    mask = (ctx.scm.unit > 0).float()
    directions = Ball("l2").uniform(torch.zeros(60, len(mask)), mask, seeding.generator(0, "directions"))
    found = areas(trained(name), rows, ctx, radii=[0.3], samples=60)
    layers = [
        (m.weight.double().numpy(), m.bias.double().numpy())
        for m in trained(name).modules()
        if isinstance(m, nn.Linear)
    ]
    loc, scale = ctx.scm.loc.double().numpy(), ctx.scm.scale.double().numpy()

    def logit(x):
        return oracles.mlp_logit(layers, (x - loc) / scale)

    cut, people = math.log(0.6 / 0.4), ctx.scm.own(rows.x).double().tolist()
    every = [oracles.slack(name, logit, x, 0.3, directions.tolist(), cut) for x in people]
    alone = [oracles.slack(name, logit, x, 0.3, directions.tolist(), cut, around=round(x[0])) for x in people]
    assert_share(found["uai_random_0.3"], every)
    assert_share(found["uai_ar_random_0.3"], alone)
    assert_share(found["uai_cf"], [oracles.slack(name, logit, x, 0.0, [], cut) for x in people])


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_the_gradient_finds_nearly_all_that_random_points_find(dataset, context, trained, name):
    found = areas(trained(name), dataset(name).test, context(name), radii=[0.05, 0.5], samples=500)
    for radius in (0.05, 0.5):
        assert found[f"uai_gradient_{radius}"] >= found[f"uai_random_{radius}"] - 0.01
        assert found[f"uai_{radius}"] >= max(found[f"uai_gradient_{radius}"], found[f"uai_random_{radius}"])


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_stopping_at_the_decided_changes_no_headline(dataset, context, trained, name):
    run = [
        areas(trained(name), dataset(name).test, context(name), radii=[0.3, 0.01], samples=300, estimators=how)
        for how in ("separate", "union")
    ]
    assert run[1].items() < run[0].items()
    assert {key for key in run[0] if key not in run[1]} == {
        f"uai_{ar}random_{r}" for ar in ("", "ar_") for r in ("0.3", "0.01")
    }


def searched(model, rows, ctx, predict=None, **changes):
    """The figures of a model, or of a function that calls it, and the number of points that it is asked about."""
    asked = []
    hook = model.register_forward_hook(
        lambda _, x, __: asked.append(x[0][..., 0].numel()) if torch.is_tensor(x[0]) else None
    )
    try:
        return areas(predict or model, rows, ctx, **changes), sum(asked)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("probability", "estimators"),
    [
        (0.3, "union"),
        (0.5, "separate"),
        (1.0, "union"),
        *(pytest.param(*of, marks=pytest.mark.slow) for of in ((0.0, "separate"), (0.5, "union"), (0.8, "separate"))),
    ],
)
@pytest.mark.parametrize("kind", ["mlp", pytest.param("logistic", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "causal"), [*((n, n) for n in ("lin", "nlm", "imf", "loan")), ("toy", "learned"), ("toy", "threshold")]
)
def test_balls_left_out_hold_no_flip(dataset, context, trained, name, causal, kind, estimators, probability):
    """Against the full search, which a function gets of which no bounds are known: its figures, with fewer points."""
    ctx, rows = replace(context(name, causal=causal), decide=Threshold(probability)), dataset(name).test
    model = trained(name) if kind == "mlp" else Logistic(rows.x.shape[1], 1).requires_grad_(False)
    settings = {"radii": [0.01, 0.1, 1.0], "samples": 300, "estimators": estimators, "steps": 2}
    found, asked = searched(model, rows, ctx, **settings)
    expected, of_all = searched(model, rows, ctx, lambda x: model(x.clone()), **settings)
    assert found == expected
    assert asked < of_all


def test_where_equations_have_no_bounds_those_of_the_points_spare_the_same_balls(dataset, context, trained):
    """The hull of the points that are searched holds them all; of other points it says nothing."""
    ctx, rows = context("loan"), dataset("loan").test
    mechanisms = [m._replace(push=lambda u, *p, m=m: m.push(u.clone(), *p)) for m in ctx.scm.mechanisms]
    opaque = replace(ctx, scm=replace(ctx.scm, mechanisms=tuple(mechanisms)))
    settings, model = {"radii": [0.01, 0.1], "samples": 300, "steps": 2}, trained("loan")
    expected, of_all = searched(model, rows, ctx, lambda x: model(x.clone()), **settings)
    found, asked = searched(model, rows, opaque, **settings)
    assert found == expected
    assert asked < of_all


@pytest.mark.parametrize("causal", ["known", "learned"])
def test_hardly_a_ball_is_searched_where_decisions_are_far_from_the_threshold(dataset, context, trained, causal):
    name, scm = ("loan", "loan") if causal == "known" else ("toy", "learned")
    ctx, rows = context(name, causal=scm), dataset(name).test
    settings, model = {"radii": [0.01], "samples": 1000, "steps": 10}, trained(name)
    _, asked = searched(model, rows, ctx, **settings)
    _, of_all = searched(model, rows, ctx, lambda x: model(x.clone()), **settings)
    assert asked < 0.1 * of_all


def test_fewer_or_more_than_a_block_of_samples_will_do(dataset, context, trained):
    rows = dataset("loan").test.rows(slice(0, 20))
    for samples in (1, 250, 251):
        assert 0 <= areas(trained("loan"), rows, context("loan"), samples=samples)["uai_random_0.05"] <= 1


def test_rows_together_equal_rows_one_by_one(dataset, context, trained):
    rows, ctx = dataset("loan").test.rows(slice(0, 30)), context("loan")
    together = areas(trained("loan"), rows, ctx, radii=[0.3])
    alone = [areas(trained("loan"), rows.rows(slice(i, i + 1)), ctx, radii=[0.3]) for i in range(30)]
    for key, value in together.items():
        assert value == pytest.approx(sum(one[key] for one in alone) / 30)


def test_the_radius_is_in_the_unit_of_the_scm(dataset, context, trained):
    """Doubling every latent unit is doubling the radius."""
    ctx, rows = context("loan"), dataset("loan").test
    double = replace(ctx, scm=replace(ctx.scm, unit=2 * ctx.scm.unit))
    one, two = areas(trained("loan"), rows, double, radii=["0.1"]), areas(trained("loan"), rows, ctx, radii=["0.2"])
    assert one == {key.replace("0.2", "0.1"): pytest.approx(value, abs=0.011) for key, value in two.items()}


# Individuals


def test_fresh_individuals_have_the_area_of_the_population(dataset, context):
    """On lin against the closed form on other draws of the same SCM; 2,000 of each, a standard error of .011."""
    ctx, model = context("lin"), linear([0.3, 1.0, 0.5])
    found = areas(model, dataset("lin").test, ctx, individuals="scm", n=2000, samples=1)
    w, b = natural_weights(model, ctx)
    people = dataset("lin", 2000, 1)
    everybody = torch.cat([people.train.x, people.valid.x, people.test.x])
    own = (people.loc + people.scale * everybody).double().tolist()
    expected = sum(oracles.linear_slack("lin", w, b, x, 0.05, 0.0) < 0 for x in own) / 2000
    assert found["uai_0.05"] == pytest.approx(expected, abs=0.05)


def test_a_repeated_call_is_identical_and_changes_nothing(dataset, context, trained):
    model, ctx = trained("loan"), context("loan")
    before, state = copy.deepcopy(model.state_dict()), ctx.generator.get_state()
    found = [areas(model, dataset("loan").test, ctx, individuals=who) for who in ("rows", "rows", "scm", "scm")]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(ctx.generator.get_state(), state)


def test_the_interval_of_an_area_is_the_exact_one_of_scipy(dataset, context, trained):
    rows = dataset("loan").test
    found = unfair_area(trained("loan"), rows, context("loan"), **SETTINGS | {"samples": 1})
    part, whole = found.shares["uai_cf"]
    ends = stats.binomtest(part, whole).proportion_ci(0.95, method="exact")
    assert (part, whole) == (round(found["uai_cf"] * whole), len(rows.y))
    assert (found["uai_cf_low"], found["uai_cf_high"]) == pytest.approx((ends.low, ends.high), abs=1e-6)


def test_another_seed_draws_other_individuals(dataset, context, trained):
    run = [
        areas(trained("loan"), dataset("loan").test, context("loan", seed=seed), individuals="scm", samples=1)
        for seed in (0, 1)
    ]
    assert run[0] != run[1]


@pytest.mark.parametrize("causal", ["learned", "threshold"])
def test_an_scm_fitted_to_data_will_do(dataset, context, causal):
    found = areas(linear([0.5, 1.0, 1.0], -0.5), dataset("toy").test, context("toy", causal=causal), individuals="scm")
    assert 0 < found["uai_cf"] <= found["uai_0.05"] < 1


def ridge(ctx):
    """Decisions that flip where u2 of imf, 0 of these rows, is in (.09, .1); there is a slope, but from above alone."""

    def model(x):
        own = ctx.scm.own(x)[..., 1:2]
        return torch.where(own > 0.05, (own - 0.095).abs() - 0.005, 1.0 - 0 * own)

    return model


def at_rest(rows, ctx):
    x = rows.x.clone()
    x[:, 1] = ctx.scm.model(torch.zeros(len(x), 3))[:, 1]
    return rows._replace(x=x)


def test_further_starts_of_the_gradient_find_what_the_first_is_blind_to(dataset, context):
    """At the twins the slope is 0, so the gradient stays there; a start with u2 above .05 slides into the gap."""
    ctx = context("imf")
    rows = at_rest(dataset("imf").test, ctx)
    found = [areas(ridge(ctx), rows, ctx, radii=[0.1], samples=1, restarts=k) for k in (1, 2, 40)]
    shares = [of["uai_gradient_0.1"] for of in found]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert found[-1]["uai_0.1"] == found[-1]["uai_ar_0.1"] == 1


def test_further_starts_never_lose_anybody(dataset, context, trained):
    for name in ("nlm", "loan"):
        once, often = (
            areas(trained(name), dataset(name).test, context(name), radii=[0.05, 0.5], samples=1, restarts=k)
            for k in (1, 4)
        )
        assert all(often[f"uai_{k}0.5"] >= once[f"uai_{k}0.5"] for k in ("gradient_", "ar_gradient_", ""))
        assert often["uai_cf"] == once["uai_cf"]


def test_a_stack_starts_where_each_of_its_models_does_alone(dataset, context):
    """Two seeds: each model has the starts of its own."""
    ctx = context("imf")
    each = [replace(ctx, seed=seed, generator=seeding.generator(seed, "attack")) for seed in (0, 1)]
    rows = [at_rest(dataset("imf").test, ctx) for ctx in each]
    models = [MLP(3, 1, hidden=[8], activation="tanh").requires_grad_(False) for _ in each]
    alone = [areas(m, r, c, radii=[0.5], restarts=4) for m, r, c in zip(models, rows, each, strict=True)]
    found = unfair_area(
        Stack(models),
        stack_batches(rows),
        stack_contexts(each),
        **SETTINGS | {"radii": read_radii([0.5]), "restarts": 4},
    )
    for own, together in zip(alone, found, strict=True):
        assert all(together[key] == value for key, value in own.items())


@pytest.mark.parametrize("points", [8192, 8], ids=["few points", "many points"])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.0, 0.0, 1.0)], ids=["alike", "ragged"])
def test_a_stack_has_the_areas_of_its_models_however_many_balls_each_leaves_open(
    dataset, context, monkeypatch, weights, points
):
    """Of a network times 0 no ball is open; where many points would be padding, models go one by one."""
    monkeypatch.setattr(ball_search, "ROWS", points)
    ctx, rows = context("loan"), dataset("loan").test
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = [MLP(7, 1, hidden=[8], activation="tanh").requires_grad_(False) for _ in weights]
    for model, weight in zip(models, weights, strict=True):
        model.layers[-1].weight.mul_(weight)
    cuts = [
        float(model(rows.x).median().sigmoid()) if weight else 0.9
        for model, weight in zip(models, weights, strict=True)
    ]
    each = [replace(ctx, seed=seed, decide=Threshold(cut)) for seed, cut in enumerate(cuts)]
    changes = {"radii": read_radii([0.05, 0.3]), "restarts": 3}
    stack = Stack(models), stack_batches([rows] * 3), stack_contexts(each)
    found = unfair_area(*stack, **SETTINGS | changes)
    alone = [unfair_area(model, rows, own, **SETTINGS | changes) for model, own in zip(models, each, strict=True)]
    assert [dict(own) for own in found] == [dict(own) for own in alone]
    assert found[2]["uai_0.3"] > 0


def test_bounds_of_trees_leave_out_no_flip(dataset, context, monkeypatch):
    rows, ctx = dataset("loan").test, context("loan")
    model = RandomForest(7, 1, trees=5, max_depth=None, min_samples_leaf=1, max_features="sqrt")
    model.fit(dataset("loan").train, 0)
    pruned = areas(model, rows, ctx, estimators="random", radii=[0.05, 0.3])
    monkeypatch.setattr(ball_bounds, "has_bounds", lambda predict, columns: False)
    assert areas(model, rows, ctx, estimators="random", radii=[0.05, 0.3]) == pruned
    assert 0 < pruned["uai_0.05"] < pruned["uai_0.3"]


@pytest.mark.parametrize(("key", "value"), [("individuals", "people"), ("estimators", "both")])
def test_an_unknown_word_is_refused(dataset, context, trained, key, value):
    with pytest.raises(ValueError, match=f"{key}='{value}' is not known; choose"):
        areas(trained("loan"), dataset("loan").test, context("loan"), **{key: value})


def test_no_sample_is_refused(dataset, context, trained):
    with pytest.raises(ValueError, match="samples=0: expected at least 1 random point per twin"):
        areas(trained("loan"), dataset("loan").test, context("loan"), samples=0)


def test_three_classes_are_refused(dataset, context):
    with pytest.raises(ValueError, match="needs 1 logit per row, got 3"):
        areas(nn.Linear(3, 3), dataset("lin").test, context("lin"))


# --- random search alone ---------------------------------------------------------------------------------------


def test_without_a_gradient_the_random_figures_are_the_figures(dataset, context, trained):
    """Those that both estimators in full report for random search; no gradient is asked for."""
    rows, ctx, model = dataset("lin").test, context("lin"), trained("lin")

    def answers(x):
        assert not x.requires_grad
        return model(x)

    both, random = areas(model, rows, ctx), areas(answers, rows, ctx, estimators="random")
    raw = {key: value for key, value in both.items() if "random_" in key}
    assert random == {
        **{key: both[key] for key in ("uai_cf", "counterfactual_flip_rate")},
        **raw,
        **{key.replace("random_", ""): value for key, value in raw.items()},
    }


@pytest.mark.parametrize(
    "made",
    [
        (module, "KEPT", 1),
        (ball_bounds, "SLOPES", 1),
        (ball_bounds, "cost_of", lambda slopes: math.inf),
        (ball_bounds, "bounds_near", lambda predict, features: None),
        (ball_bounds, "FEWEST", 0),
        (ball_bounds, "TRIED", 0),
        (ball_search, "ROWS", 1),
    ],
    ids=[
        "a part at a time",
        "one ball at a time",
        "without bounds",
        "without the cheaper bounds",
        "bounds at every radius",
        "no points tried before",
        "one point at a time",
    ],
)
def test_unfair_areas_of_large_tables_are_those_of_small_ones(dataset, context, monkeypatch, made):
    ctx, rows = context("loan"), dataset("loan").test.rows(slice(0, 40))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(rows.x.shape[1], 8), nn.Tanh(), nn.Linear(8, 1)).requires_grad_(False)
    whole = areas(model, rows, ctx)
    assert 0 < whole["uai_0.05"] < 1
    monkeypatch.setattr(*made)
    assert areas(model, rows, ctx) == whole


def test_bounds_that_spare_less_than_they_cost_end_after_the_first_look(dataset, context, trained, monkeypatch):
    """At a radius at which nothing is proven: one part of the balls is bounded, and the figures stay."""
    ctx, rows, model = context("loan"), dataset("loan").test, trained("loan")
    asked, through = [], ball_bounds.through
    monkeypatch.setattr(ball_bounds, "BOUNDED", 50)
    monkeypatch.setattr(ball_bounds, "through", lambda *of: asked.append(1) or through(*of))
    found = areas(model, rows, ctx, radii=[20.0], steps=2)
    assert len(asked) == 1
    monkeypatch.setattr(ball_bounds, "cost_of", lambda _: 0)
    assert areas(model, rows, ctx, radii=[20.0], steps=2) == found
    assert len(asked) > 2


def test_of_wide_tables_the_first_rows_are_judged_and_rows_asks_for_more(dataset, context, trained, monkeypatch):
    ctx, rows, model = context("loan"), dataset("loan").test, trained("loan")
    some, more = (areas(model, rows.rows(slice(0, n)), ctx) for n in (25, 30))
    monkeypatch.setattr(causal_balls, "FEWEST", 10)
    monkeypatch.setattr(causal_balls, "MOST_NUMBERS", 25 * 2 * rows.x.shape[1])
    assert areas(model, rows, ctx) == some != more
    assert areas(model, rows, ctx, rows=30) == more
