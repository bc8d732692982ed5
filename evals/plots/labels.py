"""Names beside marks, where they cover no mark, no other text, no line and no edge, and belong to no other mark.

A name stands where its own mark is the nearest of all; where there is no such place, farther off, with a line to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.plots.frame import short
from evals.plots.style import GREY, INK
from evals.records.points import FITTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
# places of a label about its mark, in points towards the better ends: the empty side of the frontier first
PLACES = ((9, 6), (9, -6), (0, 13), (-9, 6), (0, -13), (14, 0), (-9, -6), (-14, 0))
FAR = tuple((round(r * np.cos(a)), round(r * np.sin(a))) for r in (28, 46, 70) for a in np.linspace(-2.75, 2.75, 15))
CLEAR = 4  # points between a line to a mark and other marks
AT_END, GAP = 12, 0.058  # names beside the ends of lines, and their distance as a share of the axes
MOST = 40  # labels that are tried: more would be a grey carpet


@dataclass(frozen=True)
class Taken:
    """The marks and lines that labels stay clear of, in data coordinates."""

    marks: Floats  # (n, 2)
    line: Floats  # (v, 2), corners of a line of level and upright strokes
    bars: Floats  # (b, 2, 2), ends of strokes that may be crossed, as other lines may, where there is no other place


def settle(figure: "Figure") -> Any:
    """Lets the constrained layout move the axes, then holds them; returns the renderer that measures texts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return canvas.get_renderer()


def annotate(
    figure: "Figure", axes: "Axes", names: Sequence[tuple[str, Floats]], taken: Taken, *, signs: Sequence[int]
) -> None:
    """Writes names (text, place in data) beside their marks, the first ones first; leaves out those without room."""
    renderer, point, to_pixels = settle(figure), figure.dpi / 72, axes.transData.transform
    frame = axes.get_window_extent(renderer)
    marks = to_pixels(taken.marks)
    texts = np.array([text.get_window_extent(renderer).get_points() for text in axes.texts]).reshape(-1, 2, 2)
    blocks = np.concatenate([np.stack([marks - 5 * point, marks + 5 * point], 1), _strokes(to_pixels, taken), texts])
    soft = np.concatenate([to_pixels(taken.bars.reshape(-1, 2)).reshape(-1, 2, 2), _lines(axes, step=6 * point)])
    lines = np.empty((0, 2))  # dots of those to marks
    for name, place in _thin_out(names):
        at = to_pixels(place)
        own = np.hypot(*(marks - at).T) < 1e-6
        options: list[tuple[int, int, Any, Floats]] = []
        for rank, (right, up) in enumerate((*PLACES, *FAR)):
            far = rank >= len(PLACES)
            if options and far:
                break
            text = _write(axes, fold_label(name), place, (right * signs[0], up * signs[1]), line=far)
            box = _box(text, renderer)
            line = _path(at, box, step=2 * point) if far else np.empty((0, 2))
            others = np.concatenate([marks[~own], lines])
            told = _alone(line, others, texts, at, CLEAR * point) if far else _nearest(marks, own, box)
            if told and contains(frame, box) and not overlaps(box, blocks):
                options.append((overlaps(box, soft), rank, text, line))
            text.remove()
        if options:
            _, _, text, line = min(options, key=lambda option: option[:2])
            axes.add_artist(text)
            written = _box(text, renderer).get_points()[None]
            texts, lines = np.concatenate([texts, written]), np.concatenate([lines, line])
            blocks = np.concatenate([blocks, written, np.stack([line, line], 1)])


def fold_label(name: str) -> str:
    """A name in its lines, each with its middle left out where it is long."""
    return "\n".join(map(short, lines_of(name).split("\n")))


def lines_of(name: str) -> str:
    """A name with what it was fitted to in a line of its own."""
    return name.replace(f", {FITTED}", f"\n{FITTED}")


def _box(text: Any, renderer: Any) -> Any:
    """The box of the text of a label alone, without the line to its mark."""
    from matplotlib.text import Text

    text.update_positions(renderer)
    return Text.get_window_extent(text, renderer)


def _nearest(marks: Floats, own: NDArray[np.bool_], box: Any) -> bool:
    """Returns whether no other mark (n, 2) is as near to a text as the one that it names."""
    low, high = box.get_points()
    away = np.hypot(*np.maximum(np.maximum(low - marks, marks - high), 0).T)
    return bool(own.all() or away[own].min() < away[~own].min())


