"""Axes of plots: derived metrics, words and better ends, by hand."""

import pytest

from evals import plot
from evals.plots import axis
from evals.plots import chart as charts
from evals.plots.axis import sides
from evals.records import query
from tests.evals.records.test_query import record


def model(doc_id, **metrics):
    known = {"accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.75, "robust_accuracy_linf_0.01": 0.2}
    groups = {"groups": ["women", "men"]}
    return record(doc_id, metrics=known | {"fnr_gap": 0.1, "fnr_group1": 0.3} | metrics, preprocessing=groups)


def axes(*words, records=None):
    options = query.options(["dataset=loan", "y=fnr_gap", *words], plot.OPTIONS)
    return charts.chart(records or [model(1)], options, sides(options, "x", "y"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("error", 0.3, "error"),
        ("1-accuracy", 0.3, "error"),
        ("1 - accuracy", 0.3, "error"),
        ("robust_error_linf_0.01", 0.8, "robust error"),
        ("1-fnr_gap", 0.9, "1 - difference"),
    ],
)
def test_a_derived_axis_is_what_its_metric_lacks_to_one(key, value, words):
    shown = axes(f"x={key}")
    assert shown.values[0, 0] == pytest.approx(value)
    assert shown.axes[0].words.startswith(words)


@pytest.mark.parametrize(("key", "sign"), [("accuracy", 1), ("error", -1), ("fnr_gap", -1), ("1-fnr_gap", 1)])
def test_a_derived_axis_is_better_at_the_other_end(key, sign):
    assert axes(f"x={key}").axes[0].sign == sign


def test_the_interval_of_an_error_is_that_of_the_accuracy_turned_round():
    assert axes("x=error", "bars=rows").bars[0, 0] == pytest.approx([0.25, 0.4])


def test_a_condition_may_name_a_derived_axis():
    shown = axes("x=error", "where=error<=0.25", records=[model(1), model(2, accuracy=0.8, seed=1)])
    assert shown.runs["doc_id"].tolist() == [2]


def test_an_error_that_the_records_hold_is_taken_as_it_is():
    assert axes("x=error", "x_better=lower", records=[model(1, error=0.5)]).values[0, 0] == 0.5


def test_a_later_evaluation_has_errors_too():
    audited = model(1) | {"evaluations": {"pgd@8/255": {"accuracy": 0.4}}}
    shown = axes("x=pgd@8/255/error", records=[audited])
    assert (shown.values[0, 0], shown.axes[0].words) == (pytest.approx(0.6), "error [pgd@8/255]")


def test_a_group_has_its_name_where_all_records_agree():
    assert axes("x=fnr_group1").axes[0].words.endswith("of men")
    other = model(2) | {"preprocessing": {"groups": ["old", "young"]}}
    assert axes("x=fnr_group1", records=[model(1), other]).axes[0].words.endswith("of group 1")


def test_a_list_may_have_brackets_and_names_each_metric_once():
    assert [side.key for side in axis.parse_sides("[error, fnr_gap,error]")] == ["error", "fnr_gap"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x=1-acuracy"], "did you mean accuracy"),
        (["x=1-seed"], "seed is no metric"),
        (["x=fnr_signed_gap"], "take fnr_gap, which has no sign"),
        (["x=null"], "needs x="),
    ],
)
def test_a_wrong_axis_is_refused_with_a_remedy(words, message):
    with pytest.raises(ValueError, match=message):
        axes(*words, records=[model(1, fnr_signed_gap=-0.1)])
