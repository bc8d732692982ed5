"""What limits and weights choose, operating points, hulls and Bayes lines: by hand, and weights against brute force."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import plot
from evals.plots import chart as charts
from evals.plots import frontier, lines, policy, text
from evals.plots.axis import sides
from evals.records import pareto, query
from tests.commands import command, refused
from tests.evals.records.test_query import record


def model(doc_id, regularizer, accuracy, gap, **changes):
    metrics = {"accuracy": accuracy, "fnr_gap": gap} | changes.pop("more", {})
    return record(doc_id, regularizer, metrics=metrics, **changes)


MODELS = [
    model(1, "erm", 0.9, 0.3),
    model(2, "llr", 0.8, 0.1),
    model(3, "ross", 0.7, 0.02),
    model(4, "capify", 0.6, 0.2),
]
POINTS = {"rates": ["fnr"], "permitted": [0, None], "metrics": {"accuracy": [0.85, 0.91], "fnr_gap": [0.01, 0.35]}}


def options(*words):
    return query.options(["dataset=loan", "x=error", "y=fnr_gap", *words], plot.OPTIONS)


def chart(*words, records=MODELS):
    asked = options(*words)
    return charts.chart(records, asked, sides(asked, "x", "y"))


def axes(figure):
    return figure.axes[0]


def drawn(label, figure):
    return [artist for artist in axes(figure).get_children() if artist.get_label() == label]


def chosen(made, shown):
    return shown.groups["kind"].iloc[made.choice.row]


# --- limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ("fnr_gap<=0.3", "erm"),
        ("fnr_gap<0.3", "llr"),
        ("fnr_gap<=0.1", "llr"),
        ("fnr_gap<.1", "ross"),
        ("error<=1/5", "llr"),
    ],
)
def test_the_best_of_the_other_axis_is_chosen_among_what_is_permitted(limit, kind):
    shown = chart()
    assert chosen(policy.apply_limit(shown, policy.parse_limit(limit)), shown) == kind


def test_what_is_excluded_is_hatched_to_the_worse_end():
    figure = policy.exclude(MODELS, options("kind=excluded", "limit=fnr_gap<=0.15")).figure
    (region,) = drawn("_excluded", figure)
    low, high = region.get_y(), region.get_y() + region.get_height()
    assert region.get_hatch()
    assert (low, high) == (pytest.approx(0.15), pytest.approx(axes(figure).get_ylim()[1]))


def test_a_limit_beyond_the_marks_is_in_sight():
    figure = policy.exclude(MODELS, options("kind=excluded", "limit=fnr_gap<=0.8")).figure
    assert axes(figure).get_ylim()[1] > 0.8


def test_what_is_never_negative_has_no_negative_ticks():
    figure = frontier.draw(
        chart(records=[model(1, "erm", 0.7, 0.0), model(2, "llr", 0.8, 0.3)]), frontier.style(options())
    )
    low, high = axes(figure).get_ylim()
    ticks = axes(figure).get_yticks()
    assert low == 0 <= ticks[ticks <= high].max() <= high < 0.33


def test_of_models_at_one_place_one_is_named_and_the_others_are_counted():
    records = [model(i, kind, 0.7, 0.1) for i, kind in enumerate(("erm", "llr", "trades"), start=1)]
    figure = frontier.draw(chart(records=records), frontier.style(options()))
    assert [t.get_text() for t in axes(figure).texts if " more" in t.get_text()] == ["erm and 2 more"]


def test_the_chosen_setting_has_a_star_and_is_named_in_the_legend():
    figure = policy.exclude(MODELS, options("kind=excluded", "limit=fnr_gap<=0.15")).figure
    (star,) = drawn("_chosen", figure)
    assert star.get_offsets()[0].tolist() == pytest.approx([0.2, 0.1])
    assert "chosen: llr" in [entry.get_text() for entry in figure.legends[0].get_texts()]


# --- weights ---------------------------------------------------------------------------------------------------


SCATTER = chart(
    records=[model(i + 1, f"r{i}", 1 - x, y) for i, (x, y) in enumerate(np.random.default_rng(0).random((40, 2)))]
)


@given(st.tuples(st.floats(0.001, 1000), st.floats(0.001, 1000)))
def test_weights_choose_the_least_weighted_sum_of_costs(weights):
    """Brute force over the settings."""
    costs = SCATTER.values @ np.array(weights)
    assert costs[policy.best_sum(SCATTER, weights).choice.row] == pytest.approx(costs.min())


def test_the_tangent_has_the_slope_of_the_weights_and_no_setting_beyond_it():
    figure = policy.tangent(MODELS, options("kind=tangent", "weights=1,0.5")).figure
    (line,) = drawn("worth the same, 1 : 0.5", figure)
    assert line.get_slope() == pytest.approx(-1 / 0.5)
    x, y = line.get_xy1()
    assert all((error - x) + 0.5 * (gap - y) >= -1e-12 for error, gap in chart().values)


def test_the_slope_rises_where_one_axis_is_better_high():
    figure = policy.tangent(MODELS, options("kind=tangent", "x=accuracy", "weights=1,0.5")).figure
    (line,) = drawn("worth the same, 1 : 0.5", figure)
    assert line.get_slope() == pytest.approx(1 / 0.5)


# --- hull, bounds, intervals -----------------------------------------------------------------------------------


def test_the_hull_is_a_line_through_the_best_mixtures():
    figure = frontier.draw(chart(), frontier.style(options("hull=true")))
    (line,) = drawn("mixtures of two models", figure)
    assert [point in line.get_xydata().round(9).tolist() for point in ([0.1, 0.3], [0.2, 0.1], [0.3, 0.02])] == [
        True
    ] * 3
    convex = pareto.hull(chart().values, [-1, -1])
    assert line.get_xydata()[1:-1].tolist() == convex.tolist()


def bounded(bayes):
    """Errors of .3 and .5, and what the best possible classifier attains."""
    records = [model(i, "erm", a, 0.1 * i, more={"bayes_accuracy": bayes}) for i, a in ((1, 0.7), (2, 0.5))]
    return frontier.draw(chart(records=records), frontier.style(options()))


def test_the_best_possible_classifier_is_a_line_on_its_axis():
    figure = bounded(0.75)
    (line,) = drawn("_bayes error", figure)
    assert line.get_xdata() == pytest.approx([0.25, 0.25])
    assert axes(figure).get_xlim()[0] < 0.25


def test_far_from_the_marks_it_stands_at_the_edge_in_words():
    """A line at an error of 0.01 would leave the marks, of .3 and .5, less than half of the plot."""
    figure = bounded(0.99)
    assert not drawn("_bayes error", figure)
    assert axes(figure).get_xlim()[0] > 0.15
    assert "← Bayes-optimal classifier 0.01" in [text.get_text() for text in axes(figure).texts]
    assert "Bayes-optimal classifier" not in [entry.get_text() for entry in figure.legends[0].get_texts()]


def test_the_words_at_the_edge_cover_no_mark():
    figure = bounded(0.99)
    figure.canvas.draw()
    (text,) = [text for text in axes(figure).texts if "Bayes" in text.get_text()]
    box = text.get_window_extent()
    places = axes(figure).transData.transform([[0.3, 0.1], [0.5, 0.2]])
    assert not any(box.contains(*place) for place in places)


def test_without_a_figure_of_the_best_possible_classifier_there_is_no_line():
    assert lines.bayes(chart(), "error") is None


SEEDS = [
    model(i + 1, "erm", a, 0.1, seed=i, more={"accuracy_low": a - 0.1, "accuracy_high": a + 0.2})
    for i, a in enumerate((0.5, 0.6, 0.7))
]


@pytest.mark.parametrize(
    ("bars", "ends"), [("sd", (0.5, 0.7)), ("ci", (0.6 - 0.2484138, 0.6 + 0.2484138)), ("rows", (0.5, 0.8))]
)
def test_bars_are_what_they_say(bars, ends):
    """Three seeds: the sample's deviation is .1, and t of .975 with two degrees of freedom 4.3027."""
    low, high = chart("x=accuracy", f"bars={bars}", records=SEEDS).bars[0, 0]
    assert (low, high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))


