"""Space, parallel axes, robustness, groups and seeds: facts about what is drawn, on records made by hand."""

import json
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from evals import plot
from evals.plots import groups, labels, moving, parallel, robustness, seeds, space
from evals.records import query
from tests.commands import command, refused
from tests.evals.records.test_query import record
from utils.command_line.evals_help import explain_command


def model(doc_id, regularizer, accuracy, gap, robust, **changes):
    metrics = {"accuracy": accuracy, "fnr_gap": gap, "robust_accuracy_linf_0.003": robust + 0.1}
    metrics |= {"robust_accuracy_linf_0.01": robust, "robust_accuracy_l2_1.0": robust + 0.05}
    for i, sign in enumerate((1, -1)):
        metrics |= {
            f"accuracy_group{i}": accuracy,
            f"fnr_group{i}": 0.4 + sign * gap / 2,
            f"acceptance_rate_group{i}": 0.5,
        }
        metrics |= {f"fnr_group{i}_low": 0.3, f"fnr_group{i}_high": 0.6}
    found = {"preprocessing": {"groups": ["women", "men"]}, "metrics": metrics | changes.pop("more", {})}
    return record(doc_id, regularizer, **found, **changes)


MODELS = [
    model(1, "erm", 0.8, 0.3, 0.1, seed=0),
    model(2, "erm", 0.9, 0.4, 0.2, seed=1),
    model(3, "trades", 0.7, 0.2, 0.6),
    model(4, "llr", 0.6, 0.3, 0.3),  # trades is better in all
]
THREE = ["x=error", "y=robust_error_linf_0.01", "z=fnr_gap"]


def draw(kind, *words, records=MODELS):
    options = query.options(["dataset=loan", f"kind={kind}", *words], plot.OPTIONS)
    return plot.KINDS[kind].draw(records, options)


