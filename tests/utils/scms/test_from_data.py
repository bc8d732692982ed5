"""What a fitted SCM of any kind promises: held-out fit, binary columns, noise of fresh individuals."""

import numpy as np
import pytest
import torch
from scipy import stats

from tests.conftest import FITTED
from utils.datasets.column_rules import outside
from utils.datasets.tabular import assemble, natural
from utils.scms.counterfactual import abduct, chances, draw, interventions, is_factual, least_shift, twins
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.types import Column

SETTINGS = FITTED | {"seed": 0}


def test_held_out_r2_is_one_less_the_share_of_the_residual_variance(dataset):
    data = dataset("lin")
    model = linear(data, **SETTINGS)
    residual = model.to_noise(data.valid.x).square().mean(0)
    variance = data.valid.x.var(0, correction=0)
    assert model.facts["scm_r2_x2"] == pytest.approx(float(1 - residual[1] / variance[1]), abs=1e-6)
    assert set(model.facts) == {"scm_r2_x2", "scm_r2_x3"}


def test_r2_of_lin_is_what_its_equations_explain(dataset):
    """var(2 x1) / var(x2) = 1 / 2, and 1 - 1 / 2.25 = 5/9 for x3, whose sd is 1.5."""
    facts = linear(dataset("lin", 20_000), **SETTINGS).facts
    assert [facts["scm_r2_x2"], facts["scm_r2_x3"]] == pytest.approx([1 / 2, 5 / 9], abs=0.03)


def test_an_additive_binary_child_may_leave_0_and_1_in_counterfactuals(dataset, scm):
    assert not torch.isin(twins(scm("linear"), dataset("toy").test.x)[:, :, 1], torch.tensor([0.0, 1.0])).all()


def test_a_threshold_keeps_a_binary_child_at_0_or_1(dataset, scm):
    assert torch.isin(twins(scm("threshold"), dataset("toy").test.x)[:, :, 1], torch.tensor([0.0, 1.0])).all()


def test_a_threshold_is_monotone_in_the_probability(dataset, scm):
    """a = 1 makes b more probable, so its twin at a = 1 has b at least as often."""
    at_0, at_1 = twins(scm("threshold"), dataset("toy").train.x)[:, :, 1]
    assert (at_1 >= at_0).all()


def test_the_noise_of_a_threshold_equation_is_the_middle_of_what_agrees_with_the_row(dataset, scm):
    """p / 2 where b = 1, (1 + p) / 2 where b = 0; with one binary parent, p is the share of its group in train."""
    a, b, _ = dataset("toy").train.x.unbind(-1)
    p = torch.where(a == 1, b[a == 1].mean(), b[a == 0].mean())
    found = scm("threshold").to_noise(dataset("toy").train.x)[:, 1]
    assert torch.allclose(found, torch.where(b == 1, p / 2, (1 + p) / 2), atol=1e-5)


def test_fresh_individuals_of_a_threshold_equation_have_its_probability(dataset):
    """P(b = 1 | a) = .1 + .2 a."""
    model = linear(dataset("toy", 20_000), **SETTINGS | {"discrete": "threshold"})
    a, b, _ = draw(model, 20_000, np.random.default_rng(0)).unbind(-1)
    assert [float(b[a == 0].mean()), float(b[a == 1].mean())] == pytest.approx([0.1, 0.3], abs=0.02)


@pytest.mark.parametrize("name", ["linear", "learned"])
def test_fresh_individuals_have_residuals_of_the_training_rows(dataset, scm, name):
    drawn = draw(scm(name), 500, np.random.default_rng(0))
    seen = scm(name).to_noise(dataset("toy").train.x)[:, 2]
    nearest = (scm(name).to_noise(drawn)[:, 2].unsqueeze(1) - seen).abs().amin(1)
    assert nearest.max() < 1e-5


@pytest.mark.parametrize(("key", "value"), [("discrete", "logistic"), ("sampling", "gauss"), ("radius_unit", "sd")])
def test_an_unknown_word_is_refused(dataset, key, value):
    with pytest.raises(ValueError, match=f"scm.{key}='{value}' is not known; choose"):
        linear(dataset("toy"), **SETTINGS | {key: value})


def test_published_noise_belongs_to_additive_equations(dataset):
    with pytest.raises(ValueError, match=r"scm.discrete=anm"):
        linear(dataset("toy"), **SETTINGS | {"discrete": "threshold", "sampling": "published"})


def test_published_noise_is_only_there_for_its_data_sets(dataset):
    with pytest.raises(ValueError, match="no noise was published for data set 'toy'"):
        linear(dataset("toy"), **SETTINGS | {"sampling": "published"})


