"""Traces and shifts: the numbers drawn are those of records made by hand."""

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from evals import plot
from evals.plots import trace
from evals.records import query
from tests.commands import command, refused
from tests.evals.plots.test_plot_kinds import HALF, SMALLEST, legend, lines, written
from tests.evals.poisoned_records import poisoned
from tests.evals.records.test_query import record, write

GAPS = (((0.20, 0.10), (0.22, 0.18)), ((0.30, 0.20), (0.28, 0.26)))
STEPS = ([[0, 0.20], [5, 0.15], [20, 0.10]], [[0, 0.30], [10, 0.20]])
RECORDS = [poisoned(i + 1, seed=i, gap=GAPS[i], steps=STEPS[i]) for i in (0, 1)]
TWO = [*RECORDS, *(poisoned(i + 3, "mlp", i, gap=GAPS[1 - i], steps=STEPS[1 - i]) for i in (0, 1))]
MIXED = [*RECORDS, poisoned(3, metric="fnr_gap", gap=GAPS[0])]


def draw(kind, *words, records=RECORDS):
    options = query.options(["dataset=compas", f"kind={kind}", *words], plot.OPTIONS)
    return plot.KINDS[kind].draw(records, options)


def offsets(panel, label):
    return [c.get_offsets().tolist() for c in panel.collections if c.get_label() == label]


# --- trace -----------------------------------------------------------------------------------------------------


def test_a_seed_is_the_steps_of_its_record_to_the_last_evaluation():
    panel = draw("trace").figure.axes[0]
    found = [np.transpose(line.get_data()).tolist() for line in lines(panel, "_seed")]
    assert found == [[*STEPS[0], [50, 0.10]], [*STEPS[1], [50, 0.20]]]
    assert {line.get_drawstyle() for line in panel.lines} == {"steps-post"}


def test_the_bold_line_is_the_mean_of_the_seeds_at_every_evaluation():
    panel = draw("trace").figure.axes[0]
    (bold,) = [line for line in panel.lines if line.get_linewidth() == 2]
    by_hand = [[0, 0.25], [5, 0.225], [10, 0.175], [20, 0.15], [50, 0.15]]
    assert np.transpose(bold.get_data()) == pytest.approx(np.array(by_hand))


def test_a_search_that_ended_early_keeps_its_value_in_the_mean():
    short, long = (np.array([0.0, 10.0]), np.array([0.2, 0.1])), (np.array([0.0, 30.0]), np.array([0.4, 0.2]))
    at, values = trace.mean([short, long])
    assert at.tolist() == [0, 10, 30]
    assert values == pytest.approx([0.3, 0.25, 0.15])


def test_a_trace_starts_at_the_unpoisoned_model():
    panel = draw("trace").figure.axes[0]
    assert panel.collections[0].get_offsets().tolist() == [[0, pytest.approx(0.25)]]
    assert panel.get_xlim()[0] == 0


def test_one_seed_is_its_own_mean():
    panel = draw("trace", records=RECORDS[:1]).figure.axes[0]
    assert len(panel.lines) == 1
    assert "one seed" not in legend(draw("trace", records=RECORDS[:1]).figure)


