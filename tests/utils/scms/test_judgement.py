"""Causal models of people whose truth is known, as data judge them."""

from dataclasses import replace

import pytest

from tests.truths import BENT, CONCEALED, CONFOUNDED, MIXED, TRUTHS, TWO_ATTRIBUTES, VIOLATING
from tests.utils.scms.test_independence import table
from tests.utils.scms.test_scoring import FITTED
from utils.scms.independent import independent
from utils.scms.judgement import off_support
from utils.scms.learned import learned
from utils.scms.linear import linear


def judged(truth, rows=5000, **settings):
    return linear(table(truth, rows), **{**FITTED, **settings}).judgement()


def about(warnings, words):
    return [warning for warning in warnings if words in warning]


@pytest.mark.parametrize("name", TRUTHS)
def test_nothing_is_said_against_right_equations_under_the_right_graph(name):
    assert judged(TRUTHS[name]).warnings == []


def test_a_binary_column_that_is_cut_leaves_no_residual_that_depends_on_its_parents():
    """0 or 1 less its chance varies as p (1 - p) does, which is no fault of the equation."""
    assert about(judged(TRUTHS["non_root"], discrete="threshold").warnings, "depends on the parents") == []


def test_a_line_in_place_of_a_curve_is_told_and_the_graph_is_not_blamed():
    found = judged(BENT)
    (behind,) = about(found.warnings, "far less of held-out rows than boosted trees")
    assert "hours" in behind
    assert "income" in behind
    (left,) = about(found.warnings, "depends on the parents")
    assert "member" not in left
    assert about(found.warnings, "refuted") == []


@pytest.mark.slow
def test_networks_mend_the_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    networks = {"hidden": 30, "steps": 1500, "batch_size": 100, "lr": 0.01, "keep": "best", "noise": "additive"}
    assert learned(table(BENT, 5000), **FITTED, **networks).judgement().warnings == []


def test_a_missing_effect_refutes_the_graph():
    (warning,) = about(judged(VIOLATING).warnings, "refuted")
    assert "income and sex, given age, member" in warning
    assert "in 1 of 5 independences" in warning


def test_a_hidden_confounder_is_seen_between_attributes_without_an_arrow_only():
    """With an arrow between hours and income the data fit, and the equation of income is still not the effect."""
    assert any("income and hours" in warning for warning in judged(CONFOUNDED).warnings)
    concealed = judged(CONCEALED)
    assert about(concealed.warnings, "refuted") == []
    assert concealed.facts["scm_independences"] == 4


def test_equations_that_say_less_than_none_are_told():
    """Fitted to 16 rows with 5 parents: noise."""
    data = table(MIXED, 5000)
    few = replace(data, train=data.train.rows(slice(16)))
    (warning,) = about(linear(few, **FITTED).judgement().warnings, "worse than their mean")
    assert "member -" in warning


def test_twins_like_nobody_are_counted():
    """Those of an equation that moves hours by 30 standard deviations, which no row has; whole numbers all of them."""
    data = table(TWO_ATTRIBUTES, 4000)
    assert off_support(linear(data, **FITTED), data) < 0.05
    x = data.train.x.clone()
    x[:, -1] += 30 * x[:, 0]
    moved = replace(data, train=data.train._replace(x=x))
    share = off_support(linear(moved, **FITTED), data)
    assert 0.6 < share < 0.75, "of a row's three twins two have the other sex"


def test_what_was_not_fitted_is_not_judged():
    data = table(MIXED, 200)
    scm = independent(data, seed=0, sampling="residuals", radius_unit="noise", discrete="posterior")
    assert scm.judgement().facts == scm.facts
    assert scm.judgement().warnings == ()


def test_a_model_is_judged_once_and_the_same_every_time():
    data = table(MIXED, 1000)
    scm, other = linear(data, **FITTED), linear(data, **FITTED)
    assert scm.judgement() is scm.judgement()
    assert scm.judgement().facts == pytest.approx(other.judgement().facts, abs=0)