# --- discrete columns whose noise is a posterior ---------------------------------------------------------------

POSTERIOR = SETTINGS | {"discrete": "posterior", "draws": 16}
N = 3000


def flag(name, **more):
    return Column(name, "binary", levels=(0.0, 1.0), **more)


def table(columns, values, parents):
    y = np.random.default_rng(9).integers(0, 2, N)
    return assemble("t", values, y, columns=columns, parents=parents, split=[0.6, 0.2, 0.2], seed=0)


def test_a_sensitive_attribute_with_parents_is_set_and_never_drawn():
    """region -> origin (sensitive) -> income: without other discrete columns one draw, the bits of additive noise."""
    rng = np.random.default_rng(0)
    region = rng.normal(size=N)
    origin = (rng.random(N) < 1 / (1 + np.exp(-region))) * 1.0
    values = {"region": region, "origin": origin, "income": 2 * origin + region + rng.normal(size=N)}
    columns = (Column("region", "continuous"), flag("origin", sensitive=True), Column("income", "continuous"))
    data = table(columns, values, {"origin": ("region",), "income": ("region", "origin")})
    scm, additive = linear(data, **POSTERIOR), linear(data, **SETTINGS)
    assert (scm.posterior, scm.draws, scm.whole) == ((), 1, None)
    assert torch.equal(scm.unit, additive.unit)
    assert torch.equal(twins(scm, data.test.x), twins(additive, data.test.x))


def races():
    rng = np.random.default_rng(0)
    black, age, felony = rng.integers(0, 2, N) * 1.0, rng.normal(40, 12, N), rng.integers(0, 2, N) * 1.0
    values = {"black": black, "white": 1 - black, "age": age, "young": (age < 30) * 1.0, "old": (age >= 30) * 1.0}
    columns = (
        flag("black", attribute="race", sensitive=True),
        flag("white", attribute="race"),
        Column("age", "continuous"),
        flag("young", attribute="ages", cut=("age", -np.inf, 30.0)),
        flag("old", attribute="ages", cut=("age", 30.0, np.inf)),
        flag("felony", attribute="degree"),
        flag("misdemeanour", attribute="degree"),
    )
    return table(columns, values | {"felony": felony, "misdemeanour": 1 - felony}, {"white": ("black",)})


def test_an_indicator_beside_a_sensitive_one_keeps_in_step_with_it():
    data = races()
    scm = linear(data, **POSTERIOR)
    chance = chances(scm, data.train.x, lambda like: torch.rand(like.shape))
    found = twins(scm, data.train.x, chance)
    assert torch.equal(found[..., 0] + found[..., 1], torch.ones_like(found[..., 0]))
    assert (scm.draws, scm.unit.tolist()) == (1, [0, 0, 1, 0, 0, 0, 0])


def test_fresh_individuals_have_one_level_of_every_attribute():
    data = races()
    found = natural(data, draw(linear(data, **POSTERIOR), 2000, np.random.default_rng(0)).double()).numpy()
    shares = {name: float(of.mean()) for name, of in outside(data.columns, found).items()}
    assert shares == {"race": pytest.approx(0, abs=0.003), "ages": 0, "degree": 0}


def counted(mean, effect=0.4):
    rng = np.random.default_rng(0)
    sex = rng.integers(0, 2, N) * 1.0
    values = {"sex": sex, "visits": rng.poisson(mean * np.exp(effect * sex)) * 1.0}
    columns = (flag("sex", sensitive=True), Column("visits", "continuous", integer=True, discrete="count"))
    return table(columns, values, {"visits": ("sex",)}), values


