"""Figures under many causal models, on people whose twins are known: truths are in the range, wrong arrows mislead."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from evals.records.causal_ranges import choices, ranges
from tests.conftest import GENERATED, SPLIT
from tests.truths import MIXED, MONOTONE, SPREAD, TRUTHS, VIOLATING, draw
from utils.datasets.tabular import assemble, model_space
from utils.decides.threshold import Threshold
from utils.metrics.directions import describe, direction
from utils.metrics.unfair_area import unfair_area
from utils.runs import sensitivity
from utils.runs.causal_figures import name_of_many
from utils.runs.sensitivity import Settings, build_alternatives, judge, node_of, require_judgeable, spread
from utils.scms import counterfactual
from utils.scms.scoring import equations_of
from utils.types import Batch

LINEAR = {"_target_": "utils.scms.linear.linear", "_partial_": True, "discrete": None, "nodes": {}, "draws": 4}
LINEAR |= {"coupling": "gumbel", "sampling": "residuals", "radius_unit": "noise"}
KNOWN = {"_target_": "utils.scms.known.known", "_partial_": True, "draws": 16, "sampling": "noise"}
INDEPENDENT = {"_target_": "utils.scms.independent.independent", "_partial_": True, "discrete": None}
INDEPENDENT |= {"sampling": "residuals", "radius_unit": "noise"}
AREAS = {
    "individuals": "rows",
    "n": 0,
    "samples": 20,
    "steps": 5,
    "rel_step": 0.5,
    "restarts": 1,
    "estimators": "separate",
}
AREAS |= {"intervals": 10, "level": 0.95, "radii": {}}
ALL = Settings(most=100, rows=None, draws=4, samples=20, refits=None)

FEW = replace(ALL, most=2)  # no other graphs


@pytest.fixture(autouse=True)
def _quick_networks(tmp_path, monkeypatch):
    """Networks with few steps: these tests are about the other causal models."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    whole = sensitivity.defaults_of
    quick = {"learned": {"steps": 60, "hidden": 8}}
    monkeypatch.setattr(sensitivity, "defaults_of", lambda option: whole(option) | quick.get(option, {}))


def table(truth, rows=4000):
    """A data set of the truth, and the true twins (L, n, d) of its test rows in model space."""
    people, others = draw(truth, rows, 0)
    y = (np.random.default_rng(1).random(rows) < 0.5).astype(np.int64)
    split = {"split": [0.4, 0.1, 0.5], "seed": 0}
    data = assemble("truth", people, y, columns=truth.columns, parents=truth.parents, **split)
    index, names = data.test.index.numpy(), [c.name for c in truth.columns]
    natural = torch.from_numpy(np.stack([np.stack([of[n][index] for n in names], 1) for of in others]))
    return data, model_space(data, natural)


def classifier(data, **weights):
    """A linear one of these columns, half of whose answers are yes; without weights of all that are not sensitive."""
    torch.manual_seed(3)
    model = nn.Linear(len(data.columns), 1).requires_grad_(False)
    model.weight[:, list(data.sensitive)] = 0.0
    if weights:
        model.weight[:] = torch.tensor([float(weights.get(c.name, 0)) for c in data.columns])
    model.bias -= model(data.train.x).median()
    return model


def true_area(model, data, twins):
    return float(((model(twins) >= 0) != (model(data.test.x) >= 0)).any(0).double().mean())


def alternatives(data, scm=LINEAR, settings=ALL):
    params = {"dataset": {"name": data.name}, "scm": scm, "seed": 0}
    return build_alternatives(params, data, settings, "as trained", "record 1")


def filed(model, data, given, context, settings=ALL, **areas):
    ctx = replace(context("lin"), columns=data.columns, decide=Threshold(0.5), groups=len(data.groups))
    metric = {"unfair_area": partial(unfair_area, **node_of({"unfair_area": AREAS | {"rows": None} | areas}, settings))}
    return judge(model, data.test, ctx, metric, given, lambda name: None)


