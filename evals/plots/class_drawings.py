"""The figures of ``evals.pictures``: from numbers to matplotlib."""

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.plots.frame import fold
from evals.plots.style import GREY, HATCHES, INK, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# what is 4.6 inches wide shrinks to a column of 3.4, where 9 points are 6.7
SMALL: Any = STYLE | {
    **{"font.size": 9, "axes.labelsize": 9.5, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5},
    **{"legend.fontsize": 8.5, "axes.titlesize": 9.5},
}
BARE: Any = SMALL | {"axes.grid": False, "axes.spines.top": True, "axes.spines.right": True}
DPI = 300
COLUMN, PAGE = 4.6, 7.2  # widths in inches
NARROW = 0.6  # share of its room that a bar under attack takes
UNJUDGED: Any = {"linestyle": "", "marker": "x", "markersize": 4, "markeredgewidth": 1.1, "zorder": 4}
PALE = 0.27  # share of its colour in what is clean, beside what is attacked
NUMBERED, NAMED = 12, 40  # classes up to which a confusion matrix shows numbers, and names


@dataclass(frozen=True)
class Kind:
    """A setting with its runs, or one record, drawn in a colour of its own."""

    name: str
    colour: str
    marker: str
    runs: pd.DataFrame  # one row a run, metrics as columns

    def mean(self, key: str) -> float:
        """Mean of a metric over the runs that have it, nan where none has."""
        return float(self.runs[key].mean()) if key in self.runs.columns else math.nan

    def sd(self, key: str) -> float:
        """Standard deviation over the runs (n - 1), nan for fewer than two."""
        return float(self.runs[key].std()) if key in self.runs.columns else math.nan

    def ends(self, key: str) -> tuple[float, float]:
        """Ends of a whisker: mean -+ standard deviation, of one run the interval over its test rows; nan for none."""
        if len(self.runs) > 1:
            return self.mean(key) - self.sd(key), self.mean(key) + self.sd(key)
        return self.mean(f"{key}_low"), self.mean(f"{key}_high")

    @property
    def has_interval(self) -> bool:
        """Returns whether this is one run that holds intervals over test rows."""
        return len(self.runs) == 1 and "accuracy_class_0_low" in self.runs.columns

    def curve(self, keys: Mapping[float, str]) -> tuple[NDArray[np.float64], ...]:
        """Radius, mean and standard deviation (0 for one run) of the metrics that there are, by radius."""
        points = [(r, self.mean(key), self.sd(key)) for r, key in sorted(keys.items())]
        x, y, sd = np.array([p for p in points if not math.isnan(p[1])]).reshape(-1, 3).T
        return x, y, np.nan_to_num(sd)


@dataclass(frozen=True)
class Confusion:
    """One confusion matrix: rows are true classes, columns labels."""

    heading: str
    counts: NDArray[np.int64]  # (k, k)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Shares of the rows of each class, (k, k); nan where a class has none."""
        total = self.counts.sum(1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)

    @property
    def accuracy(self) -> float:
        """Share of rows with the right label."""
        return float(np.trace(self.counts) / self.counts.sum())


@dataclass(frozen=True)
class Gallery:
    """Images that fool a model."""

    x: NDArray[np.float64]  # (m, c, h, w) in [0, 1]
    moved: NDArray[np.float64]  # (m, c, h, w), attacked
    labels: Sequence[tuple[str, str]]  # true class, label of the attacked image


# --- accuracy of each class ------------------------------------------------------------------------------------


