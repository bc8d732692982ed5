"""Before and after rows were added: an arrow for each seed in the plane of two metrics, on validation and test rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots import apart, frame
from evals.plots import chart as charts
from evals.plots.axis import Side, find_column, sides, source, with_axes
from evals.plots.chart import Chart
from evals.plots.picture import Picture
from evals.plots.style import GREY, INK, STYLE
from evals.poisoning.paired import (
    ENDINGS,
    ROWS,
    Change,
    change,
    ends,
    list_paired,
    metric_of,
    select_poisoned,
    select_rows,
)
from evals.records import query
from evals.records.advice import Asked
from utils.metrics.directions import GROUP
from utils.system.console import count
from utils.system.tables import align

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def shift(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of before and after and what it says.

    Raises:
        ValueError: runs poisoned for several metrics where y names none, one metric on both axes, or one that is known
            only afterwards.
    """
    splits = _splits(options)
    found = select_poisoned(records)
    table = select_rows(found, options.where)
    y = metric_of(table, Asked.read(options), ", or y=...") if options.y is None else options.y
    options = DictConfig({**options, "x": options.x or "accuracy", "y": y})
    asked = sides(options, "x", "y")
    if asked[0].key == asked[1].key:
        raise ValueError(f"x and y are both {asked[0].key}; give another metric, such as y=fpr_gap")
    for side in asked:
        find_column(side.key, with_axes(table, [side.key]))
        _require_before(side, table)
    plain = [Side(side.key, side.better, side.option) for side in asked]
    ended = [Side(end, side.better, side.option) for split in splits for side in asked for end in ends(side.key, split)]
    shown = charts.chart(found, options, [*plain, *ended])
    drawn = draw(shown, splits, frame.read_title(options), dots=str(options.seeds) == "points")
    left_out = f"left out: {count(shown.left_out, 'run')} that lack one of the figures\n" if shown.left_out else ""
    return Picture(drawn, f"{left_out}{describe(shown, splits)}")


def _splits(options: DictConfig) -> list[str]:
    for key, words in {"split": ("both", *ENDINGS), "seeds": ("points", "mean")}.items():
        if options[key] not in words:
            raise ValueError(f"{key}={options[key]}: expected {', '.join(words)}")
    return list(ENDINGS) if options.split == "both" else [str(options.split)]


def _require_before(side: Side, table: Any) -> None:
    """Refuses a metric of the poisoned model alone. Raises ValueError."""
    before = ends(side.key, "test")[0]
    metric, _ = source(before, table.columns)
    if metric not in table.columns:
        known = ", ".join(list_paired(query.metrics(table)))
        raise ValueError(f"{side.key} is known only of the poisoned model; before and after there is {known}")


def draw(shown: Chart, splits: Sequence[str], title: str | None, *, dots: bool) -> "Figure":
    """The figure: a panel for each split, all on the same axes."""
    import matplotlib as mpl

    looks = apart.looks(shown)
    x, y = shown.axes[:2]
    with mpl.rc_context(STYLE):
        figure = frame.figure(6.4 if len(splits) == 1 else frame.WIDEST, 4.9)
        panels = figure.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
        for panel, split in zip(panels, splits, strict=True):
            for i, look in enumerate(looks):
                _arrows(panel, shown, i, look, split, dots=dots)
            panel.set_xlabel(frame.axis_label(x, room=44))
            panel.annotate(ROWS[split], (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color=INK)
        panels[0].set_ylabel(frame.axis_label(y, room=42))
        values = _room(panels[0], shown, splits, dots=dots)
        equal = _compares_groups(x.key, y.key)
        for panel in panels:
            if equal:
                panel.axline(
                    (0, 0), slope=1, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label="_equal"
                )
            frame.corner(panel, shown.signs[:2], values)
        heading = frame.title(shown, title, "with training rows as they are and as changed")
        frame.head(figure, heading, apart.extent(shown))
        frame.legend(figure, apart.entries(looks), _signs(dots=dots and shown.several, equal=equal))
    return figure


def moves(shown: Chart, i: int, split: str) -> tuple[Change, Change]:
    """Returns the changes of x and y in a setting."""
    runs = shown.runs[shown.runs["group_id"] == shown.groups["group_id"].iloc[i]]
    x, y = (change(runs, *ends(axis.key, split)) for axis in shown.axes[:2])
    return x, y


def _arrows(panel: "Axes", shown: Chart, i: int, look: apart.Look, split: str, *, dots: bool) -> None:
    """An arrow for each seed, and from an open to a full mark the one of the means."""
    runs = shown.runs[shown.runs["group_id"] == shown.groups["group_id"].iloc[i]]
    (x0, x1), (y0, y1) = (runs[list(ends(axis.key, split))].to_numpy(float).T for axis in shown.axes[:2])
    flat: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "inches", "color": look.colour}
    if dots and len(runs) > 1:
        faint = min(0.55, max(16 / len(shown.runs), 0.12))
        thin: dict[str, Any] = {"width": 0.011, "headwidth": 6, "headlength": 7, "headaxislength": 6}
        panel.quiver(x0, y0, x1 - x0, y1 - y0, alpha=faint, zorder=2, label="_seeds", **thin, **flat)
        panel.scatter(x0, y0, s=6, color=look.colour, alpha=faint, linewidths=0, zorder=2)
    x, y = moves(shown, i, split)
    panel.plot([x.before, x.after], [y.before, y.after], color=look.colour, linewidth=2, zorder=4, label="_mean")
    mark: dict[str, Any] = {"marker": look.marker, "s": 74, "linewidths": 1.3, "zorder": 5, "clip_on": False}
    panel.scatter(x.before, y.before, color="white", edgecolors=look.colour, label="_before", **mark)
    panel.scatter(x.after, y.after, color=look.colour, edgecolors=INK, label="_after", **mark)


