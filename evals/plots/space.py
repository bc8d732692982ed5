"""Three metrics in space, the efficient settings in colour and the dominated ones grey."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots import chart as charts
from evals.plots import frame, labels, moving, text
from evals.plots.axis import sides
from evals.plots.chart import Chart
from evals.plots.frontier import reference
from evals.plots.picture import Picture
from evals.plots.style import INK, STYLE
from evals.records import query

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ELEVATION = 22.0  # degrees
MOST_NAMES = 8


def still(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of three metrics, its efficient settings named, and what it says."""
    return _picture(records, options, names=True)


def turn(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The same without names, which would jump as it turns."""
    return _picture(records, options, names=False)


def _picture(records: Sequence[query.Record], options: DictConfig, *, names: bool) -> Picture:
    shown = charts.chart(records, options, sides(options, "x", "y", "z"))
    said = text.summary(shown, reference(options))
    return Picture(draw(shown, frame.read_title(options), names=names), said)


def draw(shown: Chart, title: str | None, *, names: bool) -> "Figure":
    """The figure of a chart of three axes."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = frame.figure(6.4, 6.0)
        figure.set_layout_engine("none")  # which would move the axes as they turn
        dominated = [] if shown.efficient.all() else [frame.swatch("dominated", (frame.PALE, "o"), markersize=6)]
        signs = [*dominated, *frame.constant_signs(shown)]
        columns, handles = frame.arrange_entries(figure.get_figwidth(), frame.kinds(shown, best=True), signs)
        figure.set_figheight(6.0 + 0.2 * (len(handles) // columns))
        below = (0.35 + 0.2 * (len(handles) // columns)) / figure.get_figheight()
        axes: Any = figure.add_axes((0.0, below, 0.95, 0.88 - below), projection="3d")
        axes.view_init(elev=ELEVATION, azim=moving.START)
        _walls(axes, shown)
        for kind, (colour, marker) in shown.looks.items():
            rows = (shown.groups["kind"] == kind).to_numpy()
            _draw_dominated(axes, shown, rows & ~shown.efficient, marker)
            _efficient(axes, shown, rows & shown.efficient & ~shown.constant, (colour, marker), face=colour)
            _efficient(axes, shown, rows & shown.efficient & shown.constant, (colour, marker), face="white")
        _label(axes, shown)
        _head(figure, frame.title(shown, title, ", ".join(axis.brief for axis in shown.axes)), text.extent(shown))
        figure.legend(handles=handles, loc="lower center", ncols=columns, columnspacing=1.6, handletextpad=0.5)
        if names:
            _name(figure, axes, shown)
    return figure


def _head(figure: "Figure", title: str, below: str) -> None:
    lines = frame.fold(title, 54)
    figure.text(0.03, 0.98, lines, va="top", fontsize=12, fontweight="bold")
    figure.text(0.03, 0.965 - 0.033 * (lines.count("\n") + 1), below, va="top", fontsize=9.5, color=frame.GREYER)


def _walls(axes: Any, shown: Chart) -> None:
    """Room about the marks, and walls that recede."""
    limits = (axes.set_xlim, axes.set_ylim, axes.set_zlim)
    for set_limits, axis, values in zip(limits, shown.axes, shown.values.T, strict=True):
        span = np.ptp(values) or 0.1 * abs(values[0]) or 1.0
        low, high = float(values.min()), float(values.max())
        set_limits(*frame.within((low - 0.08 * span, high + 0.08 * span), axis, (low, high)))
    frame.round_ticks(axes.xaxis, axes.yaxis, axes.zaxis, most=6)
    low, high = axes.get_xlim()  # where it ends, the first tick of y stands
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= high - 0.05 * (high - low)])
    for along in (axes.xaxis, axes.yaxis, axes.zaxis):
        along.set_pane_color((0.975, 0.975, 0.97, 1))
        along._axinfo["grid"] |= {"color": "#dedede", "linewidth": 0.7}
    axes.set_box_aspect((1, 1, 0.8), zoom=0.94)


def _draw_dominated(axes: Any, shown: Chart, rows: NDArray[np.bool_], marker: str) -> None:
    size = np.where(shown.models[rows], 26, 10)
    look: dict[str, Any] = {"color": frame.PALE, "edgecolors": "white", "linewidths": 0.4, "depthshade": False}
    axes.scatter(*shown.values[rows].T, s=size, marker=marker, zorder=4, **look)


def _efficient(axes: Any, shown: Chart, rows: NDArray[np.bool_], kind: tuple[str, str], *, face: str) -> None:
    """Marks on stems: without them one does not see how deep in space they are."""
    colour, marker = kind
    size = np.where(shown.models[rows], 62, 24)
    look: dict[str, Any] = {"color": face, "edgecolors": INK if face == colour else colour, "depthshade": False}
    axes.scatter(
        *shown.values[rows].T, s=size, marker=marker, linewidths=0.9 if face == colour else 1.6, zorder=6, **look
    )
    floor = axes.get_zlim()[0]
    for x, y, z in shown.values[rows]:
        axes.plot([x, x], [y, y], [floor, z], color=colour, linewidth=0.9, alpha=0.6, zorder=3, label="_stem")


def _label(axes: Any, shown: Chart) -> None:
    for set_label, axis in zip((axes.set_xlabel, axes.set_ylabel, axes.set_zlabel), shown.axes, strict=True):
        end = "higher is better" if axis.sign > 0 else "lower is better"
        words = f"{frame.fold(axis.brief, 30)}\n({end})"
        set_label(words, labelpad=4 + 6 * (words.count("\n") + 1), fontsize=9.5, linespacing=1.15)
    axes.tick_params(labelsize=8.5, pad=2)


def _name(figure: "Figure", axes: Any, shown: Chart) -> None:
    """Names beside the efficient marks where they stand on the paper, a few where there are many."""
    from mpl_toolkits.mplot3d import proj3d

    flat = np.stack(proj3d.proj_transform(*shown.values.T, axes.get_proj())[:2], axis=1)
    unnamed = (shown.groups["label"] != shown.groups["kind"]).to_numpy()  # the legend names the others
    best = np.flatnonzero(shown.efficient & shown.models & unnamed)[:MOST_NAMES]
    names = [(str(shown.groups["label"].iloc[i]), flat[i]) for i in best]
    nothing = np.empty((0, 2))
    labels.annotate(figure, axes, names, labels.Taken(flat, nothing, np.empty((0, 2, 2))), signs=(1, 1))