def classes(kinds: Sequence[Kind], names: Mapping[int, str], *, radius: str, words: str, title: str) -> "Figure":
    """Bars of each class: robust accuracy in full colour within clean, wider and pale; the lowest of a kind marked.

    ``names`` are those of the classes to show, by index, in their order; ``radius`` is written as the metrics have it,
    ``words`` is the same for a reader. Bars are means over the runs of a kind, whiskers one standard deviation, of a
    single run the interval over test rows; a class of which no row was attacked has a cross.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    bar, unjudged = 0.84 / len(kinds), False
    width = float(np.clip(0.9 + len(names) * (0.13 * len(kinds) + 0.12), COLUMN, PAGE))
    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(width, 2.6), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        for j, kind in enumerate(kinds):
            at = np.arange(len(names)) + (j - (len(kinds) - 1) / 2) * bar
            hatch = HATCHES[j % len(HATCHES)]
            clean = _bars(axes, kind, at, [f"accuracy_class_{i}" for i in names], bar, PALE, hatch)
            robust = _bars(axes, kind, at, [f"robust_accuracy_class_{i}_{radius}" for i in names], bar, 1, hatch)
            _mark_lowest(axes, kind, at, clean, robust)
            none = np.isnan(robust[0]) & ~np.isnan(clean[0])
            axes.plot(at[none], np.full(none.sum(), 0.03), color=kind.colour, **UNJUDGED)
            unjudged |= bool(none.any())
        axes.set_xticks(range(len(names)), list(names.values()), **_rotate_names(names.values()))
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(0, 1.1)  # room for the marks of the worst classes
        axes.spines.left.set_bounds(0, 1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_ylabel("accuracy")
        _head(figure, title)
        _legend(figure, _swatches(kinds), _bar_signs(words, kinds, unjudged=unjudged))
    return figure


def _bars(
    axes: "Axes", kind: Kind, at: Any, keys: Sequence[str], width: float, share: float, hatch: str
) -> NDArray[np.float64]:
    """Bars of one kind in a share of its colour, with their whiskers; means and how far these reach up, (2, k).

    Those under attack are narrower: a clean one that is lower than they are shows beside them.
    """
    means = np.array([kind.mean(key) for key in keys])
    down, up = (np.abs(end - means) for end in np.array([kind.ends(key) for key in keys]).T)
    look: dict[str, Any] = {"color": _tint(kind.colour, share), "hatch": hatch, "edgecolor": "white", "linewidth": 0}
    axes.bar(at, means, width * (0.92 if share < 1 else NARROW), **look, zorder=2)
    if not np.isnan(up).all():
        aside = (share - 0.5) * 0.3 * width  # whiskers of clean and attacked beside each other
        colour = _tint(INK, 0.4 + 0.6 * share)
        axes.errorbar(at + aside, means, yerr=np.stack([down, up]), fmt="none", ecolor=colour, elinewidth=0.8, zorder=3)
    return np.stack([means, np.nan_to_num(up)])


def _tint(colour: str, share: float) -> tuple[float, float, float]:
    """A colour mixed with white: unlike a transparent one it hides the grid."""
    from matplotlib.colors import to_rgb

    r, g, b = (1 - share * (1 - part) for part in to_rgb(colour))
    return r, g, b


def _mark_lowest(axes: "Axes", kind: Kind, at: Any, clean: NDArray[np.float64], robust: NDArray[np.float64]) -> None:
    """A triangle over the class of the lowest mean under attack, an open one over that of the lowest clean mean."""
    tops = np.fmax(clean.sum(0), robust.sum(0))
    taken: set[int] = set()
    for (means, _), face in ((robust, kind.colour), (clean, "white")):
        if np.isnan(means).all():
            continue
        worst = int(np.nanargmin(means))
        raised = axes.transData + _points_up(axes, 12.0 if worst in taken else 5.0)
        taken.add(worst)
        axes.plot(
            at[worst], tops[worst], marker="v", markersize=5, color=face, markeredgecolor=kind.colour,
            markeredgewidth=0.9, linestyle="", transform=raised, clip_on=False, zorder=5,
        )  # fmt: skip


def _points_up(axes: "Axes", points: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    figure: Any = axes.figure
    return ScaledTranslation(0, points / 72, figure.dpi_scale_trans)


def _rotate_names(names: Any) -> dict[str, Any]:
    """Returns the rotation of names below an axis: none while they are short."""
    if max(map(len, names)) <= 2:
        return {}
    return {"rotation": 38, "ha": "right", "rotation_mode": "anchor"}


def _swatches(kinds: Sequence[Kind]) -> list[Any]:
    from matplotlib.patches import Patch

    pairs = zip(kinds, itertools.cycle(HATCHES), strict=False)
    look: dict[str, Any] = {"edgecolor": "white", "linewidth": 0}
    return [Patch(facecolor=kind.colour, hatch=hatch, **look, label=kind.name) for kind, hatch in pairs]


def _bar_signs(words: str, kinds: Sequence[Kind], *, unjudged: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shapes: dict[str, Any] = {"linestyle": "", "marker": "v", "markersize": 5, "markeredgecolor": GREY}
    several = any(len(kind.runs) > 1 for kind in kinds)
    lowest = "lowest mean" if several else "worst class"
    signs: list[Any] = [
        Patch(facecolor=_tint(GREY, PALE), label="clean"),
        Patch(facecolor=GREY, label=f"under attack, {words}"),
        Line2D([], [], color="white", label=f"{lowest}, clean", **shapes),
        Line2D([], [], color=GREY, label=f"{lowest}, under attack", **shapes),
    ]
    signs += [Line2D([], [], color=GREY, label="no row attacked", **UNJUDGED)] if unjudged else []
    whiskers = {"mean ± sd": several, "one run: interval over test rows": any(kind.has_interval for kind in kinds)}
    return [*signs, *(Line2D([], [], color=INK, linewidth=0.8, label=of) for of, there in whiskers.items() if there)]


def _head(figure: "Figure", title: str) -> None:
    """The title, in as many lines as it needs."""
    lines = fold(title, round(9.5 * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def _legend(figure: "Figure", kinds: Sequence[Any], signs: Sequence[Any]) -> None:
    """The kinds, then in rows of their own what the signs mean, below the axes, for which the figure grows."""
    columns = 2 if figure.get_figwidth() < 6 else 3
    rows = [entry for part in (kinds, signs) for entry in [*part, *_blanks(-len(part) % columns)]]
    by_column = [handle for start in range(columns) for handle in rows[start::columns]]  # as a legend fills
    figure.legend(handles=by_column, loc="outside lower center", ncols=columns, handletextpad=0.6, columnspacing=1.6)
    figure.set_figheight(figure.get_figheight() + 0.19 * len(rows) / columns)


def _blanks(count: int) -> list[Any]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], linestyle="", label=" ")] * count


# --- accuracy by radius ----------------------------------------------------------------------------------------


def curve(
    kinds: Sequence[Kind],
    keys: Mapping[str, Mapping[float, str]],
    *,
    ticks: Mapping[float, str],
    axis: str,
    names: Mapping[str, str],
    title: str,
) -> "Figure":
    """Accuracy by radius: a line with its band for each kind, marks where all attacks ran, the worst class dashed.

    ``keys`` are the metrics by radius under ``line``, ``marks`` and ``worst``, ``names`` the same for a reader.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SMALL):
        figure = Figure(figsize=(COLUMN, 2.7), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        drawn = {part for kind in kinds for part in keys if _curve(axes, kind, part, keys[part])}
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlim(0, 1.03 * max(ticks))
        axes.set_ylim(0, 1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel(axis)
        axes.set_ylabel("accuracy")
        _head(figure, title)
        several = any(len(kind.runs) > 1 for kind in kinds)
        _legend(figure, _lines(kinds), _line_signs({k: v for k, v in names.items() if k in drawn}, several))
    return figure


def _curve(axes: "Axes", kind: Kind, part: str, keys: Mapping[float, str]) -> bool:
    """One part of a kind's curve; whether there was anything to draw."""
    x, y, sd = kind.curve(keys)
    if not len(x):
        return False
    look: dict[str, dict[str, Any]] = {
        "line": {"linewidth": 1.6, "marker": kind.marker, "markersize": 4, "zorder": 3},
        "marks": {"linestyle": "", "marker": kind.marker, "markersize": 7.5, "zorder": 5},
        "worst": {"linewidth": 1.3, "linestyle": (0, (4, 2)), "marker": kind.marker, "markersize": 3.5, "zorder": 4},
    }
    hollow: dict[str, Any] = (
        {"markerfacecolor": "none", "markeredgewidth": 1.4} if part == "marks" else {}
    )  # one may hide another
    axes.plot(x, y, color=kind.colour, clip_on=False, **look[part], **hollow)
    if part == "marks":
        axes.errorbar(x, y, yerr=sd, fmt="none", ecolor=kind.colour, elinewidth=1, zorder=4)
    elif sd.any():
        axes.fill_between(x, y - sd, y + sd, color=kind.colour, alpha=0.15, linewidth=0, zorder=1.5)
    return True


def _lines(kinds: Sequence[Kind]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=k.colour, linewidth=1.6, marker=k.marker, markersize=5, label=k.name) for k in kinds]


def _line_signs(names: Mapping[str, str], several: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    look: dict[str, dict[str, Any]] = {
        "line": {"linewidth": 1.6, "marker": ".", "markersize": 4},
        "marks": {"linestyle": "", "marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.4},
        "worst": {"linewidth": 1.3, "linestyle": (0, (4, 2))},
    }
    signs: list[Any] = [Line2D([], [], color=GREY, label=words, **look[part]) for part, words in names.items()]
    return [*signs, Patch(color=GREY, alpha=0.25, linewidth=0, label="mean ± sd")] if several else signs


# --- confusions ------------------------------------------------------------------------------------------------


def confusion(panels: Sequence[Confusion], names: Sequence[str], *, title: str) -> "Figure":
    """Confusion matrices side by side, in shares of the rows of each true class."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(BARE):
        figure = Figure(figsize=(PAGE, 4.1), dpi=DPI, layout="constrained")
        every = figure.subplots(1, len(panels), sharey=True)
        for axes, panel in zip(every, panels, strict=True):
            image = axes.imshow(100 * panel.shares, cmap="Blues", vmin=0, vmax=100)
            axes.set_title(f"{panel.heading}\naccuracy {panel.accuracy:.3f}, {panel.counts.sum():,} rows", fontsize=9.5)
            axes.set_xlabel("predicted class")
            _name_cells(axes, panel, names)
        every[0].set_ylabel("true class")
        bar = figure.colorbar(image, ax=every, shrink=0.8, pad=0.01, aspect=30)
        bar.set_label("% of the true class")
        bar.outline.set_visible(False)
        _head(figure, title)
    return figure


def _name_cells(axes: "Axes", panel: Confusion, names: Sequence[str]) -> None:
    """Names of the classes, and in few classes percents of at least 1."""
    every = range(0, len(names), 1 if len(names) <= NAMED else 10)
    labels = [names[i] if len(names) <= NAMED else str(i) for i in every]
    size: dict[str, Any] = {"fontsize": float(np.clip(100 / len(names), 4.5, 8.5)) if len(names) <= NAMED else 8}
    axes.set_xticks(list(every), labels, **size, **_rotate_names(labels))
    axes.set_yticks(list(every), labels, **size)
    axes.tick_params(length=0)
    axes.spines[:].set_color("#bbbbbb")
    if len(names) > NUMBERED:
        return
    for (i, j), share in np.ndenumerate(panel.shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else INK
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)


# --- images ----------------------------------------------------------------------------------------------------


def examples(gallery: Gallery, *, title: str, below: str) -> "Figure":
    """Images above, the adversarial ones below them, and what was added, magnified about grey."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    added = gallery.moved - gallery.x
    times = 0.5 / max(float(np.abs(added).max()), 1e-12)
    difference = (f"difference\n× {times:.2g}", 0.5 + times * added)
    rows = [("original\n", gallery.x), ("adversarial\n", gallery.moved), difference]
    m = len(gallery.labels)
    with mpl.rc_context(BARE):
        figure = Figure(figsize=(max(COLUMN, 0.6 + 0.86 * m), 3.6), dpi=DPI, layout="constrained")
        every = figure.subplots(3, m, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
        for axes_of_row, (name, images) in zip(every, rows, strict=True):
            for axes, image in zip(axes_of_row, images, strict=True):
                _image(axes, image)
            axes_of_row[0].set_ylabel(name, fontsize=8.5)
        for axes, (true, label) in zip(every[0], gallery.labels, strict=True):
            axes.set_title(f"{true}\n→ {label}", fontsize=8, linespacing=1.25)
        _head(figure, title)
        figure.supxlabel(textwrap.fill(below, round(14 * figure.get_figwidth())), x=0.01, ha="left", fontsize=8.5)
    return figure


def _image(axes: "Axes", image: NDArray[np.float64]) -> None:
    shown = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axes.imshow(shown.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
