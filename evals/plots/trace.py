"""The course of a search for rows to add: its best value so far on validation rows, by evaluations made."""

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
from evals.plots.style import GREY, STYLE
from evals.poisoning.paired import ends, metric_of, select_poisoned, select_rows
from evals.records import query
from evals.records.advice import Asked
from utils.system.tables import align

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Path = tuple[Floats, Floats]  # evaluations made, rising, and the best value from each of them on


def trace(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of all searches and what it says. Raises ValueError where they are not for one metric."""
    found = select_poisoned(records)
    metric = metric_of(select_rows(found, options.where), Asked.read(options))
    shown = charts.chart(found, options, [Side(key) for key in (metric, *ends(metric, "valid"))], oriented=False)
    paths = [[path(record) for record in own] for own in shown.by_setting]
    return Picture(draw(shown, paths, frame.read_title(options)), describe(shown, paths, metric))


def path(record: query.Record) -> Path:
    """The best value so far from the unpoisoned model on, to the last evaluation made."""
    steps = np.array(record["poison"]["steps"], dtype=float)
    last = [max(float(record["poison"]["evaluations"]), steps[-1, 0]), steps[-1, 1]]
    made, best = np.vstack([steps, last]).T
    return made, best


def mean(paths: Sequence[Path]) -> Path:
    """The mean of several searches; one that ended before others keeps its last value."""
    at = np.unique(np.concatenate([made for made, _ in paths]))
    values = [best[np.searchsorted(made, at, "right") - 1] for made, best in paths]
    return at, np.mean(values, axis=0)


def draw(shown: Chart, paths: Sequence[Sequence[Path]], title: str | None) -> "Figure":
    """The figure: a thin line for each seed, a bold one for the mean of each setting."""
    import matplotlib as mpl

    looks = apart.looks(shown)
    with mpl.rc_context(STYLE):
        figure = frame.figure(6.4, 4.8)
        axes = figure.subplots()
        for look, own in zip(looks, paths, strict=True):
            _lines(axes, look, own, frame.fainter(shown.runs.shape[0]))
        axes.set_xlim(left=0)
        axes.set_ylim(frame.within(axes.get_ylim(), shown.axes[0], axes.dataLim.intervaly))
        frame.round_ticks(axes.xaxis, axes.yaxis)
        axes.set_xlabel("evaluations, a training each")
        axes.set_ylabel(frame.axis_label(shown.axes[0], room=42))
        frame.head(
            figure, frame.title(shown, title, "best of the search so far, on validation rows"), apart.extent(shown)
        )
        # a line without marks: the marks of the legend would stand nowhere in the plot
        entries = apart.entries(looks, marker="", linestyle="-", linewidth=2)
        for entry, look in zip(entries, looks, strict=False):
            entry.set_linestyle(look.dashes)
        frame.legend(figure, entries, _signs(several=shown.several))
    return figure


def _lines(axes: "Axes", look: apart.Look, own: Sequence[Path], faint: float) -> None:
    steps: dict[str, Any] = {"drawstyle": "steps-post", "color": look.colour, "solid_joinstyle": "miter"}
    if len(own) > 1:
        for made, best in own:
            axes.plot(made, best, linewidth=0.8, alpha=faint, zorder=2, label="_seed", **steps)
    made, best = mean(own)
    axes.plot(made, best, linewidth=2, linestyle=look.dashes, zorder=3, label=f"_mean {look.name}", **steps)
    start: dict[str, Any] = {"s": 30, "color": "white", "edgecolors": look.colour, "linewidths": 1.5}
    axes.scatter(made[0], best[0], clip_on=False, zorder=4, **start)


def _signs(*, several: bool) -> list[Any]:
    from matplotlib.lines import Line2D

    start: dict[str, Any] = {"marker": "o", "color": "white", "markeredgecolor": GREY, "markersize": 6}
    signs = [Line2D([], [], linestyle="", **start, markeredgewidth=1.5, label="without added rows")]
    if several:
        signs += [Line2D([], [], color=GREY, linewidth=2, label="mean over seeds")]
        signs += [Line2D([], [], color=GREY, linewidth=0.8, alpha=0.6, label="one seed")]
    return signs


def describe(shown: Chart, paths: Sequence[Sequence[Path]], metric: str) -> str:
    """Describes the means over seeds of the first and the last value of each setting."""
    rows = []
    for row, own in zip(shown.groups.to_dict("records"), paths, strict=True):
        made, best = mean(own)
        rows.append([row["name"], row["label"], f"{best[0]:.4f}", f"{best[-1]:.4f}", f"{made[-1]:.0f}", str(len(own))])
    header = ["trace", "setting", f"{metric} on validation rows", "best", "evaluations", "seeds"]
    return align(header, rows) + f"{apart.extent(shown)}\n"