def record_of(found, **facts):
    causal = {"fingerprint": "of another", "sensitive": None}
    return {"params": {}, "causal": causal, "evaluations": {"s": found}, **facts}


def by_name(found, key="uai_cf"):
    (own,) = [of for of in ranges(record_of(found)) if of.key == key]
    return {figure.model: figure.value for figure in own.figures}


# --- truths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["two_attributes", *(pytest.param(name, marks=pytest.mark.slow) for name in ("non_root", "three_levels"))]
)
def test_under_its_own_graph_the_figure_is_the_truth_which_lies_in_the_range(name, context):
    data, twins = table(TRUTHS[name])
    model = classifier(data)
    found = filed(model, data, alternatives(data), context)
    truth = true_area(model, data, twins)
    assert by_name(found)["as trained (linear)"] == pytest.approx(truth, abs=0.03)
    assert found["metrics"]["uai_cf_least"] <= truth <= found["metrics"]["uai_cf_most"]
    assert by_name(found)["no graph"] == 0  # the model does not read the sensitive attribute itself


def test_the_truth_of_another_coupling_is_that_coupling_s_figure_and_in_the_range(context):
    data, twins = table(MONOTONE)
    model = classifier(data)
    own = by_name(filed(model, data, alternatives(data, settings=replace(ALL, most=5)), context))
    truth = true_area(model, data, twins)
    assert own["coupling monotone"] == pytest.approx(truth, abs=0.03)
    assert own["no graph"] < truth < own["coupling independent"]


def test_wrong_arrows_mislead_as_far_as_the_truth_says(context):
    """region -> origin (sensitive) -> degree, and region -> degree; a model of degree alone.

    Without origin -> degree nobody's degree has to do with origin: the figure is 0. With region taken for an effect of
    origin, twins change their region too, whose effect on degree is of the other sign, so the figure is too small: that
    of people, with the degrees that they would really have, whose region is drawn as one uniform number gives it.
    """
    truth, rows, rng = TRUTHS["non_root"], 4000, np.random.default_rng(7)
    data, twins = table(truth, rows)
    model = classifier(data, degree=1)
    own = by_name(filed(model, data, alternatives(data), context))
    area = true_area(model, data, twins)
    noise = truth.noise(np.random.default_rng(0), rows)  # as ``draw`` has it
    region, origin = noise["region"], noise["origin"]
    before, after = (
        np.array([region[origin == o].mean() for o in (0, 1)])[i.astype(int)] for i in (origin, 1 - origin)
    )
    u = np.where(region == 1, rng.random(rows) * before, before + rng.random(rows) * (1 - before))
    others = truth.people(noise | {"region": (u < after) * 1.0}, {"origin": 1 - origin})
    natural = torch.from_numpy(np.stack([others[c.name][data.test.index.numpy()] for c in truth.columns], 1))
    assert own["without origin -> degree"] == 0
    expected = true_area(model, data, model_space(data, natural).unsqueeze(0))
    assert own["origin -> region reversed"] == pytest.approx(expected, abs=0.03)
    assert own["origin -> region reversed"] < own["as trained (linear)"]
    assert expected < area - 0.03


def test_a_graph_without_an_arrow_is_fitted_without_it(context):
    """Of lin, by hand: x2 = a + b x1 and x3 = c + d x2 by least squares on the training rows, twins move by b, b d."""
    function, sensitive, actionable = GENERATED["lin"]
    data = function(name="lin", rows=2000, split=SPLIT, sensitive=sensitive, actionable=actionable, seed=0)
    data = replace(data, scm=None)
    model = classifier(data, x2=1, x3=0.7)
    own = by_name(filed(model, data, alternatives(data), context))
    x, test = data.train.x.double().numpy(), data.test.x.double().numpy()
    b = np.polyfit(x[:, 0], x[:, 1], 1)[0]
    d = np.polyfit(x[:, 1], x[:, 2], 1)[0]
    moved = test.copy()
    step = 1 - 2 * test[:, 0]
    moved[:, 1] += b * step
    moved[:, 2] += b * d * step
    weight, bias = model.weight[0].double().numpy(), float(model.bias)
    expected = ((test @ weight + bias >= 0) != (moved @ weight + bias >= 0)).mean()
    assert own["without x1 -> x3"] == pytest.approx(expected, abs=2 / len(test))
    assert own["without x1 -> x3"] != pytest.approx(own["as trained (linear)"], abs=0.02)