# --- operating points ------------------------------------------------------------------------------------------

WITH_POINTS = [dict(MODELS[0], operating_points=POINTS), *MODELS[1:]]


def test_operating_points_compete_with_the_models():
    shown = chart("points=true", records=WITH_POINTS)
    best = shown.groups[shown.efficient]
    assert set(best["label"]) == {*("erm", "erm, fitted to fnr_gap<=0", "erm, fitted without a limit on fnr_gap")}


def test_the_points_of_a_model_are_joined_by_a_line():
    asked = options("points=true")
    figure = frontier.draw(charts.chart(WITH_POINTS, asked, sides(asked, "x", "y")), frontier.style(asked))
    (line,) = drawn("_points", figure)
    assert line.get_xydata() == pytest.approx(np.array([[0.15, 0.01], [0.09, 0.35]]))


def test_points_are_no_runs():
    assert text.extent(chart("points=true", records=WITH_POINTS)) == (
        "4 runs, 4 settings, 1 seed each, 2 operating points; 3 efficient"
    )


def test_a_chosen_point_says_how_to_load_it():
    said = policy.exclude(WITH_POINTS, options("kind=excluded", "limit=fnr_gap<=0.05", "points=true")).text
    assert "left out" not in said
    assert 'from_database(1, "loan", point=0)' in said