def lines(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def legend(figure):
    return [entry.get_text() for entry in figure.legends[0].get_texts()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in MODELS}
    (tmp_path / "loan.json").write_text(json.dumps({"_default": stored}))
    return tmp_path


# --- space -----------------------------------------------------------------------------------------------------


def test_efficient_settings_stand_on_stems_and_others_are_grey():
    axes = draw("3d", *THREE).figure.axes[0]
    assert len(lines(axes, "_stem")) == 2
    greys = [c for c in axes.collections if np.allclose(c.get_facecolor()[0][:3], 0xC4 / 255, atol=0.01)]
    assert sum(len(c.get_offsets()) for c in greys) == 1


def test_every_axis_in_space_says_its_better_end():
    axes = draw("3d", *THREE).figure.axes[0]
    assert all("(lower is better)" in label for label in (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()))


def test_a_turn_is_a_gif_of_different_pictures_in_the_colours_of_the_kinds():
    figure = draw("animation", *THREE).figure
    film = Image.open(BytesIO(moving.gif(list(moving.turn(figure, 3)))))
    assert film.n_frames == 3
    assert film.info["loop"] == 0
    first = np.asarray(film.convert("RGB"), dtype=int)
    film.seek(1)
    assert (np.asarray(film.convert("RGB"), dtype=int) != first).any()
    assert (np.abs(first - [0x00, 0x72, 0xB2]).max(axis=-1) < 12).any()  # erm's blue


def test_an_animation_is_written_whole(folder):
    assert command("evals.plot", "dataset=loan", "kind=animation", *THREE, "frames=2", "out=a.gif").code == 0
    assert (folder / "a.gif").read_bytes()[:4] == b"GIF8"
    assert (folder / "a.gif").stat().st_size < 1_000_000


def test_without_ffmpeg_an_mp4_is_refused_before_anything_is_drawn(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    refused(command("evals.plot", "dataset=loan", "kind=animation", *THREE, "out=a.gif,a.mp4"), "ffmpeg", ".gif")
    assert not (folder / "a.gif").exists()


# --- parallel axes ---------------------------------------------------------------------------------------------

METRICS = "metrics=[accuracy,fnr_gap,robust_accuracy_linf_0.01]"


def test_the_best_of_every_metric_is_on_top():
    heights = draw_heights()
    assert heights.max(axis=0).tolist() == [1, 1, 1]
    assert heights[1].tolist() == [pytest.approx(0.4), 1, 1]  # trades: accuracy .7 of .6 to .85, the smallest gap


def draw_heights():
    from evals.plots import chart as charts
    from evals.plots.axis import parse_sides

    options = query.options(["dataset=loan", "kind=parallel", METRICS], plot.OPTIONS)
    return parallel.scale_means(charts.chart(MODELS, options, parse_sides(options.metrics)))


def test_every_setting_is_a_line_and_efficient_ones_are_strong():
    axes = draw("parallel", METRICS).figure.axes[0]
    strong = lines(axes, "_efficient")
    assert len(strong) == 2
    faint = [line for line in axes.lines if len(line.get_xdata()) == 3 and line not in strong]
    assert [line.get_alpha() < 0.5 for line in faint] == [True]


def test_it_is_said_which_value_is_on_top():
    axes = draw("parallel", METRICS).figure.axes[0]
    ends = [label.get_text().splitlines()[-1] for label in axes.get_xticklabels()]
    assert ends == ["(top: highest)", "(top: lowest)", "(top: highest)"]


def test_names_at_the_ends_of_lines_keep_apart():
    placed = labels.apart([0.5, 0.49, 0.48, 0.01, 0.0], 0.06)
    assert min(-np.diff(placed)) == pytest.approx(0.06)
    assert min(placed) >= 0


def test_one_metric_in_which_all_are_equal_is_in_the_middle():
    equal = [model(i, f"r{i}", 0.5 + i / 10, 0.2, 0.3) for i in (1, 2)]
    axes = draw("parallel", METRICS, records=equal).figure.axes[0]
    assert [line.get_ydata()[1] for line in axes.lines if len(line.get_xdata()) == 3] == [0.5, 0.5]


# --- robustness ------------------------------------------------------------------------------------------------


def test_radii_are_sorted_by_attack_and_size_from_the_clean_accuracy_on():
    keys = ["robust_accuracy_0.1", "robust_accuracy_0.05", "robust_accuracy_pgd_l2_1", "accuracy", "robust_accuracy"]
    assert robustness.curves(keys) == {
        "": {0.0: "accuracy", 0.05: "robust_accuracy_0.05", 0.1: "robust_accuracy_0.1"},
        "pgd_l2": {0.0: "accuracy", 1.0: "robust_accuracy_pgd_l2_1"},
    }


def test_classes_groups_and_steps_of_an_ensemble_are_no_attacks():
    keys = ["robust_accuracy_worst_class_0.1", "robust_accuracy_class_2_0.1", "robust_accuracy_after_apgd_0.1"]
    keys += ["robust_accuracy_worst_group_8/255", "robust_accuracy_group1_0.1", "robust_accuracy_group0_linf_0.01"]
    assert robustness.curves(keys) == {}


def test_every_attack_has_a_panel_and_every_setting_a_line():
    figure = draw("robustness").figure
    assert [panel.get_xlabel() for panel in figure.axes] == [f"radius of the attack, ℓ{norm}" for norm in "₂∞"]
    assert [len(panel.lines) for panel in figure.axes] == [3, 3]
    assert figure.axes[1].lines[0].get_xydata() == pytest.approx(np.array([[0, 0.85], [0.003, 0.25], [0.01, 0.15]]))


def test_a_run_without_one_of_the_radii_is_drawn_where_it_was_judged():
    lacking = model(5, "ross", 0.5, 0.1, 0.2, more={"robust_accuracy_linf_0.003": None})
    line = draw("robustness", records=[*MODELS, lacking]).figure.axes[1].lines[-1]
    assert line.get_xdata().tolist() == [0, 0.01]


# --- groups ----------------------------------------------------------------------------------------------------


def test_every_rate_has_a_panel_and_every_group_of_every_setting_a_bar():
    figure = draw("groups").figure
    words = [panel.get_xlabel().replace("\n", " ") for panel in figure.axes]
    assert words == ["accuracy", "false negative rate", "acceptance rate"]
    assert [len(panel.patches) for panel in figure.axes] == [6, 6, 6]
    assert {"women", "men"} <= set(legend(figure))


def test_bars_are_the_rates_and_whiskers_their_intervals():
    panel = draw("groups", "metrics=fnr", "bars=rows").figure.axes[0]
    assert sorted(bar.get_width() for bar in panel.patches) == pytest.approx(
        sorted([0.575, 0.225, 0.5, 0.3, 0.55, 0.25])
    )
    segments = panel.collections[0].get_segments()
    assert {tuple(segment[:, 0].round(9)) for segment in segments} == {(0.3, 0.6)}


def test_of_many_settings_those_of_the_smallest_gaps_are_shown():
    many = [model(i, f"r{i:02}", 0.5, i / 100, 0.1) for i in range(1, 31)]
    picture = draw("groups", records=many)
    assert [label.get_text() for label in picture.figure.axes[0].get_yticklabels()] == [
        f"r{i:02}" for i in range(1, 13)
    ]
    assert "30 runs, 12 of 30 settings" in picture.text


# --- seeds -----------------------------------------------------------------------------------------------------


def test_every_seed_is_a_dot_in_the_row_of_its_setting_and_the_best_is_on_top():
    panel = draw("seeds").figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["erm", "trades", "llr"]
    assert panel.yaxis_inverted()
    assert panel.collections[0].get_offsets().tolist() == [[0.8, 0], [0.9, 0]]


def test_lower_is_on_top_where_lower_is_better():
    panel = draw("seeds", "metrics=fnr_gap").figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["trades", "llr", "erm"]


def test_a_metric_without_a_better_end_can_be_shown():
    assert "efficient" not in draw("seeds", "metrics=acceptance_rate_group0").text.splitlines()[-1]


# --- nearly constant predictions -------------------------------------------------------------------------------


def flat(doc_id, regularizer, recall, gap):
    """One whose worse class is recognised at some rate; the prevalence says that there are two classes."""
    more = {"worst_class_accuracy": recall, "prevalence": 0.6, "robust_accuracy_linf_0.01": 0.59}
    return model(doc_id, regularizer, 0.6, gap, 0.59, more=more)


# everybody is accepted by always, nearly by almost; fair and able are told apart by their gaps alone
CONSTANT = [flat(1, "always", 0.0, 0.0), flat(2, "almost", 0.05, 0.01), flat(3, "fair", 0.051, 0.02)]
CONSTANT += [flat(4, "able", 0.5, 0.1), model(5, "ten classes", 0.5, 0.2, 0.3, more={"worst_class_accuracy": 0.0})]
LAST = ["fair", "able", "ten classes", "always", "almost"]


def names_of_rows(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize(("kind", "words"), [("groups", []), ("seeds", ["metrics=fnr_gap"])])
def test_nearly_constant_predictions_come_last_however_small_their_gaps(kind, words):
    picture = draw(kind, *words, records=CONSTANT)
    assert names_of_rows(picture.figure) == LAST
    assert "nearly constant" in legend(picture.figure)
    assert "nearly constant predictions, whose small gaps mean little: always; almost\n" in picture.text


@pytest.mark.parametrize(("kind", "words"), [("groups", []), ("seeds", []), ("parallel", ["metrics=accuracy,fnr_gap"])])
def test_where_every_model_tells_rows_apart_nothing_is_said(kind, words):
    picture = draw(kind, *words)
    assert not [entry for entry in legend(picture.figure) if "constant" in entry]
    assert "constant" not in picture.text


def test_their_bars_are_pale_and_their_marks_hollow():
    panel = draw("groups", records=CONSTANT).figure.axes[0]
    pale = {round(bar.get_y() + bar.get_height() / 2) for bar in panel.patches if (bar.get_alpha() or 1) < 1}
    assert pale == {3, 4}
    axes = draw("frontier", "x=accuracy", "y=fnr_gap", records=CONSTANT).figure.axes[0]
    white = [c for c in axes.collections if len(c.get_facecolor()) and (c.get_facecolor()[0][:3] == 1).all()]
    assert sorted(gap for c in white for _, gap in c.get_offsets()) == [0.0, 0.01]
    for kind, label in (("parallel", "_efficient"), ("robustness", None)):
        figure = draw(kind, *WORDS.get(kind, []), records=CONSTANT).figure
        dashed = [
            line for line in figure.axes[-1].lines if line.is_dashed() and (not label or line.get_label() == label)
        ]
        assert len(dashed) in (1, 2)
        assert {line.get_markerfacecolor() for line in dashed} == {"white"}


# --- axes that are chosen --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["frontier", "3d", "parallel", "seeds"])
def test_axes_that_are_not_given_are_metrics_of_the_records(folder, kind):
    answer = command("evals.plot", "dataset=loan", f"kind={kind}", "out=a.svg")
    assert answer.code == 0, answer.err
    header = answer.out.splitlines()[0].split()
    assert [key for key in header if key in MODELS[0]["metrics"]][:1] == ["accuracy"]
    assert len(header) == {"frontier": 6, "3d": 7, "parallel": 8, "seeds": 5}[kind]


# --- half size and greyscale -----------------------------------------------------------------------------------

SETTINGS = [
    model(i, ("adversarial", "erm")[i % 2], 0.5 + i / 50, i / 50, 0.3, radius=i / 20, group_id=f"g{i}")
    for i in range(1, 13)
]
HALF = 640  # pixels
SMALLEST = 9  # pixels of a letter's height and what is below it
KINDS = ["frontier", "3d", "parallel", "robustness", "groups", "seeds"]


def written(figure):
    texts = figure.findobj(match=lambda a: hasattr(a, "get_fontsize") and hasattr(a, "get_text"))
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_can_be_read_at_half_size(kind):
    figure = draw(kind, *WORDS.get(kind, []), records=SETTINGS).figure
    sizes = {text.get_text(): text.get_fontsize() / 72 * HALF / figure.get_figwidth() for text in written(figure)}
    assert min(sizes.values()) >= SMALLEST, sizes


@pytest.mark.parametrize("kind", KINDS)
def test_title_and_subtitle_begin_at_one_edge(kind):
    figure = draw(kind, *WORDS.get(kind, []), records=SETTINGS).figure
    renderer = labels.settle(figure)
    heads = [t for t in written(figure) if t.get_text().startswith(("loan: ", "12 runs"))]
    edges = [text.get_window_extent(renderer).x0 / figure.dpi for text in heads]
    assert len(edges) == 2
    assert edges[0] == pytest.approx(edges[1], abs=0.02)  # inches


def boxes_of(figure, texts):
    """Each text and its box in pixels, without the line to its mark."""
    renderer = labels.settle(figure)
    return {text.get_text(): Text.get_window_extent(text, renderer) for text in texts}


def require_apart(figure, boxes):
    assert not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))
    edges = figure.bbox.padded(2)
    assert all(edges.contains(*corner) for box in boxes.values() for corner in box.get_points())


@pytest.mark.parametrize("kind", ["groups", "seeds", "parallel"])
def test_labels_name_the_method_and_do_not_overlap(kind):
    figure = draw(kind, *WORDS.get(kind, []), records=SETTINGS).figure
    named = [text for text in written(figure) if text.get_text().startswith(("adversarial", "erm"))]
    named = [text for text in named if "radius" in text.get_text()]
    assert len(named) >= 8
    require_apart(figure, boxes_of(figure, named))


EIGHT = [f"robust_accuracy_{norm}_{radius}" for norm in ("l2", "linf") for radius in (0.1, 0.2, 0.3)]
RATES = ["accuracy", "fnr", "fpr", "tpr", "ppv", "acceptance_rate"]
HELD = [*EIGHT, *(f"{rate}_group{group}" for rate in RATES for group in (0, 1))]
MANY = [
    model(i, "erm", 0.5 + i / 20, i / 20, 0.3, group_id=f"g{i}", radius=i / 10, more=dict.fromkeys(HELD, 0.2 + i / 9))
    for i in (1, 2, 3)
]


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [("parallel", ["accuracy", "fnr_gap", *EIGHT]), ("seeds", ["accuracy", "fnr_gap", *EIGHT[:2]]), ("groups", RATES)],
)
def test_words_below_many_axes_do_not_run_into_each_other(kind, metrics):
    figure = draw(kind, f"metrics={','.join(metrics)}", records=MANY).figure
    below = figure.axes[0].get_xticklabels() if kind == "parallel" else [axes.xaxis.label for axes in figure.axes]
    boxes = boxes_of(figure, below)
    assert len(boxes) == len(metrics)
    require_apart(figure, boxes)
    for axes in figure.axes if kind != "parallel" else []:
        low, high = axes.get_xlim()
        ticks = [text for text in axes.get_xticklabels() if low <= text.get_position()[0] <= high]
        assert not any(a.overlaps(b) for a, b in combinations(boxes_of(figure, ticks).values(), 2))


