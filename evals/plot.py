"""Draw two metrics of every trained model against each other, with the Pareto frontier.

``python -m evals.plot dataset=loan x=accuracy y=uai_0.05 [where="..."] [out=a.png,a.svg]``; options and defaults
stand in ``config/plot.yaml``. A mark is the mean over the seeds of one setting, its bars one standard deviation
either side; efficient settings are outlined and listed on standard output.
"""

import itertools
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from pandas.api.types import is_numeric_dtype

import paths_config
from evals import pareto, query
from evals.style import COLOURS, GREY, INK, MARKERS, STYLE, save, targets
from utils.metrics.directions import describe, direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OPTIONS = paths_config.ROOT / "config" / "plot.yaml"
UNITS = {"noise": "noise units", "noise_sd": "noise sd"}  # of causal radii, see the SCM's radius_unit
RADIUS = re.compile(r"radius \S+")
HUES = ("regularizer", "prepare", "model", "scm", "attack", "decide", "radius", "name", "experiment")
# places of a label about its mark, in points towards the better ends: the empty side of the frontier first
PLACES = ((9, 6), (9, -6), (0, 13), (-9, 6), (0, -13), (14, 0), (-9, -6), (-14, 0))


@dataclass(frozen=True)
class Chart:
    """What one figure shows."""

    runs: pd.DataFrame  # one row per record that has both metrics; "kind" is its value of the hue
    groups: pd.DataFrame  # one row per setting: kind, means, standard deviations, n
    efficient: np.ndarray  # (settings,) bool
    labels: list[str]  # short text per setting
    axes: tuple[str, str]  # the two metric columns
    words: tuple[str, str]  # the same for a reader
    signs: tuple[int, int]  # +1 where higher is better
    looks: dict[str, tuple[str, str]]  # kind -> colour, marker
    left_out: int  # runs that lack a metric


def chart(records: Sequence[query.Record], options: DictConfig) -> Chart:
    """Select, average and rank. Raises ValueError where an option names what the records do not hold."""
    if options.seeds not in ("points", "mean"):
        raise ValueError(f"seeds={options.seeds}: expected points or mean")
    everything = query.frame(records)
    if options.hue not in HUES:
        raise ValueError(f"hue={options.hue}{query.near(str(options.hue), HUES)} Expected one of {', '.join(HUES)}")
    said = f"{options.hue} " if is_numeric_dtype(everything[str(options.hue)]) else ""  # a bare 0.1 says nothing
    everything["kind"] = [f"{said}{'none' if pd.isna(value) else value}" for value in everything[str(options.hue)]]
    axes = (str(options.x), str(options.y))
    chosen = query.where(everything, options.where)
    if chosen.empty:
        raise ValueError(f"where={options.where!r} leaves none of the {len(everything)} runs; relax it")
    runs = chosen.dropna(subset=[_metric(key, chosen) for key in dict.fromkeys(axes)])
    if runs.empty:
        raise ValueError(f"none of the {len(chosen)} runs has both {axes[0]} and {axes[1]}; plot another pair")
    later = {name for record in records for name in record.get("evaluations") or {}}
    (x_sign, x_words), (y_sign, y_words) = (
        _side(key, options[side], side, later) for key, side in zip(axes, ("x_better", "y_better"), strict=True)
    )
    signs = (x_sign, y_sign)
    units = {UNITS.get(str((record.get("units") or {}).get("radius")), "") for record in records}
    x_words, y_words = (_with_unit(key, words, units) for key, words in zip(axes, (x_words, y_words), strict=True))
    groups = query.aggregate(runs, list(dict.fromkeys(axes)))
    groups["kind"] = groups["group_id"].map(runs.drop_duplicates("group_id").set_index("group_id")["kind"])
    return Chart(
        runs=runs,
        groups=groups,
        efficient=pareto.efficient(groups[list(axes)].to_numpy(), signs),
        labels=query.differences(records, groups, "kind"),
        axes=axes,
        words=(x_words, y_words),
        signs=signs,
        looks=_looks(everything, str(options.hue)),  # of all records: the same look whatever where= selects
        left_out=len(chosen) - len(runs),
    )


def _with_unit(key: str, words: str, units: set[str]) -> str:
    """The radius of a causal metric with its unit, where all records have one."""
    unit = next(iter(units)) if len(units) == 1 else ""
    causal = key.rpartition("/")[2].startswith("uai")
    return RADIUS.sub(rf"\g<0> {unit}", words, count=1) if causal and unit else words