@pytest.mark.parametrize("words", [("kind=excluded", "limit=fnr_gap<=0.5"), ("kind=tangent", "weights=1,0.5")])
def test_points_that_do_not_compete_are_said_to_be_left_out(words):
    """As ``evals.select`` counts them, unless it is told not to."""
    said = (policy.exclude if "limit" in words[1] else policy.tangent)(WITH_POINTS, options(*words)).text
    assert "2 operating points left out, which compete in evals.select; points=true takes them in" in said
    assert "operating point" not in policy.exclude(MODELS, options("kind=excluded", "limit=fnr_gap<=0.5")).text


# --- what is printed, what is refused --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in MODELS}
    (tmp_path / "loan.json").write_text(json.dumps({"_default": stored}))
    return tmp_path


def test_the_hypervolume_is_said_with_its_reference():
    """Boxes by hand: .3 x .1 of ross, then llr and erm beyond it, of what is better than error .4 and gap .3."""
    volume = (0.4 - 0.3) * (0.3 - 0.02) + (0.3 - 0.2) * (0.3 - 0.1)
    said = text.measure(chart(), "0.4,0.3").splitlines()[1]
    assert said == f"hypervolume: {volume:.4f} (reference point: error=0.4, fnr_gap=0.3)"


def test_the_reference_is_the_worst_share_there_can_be():
    assert charts.reference(chart(), None) == [1, 1]
    assert charts.reference(chart("x=accuracy"), None) == [0, 1]


def test_the_reference_of_what_is_no_share_is_the_worst_there_is():
    shown = chart("x=loss", "x_better=lower", records=[model(1, "erm", 0.9, 0.1, more={"loss": 7.0})])
    assert charts.reference(shown, None) == [7, 1]


PLANE = ["dataset=loan", "x=error", "y=fnr_gap"]
REFUSED = [
    (["kind=excluded"], "needs limit="),
    (["kind=excluded", "limit=fnr_gap"], "is no limit"),
    (["kind=excluded", "limit=fnr_gap==0.1"], "is no limit"),
    (["kind=excluded", "limit=fnr_gap<=abc"], "no number"),
    (["kind=excluded", "limit=fnr_gp<=0.1"], "did you mean fnr_gap"),
    (["kind=excluded", "limit=fnr_gap>=0.1"], "excludes the better end"),
    (["kind=excluded", "limit=fnr_gap<=0.001"], "excludes all 4 settings; the nearest is ross at 0.02"),
    (["kind=tangent"], "needs weights="),
    (["kind=tangent", "weights=1"], "expected two numbers"),
    (["kind=tangent", "weights=1,0"], "positive"),
    (["kind=tangent", "weights=-1,1"], "positive"),
    (["kind=tangent", "weights=1,one"], "expected two numbers"),
    (["weights=1,1"], "weights=1,1 has no part in kind=frontier, only in tangent"),
    (["kind=tangnt"], "did you mean tangent"),
    (["points=true"], "none of these runs has operating points"),
    (["points=maybe"], "true or false"),
    (["bars=se"], "sd, ci, rows"),
    (["bars=rows"], "no run here has an interval over test rows"),
    (["reference=1"], "expected 2 numbers"),
    (["reference=1,b"], "b"),
]


@pytest.mark.parametrize(("words", "phrase"), REFUSED)
def test_a_policy_that_is_none_is_one_sentence(folder, words, phrase):
    refused(command("evals.plot", *PLANE, *words), phrase)
    assert not (folder / "figures").exists()


def test_the_chosen_model_is_printed(folder):
    answer = command("evals.plot", *PLANE, "kind=excluded", "limit=fnr_gap<=0.15")
    assert answer.code == 0, answer.err
    assert "chosen (best error with fnr_gap<=0.15): loan_mlp_llr, llr, records 2" in answer.out
    assert 'from_database(2, "loan")' in answer.out
    assert (folder / "figures" / "loan_excluded_error_fnr_gap.png").exists()
