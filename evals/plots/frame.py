"""The frame of a plot: title, subtitle, axis labels, legend."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots.axis import Axis
from evals.plots.chart import Chart
from evals.plots.style import GREY, INK
from evals.plots.text import full_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_KINDS = 16  # in a legend
LONGEST = 34  # characters of a name
GREYER = "#555555"


def short(name: str, most: int = LONGEST) -> str:
    """A name with its middle left out where it is longer than ``most`` characters."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - 1 - most // 2) :]}"


def fold_name(name: str) -> str:
    """A name in lines of at most LONGEST characters, for the legend; a list in brackets stays with its option."""
    bound = re.sub(r" ?\[[^]]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), name)
    return textwrap.fill(bound, LONGEST)


def fainter(n: int) -> float:
    """The opacity of the lines of n settings that are in the background."""
    return min(0.45, max(9 / n, 0.03))


def figure(width: float, height: float, *, dpi: int = 200) -> "Figure":
    """An empty figure, its size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def better(sign: int) -> str:
    """Returns the words for the better end of an axis, as a line that is not broken."""
    words = {1: "(higher is better →)", -1: "(← lower is better)", 0: ""}[sign]
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def axis_label(axis: Axis, *, room: int) -> str:
    """The metric and its better end, broken before the unit where the line is longer than ``room`` characters."""
    end = better(axis.sign)
    if len(f"{axis.words} {end}") <= room:
        return f"{axis.words} {end}".rstrip()
    name, unit = axis.words.partition(" (")[::2]
    first = textwrap.fill(name, room)
    return f"{first}\n({unit} {end}" if unit else textwrap.fill(f"{axis.words} {end}", room)


def read_title(options: DictConfig) -> str | None:
    """The title as typed."""
    return None if options.title is None else str(options.title)


def title(shown: Chart, given: str | None, words: str) -> str:
    """The title as given, or the data set and what is shown."""
    return given or f"{shown.runs['dataset'].iloc[0]}: {words}"


def head(figure: "Figure", text: str, below: str, *, indent: float = 0.0, above: float = 8) -> None:
    """Title and subtitle over several axes, whose first begins ``indent`` inches from the left edge.

    The subtitle stands ``above`` points over the axes.
    """
    wide = figure.get_figwidth()
    figure.suptitle(textwrap.fill(text, round(8.4 * wide)), x=0.012, ha="left", fontsize=12, fontweight="bold")
    # as the title of the first axes: the layout knows its height and takes no account of its width
    figure.axes[0].set_title(
        textwrap.fill(below, round(12 * (wide - indent))), loc="left", color=GREYER, fontsize=9.5, pad=above
    )


def draw_heading(axes: "Axes", text: str, below: str) -> None:
    """Title and subtitle over one axes."""
    axes.set_title(textwrap.fill(text, 54), loc="left", fontsize=12, fontweight="bold", pad=22)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(below, (0, 1), (0, 7), **place, color=GREYER, size=9.5)


def corner(axes: "Axes", signs: Sequence[int]) -> None:
    """An arrow to the corner where the better models are."""
    from matplotlib.patheffects import withStroke

    right, up = (0.985 if sign > 0 else 0.015 for sign in signs)
    inside = (-34 * signs[0], -20 * signs[1])
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.annotate(
        "better", (right, up), inside, xycoords="axes fraction", textcoords="offset points", color=GREY, size=9,
        ha="center", va="center", path_effects=halo, zorder=6,
        arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkB": 0},
    )  # fmt: skip


def room(limits: tuple[float, float], sign: int, include: float) -> tuple[float, float]:
    """Limits with room around them, more of it towards the better end, where the corner mark stands."""
    low, high = np.nanmin([limits[0], include]), np.nanmax([limits[1], include])
    span = (high - low) or 0.1 * abs(high) or 1.0
    worse, better = 0.07 * span, 0.22 * span
    return (low - worse, high + better) if sign > 0 else (low - better, high + worse)


def ticks(axes: "Axes", values: NDArray[np.float64]) -> None:
    """Leaves out ticks below zero on an axis without negative values (n, 2), where there is only room beside marks."""
    for k, along in enumerate((axes.xaxis, axes.yaxis)):
        low, high = along.get_view_interval()
        if (values[:, k] >= 0).all():
            along.set_ticks([tick for tick in along.get_ticklocs() if max(low, 0) <= tick <= high])


# --- rows ------------------------------------------------------------------------------------------------------

ROW = 46  # characters of the name of a row


def row_width(shown: Chart, rows: Sequence[int]) -> float:
    """The width that the names of some settings take to the left of an axis, in inches."""
    return 0.076 * max(len(short(full_label(shown.groups.iloc[i]), ROW)) for i in rows)


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """A name for each row of the axes, the first one at the top."""
    axes.set_yticks(range(len(names)), [short(name, ROW) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)


# --- legend ----------------------------------------------------------------------------------------------------


def swatch(kind: str, look: tuple[str, str], **changes: Any) -> Any:
    """The mark of a kind."""
    from matplotlib.lines import Line2D

    colour, marker = look
    plain = {"linestyle": "", "marker": marker, "color": colour, "markeredgecolor": "white", "markersize": 8}
    return Line2D([], [], **{**plain, **changes}, label=short(kind))


def kinds(shown: Chart, *, best: bool = False, **changes: Any) -> list[Any]:
    """The marks of the kinds, with ``best`` of those with efficient settings alone; these first where they are many."""
    efficient = set(shown.groups["kind"][shown.efficient])
    there = efficient if best else set(shown.groups["kind"])
    every = [kind for kind in shown.looks if kind in there]
    if len(every) <= MOST_KINDS:
        return [swatch(kind, shown.looks[kind], **changes) for kind in every]
    kept = sorted(every, key=lambda kind: kind not in efficient)[: MOST_KINDS - 1]
    return [*(swatch(kind, shown.looks[kind], **changes) for kind in kept), blank(f"… {len(every) - len(kept)} more")]


def blank(label: str = " ") -> Any:
    """An entry of a legend without a mark."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", label=label)


def efficient_sign() -> Any:
    """The ring about efficient marks."""
    from matplotlib.lines import Line2D

    ring: dict[str, Any] = {"marker": "o", "color": "white", "markeredgecolor": INK, "markersize": 8}
    return Line2D([], [], linestyle="", **ring, markeredgewidth=1.3, label="efficient")


def bar_sign(words: str) -> Any:
    """The error bars."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=GREY, linewidth=1.1, label=words)


def legend(figure: "Figure", *parts: Sequence[Any]) -> None:
    """Draws each part in rows of its own below the axes, for which the figure grows beyond two rows."""
    columns, handles = arrange_entries(figure.get_figwidth(), *parts)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.6, handletextpad=0.5)
    folds = sum(str(handle.get_label()).count("\n") for handle in handles)
    figure.set_figheight(figure.get_figheight() + 0.2 * (max(len(handles) // columns - 2, 0) + folds))


def arrange_entries(width: float, *parts: Sequence[Any]) -> tuple[int, list[Any]]:
    """Returns the number of columns that fit in a width in inches, and the entries in the order that fills them."""
    widest = max(min(len(str(handle.get_label())), LONGEST) for part in parts for handle in part)
    columns = max(1, min(4, int(width * 14 / (widest + 5))))
    rows = [entry for part in parts if part for entry in [*part, *(blank() for _ in range(-len(part) % columns))]]
    return columns, [handle for start in range(columns) for handle in rows[start::columns]]
