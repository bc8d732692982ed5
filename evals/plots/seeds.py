"""The spread over seeds: every seed of every setting a dot, with its mean and interval, the best first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from evals.plots import chart as charts
from evals.plots import frame, spread, text
from evals.plots.axis import Side, parse_sides
from evals.plots.chart import Chart
from evals.plots.frontier import reference
from evals.plots.picture import Picture
from evals.plots.style import GREY, INK, STYLE
from evals.records import query

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40  # settings shown
MOST_METRICS = 4
SIZE = 9.5  # points, of the words of an axis


def seeds(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of all seeds and what it says. Raises ValueError for more metrics than fit."""
    asked = parse_sides(options.metrics) or [Side("accuracy")]
    if len(asked) > MOST_METRICS:
        raise ValueError(f"metrics={options.metrics}: kind=seeds shows at most {MOST_METRICS}; leave some out")
    shown = charts.chart(records, options, asked, oriented=False)
    shown_rows = order(shown)
    drawn = draw(shown, shown_rows, frame.read_title(options), str(options.bars))
    settings = text.table(shown.groups.iloc[shown_rows], shown.keys, heading="model")
    below = text.measure(shown, reference(options)) + text.describe_constant(shown)
    return Picture(drawn, f"{text.describe_missing(shown)}{settings}{below}")


def order(shown: Chart) -> list[int]:
    """The settings by their mean in the first metric, the best first, at most MOST."""
    return frame.by_rank(shown, shown.values[:, 0] * (shown.signs[0] or 1), MOST)


def draw(shown: Chart, rows: Sequence[int], title: str | None, bars: str) -> "Figure":
    """The figure: a row for each setting, a panel for each metric."""
    import matplotlib as mpl

    m = len(shown.axes)
    names = frame.name_rows(shown, rows, between="\n" if m == MOST_METRICS else ", ")
    left, high = 0.5 + frame.row_width(names), 0.36 if m == MOST_METRICS else 0.24  # inches
    wide = min(left + (4.2 if m == 1 else 2.7 * m), frame.WIDEST)
    each = (wide - left) / m
    with mpl.rc_context(STYLE):
        figure = frame.figure(wide, max(1.5 + high * len(rows), 2.6))
        panels = figure.subplots(1, m, sharey=True, squeeze=False)[0]
        for column, panel in enumerate(panels):
            _dots(panel, shown, rows, column)
            frame.round_ticks(panel.xaxis, most=max(2, int(each / 0.42)))
            room = max(frame.characters(each, SIZE), 20)
            panel.set_xlabel(frame.axis_label(shown.axes[column], room=room), fontsize=SIZE)
        frame.draw_rows(panels[0], names, list(shown.constant[rows]))
        below = text.extent(shown) + ("" if len(rows) == len(shown.groups) else f"; the best {len(rows)} shown")
        heading = frame.title(shown, title, f"every seed, by {shown.axes[0].brief}")
        frame.head(figure, heading, below)
        frame.legend(figure, _signs(shown, bars))
    return figure


def _dots(panel: "Axes", shown: Chart, rows: Sequence[int], column: int) -> None:
    key, axis = shown.keys[column], shown.axes[column]
    for place, i in enumerate(rows):
        group = shown.groups.iloc[i]
        colour, marker = shown.looks[group["kind"]]
        hollow: dict[str, Any] = {"facecolors": "white", "edgecolors": colour, "linewidths": 1.2}
        dot = hollow if shown.constant[i] else {"color": colour, "alpha": 0.55, "linewidths": 0}
        values = shown.runs[shown.runs["group_id"] == group["group_id"]][key]
        panel.scatter(values, np.full(len(values), place), s=22, marker=marker, **dot, zorder=3, clip_on=False)
        low, high = shown.bars[i, column]
        panel.plot([low, high], [place, place], color=colour, linewidth=1.6, alpha=0.9, zorder=2)
        ring = INK if shown.efficient[i] else colour
        panel.plot(shown.values[i, column], place, marker="|", markersize=11, markeredgewidth=2, color=ring, zorder=4)
    every = shown.runs[key]
    panel.set_xlim(frame.within(panel.get_xlim(), axis, (float(every.min()), float(every.max()))))
    panel.tick_params(axis="y", length=0)


def _signs(shown: Chart, bars: str) -> list[Any]:
    from matplotlib.lines import Line2D

    dot = Line2D([], [], linestyle="", marker="o", color=GREY, alpha=0.6, markersize=4.5, label="one seed")
    mean = Line2D([], [], linestyle="", marker="|", color=GREY, markersize=10, markeredgewidth=2, label="mean")
    best = Line2D(
        [], [], linestyle="", marker="|", color=INK, markersize=10, markeredgewidth=2, label="mean, efficient"
    )
    spreads = [frame.bar_sign(spread.WORDS[bars])] if (shown.bars[..., 1] > shown.bars[..., 0]).any() else []
    return [dot, mean, best, *spreads, *frame.constant_signs(shown, markersize=5, markeredgewidth=1.2)]
