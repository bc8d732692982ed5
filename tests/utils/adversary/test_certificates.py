"""Certificates: closed forms of linear models, grids, strong attacks on who is proven fair, counterexamples."""

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import FITTED, LEARNED, SPLIT
from tests.utils.scms.test_discrete import EQUATIONS, causal_model, rows
from utils.adversary import taylor
from utils.adversary.certificates import Budget, Judge, certify, largest_radius
from utils.adversary.taylor import Domain
from utils.datasets.adult import adult
from utils.datasets.compas import compas
from utils.decides.group_thresholds import GroupThresholds
from utils.decides.threshold import Threshold
from utils.losses.objective import Weighted
from utils.models.gradient_boosting import GradientBoosting
from utils.models.hist_gradient_boosting import HistGradientBoosting
from utils.models.logistic import Logistic
from utils.models.mlp import ACTIVATIONS, MLP
from utils.models.random_forest import RandomForest
from utils.models.tree_bounds import read_trees
from utils.regularizers.erm import erm
from utils.scms.counterfactual import abduct, chances, factual_level, interventions
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.scms.structure import additive, scm_in_double, structural
from utils.threats import Ball, CausalThreat, ascend
from utils.types import Batch, Column

BUDGET = Budget(each=4000, total=400_000, branches=16)
FEW = Budget(each=20, total=600, branches=16)
HALF = Threshold(0.5)


def certificate(judge, x, radius, budget=BUDGET):
    return certify(judge, judge.individuals(x), radius, budget)


def network(x, activation="tanh", *, hidden=(8, 8), gain=2.0, seed=0):
    """A steep network that decides half of the rows either way."""
    torch.manual_seed(seed)
    model = MLP(x.shape[1], 1, hidden=hidden, activation=activation).requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(gain)
    model.layers[-1].bias -= model(x).median() + 0.01  # nobody is on the threshold
    return model


def logistic(columns, seed=0):
    torch.manual_seed(seed)
    return Logistic(columns, 1).requires_grad_(False)


# --- linear models on linear SCMs: the closed form ---------------------------------------------------------------


def signed_margins(judge, x):
    """c m_t (L, n) of every twin, c the sign of the decision on the row, and ||(J^T w)_N||, in double precision.

    x is unfair at radius r if and only if c m_t - r ||(J^T w)_N|| is below 0 at some twin.
    """
    scm, w = scm_in_double(judge.scm), judge.predict.linear.weight[0].double()
    noise = scm.to_noise(scm.own(x.double()))
    shifts = torch.cat([torch.zeros(1, len(scm.names)), torch.diag(scm.unit)[scm.unit > 0]]).double()
    still, *moved = scm.model(scm.to_features(shifts, dict(zip(scm.sensitive, scm.levels[0], strict=True)))) @ w
    norm = torch.linalg.vector_norm(torch.stack(moved) - still, ord=2 if judge.norm == "l2" else torch.inf)
    norm = (torch.stack(moved) - still).abs().sum() if judge.norm == "linf" else norm
    twins = scm.model(scm.to_features(noise.expand(len(scm.levels), -1, -1), interventions(scm, x.double())))
    bias = judge.predict.linear.bias.double()
    level = torch.arange(len(scm.levels)).unsqueeze(1).expand(twins.shape[:-1])
    margin = judge.decide.margin((twins @ w + bias).unsqueeze(-1), level)
    own = judge.decide.margin((x.double() @ w + bias).unsqueeze(-1), factual_level(judge.scm, x)) >= 0
    return torch.where(own, margin, -margin), norm


@pytest.fixture(scope="session")
def linear_case(dataset, scm):
    """A linear model, a linear SCM and rows, by the name of the data."""

    @cache
    def make(name):
        data = dataset("toy" if name == "fitted" else "loan" if name == "fitted loan" else name)
        causal = scm(name) if name in ("lin", "imf") else linear(data, seed=0, **FITTED)
        return logistic(len(data.columns), seed=3), causal, data.test.x

    return make


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["lin", "imf", "fitted", "fitted loan"])
def test_of_a_linear_model_on_a_linear_scm_the_certificate_is_the_closed_form(linear_case, name, norm):
    model, causal, x = linear_case(name)
    judge = Judge(model, HALF, causal, norm, "own")
    margin, length = signed_margins(judge, x)
    seen = 0
    for radius in (0.0, 0.05, 0.5, 3.0):
        found = certificate(judge, x, radius)
        fair = (margin.amin(0) - radius * length) >= 0
        assert torch.equal(found.fair, fair)
        assert torch.equal(found.unfair, ~fair)
        seen += int(fair.sum()) * int((~fair).sum()) > 0
        assert torch.allclose(found.margin[fair].double(), (margin.amin(0) - radius * length)[fair], atol=1e-4)
        assert found.margin[~fair].isnan().all()
    assert seen >= 2, "some are fair and some are not"


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["lin", "fitted loan"])
def test_the_largest_proven_radius_is_nearly_that_of_the_closed_form_and_never_above(linear_case, name, norm):
    model, causal, x = linear_case(name)
    judge = Judge(model, HALF, causal, norm, "own")
    margin, length = signed_margins(judge, x)
    exact, most = margin.amin(0) / length, 2.0
    found = largest_radius(judge, judge.individuals(x), most, BUDGET).double()
    assert torch.equal(found.isnan(), exact < 0)
    exact, found = exact[exact >= 0].clamp_max(most), found[~found.isnan()]
    assert (found <= exact * (1 + 1e-5)).all()
    assert (found >= 0.93 * exact - 1e-3).all()


