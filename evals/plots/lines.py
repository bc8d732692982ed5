"""Lines of the plane of two metrics: what is attained, what mixtures attain, and what is best possible."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.plots.axis import source
from evals.plots.chart import Chart
from evals.plots.style import GREY, INK
from evals.records import pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
ATTAINED = "#f6f4ee"
ROOM = 0.5  # times what the marks span, in which a line is in sight


def bounds(axes: "Axes", shown: Chart) -> list[Any]:
    """A line where the best possible classifier is, on every axis of which the records say so; for the legend.

    One that lies off by more than ROOM times what the marks span stands at the edge, in words: a line there would
    squeeze the marks together.
    """
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 1.6)), "linewidth": 1.3}
    spans, found = (axes.get_xlim(), axes.get_ylim()), False
    for k, (axis, line) in enumerate(zip(shown.axes, (axes.axvline, axes.axhline), strict=True)):
        value = bayes(shown, axis.key)
        if value is None:
            continue
        (low, high), room = spans[k], ROOM * (spans[k][1] - spans[k][0])
        if low - room <= value <= high + room:
            line(value, zorder=1.5, label=f"_bayes {axis.key}", **look)
            found = True
        else:
            _beyond(axes, shown, k, value, 1 if value > high else -1)
    return [Line2D([], [], **look, label="Bayes-optimal classifier")] if found else []


def _beyond(axes: "Axes", shown: Chart, k: int, value: float, side: int) -> None:
    """An arrow to the best possible classifier, over the upper (+1) or lower (-1) end of axis k.

    It lies where no mark is: in the room left at the better end of the other axis, clear of the word in the corner.
    """
    across = 0.97 if shown.signs[1 - k] > 0 else 0.03
    corner = (0.15, 0.13)[k] if side == shown.signs[k] else 0.015
    along = 1 - corner if side > 0 else corner
    words = f"Bayes-optimal classifier {value:.3g}"
    words = f"{words} →" if side > 0 else f"← {words}"  # turned by 90 degrees the arrows point up and down
    x, y = (along, across) if k == 0 else (across, along)
    end = ("left", "right") if k == 0 else ("bottom", "top")
    place: dict[str, Any] = {"ha": end[side > 0], "va": "center"} if k == 0 else {"ha": "center", "va": end[side > 0]}
    axes.text(x, y, words, transform=axes.transAxes, color=GREY, size=9, rotation=90 * k, zorder=6, **place)


def bayes(shown: Chart, key: str) -> float | None:
    """Returns the mean of ``bayes_<metric>``, what the best possible classifier attains on an axis."""
    metric, turned = source(key, [c.removeprefix("bayes_") for c in shown.runs.columns if c.startswith("bayes_")])
    column = f"bayes_{metric}"
    if column not in shown.runs.columns or shown.runs[column].isna().all():
        return None
    value = float(shown.runs[column].mean())
    return 1 - value if turned else value


def _extend(axes: "Axes", shown: Chart, steps: Floats) -> tuple[Floats, list[float]]:
    """A boundary (v, 2) drawn on to the worse ends of the axes, and the corner of these."""
    sides = zip(shown.signs, (axes.get_xlim(), axes.get_ylim()), strict=True)
    worst = [limits[0 if sign > 0 else 1] for sign, limits in sides]
    # the boundary runs along rising x: at one end x goes on to its worst, at the other y does
    level = [[worst[0], steps[0 if shown.signs[0] > 0 else -1][1]]]
    fall = [[steps[-1 if shown.signs[0] > 0 else 0][0], worst[1]]]
    return np.array([*level, *steps, *fall] if shown.signs[0] > 0 else [*fall, *steps, *level]), worst


def draw_attained(axes: "Axes", shown: Chart) -> Floats:
    """The boundary of the attainable set, and a tint behind it: (v, 2)."""
    line, worst = _extend(axes, shown, pareto.staircase(shown.values, shown.signs))
    axes.plot(*line.T, color=INK, linewidth=1.2, alpha=0.8, zorder=4, scalex=False, scaley=False)
    axes.fill(*np.array([*line, worst]).T, color=ATTAINED, zorder=0.4, linewidth=0)
    return line


def mixtures(axes: "Axes", shown: Chart) -> Any:
    """The boundary of what mixtures of settings attain; its entry in the legend."""
    line, _ = _extend(axes, shown, pareto.hull(shown.values, shown.signs))
    look: dict[str, Any] = {"color": "#7a5195", "linewidth": 1.1, "linestyle": (0, (5, 2.5))}
    (drawn,) = axes.plot(*line.T, **look, zorder=3.8, scalex=False, scaley=False, label="mixtures of two models")
    return drawn
