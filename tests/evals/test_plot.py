"""The plot command on small databases in TinyDB's own format."""

import json
import re

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evals import plot
from evals.plots import axis, frontier, labels, style, text
from evals.plots import chart as charts
from evals.plots.axis import sides
from evals.records import query
from tests.evals.records.test_query import record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, records):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    (folder / "loan.json").write_text(json.dumps({"_default": stored}))


def run(*words):
    return query.command(plot.plot, plot.OPTIONS, ["dataset=loan", *words])


def chart(records, *words):
    options = axis.fill_axes(records, query.options(["dataset=loan", *words], plot.OPTIONS))
    return charts.chart(records, options, sides(options, "x", "y"))


def draw(records, *words):
    options = axis.fill_axes(records, query.options(["dataset=loan", *words], plot.OPTIONS))
    return frontier.draw(charts.chart(records, options, sides(options, "x", "y")), frontier.style(options))


def model(doc_id, regularizer, accuracy, unfair, **changes):
    return record(doc_id, regularizer, metrics={"accuracy": accuracy, "uai_0.05": unfair}, **changes)


MODELS = [
    model(1, "erm", 0.8, 0.4, seed=0),
    model(2, "erm", 0.9, 0.3, seed=1),
    model(3, "llr", 0.7, 0.1),
    model(4, "ross", 0.6, 0.2),
]


def test_efficient_settings_are_those_of_the_means():
    shown = chart(MODELS)
    assert shown.groups["kind"][shown.efficient].tolist() == ["erm", "llr"]


def test_the_better_end_can_be_turned_round():
    shown = chart(MODELS, "x_better=lower", "y_better=higher")
    assert shown.groups["kind"][shown.efficient].tolist() == ["erm", "ross"]


def test_a_kind_keeps_its_look_when_others_are_left_out():
    assert chart(MODELS, "where=regularizer==ross").looks["ross"] == chart(MODELS).looks["ross"]


def test_fifty_six_kinds_have_different_looks():
    looks = chart([model(i, f"r{i:02}", 0.5, 0.5) for i in range(1, 57)]).looks
    assert len(set(looks.values())) == 56


def test_an_axis_can_be_a_later_evaluation():
    records = [dict(r, evaluations={"audit": {"uai_0.05": 0.2 + r["doc_id"] / 10}}) for r in MODELS]
    shown = chart(records, "y=audit/uai_0.05")
    assert (shown.signs, shown.axes[1].words.endswith("[audit]"), len(shown.runs)) == ([1, -1], True, 4)


def test_the_name_of_an_evaluation_may_hold_a_slash():
    found = {"pgd@8": {"accuracy": 0.1}, "pgd@8/255": {"accuracy": 0.2}}
    shown = chart([dict(r, evaluations=found) for r in MODELS], "x=pgd@8/255/accuracy")
    assert shown.axes[0].words == "accuracy [pgd@8/255]"