@pytest.mark.parametrize("decide", [Threshold(0.3), GroupThresholds((-0.5, 0.4)), Threshold(0.0), Threshold(1.0)])
def test_thresholds_are_those_of_the_twins_group(linear_case, decide):
    model, causal, x = linear_case("lin")
    judge = Judge(model, decide, causal, "l2", "own")
    margin, length = signed_margins(judge, x)
    for radius in (0.0, 0.3):
        found = certificate(judge, x, radius)
        assert torch.equal(found.fair, (margin.amin(0) - radius * length) >= 0)
        assert torch.equal(found.unfair, ~found.fair)


# --- grids ---------------------------------------------------------------------------------------------------------


def of_three(levels=2):
    """A non-linear SCM with three latent coordinates that a radius moves, and two sensitive attributes."""
    columns = (
        Column("s", "binary", levels=(0.0, 1.0), sensitive=True),
        Column("q", "binary", levels=(0.0, 1.0), sensitive=True),
        *(Column(name, "continuous") for name in "abc"),
    )
    equations = {
        "b": additive(("s", "a"), lambda s, a: s - torch.tanh(a)),
        "c": additive(("q", "a", "b"), lambda q, a, b: q * a - 0.5 * b.square()),
    }
    return structural(columns, equations, lambda n, rng: torch.zeros(n, 5))


def rows_of_three(n=30):
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(5))
    x[:, :2] = (x[:, :2] > 0).float()
    return x


def directions(k):
    """Points of the unit ball of k = 2 or 3 coordinates, on shells from the centre to the surface."""
    if k == 2:
        angle = torch.linspace(0, 2 * torch.pi, 241)[:-1]
        surface = torch.stack([angle.cos(), angle.sin()], -1)
    else:
        surface = nn.functional.normalize(torch.cartesian_prod(*[torch.linspace(-1, 1, 8)] * 3), dim=-1)
    return (torch.linspace(0, 1, 7).reshape(-1, 1, 1) * surface).flatten(0, 1).double()


def flips_and_margins(judge, x, shifts):
    """By brute force in double precision: whether some twin flips at shifts (m, k) of its noise, and by how much."""
    scm, model = scm_in_double(judge.scm), judge.in_double().predict
    place = scm.unit > 0
    delta = torch.zeros(len(shifts), 1, 1, len(scm.names)).double()
    delta[..., place] = shifts.reshape(len(shifts), 1, 1, -1)
    x = x.double()
    noise = scm.to_noise(scm.own(x)).expand(len(scm.levels), -1, -1)
    level = torch.arange(len(scm.levels)).unsqueeze(1)
    do = {column: scm.levels[:, j].unsqueeze(1) for j, column in enumerate(scm.sensitive)}
    moved = scm.model(scm.to_features(noise + delta * scm.unit, {i: v.expand(-1, len(x)) for i, v in do.items()}))
    margin = judge.decide.margin(model(moved), level.expand(-1, len(x)))
    own = judge.decide.margin(model(x), factual_level(scm, x)) >= 0
    least = torch.where(own, margin, -margin).amin((0, 1))
    return (torch.where(own, margin < 0, margin >= 0)).any(0).any(0), least


@pytest.mark.parametrize(
    ("name", "activation"),
    [  # each activation where the equations bend, and each causal model
        pytest.param(name, own, marks=[pytest.mark.slow] * (name != "nlm" and own != "tanh"))
        for name in ("lin", "nlm", "three")
        for own in sorted(ACTIVATIONS)
    ],
)
def test_a_grid_of_the_ball_agrees(dataset, scm, name, activation):
    causal, x = (of_three(), rows_of_three()) if name == "three" else (scm(name), dataset(name).test.x[:60])
    judge = Judge(network(x, activation), HALF, causal, "l2", "own")
    seen = 0
    for radius in (0.0, 0.1, 0.4):
        found = certificate(judge, x, radius)
        flips, least = flips_and_margins(judge, x, radius * directions(int((causal.unit > 0).sum())))
        assert not (found.fair & flips).any(), "nobody who is proven fair flips"
        assert (found.unfair | ~flips).float().mean() == 1, "who flips is proven unfair"
        assert (least[found.unfair & ~flips] < 0.05 * (1 + least.median())).all(), "else nearly so"
        assert not (~found.fair & ~found.unfair).any(), "nobody is open"
        assert (found.margin[found.fair].double() <= least[found.fair] + 1e-5).all()
        seen += int(found.fair.any() and found.unfair.any())
    assert seen


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_largest_proven_radius_has_no_flip_and_one_a_little_larger_has(dataset, scm, norm):
    x, causal = dataset("nlm").test.x[:40], scm("nlm")
    judge = Judge(network(x), HALF, causal, norm, "own")
    found = largest_radius(judge, judge.individuals(x), 1.0, BUDGET)
    proven = (found > 0).nonzero().squeeze(-1)
    assert len(proven) > 10
    for i in proven.tolist():
        grid = directions(2)
        if norm == "linf":
            grid = torch.cartesian_prod(*[torch.linspace(-1, 1, 41)] * 2).double()
        assert not flips_and_margins(judge, x[i : i + 1], float(found[i]) * grid)[0].any()
    close = [bool(flips_and_margins(judge, x[i : i + 1], 1.25 * float(found[i]) * grid)[0]) for i in proven.tolist()]
    assert sum(close) + int((found[proven] >= 0.8).sum()) > 0.8 * len(proven)


