"""Accuracy by the radius of the attack: a panel for each attack, a line for each setting."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from evals.plots import axis as axes_
from evals.plots import chart as charts
from evals.plots import frame, labels, spread, text
from evals.plots.axis import Side
from evals.plots.chart import Chart
from evals.plots.frontier import reference
from evals.plots.picture import Picture
from evals.plots.style import COLOURS, GREY, MARKERS, STYLE
from evals.records import query
from evals.records.radius_text import NORMS, in_bytes, radius_words
from utils.words.numbers import SPELLED, read_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTACKED = re.compile(rf"robust_accuracy_(?:(?P<attack>[a-z]\w*?)_)?(?P<radius>{SPELLED})")
OTHER = re.compile(r"(after|worst|class|group\d+)(_|$)")  # what is not the accuracy of all rows under one attack
CHARACTER = 0.085  # inches, about, that a character of a tick takes
MOST_PANELS = 4
CONSTANT: tuple[dict[str, Any], dict[str, Any]] = ({}, {"linestyle": (0, (3, 2)), "markerfacecolor": "white"})
Curve = Mapping[float, str]  # radius -> metric


def robustness(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of accuracy by radius and what it says. Raises ValueError where no run has any robust accuracy."""
    table = query.frame(records)
    found = curves(m for m in query.metrics(table) if table[m].notna().any())
    if not found:
        raise ValueError("these runs have no robust accuracy (robust_accuracy_<radius>, robust_accuracy_linf_<radius>)")
    kept = dict(list(found.items())[:MOST_PANELS])
    keys = list(dict.fromkeys(key for curve in kept.values() for key in curve.values()))
    shown = charts.chart(records, options, [Side(key) for key in keys], oriented=False)
    less = "" if len(kept) == len(found) else f"not drawn: {', '.join(list(found)[MOST_PANELS:])}\n"
    said = less + text.summary(shown, reference(options))
    return Picture(draw(shown, kept, frame.read_title(options), str(options.bars), bytes_=in_bytes(records)), said)


def curves(keys: Iterable[str]) -> dict[str, Curve]:
    """The metrics of each attack by radius, accuracy at 0 where it is known: attack ("" for the headline) -> curve."""
    found: dict[str, dict[float, str]] = {}
    there = sorted(keys)
    for key in there:
        match = ATTACKED.fullmatch(key)
        if match and not OTHER.match(match["attack"] or ""):
            found.setdefault(match["attack"] or "", {})[read_number(match["radius"])] = key
    plain = {0.0: "accuracy"} if "accuracy" in there else {}
    return {attack: dict(sorted((plain | curve).items())) for attack, curve in sorted(found.items())}


def draw(shown: Chart, found: Mapping[str, Curve], title: str | None, bars: str, *, bytes_: bool) -> "Figure":
    """The figure of accuracy by radius."""
    import matplotlib as mpl

    looks = settings_looks(shown)
    crowded = len(looks) > len(COLOURS)
    with mpl.rc_context(STYLE):
        beside = 2.6 if crowded else 1.0  # inches
        wide = min(max(6.4, beside + 2.7 * len(found)), frame.WIDEST)
        figure = frame.figure(wide, 4.6)
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for panel, (attack, curve) in zip(panels, found.items(), strict=True):
            for i, look in enumerate(looks):
                _line(panel, shown, i, curve, look, faint=crowded and not shown.efficient[i])
            _radii(panel, attack, curve, bytes_=bytes_, inches=(wide - beside) / len(found) - 0.3)
        panels[0].set_ylabel("accuracy (higher is better →)")
        _heights(panels[0], shown)
        if crowded:
            _names(panels[-1], shown, list(found.values())[-1])
        frame.head(figure, frame.title(shown, title, "accuracy by radius of the attack"), text.extent(shown))
        sign: dict[str, Any] = {"linestyle": "-", "markersize": 6, "markeredgewidth": 0}
        own = [frame.swatch(name, (colour, marker), **sign) for name, colour, marker in looks]
        entries = frame.kinds(shown, **sign) if crowded else own
        frame.legend(figure, entries, _signs(shown, bars, crowded))
    return figure


