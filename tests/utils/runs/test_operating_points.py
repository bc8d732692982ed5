"""Operating points against the metrics that judge a run, and against the search that fits its thresholds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.utils.decides.rows import gap, made, scored
from utils.decides.group_exact import group_exact
from utils.decides.group_thresholds import GroupThresholds
from utils.metrics.classification import classification
from utils.metrics.group import group
from utils.metrics.intervals import at_level
from utils.runs.operating_points import fit_points, judge_points

PERMITTED = [0.0, 0.05, 0.3]
NAMES = ("women", "men")
JUDGING = {"sizes": {}, "groups_min": 10, "intervals": 50, "level": 0.95}


def operating_points(fitted, judged, groups, *, rates, permitted, seed=0, **judging):
    """Of one model."""
    own = fit_points(*fitted, groups, rates=rates, permitted=permitted, groups_min=judging["groups_min"])
    [found] = judge_points([own], [judged], len(groups), seeds=[seed], **judging)
    return found


@pytest.fixture(scope="module")
def rows():
    return scored(900, seed=1), scored(1100, seed=2)


@pytest.fixture(scope="module")
def points(rows):
    return operating_points(*rows, NAMES, rates=["fnr"], permitted=PERMITTED, **JUDGING)


def test_there_is_a_point_for_each_permitted_gap_and_one_without_a_limit(points):
    assert points["permitted"] == [*PERMITTED, None]
    assert {len(values) for values in (points["logits"], *points["metrics"].values())} == {4}


def test_the_thresholds_are_those_of_group_exact(rows, points):
    (z, batch), _ = rows
    for permitted, logits in zip(PERMITTED, points["logits"], strict=False):
        assert GroupThresholds(logits) == group_exact(
            z, batch, NAMES, rate="fnr", permitted=permitted, confidence=None, groups_min=10
        )


def test_the_metrics_are_those_of_a_run_with_such_thresholds(rows, points, context):
    """The metrics of runs, with the logits for a model: every key of theirs that depends on labels alone."""
    _, (z, batch) = rows
    of_logits = batch._replace(x=z)
    shared = {"intervals": 20, "level": 0.95}
    for i, logits in enumerate(points["logits"]):
        ctx = replace(context("loan"), decide=GroupThresholds(logits), groups=2)
        expected = classification(lambda x: x, of_logits, ctx, **shared)
        expected |= group(lambda x: x, of_logits, ctx, groups_min=10, **shared)
        compared = [k for k in points["metrics"] if k in expected and not k.endswith(("_low", "_high"))]
        assert {"accuracy", "balanced_accuracy", "mcc", "fnr_gap", "equalized_odds_difference"} < set(compared)
        assert {"fnr_group0", "accuracy_group1"} < set(compared)
        for key in compared:
            assert points["metrics"][key][i] == pytest.approx(expected[key], abs=1e-12), key


def test_signed_gaps_are_group_1_less_group_0(points):
    metrics = points["metrics"]
    for key in ("fnr", "fpr", "acceptance_rate"):
        signed = np.subtract(metrics[f"{key}_group1"], metrics[f"{key}_group0"])
        np.testing.assert_allclose(metrics[f"{key}_signed_gap"], signed)


def test_every_figure_is_in_its_interval(points):
    metrics = points["metrics"]
    for key in [k.removesuffix("_low") for k in metrics if k.endswith("_low")]:
        for low, value, high in zip(metrics[f"{key}_low"], metrics[key], metrics[f"{key}_high"], strict=True):
            assert low <= value <= high
    assert {"accuracy_low", "fnr_gap_high", "fnr_signed_gap_low"} < set(metrics)


def test_what_other_intervals_need_is_filed_for_each_point(rows, points):
    """Numerators and denominators by hand; at the same level they give the same ends."""
    _, (z, batch) = rows
    for i, logits in enumerate(points["logits"]):
        labels = GroupThresholds(logits)(z, batch.s)
        for s in (0, 1):
            own = (batch.y == 1) & (batch.s == s)
            assert points["shares"][f"fnr_group{s}"][i] == (int((labels[own] == 0).sum()), int(own.sum()))
        values, shares = ({key: of[i] for key, of in points[what].items()} for what in ("metrics", "shares"))
        for key in ("accuracy", "fnr_gap", "fnr_signed_gap", "equalized_odds_difference"):
            filed = (values[f"{key}_low"], values[f"{key}_high"])
            assert at_level(key, values, shares, {}, 0.95) == pytest.approx(filed, abs=1e-4)
        assert None not in at_level("worst_class_accuracy", values, shares, {}, 0.95)
        assert points["deviations"]["mcc"][i] > 0


def test_without_draws_what_needs_none_has_intervals_all_the_same(rows):
    found = operating_points(*rows, NAMES, rates=["fnr"], permitted=[0.1], **JUDGING | {"intervals": 0})
    assert None not in found["metrics"]["accuracy_low"] + found["metrics"]["fnr_gap_high"]
    assert found["deviations"] == {}


def test_two_rates_are_kept_to_together(rows):
    (z, batch), _ = rows
    found = operating_points(rows[0], rows[0], NAMES, rates=["fnr", "fpr"], permitted=[0.03], **JUDGING)
    labels = GroupThresholds(found["logits"][0])(z, batch.s)
    assert gap(labels, batch.y, batch.s, 2, ("fnr", "fpr")) <= 0.03
    assert found["metrics"]["equalized_odds_difference"][0] <= 0.03


def test_few_judged_rows_of_a_group_leave_gaps_out(rows):
    few = scored(12, seed=3)
    found = operating_points(rows[0], few, NAMES, rates=["fnr"], permitted=[], **JUDGING)["metrics"]
    assert found["fnr_gap"] == found["fnr_signed_gap_low"] == [None]
    assert found["accuracy"] == [pytest.approx(found["accuracy"][0])]


def test_a_rate_that_is_undefined_on_the_judged_rows_is_none(rows):
    none = made([(0.1 * i, 0, i % 2) for i in range(40)])
    found = operating_points(rows[0], none, NAMES, rates=["fnr"], permitted=[], **JUDGING)["metrics"]
    assert found["fnr_gap"] == found["fnr_gap_low"] == [None]


def test_the_gap_and_accuracy_on_the_fitted_rows_stand_beside(rows, points):
    (z, batch), _ = rows
    fitted = points["fitted"]
    for i, logits in enumerate(points["logits"]):
        labels = GroupThresholds(logits)(z, batch.s)
        assert fitted["gap"][i] == pytest.approx(gap(labels, batch.y, batch.s, 2, ("fnr",)))
        assert fitted["accuracy"][i] == pytest.approx(float((labels == batch.y).double().mean()))
    positives = [int(((batch.y == 1) & (batch.s == s)).sum()) for s in (0, 1)]
    assert (fitted["rows"], fitted["denominators"]) == (900, {"fnr": positives})


def test_few_fitted_rows_of_a_rate_are_refused(rows):
    with pytest.raises(ValueError, match="that thresholds are fitted on, fewer than operating_points.groups_min=10"):
        operating_points(scored(40), rows[1], NAMES, rates=["fnr"], permitted=[], **JUDGING)


def test_thresholds_that_accept_all_are_filed_as_text(rows):
    """JSON has no infinity."""
    rows_of_two = made([(0.0, 1, 0), (1.0, 0, 0), (0.0, 1, 1), (1.0, 0, 1)] * 10)
    found = operating_points(rows_of_two, rows[1], NAMES, rates=["fnr"], permitted=[0.0], **JUDGING)
    assert found["logits"][0] == ["-inf", "-inf"]
    assert torch.equal(GroupThresholds(found["logits"][0])(*rows[1][:1], rows[1][1].s), torch.ones(1100).long())


def test_points_that_are_judged_together_are_those_of_each_model_to_the_bit(rows):
    """Of models with other thresholds, seeds, groups that are too small, and rates that are undefined."""
    fitted, judged = rows
    others = [judged, scored(1100, seed=4), scored(12, seed=3), made([(0.1 * i, 0, i % 2) for i in range(40)])]
    seeds, settings = [0, 5, 0, 1], {"rates": ["fnr"], "permitted": PERMITTED}
    points = [fit_points(*of, NAMES, **settings, groups_min=10) for of in (fitted, scored(800, seed=7), fitted, fitted)]
    together = judge_points(points, others, 2, seeds=seeds, **JUDGING)
    for found, own, one, seed in zip(together, points, others, seeds, strict=True):
        assert [found] == judge_points([own], [one], 2, seeds=[seed], **JUDGING)
    assert together[3]["metrics"]["fnr_gap"] == [None] * 4 != together[0]["metrics"]["fnr_gap"]