def test_two_models_whose_order_flips_under_a_graph_are_said_to(context):
    """Of lin: x2 moves by 2, x3 by -1 (1 - 2), in all; without x1 -> x2, x2 stands still and x3 moves by its own."""
    function, sensitive, actionable = GENERATED["lin"]
    data = function(name="lin", rows=1500, split=SPLIT, sensitive=sensitive, actionable=actionable, seed=0)
    given = alternatives(data)
    records = [
        record_of(filed(classifier(data, **{name: 1}), data, given, context), doc_id=i)
        for i, name in ((3, "x2"), (7, "x3"))
    ]
    (said,) = choices(records, "s")
    of = [by_name(record["evaluations"]["s"]) for record in records]
    assert of[1]["as trained (linear)"] < of[0]["as trained (linear)"]
    turned = [name for name in of[0] if of[0][name] < of[1][name]]
    assert "without x1 -> x2" in turned
    assert said.startswith("the choice between 3 and 7 (7 by its lower counterfactually unfair area) turns under ")
    assert all(f"{name} (3: {of[0][name]:.3f}, 7: {of[1][name]:.3f})" in said for name in turned)
    assert said.count("(3: ") == len(turned)


# --- the causal models -----------------------------------------------------------------------------------------


def but_for_flows(models):
    """The names of causal models but that of noise that 300 rows may happen to refute."""
    return [one.name for one in models if not one.name.startswith("noise of")]


def test_what_says_the_same_is_judged_once_and_couplings_only_where_noise_is_drawn():
    binary, _ = table(VIOLATING, 300)
    mixed, _ = table(MIXED, 300)
    equations = ["as trained (linear)", "no graph", "learned"]
    found = but_for_flows(alternatives(binary, settings=FEW).models)
    assert found == [*equations, "coupling independent"]  # of two levels monotone is gumbel
    for own, other in (("monotone", "independent"), ("independent", "gumbel")):
        found = but_for_flows(alternatives(binary, LINEAR | {"coupling": own}, FEW).models)
        assert found == [*equations, f"coupling {other}"]
    found = but_for_flows(alternatives(mixed, settings=FEW).models)
    assert found == [*equations, "coupling monotone", "coupling independent"]
    found = but_for_flows(alternatives(mixed, LINEAR | {"discrete": "anm"}, FEW).models)
    assert found == equations


def test_where_data_refute_additive_noise_flows_are_among_the_models():
    data, _ = table(SPREAD, 2000)
    (found,) = (one for one in alternatives(data, settings=FEW).models if one.name.startswith("noise of"))
    assert "wage" in found.name
    assert any(own.flows for own in equations_of(found.scm, data.columns))


def test_of_many_arrows_the_far_ones_are_left_out():
    data, _ = table(MIXED, 300)
    few = alternatives(data, settings=replace(ALL, most=7))
    assert [one.name for one in few.models][5:] == ["without sex -> job", "without sex -> member"]
    assert few.left_out == 13


def test_without_fitted_equations_arrows_are_those_of_linear_ones():
    data, _ = table(VIOLATING, 300)
    found = alternatives(data, INDEPENDENT, replace(ALL, most=5, refits=3))
    names = [one.name for one in found.models]
    assert names[:4] == ["as trained (independent)", "linear", "learned", "linear, coupling independent"]
    assert names[4:] == ["linear, without sex -> member"]
    assert not found.refits