def settings_looks(shown: Chart) -> list[tuple[str, str, str]]:
    """Returns name, colour and marker of each setting: its own while there are enough, else that of its kind."""
    kinds = list(shown.groups["kind"])
    if len(kinds) > len(COLOURS):
        return [(kind, *shown.looks[kind]) for kind in kinds]
    names = [text.full_label(row) for row in shown.groups.to_dict("records")]
    if len(set(kinds)) == len(kinds):
        return [(name, *shown.looks[kind]) for name, kind in zip(names, kinds, strict=True)]
    return list(zip(names, COLOURS, MARKERS, strict=False))


def _heights(panel: "Axes", shown: Chart) -> None:
    """The axis of accuracies, which ends where these end."""
    values = (float(np.nanmin(shown.values)), float(np.nanmax(shown.values)))
    panel.set_ylim(frame.within(panel.get_ylim(), shown.axes[0], values))
    frame.round_ticks(panel.yaxis)


def _line(panel: "Axes", shown: Chart, i: int, curve: Curve, kind: tuple[str, str, str], *, faint: bool) -> None:
    """The line of one setting with its bars; a faint one has none."""
    _, colour, marker = kind
    columns = [shown.keys.index(key) for key in curve.values()]
    means, ends = shown.values[i, columns], shown.bars[i, columns]
    known = ~np.isnan(means)
    x, y, (low, high) = np.array(list(curve))[known], means[known], ends[known].T
    look: dict[str, Any] = {"color": colour, "marker": marker, "clip_on": False, **CONSTANT[bool(shown.constant[i])]}
    if faint:
        panel.plot(x, y, linewidth=0.9, markersize=3, alpha=frame.fainter(len(shown.groups)), zorder=2, **look)
        return
    panel.plot(x, y, markersize=5, linewidth=1.5, zorder=3, **look)
    known_bar = high > low  # a bar only where one is known: a band would run to nothing at other radii
    gaps = np.stack([y - low, high - y])[:, known_bar]
    aside = i % len(COLOURS) * 0.006 * max(curve)  # bars of several settings beside each other, none left of 0
    panel.errorbar(
        x[known_bar] + aside, y[known_bar], yerr=gaps, fmt="none", ecolor=colour, elinewidth=1, alpha=0.6, zorder=2.5
    )


def _radii(panel: "Axes", attack: str, curve: Curve, *, bytes_: bool, inches: float) -> None:
    """The axis of radii, which span some inches, each that was judged a tick while there is room."""
    radii = list(curve)
    if len(radii) <= 6 and min(np.diff(radii), default=1) > 0.09 * max(radii):
        texts = [axes_.source(key, ())[0].rpartition("_")[2] if r else "0" for r, key in curve.items()]
        panel.set_xticks(radii, _apart(radii, [radius_words(word, bytes_) for word in texts], inches))
    else:
        frame.round_ticks(panel.xaxis)
    panel.set_xlim(0, 1.04 * max(radii))
    words = NORMS.get(attack, attack.replace("_", " "))
    panel.set_xlabel(f"radius of the attack, {words}" if attack else "radius of the attack")


def _apart(radii: Sequence[float], words: Sequence[str], span: float) -> list[str]:
    """The words of rising radii, none for one that would run into a neighbour; the last stays, then from the left.

    The radii span so many inches.
    """
    inches = np.array(radii) / max(radii) * span
    half = [0.5 * CHARACTER * len(word) + 0.04 for word in words]
    kept = [len(words) - 1]
    for i in range(len(words) - 1):
        if all(abs(inches[i] - inches[j]) > half[i] + half[j] for j in kept):
            kept.append(i)
    return [word if i in kept else "" for i, word in enumerate(words)]


def _names(panel: "Axes", shown: Chart, curve: Curve) -> None:
    """The efficient settings at the right end of the last panel, where colours alone do not tell them apart."""
    radius, key = list(curve.items())[-1]
    rows = shown.groups[shown.efficient].to_dict("records")
    known = [row for row in rows if not np.isnan(row[key])]
    labels.at_the_end(panel, radius, [(text.full_label(row), float(row[key])) for row in known])


def _signs(shown: Chart, bars: str, crowded: bool) -> list[Any]:
    signs = [frame.bar_sign(spread.WORDS[bars])] if (shown.bars[..., 1] > shown.bars[..., 0]).any() else []
    signs += frame.constant_signs(shown, **CONSTANT[True], color=GREY)
    return [*signs, *([frame.blank("faint: dominated")] if crowded else [])]
