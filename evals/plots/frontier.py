"""Two metrics against each other with the Pareto frontier, and what a policy chooses there."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots import chart as charts
from evals.plots import frame, labels, lines, spread, text
from evals.plots.axis import sides
from evals.plots.chart import Chart
from evals.plots.picture import Picture
from evals.plots.style import GREY, INK, STYLE
from evals.records import query

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
MANY = 150  # settings, beyond which dominated ones are small and without bars


@dataclass(frozen=True)
class Policy:
    """A rule that excludes or weighs settings, and the setting that it chooses."""

    choice: text.Choice
    include: tuple[float, float] = (np.nan, np.nan)  # x, y that must be in sight
    draw: Callable[["Axes"], Any] | None = None  # onto the axes, once their limits stand; the entry of the legend


@dataclass(frozen=True)
class Style:
    """The style of a frontier."""

    dots: bool  # a faint dot for every single run
    bars: str  # what the bars mean, in words
    hull: bool
    title: str | None


def frontier(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of two metrics and what it says."""
    shown = charts.chart(records, options, sides(options, "x", "y"))
    said = text.summary(shown, reference(options))
    return Picture(draw(shown, style(options)), said)


def reference(options: DictConfig) -> str | None:
    """Returns the reference point of the hypervolume as typed."""
    return None if options.reference is None else str(options.reference)


def style(options: DictConfig) -> Style:
    """Returns the style that the options ask for. Raises ValueError where ``seeds`` is neither points nor mean."""
    if options.seeds not in ("points", "mean"):
        raise ValueError(f"seeds={options.seeds}: expected points or mean")
    bars = spread.WORDS[str(options.bars)]
    return Style(options.seeds == "points", bars, bool(options.hull), frame.read_title(options))


def draw(shown: Chart, look: Style, policy: Policy | None = None, more: Sequence[Any] = ()) -> "Figure":
    """The figure of a chart of two axes; ``more`` are entries of its legend, of what is drawn into it later."""
    import matplotlib as mpl

    dots = look.dots and shown.several  # a single run is its own mean
    with mpl.rc_context(STYLE):
        figure = frame.figure(6.4, 4.8)
        axes = figure.subplots()
        for kind, (colour, marker) in shown.looks.items():
            if dots:
                _single_runs(axes, shown, kind, colour)
            _points(axes, shown, kind, colour)
            for best, hollow in itertools.product((False, True), repeat=2):
                own = (shown.groups["kind"] == kind) & (shown.efficient == best) & (shown.constant == hollow)
                _means(axes, shown, own, (colour, marker), best=best, hollow=hollow)
        signs = lines.bounds(axes, shown)
        _limits(axes, shown, policy)
        line = lines.draw_attained(axes, shown)
        signs = [*_signs(shown, look, dots), *signs]
        if look.hull:
            signs.append(lines.mixtures(axes, shown))
        if policy:
            signs += _policy(axes, shown, policy)
        _words(figure, axes, shown, look.title)
        frame.legend(figure, frame.kinds(shown), [*signs, *more])
        names, taken = _names(shown, policy), labels.Taken(shown.values, line, strokes(shown))
        labels.annotate(figure, axes, names, taken, signs=shown.signs)
    return figure


# --- marks -----------------------------------------------------------------------------------------------------


def _single_runs(axes: "Axes", shown: Chart, kind: str, colour: str) -> None:
    rows = shown.runs[(shown.runs["kind"] == kind) & shown.runs["policy"].isna()]
    look: dict[str, Any] = {"s": 9, "color": colour, "alpha": 0.28, "linewidths": 0, "clip_on": False}
    axes.scatter(rows[shown.keys[0]], rows[shown.keys[1]], zorder=2, **look)


def _points(axes: "Axes", shown: Chart, kind: str, colour: str) -> None:
    """A thin line through the operating points of each setting, from the least to the largest permitted gap."""
    rows = shown.groups[(shown.groups["kind"] == kind) & ~shown.models]
    for _, points in rows.groupby(rows["group_id"].map(_model), sort=False):
        x, y = points[shown.keys[0]], points[shown.keys[1]]
        axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.75, zorder=3.5, label="_points")


def _size(shown: Chart, best: bool) -> int:
    """The area of a mark, smaller where dominated ones are many."""
    return 74 if best else 36 if len(shown.groups) <= MANY else 14


def _model(group_id: str) -> str:
    """The setting of an operating point."""
    return group_id.partition("@")[0]


def _means(axes: "Axes", shown: Chart, which: pd.Series, kind: tuple[str, str], *, best: bool, hollow: bool) -> None:
    (colour, marker) = kind
    ends, centre = shown.bars[which & shown.models], shown.values[which & shown.models]
    x_ends, y_ends = ends[:, 0], ends[:, 1]
    gaps = {"xerr": np.abs(x_ends - centre[:, :1]).T, "yerr": np.abs(y_ends - centre[:, 1:]).T}
    if best or len(shown.groups) <= MANY:
        axes.errorbar(
            centre[:, 0], centre[:, 1], **gaps, fmt="none", ecolor=colour, elinewidth=1.1, alpha=0.55, zorder=3
        )
    edge, width, zorder = (INK, 1.3, 6) if best else ("white", 0.7, 5)
    face, edge, width = ("white", colour, 1.6) if hollow else (colour, edge, width)
    look: dict[str, Any] = {"marker": marker, "color": face, "edgecolors": edge, "zorder": zorder, "clip_on": False}
    axes.scatter(centre[:, 0], centre[:, 1], s=_size(shown, best), linewidths=width, **look)
    points = shown.values[which & ~shown.models]
    axes.scatter(points[:, 0], points[:, 1], s=26 if best else 13, linewidths=0.9 * width if best else 0.3, **look)