@pytest.mark.parametrize("mean", [0.05, 5, 60, pytest.param(400, marks=pytest.mark.slow)])
def test_counts_of_any_size_are_fitted(mean, tmp_path, monkeypatch):
    """As likely as under the Poisson distribution that they are from, by SciPy."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    data, values = counted(mean)
    held = data.valid.index.numpy()
    true = -stats.poisson.logpmf(values["visits"], mean * np.exp(0.4 * values["sex"]))[held].mean()
    assert linear(data, **POSTERIOR).facts["scm_log_loss_visits"] == pytest.approx(true, abs=0.02)
    nets = {"hidden": 10, "steps": 300, "batch_size": 300, "lr": 0.01, "keep": "last", "noise": "additive"}
    assert learned(data, **POSTERIOR, **nets).facts["scm_log_loss_visits"] == pytest.approx(true, abs=0.1)


def test_a_count_of_more_than_a_thousand_is_a_number():
    """Though it has fewer levels than that: its distribution begins at 0."""
    data, _ = counted(1500, effect=0.1)
    scm = linear(data, **POSTERIOR)
    assert (scm.posterior, scm.whole is None) == ((), False)
    with pytest.raises(ValueError, match=r"scm.nodes.visits='count' does not fit this column; choose"):
        linear(data, **POSTERIOR | {"nodes": {"visits": "count"}})


def test_noise_drawn_anew_is_that_of_descendants_of_what_differs():
    """sex -> job, origin -> home, region -> farm: a twin of the other sex and the same origin moves its job alone."""
    rng = np.random.default_rng(0)
    names = ("sex", "origin", "region", "job", "home", "farm")
    values = {name: rng.integers(0, 2, N) * 1.0 for name in names}
    columns = tuple(flag(name, sensitive=name in ("sex", "origin")) for name in names)
    data = table(columns, values, {"job": ("sex",), "home": ("origin",), "farm": ("region",)})
    scm, x = linear(data, **POSTERIOR | {"coupling": "independent"}), data.test.x
    found = twins(scm, x, chances(scm, x, lambda like: torch.rand(like.shape)))
    job, home, farm = found[..., 3:].unbind(-1)
    assert torch.equal(farm, x[:, 5].expand_as(farm))
    assert torch.equal(job[0], job[1])  # levels: (sex, origin) of 00, 01, 10, 11
    assert torch.equal(home[0], home[2])
    own = is_factual(scm, x)
    for column, alike in ((job, own[0] | own[1]), (home, own[0] | own[2])):
        kept = column[0] == x[:, 3 if column is job else 4]
        assert kept[alike].all()
        assert float(kept[~alike].double().mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("graph", [{"hours": ("sex",), "gone": ("sex",), "pay": ("hours",)}, {"pay": ("hours", "sex")}])
def test_a_missing_number_is_the_median_in_every_twin_and_at_every_radius(graph):
    """And a known one never flags; what follows from it is computed with the median."""
    rng = np.random.default_rng(0)
    sex, gone = rng.integers(0, 2, N) * 1.0, (rng.random(N) < 0.3) * 1.0
    hours = np.where(gone == 1, 38.5, 36 + 4 * sex + rng.normal(0, 5, N))
    values = {"sex": sex, "hours": hours, "gone": gone, "pay": 2 * hours + sex + rng.normal(0, 1, N)}
    numbers = [Column(name, "continuous") for name in ("hours", "pay")]
    columns = (flag("sex", sensitive=True), numbers[0], flag("gone", tells="hours"), numbers[1])
    data = table(columns, values, graph)
    scm, x = linear(data, **POSTERIOR), data.test.x
    noise = abduct(scm, x, chances(scm, x, lambda like: torch.rand(like.shape)))
    moved = scm.model(scm.to_features(noise + 0.3 * scm.unit, interventions(scm, x)))
    for found in (scm.model(scm.to_features(noise, interventions(scm, x))), moved):
        held = natural(data, found.double())
        missing = held[..., 2] == 1
        assert missing.any()
        assert float((held[..., 1] - 38.5)[missing].abs().max()) < 1e-4
        assert float((held[..., 1] - 38.5)[~missing].abs().min()) > 0
    assert scm.unit.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(twins(scm, x)[is_factual(scm, x)].sort(0).values, x.sort(0).values)
    assert float(least_shift(scm, x, moved[0])[moved[0][:, 2] == 1, 1].abs().max()) == 0


@pytest.mark.parametrize("make", [linear, learned])
def test_a_whole_number_that_never_changes_is_no_level_of_one(make, tmp_path, monkeypatch, recwarn):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    s = np.random.default_rng(0).integers(0, 2, 200) * 1.0
    columns = (Column("s", "binary", sensitive=True, levels=(0.0, 1.0)), Column("n", "continuous", integer=True))
    split = {"split": [0.6, 0.2, 0.2], "seed": 0}
    data = assemble("still", {"s": s, "n": s * 0 + 3}, s.astype(int), columns=columns, parents={"n": ["s"]}, **split)
    more = {"hidden": 4, "steps": 5, "batch_size": 50, "lr": 0.01, "keep": "best", "noise": "additive"}
    model = make(data, **SETTINGS | {"discrete": "posterior"} | (more if make is learned else {}))
    assert model.posterior == ()
    if make is linear:
        assert torch.allclose(natural(data, twins(model, data.test.x))[..., 1], torch.tensor(3.0).double(), atol=1e-5)
    assert not recwarn.list