def test_groups_and_kinds_are_told_apart_without_colours():
    bars = draw("groups", records=SETTINGS).figure.axes[0].patches
    assert len({bar.get_hatch() for bar in bars}) == 2
    panel = draw("seeds", records=SETTINGS).figure.axes[0]
    assert len({tuple(map(tuple, c.get_paths()[0].vertices.round(3))) for c in panel.collections}) == 2
    lines = draw("robustness", records=SETTINGS).figure.axes[-1].lines
    assert len({line.get_marker() for line in lines if len(line.get_xdata()) > 1}) == 2


# --- crowds and bad input --------------------------------------------------------------------------------------

CROWD = [model(i, f"a_regularizer_with_a_very_long_name_{i:02}", 0.5 + i % 7 / 20, i / 200, 0.3) for i in range(1, 31)]
WORDS = {"3d": THREE, "parallel": [METRICS], "frontier": ["x=error", "y=fnr_gap"]}


@pytest.mark.parametrize(
    "kind",
    [
        "frontier",
        "3d",
        "groups",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("parallel", "robustness", "seeds")),
    ],
)
def test_many_kinds_with_long_names_stay_within_the_figure(kind):
    figure = draw(kind, *WORDS.get(kind, []), records=CROWD).figure
    figure.set_dpi(60)  # quicker, and the same in proportion
    renderer = labels.settle(figure)
    frame = figure.bbox.padded(2)
    texts = [
        t for t in figure.findobj(match=lambda a: hasattr(a, "get_text")) if t.get_visible() and t.get_text().strip()
    ]
    shown = [text for text in texts if "long_name" in text.get_text() or text in [axes.title for axes in figure.axes]]
    assert shown
    assert all(frame.contains(*corner) for text in shown for corner in text.get_window_extent(renderer).get_points())