def _metric(key: str, table: pd.DataFrame) -> str:
    """A metric some run has."""
    measured = table[[*query.FACTS, *(m for m in query.metrics(table) if table[m].notna().any())]]
    if key in query.FACTS:
        raise ValueError(f"{key} is no metric. Metrics here: {', '.join(query.metrics(measured))}")
    return query.known(key, measured)


def _side(key: str, given: Any, option: str, evaluations: Iterable[str]) -> tuple[int, str]:
    """+1 where higher is better, and the metric in words; the option wins over what the metric's name says."""
    if given not in (None, "higher", "lower"):
        raise ValueError(f"{option}={given}: expected higher or lower")
    named = [name for name in evaluations if key.startswith(f"{name}/")]
    evaluation = max(named, key=len, default=None)  # names may hold a slash themselves: pgd@8/255
    plain = key if evaluation is None else key.removeprefix(f"{evaluation}/")
    sign = direction(plain) if given is None else {"higher": 1, "lower": -1}[given]
    if not sign:
        raise ValueError(f"it is not known which end of {key} is better; say {option}=higher or {option}=lower")
    return sign, describe(plain) if evaluation is None else f"{describe(plain)} [{evaluation}]"


def _looks(table: pd.DataFrame, hue: str) -> dict[str, tuple[str, str]]:
    """Colour and marker per kind, in the order of the hue's values."""
    kinds = table.sort_values(hue, na_position="last")["kind"].unique()
    return dict(zip(kinds, zip(itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False), strict=False))


# --- drawing ---------------------------------------------------------------------------------------------------