def test_radii_of_known_equations_mean_natural_units_under_the_others_too(dataset):
    """Moving age by .05 moves it by .05 years, whatever the standard deviation that fitted equations have it in."""
    data = dataset("loan")
    found = {one.name: one.scm for one in alternatives(data, KNOWN | {"radius_unit": "noise"}).models}
    step = found["linear"].unit[1] * data.scale[1]
    assert float(step) == pytest.approx(float(found["as trained (known)"].unit[1]))
    scaled = {one.name: one.scm for one in alternatives(data, KNOWN | {"radius_unit": "noise_sd"}).models}
    assert scaled["linear"].radius_unit == "noise_sd"
    assert float(scaled["linear"].unit[1]) == pytest.approx(1, abs=1e-3)


def test_the_interval_over_refits_is_that_of_bootstrap_fits(context):
    """Of lin with few rows: the figure of a linear model and equations, by numpy on 400 samples of its own."""
    function, sensitive, actionable = GENERATED["lin"]
    data = function(name="lin", rows=1000, split=[0.1, 0.1, 0.8], sensitive=sensitive, actionable=actionable, seed=0)
    model, settings = classifier(data, x2=1), replace(FEW, refits=60)
    found = filed(model, data, alternatives(data, settings=settings), context)["sensitivity"]["refits"]
    x, test, rng = data.train.x.double().numpy(), data.test.x.double().numpy(), np.random.default_rng(0)
    weight, bias = model.weight[0].double().numpy(), float(model.bias)

    def area():
        of = x[rng.integers(len(x), size=len(x))]
        moved = test[:, 1] + np.polyfit(of[:, 0], of[:, 1], 1)[0] * (1 - 2 * test[:, 0])
        return ((test[:, 1] * weight[1] + bias >= 0) != (moved * weight[1] + bias >= 0)).mean()

    low, high = np.quantile([area() for _ in range(400)], [0.025, 0.975])
    assert found["number"] == 60
    assert found["metrics"]["uai_cf_low"] == pytest.approx(low, abs=0.02)
    assert found["metrics"]["uai_cf_high"] == pytest.approx(high, abs=0.02)
    assert high - low > 0.04


def test_the_mean_over_refits_is_near_the_truth_where_the_model_leans_on_the_errors_of_its_equations(context):
    """Linear models of lin with 100 training rows that undo the twins of the fitted equations exactly.

    Filed as fair to all; the mean over refits is the true unfair area on average of 20 data sets, up to its spread.
    """
    function, sensitive, actionable = GENERATED["lin"]
    figures = []
    for seed in range(20):
        split = {"rows": 500, "split": [0.2, 0.1, 0.7], "seed": seed}
        data = function(name="lin", sensitive=sensitive, actionable=actionable, **split)
        given = alternatives(data, settings=replace(FEW, most=1, refits=20))
        known = alternatives(data, KNOWN | {"radius_unit": "noise"}, FEW).models[0]
        model, (x, *_) = classifier(data, x2=1), data.test
        twins = counterfactual.twins(given.models[0].scm, x[:1])[:, 0]
        model.weight[0, 0] = -(twins[1, 1] - twins[0, 1]) / (twins[1, 0] - twins[0, 0])
        model.bias -= model(x).median()
        found = filed(model, data, given, context)
        (truth,) = by_name(filed(model, data, given._replace(models=[known], refits=[]), context)).values()
        assert len(found["sensitivity"]["models"]) == 1
        figures.append((*by_name(found).values(), found["metrics"]["uai_cf_refits"], truth))
    as_filed, by_refits, truth = np.mean(figures, 0)
    assert as_filed < 0.01
    assert truth > 0.05
    assert by_refits == pytest.approx(truth, abs=2 * np.std(figures, 0, ddof=1)[2] / np.sqrt(len(figures)))