# --- counterexamples ------------------------------------------------------------------------------------------------

CASES = ("lin", "nlm", "imf", "loan", "toy", "learned", "threshold")


def case(dataset, scm, name, activation="tanh", n=60):
    data = dataset(name if name in ("lin", "nlm", "imf", "loan") else "toy")
    return network(data.test.x, activation, gain=1.5), scm(name), data.test.x[:n]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", CASES)
def test_every_counterexample_is_in_the_ball_and_flips_the_decision(dataset, scm, name, norm):
    """Its noise by abduction, in double precision, is that of the row but for a shift within the radius."""
    model, causal, x = case(dataset, scm, name)
    judge = Judge(model, HALF, causal, norm, "own")
    exact, score = scm_in_double(causal), judge.in_double()
    count = 0
    for radius in (0.0, 0.05, 0.5):
        found = certificate(judge, x, radius)
        at, moved = x[found.unfair].double(), found.counterexample[found.unfair].double()
        assert found.counterexample[~found.unfair].isnan().all()
        assert moved.isfinite().all()
        level = exact.own(moved)[:, list(exact.sensitive)]
        assert (level.unsqueeze(1) - exact.levels).abs().amax(-1).amin(-1).le(1e-5).all(), "a level that there is"
        noise, other = (exact.to_noise(exact.own(of)) for of in (at, moved))
        if name == "threshold":  # its noise is one of many that give the value; pushed along with it, the value is seen
            noise[:, 1] = other[:, 1] = 0.0
        shift = (other - noise)[:, exact.unit > 0] / exact.unit[exact.unit > 0]
        size = torch.linalg.vector_norm(shift, ord=2 if norm == "l2" else torch.inf, dim=-1)
        assert (size <= radius + 2e-4).all()
        before, after = (score.decides(of, factual_level(exact, of)) for of in (at, moved))
        assert (before != after).all()
        count += len(at)
    assert count


# --- strong attacks -------------------------------------------------------------------------------------------------