def _path(at: Floats, box: Any, *, step: float) -> Floats:
    """Dots (d, 2) of the line from a mark towards the middle of its text, as far as the edge of that, in pixels."""
    low, high = box.get_points()
    dots = np.linspace(at, (low + high) / 2, 2 + int(np.hypot(*((low + high) / 2 - at)) / step))
    return np.asarray(dots[~((dots >= low) & (dots <= high)).all(1)])


def _alone(line: Floats, others: Floats, texts: Floats, at: Floats, clear: float) -> bool:
    """Returns whether a line (d, 2), away from its own mark, avoids other marks (n, 2) and texts (t, 2, 2)."""
    away = line[np.hypot(*(line - at).T) > clear]
    near = np.hypot(*(others[:, None] - away).transpose(2, 0, 1)) < clear
    through = (texts[:, None, 0] <= away) & (away <= texts[:, None, 1])
    return not near.any() and not through.all(-1).any()


def at_the_end(axes: "Axes", x: float, names: Sequence[tuple[str, float]]) -> None:
    """Names to the right of where lines end at x, (text, height), pushed apart; of many those that need no push."""
    low, high = axes.get_ylim()
    ordered = sorted(names, key=lambda name: -name[1])
    heights = [(height - low) / (high - low) for _, height in ordered]
    if len(ordered) > AT_END:
        kept = _clear(heights)
        ordered, heights = [ordered[i] for i in kept], [heights[i] for i in kept]
    heights = apart(heights, GAP)
    right = axes.transData.inverted().transform(axes.transAxes.transform((1, 0)))[0]
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
    for (name, height), place in zip(ordered, heights, strict=True):
        axes.annotate(
            short(name, 44), (x, height), (right + 0.05 * abs(right), low + place * (high - low)), textcoords="data",
            size=8.5, va="center", color=INK, annotation_clip=False, arrowprops=line,
        )  # fmt: skip


def _clear(heights: Sequence[float]) -> list[int]:
    """Returns the places of the first of falling heights, and of each that is GAP below the last one taken."""
    kept: list[int] = []
    for i, height in enumerate(heights):
        if not kept or heights[kept[-1]] - height >= GAP:
            kept.append(i)
    return kept


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Falling heights, pushed down and then up until they are ``gap`` apart and the lowest is 0 or more."""
    placed: list[float] = []
    for height in heights:
        placed.append(min(height, placed[-1] - gap) if placed else height)
    floor = 0.0
    for i in reversed(range(len(placed))):
        placed[i] = max(placed[i], floor)
        floor = placed[i] + gap
    return placed


def _strokes(to_pixels: Any, taken: Taken) -> Floats:
    """The boxes of the strokes of the line, (v - 1, 2, 2)."""
    corners = to_pixels(taken.line) if len(taken.line) else np.empty((0, 2))
    return np.stack([np.minimum(corners[:-1], corners[1:]), np.maximum(corners[:-1], corners[1:])], 1)


def _lines(axes: "Axes", *, step: float) -> Floats:
    """Boxes about short pieces of all lines of the axes, level or not, in pixels: (pieces, 2, 2)."""
    found = [np.empty((0, 2, 2))]
    for line in axes.lines:
        corners = line.get_transform().transform(line.get_path().vertices)
        for a, b in pairwise(corners):
            dots = np.linspace(a, b, 2 + int(np.hypot(*(b - a)) / step))
            found.append(np.stack([np.minimum(dots[:-1], dots[1:]), np.maximum(dots[:-1], dots[1:])], 1))
    return np.concatenate(found)


def _thin_out(names: Sequence[tuple[str, Floats]]) -> list[tuple[str, Floats]]:
    """Returns at most MOST names, evenly along their order."""
    if len(names) <= MOST:
        return list(names)
    return [names[i] for i in np.linspace(0, len(names) - 1, MOST).astype(int)]


def _write(axes: "Axes", name: str, place: Floats, offset: tuple[float, float], *, line: bool) -> Any:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="white")]
    side = {1: "left", 0: "center", -1: "right"}[int(np.sign(offset[0]))]
    pointing = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3} if line else None
    x, y = place
    return axes.annotate(
        name, (x, y), offset, textcoords="offset points",
        size=9, color=INK, zorder=7, va="center", ha=side, path_effects=halo, linespacing=1.1, arrowprops=pointing,
    )  # fmt: skip


def overlaps(box: Any, boxes: Floats) -> int:
    """Counts the boxes (n, 2, 2), lower left and upper right, that a box overlaps."""
    low, high = box.get_points()
    return int(((boxes[:, 0] < high) & (boxes[:, 1] > low)).all(-1).sum())


def contains(frame: Any, box: Any) -> bool:
    """Returns whether a box lies in a frame."""
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
