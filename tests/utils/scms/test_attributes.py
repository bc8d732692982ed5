"""Sensitive attributes of several texts as indicators: one level each, in groups, twins, equations, balls, new rows."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import FITTED, LEARNED
from tests.soundness import uncovered
from utils.adversary.bounds import Twins, ball, bounds_over, by_drawn_noise, counterfactuals
from utils.datasets.tabular import assemble, binary, continuous, group_index, indicators, mark, natural
from utils.decides.threshold import Threshold
from utils.metrics.unfair_area import unfair_area
from utils.metrics.unreal_twins import facts_of_twins
from utils.poisoning.features import Space
from utils.scms.counterfactual import draw, factual_level, twins
from utils.scms.independent import independent
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.scms.structure import levels_product, sensitive_attributes
from utils.threats import Ball, CausalThreat, check_budget, everywhere
from utils.types import Column, Context

EFFECT = {"asian": 8.0, "black": -6.0, "hispanic": -4.0, "white": 6.0}
SHARES = [0.2, 0.25, 0.15, 0.4]
RACES = tuple(EFFECT)
SEXES = replace(binary("sex")[0], texts=("female", "male"))
INDICATORS = indicators("race", RACES)


@cache
def people(sensitive=("race",), n=4000):
    """income = 40 + effect of the race + N(0, 5); race does not depend on sex."""
    rng = np.random.default_rng(1)
    race, sex = rng.choice(4, n, p=SHARES), rng.integers(0, 2, n)
    income = 40 + np.array([EFFECT[r] for r in RACES])[race] + rng.normal(0, 5, n)
    frame = {"sex": sex, "income": income, **{c.name: race == i for i, c in enumerate(INDICATORS)}}
    columns = mark((INDICATORS[0], SEXES, *INDICATORS[1:], *continuous("income")), sensitive, "income")
    parents = {"income": [c.name for c in INDICATORS]}
    y = (income + rng.normal(0, 5, n) > 42).astype(int)
    return assemble("people", frame, y, columns=columns, split=[0.64, 0.16, 0.2], seed=0, parents=parents)


@cache
def model_of(option, sensitive=("race",)):
    make = {
        "linear": partial(linear, **FITTED),
        "learned": partial(learned, **FITTED, **LEARNED | {"steps": 2000}),
        "independent": partial(independent, discrete="anm", sampling="residuals", radius_unit="noise"),
    }
    return make[option](people(sensitive), seed=0)


@pytest.fixture(autouse=True)
def _weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))


# --- levels ----------------------------------------------------------------------------------------------------


def test_there_is_a_level_for_each_indicator():
    columns = mark((SEXES, *INDICATORS), ["race"], None)
    assert torch.equal(levels_product(columns), torch.eye(4))


def test_two_attributes_have_the_product_of_their_levels_in_the_order_of_the_columns():
    """Of columns race=asian, sex, race=black, ...: the attribute whose column is first varies slowest."""
    data = people(("sex", "race"))
    levels = levels_product(data.columns)
    assert levels.shape == (8, 5)
    assert levels[1].tolist() == [1, 1, 0, 0, 0]
    assert levels[2].tolist() == [0, 0, 1, 0, 0]
    assert data.groups[1:3] == ("race=asian,sex=male", "race=black,sex=female")
    assert torch.equal(levels[data.train.s], data.train.x[:, list(data.sensitive)])


def test_one_sensitive_indicator_alone_keeps_its_two_levels():
    assert levels_product(mark(INDICATORS, "race=black", None)).tolist() == [[0], [1]]


def test_some_of_the_indicators_have_a_level_of_none_of_them_first():
    columns = mark(INDICATORS, ["race=black", "race=white"], None)
    assert levels_product(columns).tolist() == [[0, 0], [1, 0], [0, 1]]
    assert group_index(columns, np.eye(4)).tolist() == [0, 1, 0, 2]


def test_codes_stay_one_column():
    code = Column("race", "categorical", sensitive=True, levels=(0.0, 1.0, 2.0))
    assert sensitive_attributes([code]) == (((0,), ((0.0,), (1.0,), (2.0,))),)


# --- twins -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sensitive", [("race",), ("sex", "race")])
@pytest.mark.parametrize("option", ["linear", "learned", "independent"])
def test_every_twin_has_exactly_one_race_and_one_is_the_person(option, sensitive):
    data, scm = people(sensitive), model_of(option, sensitive)
    x = data.test.x
    every = twins(scm, x)
    assert len(every) == len(data.groups)
    assert torch.equal(
        every[..., list(data.sensitive)].transpose(0, 1), levels_product(data.columns).expand(len(x), -1, -1)
    )
    assert torch.equal(factual_level(scm, x), data.test.s)
    own = every[data.test.s, torch.arange(len(x))]
    torch.testing.assert_close(own, x, rtol=0, atol=1e-5)
    assert facts_of_twins(scm, data)["twins_outside"] == 0


@pytest.mark.parametrize(("option", "tolerance"), [("linear", 1.0), ("learned", 1.5)])
def test_the_twin_of_another_race_earns_what_the_truth_says(option, tolerance):
    """Income less the effect of the own race, plus that of the other: known, since the data were made so."""
    data = people()
    x = data.test.x
    income = natural(data, twins(model_of(option), x))[..., -1]
    effect = torch.tensor(list(EFFECT.values()))
    truth = natural(data, x)[:, -1] - effect[data.test.s] + effect.unsqueeze(1)
    assert (income - truth).abs().max() < tolerance


def test_least_squares_on_all_indicators_gives_the_means_of_the_groups():
    data = people()
    scm, rows = model_of("linear"), data.train
    expected = scm.to_features(torch.zeros(4, 6), dict(zip(scm.sensitive, torch.eye(4), strict=True)))[:, -1]
    means = torch.stack([rows.x[rows.s == i, -1].mean() for i in range(4)])
    torch.testing.assert_close(expected, means, rtol=0, atol=1e-5)


def test_fresh_people_have_one_race_as_often_as_the_rows():
    data = people()
    drawn = draw(model_of("linear"), 20_000, np.random.default_rng(0))[:, list(data.sensitive)]
    assert torch.equal(drawn.sum(1), torch.ones(20_000))
    assert drawn.mean(0).numpy() == pytest.approx(SHARES, abs=0.03)


def test_a_race_with_a_parent_is_drawn_as_one_level():
    """The parent is sex, on which race does not depend: the shares stay."""
    data = replace(people(), parents={c.name: ("sex",) for c in INDICATORS})
    scm = linear(data, seed=0, **FITTED | {"discrete": "threshold"})
    drawn = draw(scm, 20_000, np.random.default_rng(0))[:, list(data.sensitive)]
    assert torch.equal(drawn.sum(1), torch.ones(20_000))
    assert drawn.mean(0).numpy() == pytest.approx(SHARES, abs=0.05)


# --- balls and bounds ------------------------------------------------------------------------------------------


def judged(scm, radius):
    data = people()
    predict = nn.Linear(6, 1)
    predict.weight.data = torch.tensor([[-0.6, 0.1, 0.8, 0.7, -0.7, 1.0]])
    predict.bias.data = torch.tensor([-0.3])
    ctx = Context(
        scm=scm, columns=data.columns, attack=None, epsilon=everywhere(radius), decide=Threshold(0.5), seed=0,
        generator=torch.Generator(), groups=4,
    )  # fmt: skip
    return predict.requires_grad_(False), ctx


@pytest.mark.parametrize("option", ["linear", "independent"])
def test_the_unfair_area_of_a_linear_model_is_that_of_the_dual_norm(option):
    """Some twin of logit z within radius * norm(w of income and sex) of 0, or beyond: closed form over the four races.

    An additive income moves by its noise one to one; race moves by intervention alone.
    """
    scm, radius, rows = model_of(option), 0.25, people().test
    predict, ctx = judged(scm, radius)
    found = unfair_area(
        predict, rows, ctx, radii={str(radius): radius}, individuals="rows", n=0, rows=None, samples=50, steps=10,
        rel_step=0.3, restarts=1, estimators="separate", intervals=10, level=0.95,
    )  # fmt: skip
    w, own = predict.weight[0], predict(rows.x)[:, 0] >= 0
    income = rows.x[:, -1]
    if option == "linear":
        means = torch.stack([people().train.x[people().train.s == i, -1].mean() for i in range(4)])
        income = income - means[rows.s] + means.unsqueeze(1)
    race = w[[0, 2, 3, 4]].unsqueeze(1)
    z = race + w[1] * rows.x[:, 1] + w[5] * income + predict.bias
    reach = radius * w[[1, 5]].norm()
    assert found["uai_cf"] == pytest.approx(((z >= 0) != own).any(0).double().mean().item())
    assert 0.1 < found["uai_cf"] < found[f"uai_{radius}"] < 0.9
    flips = torch.where(own, z - reach < 0, z + reach >= 0).any(0)
    assert found[f"uai_{radius}"] == pytest.approx(flips.double().mean().item(), abs=0.003)


def test_bounds_hold_over_the_twins_of_every_race_and_are_tight_for_a_linear_model():
    """The ends of a ball of .5: the twin's logit less and more .5 norm(w) over age and income, which alone move."""
    scm, x = model_of("linear"), people().test.x[:50]
    predict, _ = judged(scm, 0.5)
    assert uncovered(scm, x, predict, lambda n: ball(scm, torch.full((n,), 0.5), "l2"), by_drawn_noise) == 0
    noise = scm.to_noise(x)
    reach = 0.5 * predict.weight[0, scm.unit > 0].norm()
    for level in range(len(scm.levels)):
        twins = Twins(x, noise, torch.full((len(x),), level))
        held = counterfactuals(scm, twins, ball(scm, torch.full((len(x),), 0.5), "l2"), by_drawn_noise(twins))
        low, high = bounds_over(predict, held.features)
        logit = predict(scm.to_features(noise, twins.do(scm)))
        torch.testing.assert_close(low, logit - reach, rtol=0, atol=1e-4)
        torch.testing.assert_close(high, logit + reach, rtol=0, atol=1e-4)


def test_a_ball_holds_twins_of_every_race_and_none_of_two():
    scm, x = model_of("linear"), people().test.x[:20]
    threat = CausalThreat(scm, Ball("l2"), twins=True, source=torch.Generator())
    assert threat.mask.tolist() == [0, 1, 0, 0, 0, 1]
    reach = threat.at(x)(threat.zero(x))
    for moved in reach:
        check_budget(threat, x, moved, torch.zeros(len(x)))
    both = reach[0].clone()
    both[:, 2] = 1.0
    with pytest.raises(AssertionError, match="level that its threat does not reach"):
        check_budget(threat, x, both, torch.ones(len(x)))


# --- new rows --------------------------------------------------------------------------------------------------


def test_new_rows_choose_one_race():
    data = people()
    space = Space.of(
        data.columns, data.train, data.loc, data.scale, label=1, classes=2, copies=1, spread=False, bounds={},
        fixed={"sex": 1},
    )  # fmt: skip
    assert [p.name for p in space.parameters] == ["race", "income"]
    rows = space.rows([{"race": float(i), "income": 50.0} for i in range(4)])
    assert space.batch(rows).s.tolist() == [0, 1, 2, 3]
