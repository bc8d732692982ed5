"""The frontier of a search with two objectives: the best value of its metric at every accuracy on validation rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots import apart, frame
from evals.plots import chart as charts
from evals.plots.axis import Side
from evals.plots.chart import Chart
from evals.plots.picture import Picture
from evals.plots.style import GREY, INK, STYLE
from evals.poisoning.paired import ends, metric_of, select_poisoned, select_rows
from evals.records import query
from evals.records.advice import Asked
from utils.system.tables import align

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


def compromises(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of all fronts and what it says.

    Raises:
        ValueError: searches for several metrics, for the accuracy itself, or none with two objectives.
    """
    found = [record for record in select_poisoned(records) if record["poison"].get("front")]
    if not found:
        raise ValueError("none of these searches had two objectives; search with attack.poison.accuracy=objective")
    metric = metric_of(select_rows(found, options.where), Asked.read(options))
    if metric == "accuracy":
        raise ValueError("these searches were for the accuracy itself, which is one objective; see kind=trace")
    shown = charts.chart(found, options, [Side(ends(key, "valid")[1]) for key in ("accuracy", metric)])
    return Picture(draw(shown, metric, frame.read_title(options)), describe(shown, metric))


def front(record: query.Record, metric: str) -> Floats:
    """The compromises (n, 2) of one search, accuracy and metric, the least accurate first."""
    points = np.array([[point["accuracy"], point[metric]] for point in record["poison"]["front"]], dtype=float)
    return points[np.argsort(points[:, 0], kind="stable")]


def draw(shown: Chart, metric: str, title: str | None) -> "Figure":
    """The figure: for each search a line of steps, from an open mark without added rows to a full one of those kept."""
    import matplotlib as mpl

    looks = apart.looks(shown)
    with mpl.rc_context(STYLE):
        figure = frame.figure(6.4, 4.9)
        axes = figure.subplots()
        pairs = [(look, record) for look, own in zip(looks, shown.by_setting, strict=True) for record in own]
        values = np.concatenate([_search(axes, look, record, metric) for look, record in pairs])
        axes.set_xlim(frame.room((values[:, 0].min(), values[:, 0].max()), shown.axes[0]))
        axes.set_ylim(frame.room((values[:, 1].min(), values[:, 1].max()), shown.axes[1]))
        frame.round_ticks(axes.xaxis, axes.yaxis)
        frame.corner(axes, shown.signs, values)
        axes.set_xlabel(frame.axis_label(shown.axes[0], room=58))
        axes.set_ylabel(frame.axis_label(shown.axes[1], room=42))
        frame.head(figure, frame.title(shown, title, "compromises that were found"), apart.extent(shown))
        frame.legend(figure, apart.entries(looks), _signs())
    return figure


def _search(axes: "Axes", look: apart.Look, record: query.Record, metric: str) -> Floats:
    """Draws one search; returns all its points (n, 2)."""
    own = front(record, metric)
    claims = record["poison"]["claimed"]
    before, kept = ([claims[end]["accuracy"], claims[end][metric]] for end in ("before", "after"))
    steps: dict[str, Any] = {"drawstyle": "steps-pre", "color": look.colour, "linestyle": look.dashes}
    axes.plot(own[:, 0], own[:, 1], linewidth=1.2, alpha=0.8, zorder=2, label="_front", **steps)
    axes.scatter(own[:, 0], own[:, 1], s=12, color=look.colour, linewidths=0, zorder=3, clip_on=False, label="_found")
    mark: dict[str, Any] = {"marker": look.marker, "s": 64, "linewidths": 1.3, "zorder": 4, "clip_on": False}
    axes.scatter(before[0], before[1], color="white", edgecolors=look.colour, label="_before", **mark)
    axes.scatter(kept[0], kept[1], color=look.colour, edgecolors=INK, label="_kept", **mark)
    return np.vstack([own, before, kept])


def _signs() -> list[Any]:
    from matplotlib.lines import Line2D

    mark: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 8, "markeredgewidth": 1.3}
    return [
        Line2D([], [], color="white", markeredgecolor=GREY, **mark, label="without added rows"),
        Line2D([], [], color=GREY, markeredgecolor=INK, **mark, label="the rows that were added"),
        Line2D([], [], color=GREY, linewidth=1.2, marker="o", markersize=3.5, label="best found at each accuracy"),
    ]


def describe(shown: Chart, metric: str) -> str:
    """Describes both ends of each search's front, and the chosen point."""
    rows = []
    for row, own in zip(shown.groups.to_dict("records"), shown.by_setting, strict=True):
        for record in own:
            points, kept = front(record, metric), record["poison"]["claimed"]["after"]
            cells = [f"{value:.4f} at {accuracy:.4f}" for accuracy, value in (points[0], points[-1])]
            cells += [f"{kept[metric]:.4f} at {kept['accuracy']:.4f}", str(len(points))]
            rows.append([row["name"], row["label"], str(record.get("seed", "")), *cells])
    header = ["compromises", "setting", "seed", f"{metric}, least accurate", "most accurate", "added", "points"]
    return align(header, rows) + f"{apart.extent(shown)}\n"