def draw(chart: Chart, *, seeds: str, title: str | None) -> "Figure":
    """The figure of a chart; ``seeds`` is ``points`` or ``mean``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    dots = seeds == "points" and len(chart.runs) > len(chart.groups)  # a single run is its own mean
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.8), dpi=200, layout="constrained")
        axes = figure.subplots()
        for kind, (colour, marker) in chart.looks.items():
            if dots:
                _single_runs(axes, chart, kind, colour)
            for best in (False, True):
                _means(axes, chart, (chart.groups["kind"] == kind) & (chart.efficient == best), colour, marker, best)
        _limits(axes, chart)
        line = _frontier(axes, chart)
        _words(axes, chart, title)
        _legend(figure, chart, dots)
        _annotate(figure, axes, chart, line)
    return figure


def _single_runs(axes: "Axes", chart: Chart, kind: str, colour: str) -> None:
    rows = chart.runs[chart.runs["kind"] == kind]
    axes.scatter(rows[chart.axes[0]], rows[chart.axes[1]], s=9, color=colour, alpha=0.28, linewidths=0, zorder=2)


def _means(axes: "Axes", chart: Chart, which: pd.Series, colour: str, marker: str, best: bool) -> None:
    rows = chart.groups[which]
    x, y = rows[chart.axes[0]], rows[chart.axes[1]]
    bars = {"xerr": rows[f"{chart.axes[0]}_sd"].fillna(0), "yerr": rows[f"{chart.axes[1]}_sd"].fillna(0)}
    axes.errorbar(x, y, **bars, fmt="none", ecolor=colour, elinewidth=1.1, alpha=0.55, zorder=3)
    look = (74, INK, 1.3, 6) if best else (36, "white", 0.7, 5)
    size, edge, width, zorder = look
    axes.scatter(x, y, s=size, marker=marker, color=colour, edgecolors=edge, linewidths=width, zorder=zorder)


def _limits(axes: "Axes", chart: Chart) -> None:
    """Room around the marks, more of it towards the better ends, where the corner mark stands."""
    axes.margins(0)
    axes.set_xlim(_room(axes.get_xlim(), chart.signs[0]))
    axes.set_ylim(_room(axes.get_ylim(), chart.signs[1]))


def _room(limits: tuple[float, float], sign: int) -> tuple[float, float]:
    low, high = limits
    span = (high - low) or 0.1 * abs(high) or 1.0
    worse, better = 0.07 * span, 0.15 * span
    return (low - worse, high + better) if sign > 0 else (low - better, high + worse)


def _frontier(axes: "Axes", chart: Chart) -> np.ndarray:
    """The boundary of the attainable set, drawn on to the worse ends of the axes, and a tint behind it: (v, 2)."""
    steps = pareto.staircase(chart.groups[list(chart.axes)].to_numpy(), chart.signs)
    sides = zip(chart.signs, (axes.get_xlim(), axes.get_ylim()), strict=True)
    worst = [limits[0 if sign > 0 else 1] for sign, limits in sides]
    # the staircase runs along rising x: at one end x goes on to its worst, at the other y does
    level = [[worst[0], steps[0 if chart.signs[0] > 0 else -1][1]]]
    fall = [[steps[-1 if chart.signs[0] > 0 else 0][0], worst[1]]]
    line = np.array([*level, *steps, *fall] if chart.signs[0] > 0 else [*fall, *steps, *level])
    axes.plot(*line.T, color=INK, linewidth=1.2, alpha=0.8, zorder=4, scalex=False, scaley=False)
    axes.fill(*np.array([*line, worst]).T, color="#f6f4ee", zorder=0.4, linewidth=0)
    return line


def _words(axes: "Axes", chart: Chart, title: str | None) -> None:
    """Title, what is shown, axis labels, and the corner where the better models are."""
    name = str(chart.runs["dataset"].iloc[0])
    x, y = chart.words
    axes.set_xlabel(_axis_label(x, chart.signs[0], room=64))
    axes.set_ylabel(_axis_label(y, chart.signs[1], room=42))  # turned by 90 degrees: its arrows point up and down
    brief = " and ".join(words.partition(" (")[0] for words in (x, y))
    heading = textwrap.fill(title or f"{name}: {brief}", 54)
    axes.set_title(heading, loc="left", fontsize=12, fontweight="bold", pad=22)
    axes.annotate(
        _extent(chart), (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color="#555555", size=9.5
    )
    right, up = (0.985 if sign > 0 else 0.015 for sign in chart.signs)
    inside = (-34 * chart.signs[0], -20 * chart.signs[1])
    axes.annotate(
        "better", (right, up), inside, xycoords="axes fraction", textcoords="offset points", color=GREY, size=9,
        ha="center", va="center", arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkB": 0},
    )  # fmt: skip


def _axis_label(words: str, sign: int, *, room: int) -> str:
    """The metric and its better end, broken before the unit where the line is longer than ``room`` characters."""
    better = f"({'higher is better →' if sign > 0 else '← lower is better'})".replace(" ", "\N{NO-BREAK SPACE}")
    if len(f"{words} {better}") <= room:
        return f"{words} {better}"
    name, unit = words.partition(" (")[::2]
    return f"{name}\n({unit} {better}" if unit else textwrap.fill(f"{words} {better}", room)


def _extent(chart: Chart) -> str:
    """``42 runs, 14 settings, 3 seeds each; 5 efficient``."""
    low, high = chart.groups[f"{chart.axes[0]}_n"].min(), chart.groups[f"{chart.axes[0]}_n"].max()
    seeds = f"{_count(high, 'seed')} each" if low == high else f"{low} to {high} seeds each"
    settings = _count(len(chart.groups), "setting")
    return f"{_count(len(chart.runs), 'run')}, {settings}, {seeds}; {int(chart.efficient.sum())} efficient"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _legend(figure: "Figure", chart: Chart, dots: bool, columns: int = 4) -> None:
    """The kinds, then in a row of their own the meaning of lines and dots, below the axes."""
    from matplotlib.lines import Line2D

    shown = set(chart.groups["kind"])
    kinds = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markeredgecolor="white", markersize=8, label=kind)
        for kind, (colour, marker) in chart.looks.items()
        if kind in shown
    ]
    signs = [Line2D([], [], color=INK, linewidth=1.2, label="Pareto frontier")]
    if len(chart.runs) > len(chart.groups):
        signs.append(Line2D([], [], color=GREY, linewidth=1.1, label="mean ± sd"))
    if dots:
        signs.append(Line2D([], [], linestyle="", marker="o", color=GREY, alpha=0.5, markersize=3.5, label="one run"))
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "color": "white", "markeredgecolor": INK, "markersize": 8}
    signs.append(Line2D([], [], **look, markeredgewidth=1.3, label="efficient"))
    blank = [Line2D([], [], linestyle="", label=" ")] * (-len(kinds) % columns)
    rows = [*kinds, *blank, *signs, *[Line2D([], [], linestyle="", label=" ")] * (-len(signs) % columns)]
    by_column = [handle for start in range(columns) for handle in rows[start::columns]]  # as a legend fills
    figure.legend(handles=by_column, loc="outside lower center", ncols=columns, columnspacing=1.6, handletextpad=0.5)


def _annotate(figure: "Figure", axes: "Axes", chart: Chart, line: np.ndarray) -> None:
    """Name the efficient settings where the text covers no mark, no other text, no frontier and no edge."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # the constrained layout moves the axes; texts are placed after it
    figure.set_layout_engine("none")
    renderer, point, to_pixels = canvas.get_renderer(), figure.dpi / 72, axes.transData.transform
    frame = axes.get_window_extent(renderer)
    marks, corners = to_pixels(chart.groups[list(chart.axes)].to_numpy()), to_pixels(line)
    texts = np.array([text.get_window_extent(renderer).get_points() for text in axes.texts])
    steps = np.stack([np.minimum(corners[:-1], corners[1:]), np.maximum(corners[:-1], corners[1:])], 1)
    taken = np.concatenate([np.stack([marks - 5 * point, marks + 5 * point], 1), steps, texts])
    soft = to_pixels(_bars(chart).reshape(-1, 2)).reshape(-1, 2, 2)
    for index in np.flatnonzero(chart.efficient):
        options: list[tuple[int, int, Any]] = []
        for rank, (right, up) in enumerate(PLACES):
            right, up = right * chart.signs[0], up * chart.signs[1]
            text = axes.annotate(
                chart.labels[index], chart.groups.loc[index, list(chart.axes)], (right, up), textcoords="offset points",
                size=9, color=INK, zorder=7, va="center", ha={1: "left", 0: "center", -1: "right"}[np.sign(right)],
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            if _contains(frame, box) and not _overlaps(box, taken):
                options.append((_overlaps(box, soft), rank, text))
            text.remove()
        if options:
            text = min(options, key=lambda option: option[:2])[2]
            axes.add_artist(text)
            taken = np.concatenate([taken, [text.get_window_extent(renderer).get_points()]])


def _bars(chart: Chart) -> np.ndarray:
    """Both ends of every error bar, two bars a setting: (bars, 2, 2)."""
    centre = chart.groups[list(chart.axes)].to_numpy()
    spread = np.nan_to_num(chart.groups[[f"{key}_sd" for key in chart.axes]].to_numpy())
    return np.concatenate([np.stack([centre - spread * side, centre + spread * side], 1) for side in np.eye(2)])


def _overlaps(box: Any, boxes: np.ndarray) -> int:
    """How many of the boxes (n, 2, 2), lower left and upper right, a box overlaps."""
    low, high = box.get_points()
    return int(((boxes[:, 0] < high) & (boxes[:, 1] > low)).all(-1).sum())


def _contains(frame: Any, box: Any) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)