def test_every_setting_has_a_line_of_its_own_look():
    many = [poisoned(i, f"model{i % 4}", gap=GAPS[0], steps=STEPS[0], budget=50 + i) for i in range(1, 9)]
    for hue in ("regularizer", "model"):
        figure = draw("trace", f"hue={hue}", records=many).figure
        assert len({(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines}) == 8
        named = [name for name in legend(figure) if "budget" in name]
        assert len(named) == len(set(named)) == 8


def test_it_is_said_where_the_means_start_and_end():
    first, second, extent = draw("trace", records=TWO).text.splitlines()[1:]
    assert first.split()[1:] == ["random_forest", "0.2500", "0.1500", "50", "2"]
    assert second.split()[1] == "mlp"
    assert extent == "4 runs, 2 settings, 2 seeds each"


# --- shift -----------------------------------------------------------------------------------------------------


def test_an_arrow_a_seed_leads_from_before_to_after_on_each_split():
    panels = draw("shift").figure.axes
    for panel, split, accuracy in zip(panels, (0, 1), ((0.68, 0.67), (0.66, 0.66)), strict=True):
        (arrows,) = [c for c in panel.collections if isinstance(c, Quiver)]
        assert arrows.get_label() == "_seeds"
        before, after = np.array([gap[split] for gap in GAPS]).T
        assert arrows.XY.tolist() == [[accuracy[0], y] for y in before]
        assert np.stack([arrows.U, arrows.V], 1) == pytest.approx(
            np.stack([np.full(2, accuracy[1] - accuracy[0]), after - before], 1)
        )


def test_the_large_marks_are_means():
    panel = draw("shift").figure.axes[1]
    assert np.array(offsets(panel, "_before")).ravel() == pytest.approx([0.66, 0.25])
    assert np.array(offsets(panel, "_after")).ravel() == pytest.approx([0.66, 0.22])


def test_both_panels_have_the_same_axes_and_say_whose_rows_they_are():
    first, second = draw("shift").figure.axes
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    words = [[text.get_text() for text in panel.texts] for panel in (first, second)]
    assert "validation rows, which the search saw" in words[0]
    assert "test rows, touched once" in words[1]


@pytest.mark.parametrize(("split", "gap"), [("valid", 0.15), ("test", 0.22)])
def test_one_split_alone_is_one_panel(split, gap):
    (panel,) = draw("shift", f"split={split}").figure.axes
    assert offsets(panel, "_after")[0][0][1] == pytest.approx(gap)


def test_an_axis_may_be_what_the_metric_lacks_to_one():
    (panel,) = draw("shift", "split=valid", "x=error").figure.axes
    assert offsets(panel, "_before")[0][0] == pytest.approx([0.32, 0.25])
    assert panel.get_xlabel().replace("\N{NO-BREAK SPACE}", " ") == "error (← lower is better)"


def test_the_better_corner_is_marked_on_every_panel():
    assert all("better" in [text.get_text() for text in panel.texts] for panel in draw("shift").figure.axes)


def test_without_single_seeds_there_are_no_thin_arrows():
    assert not [c for c in draw("shift", "seeds=mean").figure.axes[0].collections if isinstance(c, Quiver)]


def test_it_is_said_what_became_of_the_means():
    line = draw("shift", records=TWO).text.splitlines()[1]
    assert "0.2500 -> 0.1500" in line
    assert "0.2500 -> 0.2200" in line


def test_a_run_that_lacks_a_figure_is_said_to_be_left_out():
    lacking = RECORDS[0] | {"metrics": RECORDS[0]["metrics"] | {"fpr_gap_unpoisoned": None}}
    assert draw("shift", records=[lacking, RECORDS[1]]).text.startswith("left out: 1 run that")


def test_another_metric_can_be_shown_where_runs_were_poisoned_for_several():
    assert draw("shift", "y=balanced_accuracy", records=[with_balanced(r) for r in MIXED]).figure.axes


def with_balanced(found):
    ends = ("", "_unpoisoned", "_valid", "_valid_unpoisoned")
    return found | {"metrics": found["metrics"] | {f"balanced_accuracy{end}": 0.6 for end in ends}}


# --- compromises -----------------------------------------------------------------------------------------------

FRONT = [(7, 0.10, 0.64), (3, 0.14, 0.66), (0, 0.20, 0.68)]  # evaluation, gap and accuracy, the lowest gap first


def with_front(found, front=FRONT):
    points = [{"evaluation": e, "fpr_gap": gap, "accuracy": accuracy} for e, gap, accuracy in front]
    claimed = {"before": {"fpr_gap": 0.2, "accuracy": 0.68}, "after": {"fpr_gap": 0.14, "accuracy": 0.66}}
    return found | {"poison": found["poison"] | {"front": points, "claimed": claimed}}


FRONTS = [with_front(made) for made in RECORDS]


def test_a_front_is_drawn_as_what_is_attained_at_each_accuracy_or_more():
    panel = draw("compromises", records=FRONTS[:1]).figure.axes[0]
    (line,) = lines(panel, "_front")
    assert np.transpose(line.get_data()).tolist() == [[0.64, 0.10], [0.66, 0.14], [0.68, 0.20]]
    assert line.get_drawstyle() == "steps-pre"  # between two points that of the more accurate one


def test_what_was_chosen_and_what_it_began_with_are_marked():
    panel = draw("compromises", records=FRONTS[:1]).figure.axes[0]
    assert offsets(panel, "_before") == [[[0.68, 0.2]]]
    assert offsets(panel, "_kept") == [[[0.66, 0.14]]]
    assert "better" in [text.get_text() for text in panel.texts]


def test_every_search_has_its_front_and_those_with_one_objective_none():
    drawn = draw("compromises", records=[*FRONTS, *TWO[2:]])
    assert len(lines(drawn.figure.axes[0], "_front")) == 2
    first = " ".join(drawn.text.splitlines()[1].split())
    assert first.endswith("0 0.1000 at 0.6400 0.2000 at 0.6800 0.1400 at 0.6600 3")


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "records", "phrase"),
    [
        (["kind=trace"], MIXED, 'where="poison_metric==fnr_gap"'),
        (["kind=shift"], MIXED, 'where="poison_metric==fnr_gap", or y='),
        (["kind=trace"], [record(1)], "none of 1 run was poisoned"),
        (["kind=shift", "y=fpr_gp"], RECORDS, "did you mean fpr_gap"),
        (
            ["kind=shift", "y=mcc"],
            [RECORDS[0] | {"metrics": RECORDS[0]["metrics"] | {"mcc": 0.1}}],
            "there is accuracy",
        ),
        (["kind=shift", "y=accuracy"], RECORDS, "x and y are both accuracy"),
        (["kind=shift", "split=train"], RECORDS, "expected both, valid, test"),
        (["kind=trace", "where=accuracy>2"], RECORDS, "leaves none of the 2 poisoned runs"),
        (["kind=trace", "x=error"], RECORDS, "x=error has no part in kind=trace"),
        (["kind=frontier", "split=test"], RECORDS, "only in shift"),
        (["kind=compromises"], RECORDS, "search with attack.poison.accuracy=objective"),
        (["kind=compromises", "where=seed>5"], FRONTS, "leaves none of the 2 poisoned runs"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(folder, words, records, phrase):
    write(folder, "compas", records)
    refused(command("evals.plot", "dataset=compas", *words), phrase)


@pytest.mark.parametrize("kind", ["trace", "shift"])
def test_they_are_readable_at_half_size_and_told_apart_without_colours(kind):
    figure = draw(kind, "hue=model", records=TWO).figure
    assert min(t.get_fontsize() / 72 * HALF / figure.get_figwidth() for t in written(figure)) >= SMALLEST
    panel = figure.axes[0]
    bold = {line.get_linestyle() for line in panel.lines if line.get_linewidth() == 2}
    marks = {c.get_paths()[0].vertices.shape for c in panel.collections if c.get_label() == "_after"}
    assert len(bold if kind == "trace" else marks) == 2


@pytest.mark.parametrize("kind", ["trace", "shift"])
def test_a_gap_that_is_closed_ends_its_axis(kind):
    closed = poisoned(9, "mlp", 0, gap=((0.1, 0.0), (0.12, 0.0)), steps=[[0, 0.1], [5, 0.0]])
    for panel in draw(kind, records=[*RECORDS, closed]).figure.axes:
        assert panel.get_ylim()[0] == 0


def test_the_pictures_are_named_by_their_kinds(folder):
    write(folder, "compas", RECORDS)
    answers = [command("evals.plot", "dataset=compas", f"kind={kind}") for kind in ("trace", "shift")]
    assert [answer.code for answer in answers] == [0, 0]
    assert sorted(path.name for path in (folder / "figures").iterdir()) == ["compas_shift.png", "compas_trace.png"]


def test_one_rate_of_two_groups_is_drawn_beside_equality():
    rates = {
        f"fpr_group{g}{split}{end}": 0.1 + 0.1 * g
        for g in (0, 1)
        for split in ("", "_valid")
        for end in ("", "_unpoisoned")
    }
    records = [found | {"metrics": found["metrics"] | rates} for found in RECORDS]
    drawn = draw("shift", "x=fpr_group0", "y=fpr_group1", records=records).figure
    assert "both groups alike" in legend(drawn)
    for panel in drawn.axes[:2]:
        [line] = [own for own in panel.lines if own.get_label() == "_equal"]
        assert (line.get_slope(), line.get_xy1()) == (1, (0, 0))
    assert "both groups alike" not in legend(draw("shift").figure)