@pytest.mark.parametrize("kind", ["frontier", "3d", "parallel", "robustness", "groups", "seeds"])
def test_one_run_is_enough(kind):
    assert draw(kind, *WORDS.get(kind, []), records=MODELS[3:]).figure.axes


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["kind=3d", *THREE, "out=a.gif"], ".png, .svg, .pdf"),
        (["kind=animation", *THREE, "out=a.svg"], ".gif, .mp4"),
        (["kind=animation", *THREE, "frames=1"], "whole number from 2 to 600"),
        (["kind=parallel", "metrics=accuracy"], "needs two or more"),
        (["kind=parallel", "metrics=[accuracy,fnr_gp]"], "did you mean fnr_gap"),
        (["kind=parallel", "metrics=[accuracy,acceptance_rate_group0]"], "leave it out"),
        (["kind=groups", "metrics=[fnrr]"], "did you mean fnr"),
        (["kind=seeds", "metrics=a,b,c,d,e"], "at most 4"),
        (["kind=seeds", "x=error"], "x=error has no part in kind=seeds"),
        (["kind=robustness", "where=accuracy>2"], "leaves none"),
        (["kind=paralel"], "did you mean parallel"),
    ],
)
def test_what_a_kind_cannot_draw_is_one_sentence(folder, words, phrase):
    refused(command("evals.plot", "dataset=loan", *words), phrase)
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == ["loan.json"]


def test_runs_without_groups_or_attacks_are_said_to_have_none():
    plain = [record(1)]
    for kind, phrase in (("groups", "no rates of groups"), ("robustness", "no robust accuracy")):
        with pytest.raises(ValueError, match=phrase):
            draw(kind, records=plain)


@pytest.mark.parametrize("kind", plot.KINDS)
def test_every_kind_is_explained_in_the_help(kind):
    assert kind in explain_command("plot", [])


def test_modules_and_kinds_agree():
    drawers = {plot.KINDS[kind].draw for kind in ("groups", "seeds", "robustness", "parallel", "3d")}
    assert drawers == {groups.groups, seeds.seeds, robustness.robustness, parallel.parallel, space.still}
