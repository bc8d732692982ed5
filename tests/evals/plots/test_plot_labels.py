"""Names beside marks are those of the settings that stand there, whatever is drawn."""

from itertools import product

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text

from evals import plot
from evals.plots import chart as charts
from evals.plots import labels
from evals.plots.axis import Axis, parse_sides, sides
from evals.plots.frame import axis_label, short
from evals.records import query
from tests.evals.records.test_query import record

KEYS = ("accuracy", "fnr_gap", "robust_accuracy_0.1")


def study(seed):
    """12 settings of three kinds and three seeds, crowded along a frontier, with three operating points each."""
    rng = np.random.default_rng(seed)
    records = []
    for setting in range(12):
        kind = ("erm", "llr", "ross")[setting % 3]
        centre = rng.uniform((0.6, 0.02, 0.5), (0.7, 0.3, 0.6))
        shift = rng.uniform(-0.05, 0.02, (3, 3))
        for i in range(3):
            values = np.clip(np.vstack([centre, centre + shift]) + rng.normal(0, 0.01, (4, 3)), 0, 1)
            own = dict(zip(KEYS, values[0].tolist(), strict=True))
            own |= {
                f"{key}_{end}": v + d for key, v in list(own.items()) for end, d in (("low", -0.02), ("high", 0.03))
            }
            metrics = {key: values[1:, k].tolist() for k, key in enumerate(KEYS)}
            points = {"rates": ["fnr"], "permitted": [0.05, 0.1, None], "logits": [[0, 0]] * 3, "metrics": metrics}
            number, changes = len(records) + 1, {"metrics": own, "operating_points": points}
            made = record(number, kind, seed=i, radius=setting / 100, **changes)
            records.append(made | {"group_id": f"setting{setting}"})
    return records


def words(name):
    """As it is written: a long line with its middle left out."""
    return "\n".join(map(short, name.split("\n")))


def written(figure):
    """Text, place in data, box and line of every name beside a mark, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    found = [a for a in figure.axes[0].get_children() if isinstance(a, Annotation) and a.arrowprops != {}]
    for text in found:
        text.update_positions(renderer)
        yield text, Text.get_window_extent(text, renderer).get_points()


def away(box, marks):
    low, high = box
    return np.hypot(*np.maximum(np.maximum(low - marks, marks - high), 0).T)


POLICIES = {"frontier": [], "excluded": ["limit=fnr_gap<=0.1"], "tangent": ["weights=1,0.5"]}
DRAWN = list(product(POLICIES, ("true", "false"), ("sd", "ci", "rows"), ("points", "mean"), ("true", "false")))


@pytest.mark.parametrize(("kind", "points", "bars", "seeds", "hull"), DRAWN[::11])
def test_a_name_stands_at_the_mark_of_its_setting(kind, points, bars, seeds, hull):
    """Its place is that of the setting, and the nearest mark its own unless a line leads there."""
    options = [f"kind={kind}", *POLICIES[kind], f"points={points}", f"bars={bars}", f"seeds={seeds}", f"hull={hull}"]
    asked = query.options(["dataset=loan", "x=accuracy", "y=fnr_gap", *options], plot.OPTIONS)
    records = study(len(kind) + len(bars) + len(seeds))
    shown = charts.chart(records, asked, sides(asked, "x", "y"))
    figure = plot.KINDS[kind].draw(records, asked).figure
    names = [words(labels.lines_of(label)) for label in shown.groups["label"]]
    own = dict(zip(names, shown.values, strict=True))
    assert len(own) == len(shown.groups)  # each setting has a name of its own
    marks, named = figure.axes[0].transData.transform(shown.values), 0
    for text, box in written(figure):
        if text.get_text() not in own:
            continue
        named += 1
        place = own[text.get_text()]
        assert text.xy == pytest.approx(place, abs=1e-12)
        distances = away(box, marks)
        nearest = shown.values[distances.argmin()]
        assert text.arrow_patch is not None or nearest == pytest.approx(place, abs=1e-12)
    assert named


def test_an_operating_point_is_named_with_what_it_was_fitted_to():
    """A model that is dominated, and whose points are efficient: no mark of it bears its bare name."""
    attained = {"accuracy": [0.8], "fnr_gap": [0.01]}
    points = {"rates": ["fnr"], "permitted": [0.05], "logits": [[0, 0]], "metrics": attained}
    records = [
        record(1, "erm", metrics={"accuracy": 0.7, "fnr_gap": 0.2}, operating_points=points),
        record(2, "llr", metrics={"accuracy": 0.9, "fnr_gap": 0.1}),
    ]
    asked = query.options(["dataset=loan", "x=accuracy", "y=fnr_gap", "points=true"], plot.OPTIONS)
    figure = plot.KINDS["frontier"].draw(records, asked).figure
    texts = {text.get_text(): tuple(text.xy) for text, _ in written(figure)}
    assert texts["erm\nfitted to fnr_gap<=0.05"] == (0.8, 0.01)
    assert "erm" not in texts


def test_settings_that_no_word_tells_apart_are_told_apart_by_their_ids():
    records = [record(i, metrics={"accuracy": 0.5 + i / 10, "fnr_gap": i / 10}, group_id=f"g{i}") for i in (1, 2)]
    asked = query.options(["dataset=loan", "x=accuracy", "y=fnr_gap"], plot.OPTIONS)
    assert list(charts.chart(records, asked, sides(asked, "x", "y")).groups["label"]) == ["erm [g1]", "erm [g2]"]


def test_the_names_at_the_ends_of_lines_are_those_of_the_lines():
    records = study(5)
    asked = query.options(["dataset=loan", "kind=parallel", "metrics=[accuracy,fnr_gap]"], plot.OPTIONS)
    shown = charts.chart(records, asked, parse_sides(asked.metrics))
    figure = plot.KINDS["parallel"].draw(records, asked).figure
    span = np.ptp(shown.values[:, 1])
    heights = dict(zip(shown.groups["label"], (shown.values[:, 1].max() - shown.values[:, 1]) / span, strict=True))
    texts = [text for text in figure.axes[0].texts if isinstance(text, Annotation) and ", radius" in text.get_text()]
    named = [(text.get_text(), text.xy[1]) for text in texts]
    assert named
    for name, height in named:
        assert height == pytest.approx(heights[name.partition(", ")[2]])


@pytest.mark.parametrize("unit", ["share of individuals", "share of individuals; coupling gumbel", "x" * 30])
def test_no_line_of_an_axis_is_longer_than_the_axis(unit):
    metric = Axis("uai_0.05", f"unfair area at radius 0.05 noise units ({unit})", -1, (0.0, 1.0))
    lines = axis_label(metric, room=42).split("\n")
    assert max(map(len, lines)) <= 42
    assert lines[1].startswith("(")
