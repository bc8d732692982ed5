"""The frame of a plot: title, subtitle, axis labels, legend."""

import math
import re
import textwrap
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from evals.plots.axis import Axis
from evals.plots.chart import Chart
from evals.plots.style import GREY, INK
from evals.plots.text import CONSTANT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_KINDS = 16  # in a legend
LONGEST = 34  # characters of a name
WIDEST = 8.4  # inches: what is wider is shrunk where it is shown, and its words with it
GREYER = "#555555"
PALE = "#c4c4c4"
NEXT = "\n "  # a line that stays empty
STEPS = (1, 2, 5, 10)  # between ticks


def short(name: str, most: int = LONGEST) -> str:
    """A name with its middle left out where it is longer than ``most`` characters."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - 1 - most // 2) :]}"


def fold(words: str, most: int) -> str:
    """Words in as few lines of at most ``most`` characters as they need, about equally long: none ends in an orphan.

    A number, and a list in brackets, stay with the word before.
    """
    bound = re.sub(r" ?\[[^]]*\]| (?=[\d.])", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), words)
    parts = [part for word in bound.split(" ") for part in textwrap.wrap(word, most)]
    best: dict[int, tuple[int, int, tuple[str, ...]]] = {len(parts): (0, 0, ())}
    for start in reversed(range(len(parts))):  # from a part on: the number of lines, their squared lengths, the lines
        lines = (" ".join(parts[start:end]) for end in range(start + 1, len(parts) + 1))
        ways = [(line, best[start + 1 + i]) for i, line in enumerate(takewhile(lambda line: len(line) <= most, lines))]
        best[start] = min((1 + n, len(line) ** 2 + squares, (line, *rest)) for line, (n, squares, rest) in ways)
    return "\n".join(best[0][2])


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
    """The metric and its better end, in lines of ``room`` characters, the unit on one of its own if it is not whole."""
    end = better(axis.sign)
    if len(f"{axis.words} {end}") <= room:
        return f"{axis.words} {end}".rstrip()
    name, unit = axis.words.partition(" (")[::2]
    if unit:
        return f"{fold(name, room)}\n{fold(f'({unit} {end}'.rstrip(), room)}"
    ways = (f"{fold(name, room)}\n{end}".rstrip(), fold(f"{name} {end}".rstrip(), room))
    return min(ways, key=lambda way: way.count("\n"))


def read_title(options: DictConfig) -> str | None:
    """The title as typed."""
    return None if options.title is None else str(options.title)


def title(shown: Chart, given: str | None, words: str) -> str:
    """The title as given, or the data set and what is shown."""
    return given or f"{shown.runs['dataset'].iloc[0]}: {words}"


def head(figure: "Figure", text: str, below: str) -> None:
    """Title and subtitle over all axes, from the left edge of the figure, which grows by the lines beyond two."""
    from matplotlib.text import Annotation

    wide, left = figure.get_figwidth(), 0.06
    title, lines = fold(text, round(8.2 * wide)), fold(below, round(12 * wide))
    figure.set_figheight(figure.get_figheight() + 0.2 * max(title.count("\n") - 1, 0))
    room = NEXT * math.ceil(0.8 * (lines.count("\n") + 1))  # the layout leaves room for a title, not for what is below
    above = figure.suptitle(title + room, x=left / wide, ha="left", fontsize=12, fontweight="bold")
    place: dict[str, Any] = {"xycoords": above, "xytext": (0, 3), "textcoords": "offset points", "va": "bottom"}
    figure.add_artist(Annotation(lines, (0, 0), **place, color=GREYER, fontsize=9.5))


def corner(axes: "Axes", signs: Sequence[int], marks: NDArray[np.float64]) -> None:
    """An arrow to the corner where the better models are, unless a mark (n, 2) stands there."""
    from matplotlib.patheffects import withStroke

    shares = (marks - [axes.get_xlim()[0], axes.get_ylim()[0]]) / [np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())]
    if (np.abs(shares - [sign > 0 for sign in signs]) < (0.15, 0.13)).all(1).any():
        return
    right, up = (0.985 if sign > 0 else 0.015 for sign in signs)
    inside = (-34 * signs[0], -20 * signs[1])
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.annotate(
        "better", (right, up), inside, xycoords="axes fraction", textcoords="offset points", color=GREY, size=9,
        ha="center", va="center", path_effects=halo, zorder=6,
        arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1, "shrinkB": 0},
    )  # fmt: skip


def room(limits: tuple[float, float], axis: Axis, include: float = math.nan) -> tuple[float, float]:
    """Limits with room around them within the range of the axis, more of it towards the better end."""
    every = np.clip([*limits, include], *axis.ends)  # of bars that reach beyond the range, the part within it
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    span = (high - low) or 0.1 * abs(high) or 1.0
    worse, better = 0.07 * span, 0.22 * span
    return within((low - worse, high + better) if axis.sign > 0 else (low - better, high + worse), axis, (low, high))


def within(limits: tuple[float, float], axis: Axis, values: tuple[float, float]) -> tuple[float, float]:
    """Limits cut at the range of an axis, or at 0 where no value is below that; the values stay in sight."""
    low, high = values
    least, most = max(axis.ends[0], 0.0 if low >= 0 else -math.inf), axis.ends[1]
    return max(limits[0], min(least, low)), min(limits[1], max(most, high))


def characters(inches: float, size: float) -> int:
    """Returns how many characters of a size in points a width holds, about."""
    return int(126 * inches / size)


def round_ticks(*every: Any, most: int | Literal["auto"] = "auto") -> None:
    """Ticks at multiples of 1, 2 or 5 of a power of ten on x or y axes, into at most so many parts."""
    from matplotlib.ticker import MaxNLocator

    for along in every:
        along.set_major_locator(MaxNLocator(most, steps=STEPS))


def round_numbers(low: float, high: float, *, most: int) -> NDArray[np.float64]:
    """Returns such ticks from below one number to above another; the number itself where both are equal."""
    from matplotlib.ticker import MaxNLocator

    if low == high:
        return np.array([low])
    found = MaxNLocator(most, steps=STEPS, min_n_ticks=2).tick_values(low, high)
    return np.asarray(found, dtype=float).round(12) + 0.0  # no -0


# --- rows ------------------------------------------------------------------------------------------------------

ROW = 46  # characters of the name of a row


def name_rows(shown: Chart, rows: Sequence[int], *, between: str) -> list[str]:
    """Returns the kind of some settings and what else differs, ``between`` them a line break where rows are high."""
    found = shown.groups.iloc[list(rows)]
    pairs = zip(found["kind"], found["label"], strict=True)
    names = [kind if label == kind else f"{kind}{between}{label}" for kind, label in pairs]
    return ["\n".join(short(line, ROW) for line in name.split("\n")) for name in names]


def row_width(names: Sequence[str]) -> float:
    """The width that names take to the left of an axis, in inches."""
    return 0.076 * max(len(line) for name in names for line in name.split("\n"))


def draw_rows(axes: "Axes", names: Sequence[str], faint: Sequence[bool]) -> None:
    """A name for each row of the axes, the first one at the top, some in grey."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    for label, pale in zip(axes.get_yticklabels(), faint, strict=True):
        label.set_color(GREY if pale else INK)