def test_refits_have_the_draws_that_are_asked_for_and_the_filed_mean_is_theirs(context):
    data, _ = table(TRUTHS["non_root"], 300)
    given = alternatives(data, LINEAR | {"discrete": "posterior"}, replace(ALL, most=1, draws=2, refits=3))
    assert [scm.draws for scm in (given.models[0].scm, *given.refits)] == [2] * 4
    model = classifier(data)
    found = filed(model, data, given, context, radii={"0.1": 0.1})
    each = [
        filed(model, data, given._replace(models=[given.models[0]._replace(scm=scm)]), context, radii={"0.1": 0.1})
        for scm in given.refits
    ]
    for key, named in (("uai_cf", "uai_cf_refits"), ("uai_0.1", "uai_refits_0.1")):
        own = [of["sensitivity"]["models"][0]["metrics"][key] for of in each]
        assert len(set(own)) > 1
        assert found["metrics"][named] == pytest.approx(np.mean(own), abs=1e-12)
        assert found["sensitivity"]["refits"]["metrics"][key] == found["metrics"][named]
        assert (direction(named), describe(named).partition(" (")[0].startswith("mean ")) == (-1, True)
    assert not any("least" in key or "most" in key for key in found["metrics"])  # of one causal model


@pytest.mark.parametrize("scm", [KNOWN, INDEPENDENT])
def test_refits_alone_are_refused_where_equations_are_not_fitted(scm):
    with pytest.raises(ValueError, match="record 1: alternatives.most=1 judges by refits alone, and the equations of"):
        require_judgeable(scm, replace(FEW, most=1), scm, "record 1")
    require_judgeable(scm, replace(FEW, most=1), LINEAR, "record 1")  # with scm=linear
    require_judgeable(scm, FEW, scm, "record 1")


def test_the_people_of_a_split_by_strata_are_of_all_strata():
    """20 rows of each of five strata, one behind the other: ten rows are two of each."""
    stratum = torch.arange(100) // 20
    rows = Batch(torch.zeros(100, 2), stratum, stratum, torch.ones(100), torch.arange(100))
    assert spread(rows, replace(ALL, rows=10)).y.bincount().tolist() == [2] * 5
    assert spread(rows, replace(ALL, rows=100)) is rows
    assert spread(rows, ALL) is rows


def test_only_twins_are_told_of_under_causal_models_whose_radii_are_in_other_units(context):
    """An SCM of another unit that finds everybody unfair at radii is not among the extremes there."""
    data, _ = table(VIOLATING, 300)
    given = alternatives(data, settings=FEW)
    far = given.models[1]._replace(
        scm=replace(given.models[1].scm, radius_unit="other", unit=given.models[1].scm.unit * 99)
    )
    others = (one for one in given.models[2:] if one.scm.radius_unit == "noise")  # that of flows is another
    given = given._replace(models=[given.models[0], far, *others])
    found = filed(classifier(data), data, given, context, radii={"0.1": 0.1})
    models = found["sensitivity"]["models"]
    assert [("uai_0.1" in of["metrics"], "uai_cf" in of["metrics"]) for of in models] == [
        (True, True),
        (False, True),
        *[(True, True)] * (len(models) - 2),
    ]
    assert found["metrics"]["uai_most_0.1"] == max(of["metrics"].get("uai_0.1", 0) for of in models) < 1


def test_extremes_are_named_as_keys_of_metrics_are():
    assert [name_of_many(key, "most") for key in ("uai_cf", "uai_8/255")] == ["uai_cf_most", "uai_most_8/255"]


def test_a_data_set_without_arrows_and_an_evaluation_without_unfair_areas_are_refused(dataset):
    for data in (dataset("imf"), replace(dataset("lin"), parents=None)):
        with pytest.raises(ValueError, match=r"record 1: dataset=.* has no causal graph with an arrow"):
            alternatives(data)
    with pytest.raises(ValueError, match="judges unfair areas, and this evaluation has none"):
        node_of({}, ALL)


def test_lines_in_place_of_networks_take_no_flows():
    learned = {**sensitivity.defaults_of("learned"), "nodes": {"income": "flow", "kids": "count"}}
    assert sensitivity._with_scm({"scm": learned}, "linear")["scm"]["nodes"] == {"kids": "count"}