def _room(panel: "Axes", shown: Chart, splits: Sequence[str], *, dots: bool) -> NDArray[np.float64]:
    """Room about the marks of all panels, more of it towards the better ends; returns the marks (n, 2)."""
    marks = shown.runs if dots else shown.groups
    columns = [[end for split in splits for end in ends(axis.key, split)] for axis in shown.axes[:2]]
    values = np.stack([marks[own].to_numpy(float).ravel() for own in columns], axis=1)
    limits: tuple[Any, Any] = (panel.set_xlim, panel.set_ylim)
    for own, axis, limit in zip(values.T, shown.axes, limits, strict=False):
        limit(frame.room((float(own.min()), float(own.max())), axis))
    frame.round_ticks(panel.xaxis, panel.yaxis)
    return values


def _compares_groups(x: str, y: str) -> bool:
    """Returns whether two metrics are one rate, of two groups."""
    rates = [GROUP.fullmatch(key) for key in (x, y)]
    return all(rates) and len({rate["rest"] for rate in rates if rate}) == 1


def _signs(*, dots: bool, equal: bool) -> list[Any]:
    import matplotlib as mpl
    from matplotlib.lines import Line2D
    from matplotlib.markers import MarkerStyle

    open_: dict[str, Any] = {"marker": "o", "color": "white", "markeredgecolor": GREY, "markeredgewidth": 1.3}
    full: dict[str, Any] = {"marker": "o", "color": GREY, "markeredgecolor": INK, "markeredgewidth": 1.3}
    signs = [Line2D([], [], linestyle="", **open_, markersize=8, label="rows as they are")]
    signs += [Line2D([], [], linestyle="", **full, markersize=8, label="rows as changed")]
    if dots:
        with mpl.rc_context({"text.parse_math": True}):  # an arrow, drawn as a letter
            arrow = MarkerStyle(r"$\rightarrow$")
        thin: dict[str, Any] = {"marker": arrow, "markersize": 11, "color": GREY, "markeredgewidth": 0.2}
        signs += [Line2D([], [], linestyle="", **thin, label="one seed; marks are means")]
    if equal:
        signs += [Line2D([], [], color=GREY, linewidth=0.9, linestyle="--", label="both groups alike")]
    return signs


def describe(shown: Chart, splits: Sequence[str]) -> str:
    """Describes the means of each setting before and after, on every split."""
    header = ["shift", "setting"]
    header += [f"{axis.key} ({split})" for split in splits for axis in shown.axes[:2]]
    rows = []
    for i, row in enumerate(shown.groups.to_dict("records")):
        figures = [f"{c.before:.4f} -> {c.after:.4f}" for split in splits for c in moves(shown, i, split)]
        rows.append([row["name"], row["label"], *figures, str(len(row["doc_ids"]))])
    return align([*header, "seeds"], rows) + f"{apart.extent(shown)}\n"