def by_rank(shown: Chart, worth: NDArray[np.float64], most: int) -> list[int]:
    """The settings by falling worth (settings,), at most so many; nearly constant predictions come last."""
    return [int(i) for i in np.lexsort((-worth, shown.constant))[:most]]


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

    ring: dict[str, Any] = {"marker": "o", "color": PALE, "markeredgecolor": INK, "markersize": 8}
    return Line2D([], [], linestyle="", **ring, markeredgewidth=1.3, label="efficient")


def constant_signs(shown: Chart, **changes: Any) -> list[Any]:
    """The hollow marks of nearly constant predictions, where there are any."""
    hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": GREY, "markeredgewidth": 1.6, **changes}
    return [swatch(CONSTANT, (GREY, "o"), **hollow)] if shown.constant.any() else []


def bar_sign(words: str) -> Any:
    """The error bars."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=GREY, linewidth=1.1, label=words)


def legend(figure: "Figure", *parts: Sequence[Any]) -> None:
    """Draws each part in rows of its own below the axes, for which the figure grows beyond two rows."""
    columns, handles = arrange_entries(figure.get_figwidth(), *parts)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.6, handletextpad=0.5)
    lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles[: len(handles) // columns])
    figure.set_figheight(figure.get_figheight() + 0.2 * max(lines - 2, 0))


def arrange_entries(width: float, *parts: Sequence[Any]) -> tuple[int, list[Any]]:
    """Returns the number of columns that fit in a width in inches, and the entries in the order that fills them."""
    widest = max(min(len(str(handle.get_label())), LONGEST) for part in parts for handle in part)
    columns = max(1, min(4, int(width * 14 / (widest + 5))))
    entries = [entry for part in parts if part for entry in [*part, *(blank() for _ in range(-len(part) % columns))]]
    for row in (entries[start : start + columns] for start in range(0, len(entries), columns)):
        lines = max(str(entry.get_label()).count("\n") for entry in row)
        for entry in row:  # as high as its neighbours, which keeps rows level
            entry.set_label(f"{entry.get_label()}{NEXT * (lines - str(entry.get_label()).count(NEXT[0]))}")
    return columns, [handle for start in range(columns) for handle in entries[start::columns]]