# --- out -------------------------------------------------------------------------------------------------------


def listing(chart: Chart) -> str:
    """The efficient settings as text: name, setting, records, mean ± standard deviation, seeds."""
    x, y = chart.axes
    best = query.sort(chart.groups.assign(label=chart.labels)[chart.efficient], f"-{x}" if chart.signs[0] > 0 else x)
    rows = [
        [row["name"], row["label"], _ids(row["doc_ids"]), _mean(row, x), _mean(row, y), str(row[f"{x}_n"])]
        for row in best.to_dict("records")
    ]
    return query.aligned(["efficient", "setting", "doc ids", x, y, "seeds"], rows)


def _ids(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids)) if len(ids) <= 6 else f"{ids[0]},{ids[1]},..,{ids[-1]}"


def _mean(row: dict[str, Any], key: str) -> str:
    spread = row[f"{key}_sd"]
    return f"{row[key]:.4f}" + ("" if np.isnan(spread) else f" ± {spread:.4f}")


def plot(options: DictConfig) -> None:
    """Read the database, draw, write, and say what was written."""
    paths = targets(options.out, f"{options.dataset}_{options.x}_{options.y}")
    shown = chart(query.read(str(options.dataset)), options)
    save(draw(shown, seeds=options.seeds, title=None if options.title is None else str(options.title)), paths)
    if shown.left_out:
        both = " or ".join(dict.fromkeys(shown.axes))
        _say(f"left out: {_count(shown.left_out, 'run')} without {both}\n")
    _say(listing(shown))
    _say("".join(f"{path}\n" for path in paths))


def _say(text: str) -> None:
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(query.command(plot, OPTIONS, sys.argv[1:]))