def test_runs_without_a_metric_are_left_out_and_counted(folder, capsys):
    write(folder, [*MODELS, model(5, "llr", 0.95, None, seed=1)])
    assert run() == 0
    assert capsys.readouterr().out.splitlines()[0] == "left out: 1 run without accuracy or uai_0.05"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["y=uai_.05"], "did you mean uai_0.05"),
        (["y=seed"], "seed is no metric"),
        (["hue=regulariser"], "did you mean regularizer"),
        (["seeds=all"], "points or mean"),
        (["where=accuracy>2"], "leaves none of the 4 runs"),
        (["x_better=up"], "higher or lower"),
        (["out=a.jpg"], "ending in .png"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(folder, capsys, words, message):
    write(folder, MODELS)
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_prepares_may_be_the_hue():
    reweighed = {**MODELS[0], "doc_id": 9, "group_id": "reweighed"}
    reweighed["params"] = {**reweighed["params"], "choices": {**reweighed["params"]["choices"], "prepare": "reweigh"}}
    assert set(chart([*MODELS, reweighed], "hue=prepare").looks) == {"none", "reweigh"}


def test_a_metric_of_unknown_direction_asks_for_it():
    records = [dict(r, metrics={**r["metrics"], "loudness": 1.0}) for r in MODELS]
    with pytest.raises(ValueError, match="x_better=higher or x_better=lower"):
        chart(records, "x=loudness")
    assert chart(records, "x=loudness", "y=uai_0.05", "x_better=lower").signs == [-1, -1]


WITHOUT_MCC = [dict(r, metrics={**r["metrics"], "mcc": None}) for r in MODELS]


def test_a_metric_that_is_null_in_every_run_is_said_to_be_undefined():
    with pytest.raises(ValueError, match="^mcc is undefined in all 4 runs; the warnings of their records say why$"):
        chart(WITHOUT_MCC, "x=mcc")


def test_a_metric_that_is_null_in_every_run_is_not_offered():
    with pytest.raises(ValueError, match=r"no column 'mc'.*Metrics here: accuracy, uai_0\.05$"):
        chart(WITHOUT_MCC, "x=mc")


MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_every_format_is_written_and_nothing_else(folder, capsys):
    write(folder, MODELS)
    assert run("out=new/a.png,new/a.svg,new/a.pdf") == 0
    assert {
        path.suffix[1:]: path.read_bytes()[: len(MAGIC[path.suffix[1:]])] for path in (folder / "new").iterdir()
    } == MAGIC
    assert capsys.readouterr().out.splitlines()[-3:] == ["new/a.png", "new/a.svg", "new/a.pdf"]


def test_the_default_file_names_data_and_axes(folder):
    records = [dict(r, evaluations={"audit": {"accuracy": 0.5}}) for r in MODELS]
    write(folder, records)
    assert run("x=audit/accuracy", "y=uai_0.05") == 0
    assert [path.name for path in (folder / "figures").iterdir()] == ["loan_audit-accuracy_uai_0.05.png"]


def test_equal_data_give_equal_pictures(folder):
    write(folder, MODELS)
    assert run("out=a.svg,b.svg,a.png,b.png") == 0
    for kind in ("svg", "png"):
        assert (folder / f"a.{kind}").read_bytes() == (folder / f"b.{kind}").read_bytes()


def test_the_listing_gives_mean_deviation_records_and_seeds():
    line = text.list_efficient(chart(MODELS)).splitlines()[1]
    assert re.split(r" {2,}", line) == ["loan_mlp_erm", "erm", "1,2", "0.850 ± 0.071", "0.350 ± 0.071", "2"]


def test_an_efficient_setting_is_named_in_the_figure():
    figure = draw(MODELS)
    assert {text.get_text() for text in figure.axes[0].texts} >= {"erm", "llr", "better"}


def test_labels_overlap_neither_each_other_nor_the_edge():
    crowd = [model(i, f"method{i}", 0.8 + i / 1000, 0.2 + i / 1000) for i in range(1, 21)]  # all efficient
    figure = draw(crowd)
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    named = [text for text in axes.texts if text.get_text().startswith("method")]
    boxes = [Text.get_window_extent(text, renderer) for text in named]  # without the lines to their marks
    frame = axes.get_window_extent(renderer)
    assert boxes
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(frame.containsx(b.x0) and frame.containsx(b.x1) and frame.containsy(b.y0) for b in boxes)


def test_overlaps_are_counted_as_matplotlib_counts_them():
    corners = np.random.default_rng(0).integers(0, 6, (200, 2, 2)).astype(float)  # whole numbers: many touch
    boxes = np.sort(corners, axis=1)
    counts = [labels.overlaps(Bbox(box), boxes) for box in boxes]
    assert counts == [Bbox(box).count_overlaps([Bbox(other) for other in boxes]) for box in boxes]
    assert len(set(counts)) > 10


def test_bars_reach_one_deviation_either_side_of_the_means():
    bars = frontier.strokes(chart(MODELS))  # erm: accuracy .85 ± .0707, area .35 ± .0707; the others ran once
    assert bars[0] == pytest.approx(np.array([[0.85 - 0.05 * 2**0.5, 0.35], [0.85 + 0.05 * 2**0.5, 0.35]]))
    assert bars[3] == pytest.approx(np.array([[0.85, 0.35 - 0.05 * 2**0.5], [0.85, 0.35 + 0.05 * 2**0.5]]))
    assert bars[1] == pytest.approx(np.array([[0.7, 0.1], [0.7, 0.1]]))


def test_the_axes_say_what_is_better():
    figure = draw(MODELS, "seeds=mean", "title=Mine")
    axes = figure.axes[0]
    assert axes.get_xlabel().split() == ["accuracy", "(higher", "is", "better", "→)"]
    assert axes.get_ylabel().split()[-4:] == ["(←", "lower", "is", "better)"]
    assert figure.get_suptitle().strip() == "Mine"


def test_a_long_title_takes_no_room_from_the_axes():
    heights = {n: draw(MODELS, f"title={'many words ' * n}").axes[0] for n in (8, 80)}
    few, many = (axes.get_window_extent().height for axes in heights.values())
    assert many == pytest.approx(few, rel=0.15)


def test_a_dollar_in_a_title_is_a_dollar():
    """Text of users is no formula, which could not be read."""
    figure = draw(MODELS, r"title=cost $\x$ of $5")
    assert figure.get_suptitle().strip() == r"cost $\x$ of $5"
    assert style.render(figure, "svg")