def strong_attack(judge, x, radius, *, restarts, steps, samples, seed=0):
    """A mask (n,) of rows with a flip in the float model: gradients from many starts, and random points.

    Noise of discrete nodes is drawn anew for every start and for every 1,000 points.
    """
    scm, source, n = judge.scm, torch.Generator().manual_seed(seed), len(x)
    threat = CausalThreat(scm, Ball(judge.norm), twins=True, source=source)
    many = x.repeat(restarts, 1)
    sign = torch.where(judge.individuals(many).favourable, -1.0, 1.0)
    level = torch.arange(len(scm.levels)).reshape(-1, 1)

    def noise_of(rows):
        return abduct(scm, rows, chances(scm, rows, lambda like: torch.rand(like.shape, generator=source)))

    def margins(features):
        return judge.decide.margin(judge.predict(features), level.expand(features.shape[:-1]))

    reach = threat.around(noise_of(many))
    start = radius * threat.ball.uniform(threat.zero(many), threat.mask, source)
    delta, _ = ascend(
        lambda d: margins(reach(d)) * sign, start, many.new_full((len(many),), radius), threat, many,
        steps=steps, rel_step=0.1,
    )  # fmt: skip
    flips = (margins(reach(delta)) * sign > 0).any(0).unflatten(0, (restarts, n)).any(0)
    do = {i: v.expand(-1, n) for i, v in interventions(scm, x).items()}
    for _ in range(samples // 1000):
        points = radius * threat.ball.uniform(x.new_zeros(1000, 1, 1, len(scm.names)), threat.mask, source)
        moved = scm.model(scm.to_features(noise_of(x) + points * scm.unit, do))
        flips |= (margins(moved) * sign[:n] > 0).flatten(0, 1).any(0)
    return flips


def nearest(found, x, most):
    """The rows that are proven fair by the least margin."""
    fair = found.fair.nonzero().squeeze(-1)
    return x[fair[found.margin[fair].argsort()[:most]]]


@pytest.mark.parametrize(("name", "norm"), [*((name, "l2") for name in CASES), ("nlm", "linf"), ("loan", "linf")])
def test_strong_attacks_flip_nobody_who_is_proven_fair(dataset, scm, name, norm):
    """5 restarts of 20 steps and 10,000 points at those who are proven by the least margin."""
    model, causal, x = case(dataset, scm, name, "gelu" if norm == "linf" else "tanh", n=100)
    judge = Judge(model, HALF, causal, norm, "own")
    for radius in (0.05, 0.5):
        people = nearest(certificate(judge, x, radius), x, 6)
        assert len(people)
        assert not strong_attack(judge, people, radius, restarts=5, steps=20, samples=10_000).any()


def test_the_attack_finds_flips_where_there_are_any(dataset, scm):
    model, causal, x = case(dataset, scm, "nlm", n=100)
    judge = Judge(model, HALF, causal, "l2", "own")
    found = certificate(judge, x, 0.3)
    flips = strong_attack(judge, x[found.unfair], 0.3, restarts=3, steps=20, samples=4000)
    assert flips.float().mean() > 0.9


@pytest.fixture(scope="module")
def real_case(dataset, scm, train_on, context, tmp_path_factory):
    """A model trained on a data set of the publication, its SCM and test rows; adult's and compas' SCMs are learned."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def make(name):
        if name not in ("adult", "compas"):
            return dataset(name, 2000), scm(name)
        if not (Path(os.environ.get("TRILEMMA_DATA", "")) / name).is_dir():
            pytest.skip(f"needs {name} under TRILEMMA_DATA")
        option = {"adult": adult, "compas": compas}[name]
        more = {"test_file": False} if name == "adult" else {}
        data = option(name=name, seed=0, split=SPLIT, sensitive=["sex"], actionable=None, **more)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRILEMMA_WEIGHTS", str(folder))
            return data, learned(data, seed=0, **LEARNED, **FITTED | {"discrete": "posterior", "draws": 4})

    @cache
    def trained_on(name, kind):
        data, causal = make(name)
        torch.manual_seed(0)
        columns = len(data.columns)
        model = Logistic(columns, 1) if kind == "logistic" else MLP(columns, 1, hidden=[32, 32], activation=kind)
        some = replace(data, train=data.train.rows(slice(0, 3000)))
        train_on(some, model, context("lin"), {"erm": Weighted(1.0, erm)}, nominal=0.0, epochs=6)
        return model.requires_grad_(False), causal, data.test.x[:200]

    return trained_on


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", *sorted(ACTIVATIONS)])
@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan", "compas", "adult"])
def test_ten_thousand_strong_attacks_flip_nobody_who_is_proven_fair(real_case, name, kind):
    """Of 30 cases at two radii 200 starts of 100 steps each, and 4,000 points, at who is proven by the least margin."""
    model, causal, x = real_case(name, kind)
    judge = Judge(model, HALF, causal, "l2", "own")
    for radius in (0.05, 0.2):
        found = certificate(judge, x, radius, Budget(each=200, total=20_000, branches=16))
        people = nearest(found, x, 3)
        assert len(people) == 3
        assert not strong_attack(judge, people, radius, restarts=100, steps=100, samples=4000).any()


# --- budgets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [Budget(1, 0, 1), Budget(1, 10**6, 1), Budget(3, 100, 2), Budget(10**6, 37, 16)])
def test_a_small_budget_leaves_open_and_is_never_wrong(dataset, scm, budget):
    model, causal, x = case(dataset, scm, "nlm")
    judge = Judge(model, HALF, causal, "l2", "own")
    all_of_it, found = certificate(judge, x, 0.3), certificate(judge, x, 0.3, budget)
    assert not (found.fair & all_of_it.unfair).any()
    assert not (found.unfair & all_of_it.fair).any()
    assert (~found.fair & ~found.unfair).any()
    if not budget.total:
        assert not found.fair.any()


def test_proofs_are_nested_in_the_radius(dataset, scm):
    model, causal, x = case(dataset, scm, "loan")
    judge = Judge(model, HALF, causal, "l2", "own")
    people, before = judge.individuals(x), None
    for radius in (0.0, 0.02, 0.1, 0.3, 1.0):
        found = certify(judge, people, radius, BUDGET, before)
        assert not (found.fair & found.unfair).any()
        if before is not None:
            assert not (found.fair & ~before.fair).any(), "fair at a radius is fair below"
            assert (found.unfair | ~before.unfair).all(), "unfair at a radius is unfair above"
        before = found
    assert before.unfair.any()


def test_rows_together_are_rows_one_by_one(dataset, scm):
    model, causal, x = case(dataset, scm, "loan", n=12)
    judge = Judge(model, HALF, causal, "l2", "own")
    together = certificate(judge, x, 0.3)
    for i in range(len(x)):
        alone = certificate(judge, x[i : i + 1], 0.3)
        assert (bool(alone.fair), bool(alone.unfair)) == (bool(together.fair[i]), bool(together.unfair[i]))


# --- discrete nodes -------------------------------------------------------------------------------------------------


def discrete_case(coupling, n=24):
    """A network that rests on b above all: levels of nodes decide about some people and not about others."""
    causal = causal_model("gumbel" if coupling == "gumbel" else "monotone")
    causal = replace(causal, fresh=coupling == "independent", draws=4)
    x = rows(n, "gumbel" if coupling == "gumbel" else "monotone")
    model = network(x)
    model.layers[0].weight[:, 2:] *= 0.03
    model.layers[-1].bias -= model(x).median() + 0.01  # nobody is on the threshold
    return Judge(model, HALF, causal, "l2", "any" if coupling == "any" else "own"), x


def posterior_flips(judge, x, radius, draws, seed=0):
    """A mask (n,) of rows that flip at some draw of the noise of discrete nodes with a point of the ball each."""
    scm, source, levels = judge.scm, torch.Generator().manual_seed(seed), len(judge.scm.levels)
    own = judge.individuals(x).favourable
    many = x.repeat(draws, 1)
    noise = abduct(scm, many, chances(scm, many, lambda like: torch.rand(like.shape, generator=source)))
    way = (2 * torch.rand(noise.shape, generator=source) - 1) * (scm.unit > 0)
    way = nn.functional.normalize(way, dim=-1) * torch.rand(noise[..., :1].shape, generator=source).clamp_min(0.5)
    do = {i: v.expand(-1, len(many)) for i, v in interventions(scm, x).items()}
    moved = scm.model(scm.to_features(noise + radius * scm.unit * way, do))
    level = torch.arange(levels).reshape(-1, 1).expand(levels, len(many))
    decided = judge.decide.margin(judge.predict(moved), level) >= 0
    flips = decided != own.repeat(draws)
    if scm.whole is not None:
        still = scm.rounded(scm.to_features(noise, do))
        flips |= (judge.decide.margin(judge.predict(scm.model(still)), level) >= 0) != own.repeat(draws)
    return flips.any(0).unflatten(0, (draws, len(x))).any(0)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_no_draw_of_discrete_noise_flips_who_is_proven_fair(coupling):
    judge, x = discrete_case(coupling)
    for radius in (0.0, 0.1):
        found = certificate(judge, x, radius, FEW)
        flips = posterior_flips(judge, x, radius, 500)
        assert found.fair.any()
        assert flips.any()
        assert not (found.fair & flips).any()


def chained(coupling):
    """Discrete nodes behind discrete nodes, of two sensitive attributes of which each node has one or both above it."""
    columns = (
        Column("s", "binary", levels=(0.0, 1.0), sensitive=True),
        Column("q", "binary", levels=(0.0, 1.0), sensitive=True),
        Column("b", "continuous"),
        Column("member", "binary", levels=(0.0, 1.0)),
        *(Column(f"job={i}", "binary", levels=(0.0, 1.0), attribute="job") for i in range(3)),
        Column("kids", "continuous", integer=True, bounds=(0.0, 39.0), discrete="count"),
        Column("pay", "continuous"),
    )
    job = EQUATIONS["gumbel" if coupling == "gumbel" else "monotone"]
    equations = {
        "member": EQUATIONS["binary"]._replace(parents=("s", "b")),
        "job": job._replace(parents=("q", "b")),
        "kids": EQUATIONS["count"]._replace(parents=("member", "job=1")),
        "pay": additive(("q", "member", "kids", "b"), lambda q, m, k, b: q * m - torch.tanh(k) + 0.5 * b),
    }
    causal = structural(columns, equations, lambda n, rng: torch.zeros(n, 9))
    causal = replace(causal, fresh=coupling == "independent", draws=4)
    source = torch.Generator().manual_seed(7)
    u = torch.rand(24, 9, generator=source)
    u[:, :2], u[:, [2, 8]] = (u[:, :2] < 0.5).float(), torch.randn(24, 2, generator=source)
    u[:, [3, 7]] = torch.logit(u[:, [3, 7]])
    u[:, 4:7] = -(-u[:, 4:7].log()).log() if coupling == "gumbel" else torch.logit(u[:, 4:7])
    x = causal.to_features(u)
    model = network(x)
    model.layers[0].weight[:, 3:8] *= 0.1
    model.layers[-1].bias -= model(x).median() + 0.01
    return Judge(model, HALF, causal, "l2", "any" if coupling == "any" else "own"), x


@pytest.mark.parametrize(
    "coupling", ["gumbel", "monotone", *(pytest.param(of, marks=pytest.mark.slow) for of in ("independent", "any"))]
)
def test_nodes_behind_nodes_of_several_attributes_are_proven_for_all_of_their_noise(coupling):
    judge, x = chained(coupling)
    for radius in (0.0, 0.1):
        found = certificate(judge, x, radius, FEW._replace(branches=256 if coupling in ("any", "independent") else 16))
        flips = posterior_flips(judge, x, radius, 800)
        assert found.fair.any()
        assert flips.any()
        assert not (found.fair & flips).any()


def every_level(judge, x, radius):
    """Whether some row of levels of all discrete nodes, b within the radius and either level of a is decided otherwise.

    The row itself too where nothing is moved. Each column is (n, options) of what it may hold.
    """
    own = judge.individuals(x).favourable
    moves = torch.linspace(-radius, radius, 17 if radius else 1)
    job, member, kids = torch.eye(3), torch.tensor([0.0, 1.0]), -0.3 + 0.2 * torch.arange(40.0)
    a, b, j, m, k = (i.flatten() for i in torch.meshgrid(*map(torch.arange, (2, len(moves), 3, 2, 40)), indexing="ij"))
    flips = torch.zeros(len(x), dtype=torch.bool)
    for i, row in enumerate(x):
        shifted = row[1] + moves[b]
        others = torch.stack([a.float(), shifted, *job[j].T, member[m], kids[k]], -1)
        if radius == 0:  # the row's own twin keeps its levels
            others = torch.where((a == row[0].long()).unsqueeze(-1), row, others)
        flips[i] = ((judge.predict(others)[:, 0] >= 0) != own[i]).any()
    return flips


@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_with_any_coupling_every_level_of_every_node_is_enumerated(radius):
    """Against all 240 combinations of levels at 17 places of b."""
    judge, x = discrete_case("any")
    found = certificate(judge, x, radius, Budget(20_000, 10**6, 256))
    expected = every_level(judge, x, radius)
    assert torch.equal(found.fair, ~expected)
    assert torch.equal(found.unfair, expected)
    assert 0 < int(expected.sum()) < len(x)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone", "independent"])
def test_a_counterexample_of_discrete_nodes_has_a_noise_that_agrees_with_the_row(coupling):
    """Some of 20,000 draws of the posterior come to its levels too, for all but those of the least chance."""
    judge, x = discrete_case(coupling)
    scm, found = judge.scm, certificate(judge, x, 0.1, FEW)
    at = found.unfair.nonzero().squeeze(-1)[:6]
    assert len(at)
    source = torch.Generator().manual_seed(1)
    reached = 0
    for i in at.tolist():
        own, other = x[i].expand(20_000, -1), found.counterexample[i]
        assert abs(other[1] - x[i, 1]) <= 0.1 + 1e-6
        assert other[2:5].sum() == 1
        chance = chances(scm, own, lambda like: torch.rand(like.shape, generator=source))
        noise = abduct(scm, own, chance)[int(other[0])]
        noise[:, 1] = other[1]
        moved = scm.to_features(noise, {0: other[0].expand(20_000)})
        reached += bool(((moved - other).abs() < 1e-4).all(-1).any())
    assert reached >= 0.6 * len(at)


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (taylor, "_length", lambda own: lambda slope: own(slope) / 2),
        pytest.param(taylor, "_square", lambda own: lambda a: own(a) * 0.3, marks=pytest.mark.slow),
        (Domain, "largest", lambda own: lambda self, slope: own(self._replace(radius=self.radius / 2), slope)),
    ],
    ids=["half the norm", "a third of a square", "half the ball"],
)  # fmt: skip
def test_a_wrong_rule_proves_people_fair_who_flip(dataset, scm, monkeypatch, owner, name, wrong):
    """The grid finds it out, so that it can fail."""
    x, causal = dataset("nlm").test.x, scm("nlm")
    judge, rule = Judge(network(x), HALF, causal, "l2", "own"), wrong(getattr(owner, name))
    flips = flips_and_margins(judge, x, 0.4 * directions(2))[0]
    assert not (certificate(judge, x, 0.4).fair & flips).any()
    for table in (taylor.METHODS, taylor.FUNCTIONS):
        for key in [key for key, own in table.items() if own is getattr(owner, name)]:
            monkeypatch.setitem(table, key, rule)
    monkeypatch.setattr(owner, name, rule)
    assert (certificate(judge, x, 0.4).fair & flips).any()


# --- whole numbers, missing values, several attributes --------------------------------------------------------------


def test_twins_are_judged_with_their_whole_numbers_rounded_too(dataset, scm):
    causal, x = scm("lin"), dataset("lin").test.x
    step = torch.tensor([0.0, 0.0, 1.0])
    whole = replace(causal, whole=(step, torch.tensor([0.0, 0.0, -9.0]), torch.tensor([1.0, 0.0, 9.0])))
    model = logistic(3, seed=3)
    exact, rounded = (Judge(model, HALF, own, "l2", "own") for own in (causal, whole))
    plain, found = certificate(exact, x, 0.0), certificate(rounded, x, 0.0)
    twins = causal.to_features(causal.to_noise(causal.own(x)).expand(2, -1, -1), interventions(causal, x))
    own = model(x)[:, 0] >= 0
    flips = ((model(causal.model(whole.rounded(twins)))[..., 0] >= 0) != own).any(0)
    assert torch.equal(found.unfair, plain.unfair | flips)
    assert torch.equal(found.fair, ~found.unfair)
    assert (flips & ~plain.unfair).any()


def test_a_column_that_is_missing_holds_one_number_in_every_twin_that_has_its_flag():
    columns = (
        Column("a", "binary", levels=(0.0, 1.0), sensitive=True),
        Column("b", "continuous"),
        Column("flag", "binary", levels=(0.0, 1.0)),
        Column("c", "continuous"),
    )
    binary = EQUATIONS["binary"]
    equations = {"flag": binary, "c": additive(("a", "b"), lambda a, b: a - b)}
    causal = structural(columns, equations, lambda n, rng: torch.zeros(n, 4))
    causal = replace(causal, missing={3: (2, torch.tensor(0.7))})
    source = torch.Generator().manual_seed(0)
    u = torch.randn(100, 4, generator=source)
    u[:, 0] = (u[:, 0] > 0).float()
    x = causal.to_features(u)
    judge = Judge(network(x), HALF, causal, "l2", "own")
    for radius in (0.0, 0.2):
        found = certificate(judge, x, radius)
        flips = posterior_flips(judge, x, radius, 300)
        assert not (found.fair & flips).any()
        assert found.fair.any()
        assert flips.any()
        held = found.counterexample[found.unfair]
        assert (held[held[:, 2] > 0.5][:, 3] == 0.7).all()


def test_every_pair_of_levels_of_two_attributes_is_a_twin():
    """Of four twins each attribute on its own would leave two."""
    causal, x = of_three(), rows_of_three(200)
    judge = Judge(network(x), HALF, causal, "l2", "own")
    found = certificate(judge, x, 0.0)
    flips, _ = flips_and_margins(judge, x, torch.zeros(1, 3).double())
    assert torch.equal(found.unfair, flips)
    assert torch.equal(found.fair, ~flips)
    assert set(found.counterexample[flips][:, :2].unique(dim=0).sum(-1).tolist()) == {0.0, 1.0, 2.0}


# --- where numbers end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decide", [Threshold(0.0), HALF])
@pytest.mark.parametrize("radius", [1e20, 1e30])
def test_an_undefined_point_is_no_counterexample(dataset, scm, decide, radius):
    """Of a radius whose square is no number; at a threshold of 0 all are accepted, whatever their logit."""
    x = dataset("nlm").test.x[:40]
    judge = Judge(network(x), decide, scm("nlm"), "l2", "own")
    found = certificate(judge, x, radius, Budget(8, 4000, 4))
    assert found.counterexample[found.unfair].isfinite().all()
    assert not (found.unfair.any() and decide is not HALF)


def trough(at, width):
    """A network that refuses where its second column is within ``width`` of ``at``, and nowhere else."""
    model = MLP(2, 1, hidden=[2], activation="tanh").requires_grad_(False)
    model.layers[0].weight.copy_(torch.tensor([[0.0, 2 / width], [0.0, 2 / width]]))
    model.layers[0].bias.copy_(torch.tensor([-2 * (at - width) / width, -2 * (at + width) / width]))
    model.layers[-1].weight.copy_(torch.tensor([[-1.0, 1.0]]))
    model.layers[-1].bias.fill_(1.0)
    return model


@pytest.mark.parametrize("size", [1.0, 1e20])
def test_no_part_of_a_ball_is_left_out_whose_distance_has_no_square(size):
    columns = (Column("s", "binary", levels=(0.0, 1.0), sensitive=True), Column("a", "continuous"))
    causal, x = structural(columns, {}, lambda n, rng: torch.zeros(n, 2)), torch.zeros(1, 2)
    model = trough(0.66 * size, 0.02 * size)
    assert model(torch.tensor([[0.0, 0.66 * size]])) < 0 < model(x)
    assert not certificate(Judge(model, HALF, causal, "l2", "own"), x, size, Budget(1000, 10_000, 4)).fair.any()


@pytest.mark.parametrize("radius", [torch.nan, torch.inf, -1.0])
def test_a_radius_that_is_none_is_refused(dataset, scm, radius):
    x = dataset("nlm").test.x[:4]
    with pytest.raises(ValueError, match=f"radius={radius}: expected a number"):
        certificate(Judge(network(x), HALF, scm("nlm"), "l2", "own"), x, radius)


def test_a_row_on_the_threshold_is_unfair_only_if_double_precision_says_so(dataset, scm):
    """In single precision such a row may be decided otherwise than itself."""
    x, causal = dataset("lin").test.x[:40], scm("lin")
    model = network(x)
    logits = model(x)[:, 0]
    seen = 0
    for i in range(len(x)):
        model.layers[-1].bias -= logits[i]
        judge, own = Judge(model, HALF, causal, "l2", "own"), x[i : i + 1]
        found, exact = certificate(judge, own, 0.0), judge.in_double()
        before = exact.decides(own.double(), factual_level(causal, own))
        after = exact.decides(found.counterexample.double(), factual_level(causal, found.counterexample))
        assert not (found.unfair & (before == after)).any()
        assert (found.fair | found.unfair).all()
        model.layers[-1].bias += logits[i]
        seen += int(found.fair)
    assert 0 < seen < len(x)


# --- trees -----------------------------------------------------------------------------------------------------------

TREES = {
    "forest": lambda d: RandomForest(d, 1, trees=9, max_depth=3, min_samples_leaf=1, max_features="sqrt"),
    "boosting": lambda d: GradientBoosting(d, 1, trees=9, max_depth=2, learning_rate=0.5, subsample=1.0),
    "histograms": lambda d: HistGradientBoosting(d, 1, iterations=9, learning_rate=0.5, max_leaf_nodes=7, l2=0.0),
}


def fitted(name, x, y):
    model = TREES[name](x.shape[1])
    n = len(x)
    model.fit(Batch(x, y, torch.zeros(n, dtype=torch.int64), torch.ones(n), torch.arange(n)), 0)
    return model


def of_chance(columns):
    """An SCM without equations: a sensitive attribute, and one or two numbers that nothing moves but their noise."""
    numbers = (Column(name, "continuous") for name in "ab"[:columns])
    sensitive = Column("s", "binary", levels=(0.0, 1.0), sensitive=True)
    return structural((sensitive, *numbers), {}, lambda n, rng: torch.zeros(n, columns + 1))


def nearest_flips(model, x):
    """The distance (n, k) to the nearest flip by coordinate, of the nearest, from all cells between thresholds."""
    own = model(x)[:, 0] >= 0
    sides = [torch.tensor([-torch.inf, *cuts, torch.inf]) for cuts in read_trees(model.require_trained()).cuts[1:]]
    lows = torch.cartesian_prod(*(of[:-1] for of in sides)).reshape(-1, len(sides))
    highs = torch.cartesian_prod(*(of[1:] for of in sides)).reshape(-1, len(sides))
    middle = ((lows.clamp_min(-9) + highs.clamp_max(9)) / 2).float()
    sensitive = torch.tensor([0.0, 1.0]).repeat_interleave(len(middle)).unsqueeze(-1)
    decided = model(torch.cat([sensitive, middle.repeat(2, 1)], 1))[:, 0] >= 0
    point = x[:, None, 1:].double()
    distance = torch.maximum(lows - point, point - highs).clamp_min(0).repeat(1, 2, 1)
    return torch.where((decided != own.unsqueeze(1)).unsqueeze(-1), distance, torch.inf)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", TREES)
def test_of_trees_without_equations_nobody_is_open_and_all_cells_agree(name, columns, norm):
    x = torch.randn(200, columns + 1, generator=torch.Generator().manual_seed(2))
    x[:, 0] = (x[:, 0] > 0).float()
    y = (2 * x[:, -1].sin() + x[:, 1] + 0.3 * x[:, 0] + 0.7 * torch.randn(200, generator=source(3)) > 0).long()
    model, causal = fitted(name, x, y), of_chance(columns)
    judge, rows = Judge(model, HALF, causal, norm, "own"), x[:60]
    order = 2 if norm == "l2" else torch.inf
    nearest = torch.linalg.vector_norm(nearest_flips(model, rows), ord=order, dim=-1).amin(1)
    for radius in (0.05, 0.3):
        found = certificate(judge, rows, radius)
        near = (nearest - radius).abs() < 1e-5
        assert near.sum() < 5
        assert torch.equal(found.fair[~near], (nearest > radius)[~near])
        assert torch.equal(found.unfair[~near], (nearest <= radius)[~near])
        assert not (found.fair & (nearest < radius - 1e-5)).any()
        assert found.fair.any()
        assert found.unfair.any()


@pytest.mark.parametrize("name", TREES)
def test_of_trees_a_grid_of_the_ball_agrees_with_who_is_proven(dataset, scm, name):
    """Also under equations that bend; thresholds of a forest are on the way to the rows next to them."""
    causal, rows, train = scm("nlm"), dataset("nlm").test.x[:60], dataset("nlm").train
    model = fitted(name, train.x, train.y)
    judge = Judge(model, HALF, causal, "l2", "own")
    noise, own = abduct(causal, rows), judge.individuals(rows).favourable
    shifts = torch.zeros(1680, 1, 1, 3)
    shifts[..., causal.unit > 0] = directions(2).float().reshape(-1, 1, 1, 2)
    seen = 0
    for radius in (0.0, 0.05, 0.4):
        found = certificate(judge, rows, radius)
        moved = causal.model(causal.to_features(noise + radius * shifts * causal.unit, interventions(causal, rows)))
        flips = ((model(moved)[..., 0] >= 0) != own).flatten(0, 1).any(0)
        assert not (found.fair & flips).any()
        assert (found.fair | found.unfair).float().mean() > 0.9
        seen += int(found.fair.any() and found.unfair.any())
        after = model(found.counterexample[found.unfair])[:, 0] >= 0
        assert (after != own[found.unfair]).all()
        away = causal.to_noise(causal.own(found.counterexample)) - causal.to_noise(causal.own(rows))
        away = (away / causal.unit)[found.unfair][:, causal.unit > 0]
        assert (away.norm(dim=-1) <= radius + 1e-4).all()
    assert seen


def source(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", TREES)
def test_the_largest_radius_of_trees_is_nearly_the_distance_to_the_nearest_flip(name):
    x = torch.rand(200, 2, generator=source(4))
    x[:, 0] = (x[:, 0] > 0.5).float()
    model, causal = fitted(name, x, (x[:, 1] > 0.4).long()), of_chance(1)
    judge = Judge(model, HALF, causal, "l2", "own")
    exact = nearest_flips(model, x[:40]).squeeze(-1).amin(1)
    found = largest_radius(judge, judge.individuals(x[:40]), 1.0, BUDGET).double()
    held = exact > 0
    assert (found[held] <= exact[held].clamp_max(1.0) + 1e-6).all()
    assert (found[held] >= 0.9 * exact[held].clamp_max(1.0) - 4e-3).all()


@pytest.mark.parametrize("name", ["loan", "learned"])
def test_where_nobody_is_fair_at_0_nobody_has_a_radius(dataset, scm, name):
    """Of a model of the attribute alone every twin is decided otherwise, and nothing is left to be bounded."""
    causal, x = scm(name), dataset("loan" if name == "loan" else "toy").test.x[:20]
    model = torch.nn.Linear(x.shape[-1], 1).requires_grad_(False)
    model.weight.copy_(torch.eye(x.shape[-1])[:1] * 8.0)
    model.bias.fill_(-4.0)
    judge = Judge(model, HALF, causal, "l2", "own")
    assert largest_radius(judge, judge.individuals(x), 1.0, Budget(10, 10**5, 16)).isnan().all()