def strokes(shown: Chart) -> Floats:
    """Returns both ends of every error bar that is drawn, two bars a setting: (bars, 2, 2)."""
    centre, ends = shown.values[shown.models], shown.bars[shown.models]
    level, upright = np.stack([centre, centre], 1), np.stack([centre, centre], 1)
    level[:, :, 0], upright[:, :, 1] = ends[:, 0], ends[:, 1]
    return np.concatenate([level, upright])


# --- limits ----------------------------------------------------------------------------------------------------


def _limits(axes: "Axes", shown: Chart, policy: Policy | None) -> None:
    """Room around the marks, more of it towards the better ends, where the corner mark stands."""
    axes.margins(0)
    x, y = policy.include if policy else (np.nan, np.nan)
    axes.set_xlim(frame.room(axes.get_xlim(), shown.axes[0], x))
    axes.set_ylim(frame.room(axes.get_ylim(), shown.axes[1], y))
    frame.round_ticks(axes.xaxis, axes.yaxis)


# --- words -----------------------------------------------------------------------------------------------------


def _words(figure: "Figure", axes: "Axes", shown: Chart, title: str | None) -> None:
    """Title, what is shown, axis labels, and the corner where the better models are."""
    x, y = shown.axes
    axes.set_xlabel(frame.axis_label(x, room=64))
    axes.set_ylabel(frame.axis_label(y, room=42))  # turned by 90 degrees: its arrows point up and down
    frame.head(figure, frame.title(shown, title, f"{x.brief} and {y.brief}"), text.extent(shown))
    frame.corner(axes, shown.signs, shown.values)


def _signs(shown: Chart, look: Style, dots: bool) -> list[Any]:
    """The legend of lines and dots."""
    from matplotlib.lines import Line2D

    signs: list[Any] = [Line2D([], [], color=INK, linewidth=1.2, label="Pareto frontier")]
    if (shown.bars != shown.values[..., None])[shown.models].any():
        signs.append(frame.bar_sign(look.bars))
    if dots:
        signs.append(Line2D([], [], linestyle="", marker="o", color=GREY, alpha=0.5, markersize=3.5, label="one run"))
    if not shown.models.all():
        points: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 0.9, "color": GREY}
        signs.append(Line2D([], [], **points, label="thresholds of one model"))
    return [*signs, frame.efficient_sign(), *frame.constant_signs(shown)]


def _policy(axes: "Axes", shown: Chart, policy: Policy) -> list[Any]:
    """Draws the policy and a star at the setting that it chooses; returns their entries in the legend."""
    look: dict[str, Any] = {"marker": "*", "color": "#F0E442", "zorder": 8}
    row = policy.choice.row
    x, y = shown.values[row]
    axes.scatter(x, y, s=210, edgecolors=INK, linewidths=1.1, label="_chosen", clip_on=False, **look)
    name = f"chosen: {text.full_label(shown.groups.iloc[row])}"  # in the legend: beside the mark there may be no room
    star = frame.swatch("chosen", ("#F0E442", "*"), markeredgecolor=INK, markersize=12)
    star.set_label(frame.fold(name, frame.LONGEST))
    return [*([policy.draw(axes)] if policy.draw else []), star]


def _names(shown: Chart, policy: Policy | None) -> list[tuple[str, Floats]]:
    """Label and place of what is named: the choice, then along the frontier every model once.

    A model that is efficient only by operating points is named at the first of these, with what it was fitted to.
    """
    order = [i for i in np.argsort(shown.values[:, 0], kind="stable") if shown.efficient[i]]
    own = sorted(order, key=lambda i: not shown.models.iloc[i])
    first = {_model(shown.groups["group_id"].iloc[i]): i for i in reversed(own)}
    labels = shown.groups["label"]
    names = _together([(str(labels.iloc[i]), shown.values[i]) for i in order if i in set(first.values())])
    if policy is None:
        return names
    row = policy.choice.row
    chosen = str(labels.iloc[row]), shown.values[row]
    return [chosen, *(name for name in names if (name[1] != chosen[1]).any())]


def _together(names: Sequence[tuple[str, Floats]]) -> list[tuple[str, Floats]]:
    """The names, those of one place as one: the first and how many more there are."""
    places: dict[tuple[float, ...], list[str]] = {}
    for name, place in names:
        places.setdefault(tuple(place), []).append(name)
    more = {place: f" and {len(found) - 1} more" if len(found) > 1 else "" for place, found in places.items()}
    return [(f"{found[0]}{more[place]}", np.array(place)) for place, found in places.items()]
