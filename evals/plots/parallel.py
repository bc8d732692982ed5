"""Any number of metrics side by side: an upright axis for each, its better end up, and a line for each setting."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots import chart as charts
from evals.plots import frame, labels, text
from evals.plots.axis import parse_sides
from evals.plots.chart import Chart
from evals.plots.frontier import reference
from evals.plots.picture import Picture
from evals.plots.style import GREY, INK, STYLE
from evals.records import query

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = 4  # parts of an axis, at most
NAMES = 2.6  # inches, about, of the names to the right
NARROW = 12  # characters
SIZE, PAD = 9.5, 6.0  # points
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "linestyle": (0, (3, 2))}  # a nearly constant prediction


def parallel(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of several metrics and what it says. Raises ValueError for fewer than two."""
    asked = parse_sides(options.metrics)
    if len(asked) < 2:
        raise ValueError(
            f"metrics={options.metrics}: kind=parallel needs two or more, such as metrics=[accuracy,fnr_gap,uai_0.05]"
        )
    shown = charts.chart(records, options, asked)
    said = text.summary(shown, reference(options))
    return Picture(draw(shown, frame.read_title(options)), said)


def draw(shown: Chart, title: str | None) -> "Figure":
    """The figure of a chart of two axes or more."""
    import matplotlib as mpl

    heights, rows = scale_means(shown), shown.groups.to_dict("index")
    m = len(shown.axes)
    with mpl.rc_context(STYLE):
        wide = float(np.clip(2.2 + 1.45 * m, 6.4, frame.WIDEST))
        words, lower = _words(shown, inches=(wide - NAMES) / m)
        lines = lower + max(text.count("\n") for text in words)
        figure = frame.figure(wide, 4.1 + 0.16 * lines)
        axes = figure.subplots()
        for kind, (colour, marker) in shown.looks.items():
            for i in np.flatnonzero(shown.groups["kind"] == kind):
                look = _look(bool(shown.efficient[i]), colour, marker, len(heights))
                axes.plot(heights[i], **look, **(HOLLOW if shown.constant[i] else {}))
        _scales(axes, shown, words)
        for tick in axes.xaxis.get_major_ticks()[1::2]:
            tick.set_pad(PAD + 1.2 * SIZE * lower + 3)
        title_words = ", ".join(axis.brief for axis in shown.axes) if m <= 3 else f"{m} metrics"
        below = f"{text.extent(shown)}; up is better on every axis"
        frame.head(figure, frame.title(shown, title, title_words), below)
        frame.legend(figure, frame.kinds(shown), [*_signs(), *frame.constant_signs(shown, **HOLLOW, color=GREY)])
        names = [(text.full_label(row), heights[i, -1]) for i, row in rows.items() if shown.efficient[i]]
        labels.at_the_end(axes, m - 1, names)
    return figure


def scale_means(shown: Chart) -> NDArray[np.float64]:
    """The means from 0 (the worst there is) to 1 (the best), one half where all are equal: (settings, axes)."""
    gains = shown.values * np.array(shown.signs)
    low, span = gains.min(axis=0), np.ptp(gains, axis=0)
    return np.where(span > 0, (gains - low) / np.where(span > 0, span, 1), 0.5)


def _look(best: bool, colour: str, marker: str, n: int) -> dict[str, Any]:
    if not best:
        faint: dict[str, Any] = {"marker": marker, "markersize": 3, "markeredgewidth": 0}
        return {"color": colour, "linewidth": 0.8, "alpha": frame.fainter(n), "zorder": 2, **faint}
    ring: dict[str, Any] = {"marker": marker, "markersize": 6, "markeredgecolor": INK, "markeredgewidth": 0.8}
    return {"color": colour, "linewidth": 1.8, "alpha": 0.95, "zorder": 4, **ring, "label": "_efficient"}


def _scales(axes: "Axes", shown: Chart, words: Sequence[str]) -> None:
    """An upright line for each metric, its values to the left, its words below."""
    ground: dict[str, Any] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    gains = shown.values * np.array(shown.signs)
    for place, (values, sign) in enumerate(zip(gains.T, shown.signs, strict=True)):
        axes.axvline(place, color="#555555", linewidth=1, zorder=3)
        low, high = sorted((sign * values.min(), sign * values.max()))
        ticks = frame.round_numbers(low, high, most=TICKS)
        for value in ticks[(ticks >= low) & (ticks <= high)]:
            height = (sign * value - values.min()) / np.ptp(values) if np.ptp(values) else 0.5
            axes.annotate(
                f"{value:.6g}", (place, height), (-5, 0), textcoords="offset points", ha="right", va="center",
                size=9, color="#444444", bbox=ground, zorder=5,
            )  # fmt: skip
    axes.set_xticks(range(len(shown.axes)), words, fontsize=SIZE)
    axes.tick_params(axis="x", length=0, pad=PAD)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.35, len(shown.axes) - 0.9)
    axes.set_ylim(-0.04, 1.06)


def _words(shown: Chart, *, inches: float) -> tuple[list[str], int]:
    """Returns the words of each axis, some inches apart, and by how many lines every other one has to stand lower."""
    narrow = frame.characters(inches, SIZE) < NARROW
    room = min(frame.characters(inches * (1 + narrow), SIZE), 19)
    ends = {1: "(top: highest)", -1: "(top: lowest)"}
    found = [f"{frame.fold(axis.brief, room)}\n{ends[axis.sign]}" for axis in shown.axes]
    return found, (1 + max(words.count("\n") for words in found[::2])) * narrow


def _signs() -> list[Any]:
    from matplotlib.lines import Line2D

    strong = Line2D([], [], color=GREY, linewidth=1.8, marker="o", markeredgecolor=INK, label="efficient")
    return [strong, Line2D([], [], color=GREY, linewidth=0.8, alpha=0.4, label="dominated")]
