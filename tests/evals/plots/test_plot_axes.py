"""Axes of plots: derived metrics, words, better ends, limits and ticks, by hand."""

import math

import numpy as np
import pytest

from evals import plot
from evals.plots import axis, frame
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


# --- limits, ticks and lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "ends"),
    [
        ("accuracy", (0, 1)),
        ("error", (0, 1)),
        ("1-fnr_gap", (0, 1)),
        ("mcc", (-1, 1)),
        ("1-mcc", (0, 2)),
        ("uai_0.05", (0, 1)),
        ("pgd@8/255/accuracy", (0, 1)),
        ("loudness", (-math.inf, math.inf)),
    ],
)
def test_an_axis_knows_the_range_of_its_metric(key, ends):
    audited = model(1, mcc=0.2, **{"uai_0.05": 0.1, "loudness": 3}) | {"evaluations": {"pgd@8/255": {"accuracy": 0.4}}}
    assert axes(f"x={key}", "x_better=higher", records=[audited]).axes[0].ends == ends


@pytest.mark.parametrize("bars", ["sd", "ci"])
@pytest.mark.parametrize("x", ["accuracy", "error"])
def test_axes_of_shares_end_where_shares_end(x, bars):
    """The best shares there are, with bars that reach beyond: neither asks for room there."""
    kinds = [("erm", 1.0, 0.0), ("erm", 0.98, 0.01), ("llr", 0.9, 0.3), ("llr", 0.7, 0.05)]
    records = [
        record(i, kind, seed=i, metrics={"accuracy": right, "fnr_gap": gap}, group_id=kind)
        for i, (kind, right, gap) in enumerate(kinds)
    ]
    options = query.options(["dataset=loan", f"x={x}", "y=fnr_gap", f"bars={bars}"], plot.OPTIONS)
    axes = plot.KINDS["frontier"].draw(records, options).figure.axes[0]
    assert axes.get_ylim()[0] == 0
    assert (axes.get_xlim()[1] if x == "accuracy" else axes.get_xlim()[0]) == (1 if x == "accuracy" else 0)
    assert all(0 <= low < high <= 1 for low, high in (axes.get_xlim(), axes.get_ylim()))


@pytest.mark.parametrize(("low", "high"), [(0.0005, 0.3216), (0.61, 0.712), (-3, 41), (0.98765, 0.98799)])
def test_ticks_are_round_numbers(low, high):
    """Their distance is 1, 2 or 5 times a power of ten, and they are multiples of that."""
    ticks = frame.round_numbers(low, high, most=4)
    step = np.diff(ticks)[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert round(mantissa, 6) in (1, 2, 5)
    assert np.allclose(ticks / step, np.round(ticks / step), atol=1e-6)
    assert ticks[0] <= low < high <= ticks[-1]


TITLES = [
    "loan: accuracy and unfair area at radius 0.05 noise units",
    "lin: error and difference in false negative rate between x1=0 and x1=1",
    "difference in false negative rate between x1=0 and x1=1 (share of all individuals at radius 0.1)",
]


@pytest.mark.parametrize("words", TITLES)
@pytest.mark.parametrize("most", [20, 34, 42, 54])
def test_no_word_stands_alone_in_a_line(words, most):
    lines = frame.fold(words, most).split("\n")
    assert " ".join(lines).replace("\N{NO-BREAK SPACE}", " ") == words
    assert max(map(len, lines)) <= most
    assert all(len(line.split()) > 1 for line in lines)


def test_a_number_stays_with_its_word():
    assert frame.fold("logistic_sklearn, budget 25, weights [1.5, 1]", 24).split("\n") == [
        "logistic_sklearn,",
        "budget\N{NO-BREAK SPACE}25,",
        "weights\N{NO-BREAK SPACE}[1.5,\N{NO-BREAK SPACE}1]",
    ]
