"""Rates of each group: a panel for each rate, bars of the groups for each setting."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from evals.plots import chart as charts
from evals.plots import frame, spread, text
from evals.plots.axis import Side, parse_sides
from evals.plots.chart import Chart
from evals.plots.picture import Picture
from evals.plots.style import COLOURS, GREY, HATCHES, INK, STYLE
from evals.records import query
from utils.metrics.directions import bounds, describe
from utils.system.console import count
from utils.words.near import near

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATES = ("accuracy", "fnr", "fpr", "acceptance_rate")
OF_GROUP = re.compile(r"(?P<rate>\w+)_group(?P<group>\d+)")
MOST = 12  # settings shown
FAINT = 0.35  # opacity of what is nearly constant


def groups(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The plot of the rates of each group and what it says. Raises ValueError for a rate that no run has."""
    table = query.frame(records)
    found = rates([m for m in query.metrics(table) if table[m].notna().any()])
    if not found:
        raise ValueError(
            "these runs have no rates of groups (accuracy_group0, fnr_group0, ...); the data name no groups"
        )
    wanted = [side.key for side in parse_sides(options.metrics)] or [rate for rate in RATES if rate in found]
    for rate in wanted:
        if rate not in found:
            raise ValueError(f"metrics={rate} is no rate of a group{near(rate, found)} There is {', '.join(found)}")
    keys = [f"{rate}_group{i}" for rate in wanted for i in found[rate]]
    shown = charts.chart(records, options, [Side(key) for key in keys], oriented=False)
    most = max((found[rate] for rate in wanted), key=len)
    names = query.group_names(records)
    words = {i: names[i] if i < len(names) else f"group {i}" for i in most}
    rows = _select_shown(shown, {rate: found[rate] for rate in wanted})
    drawn = draw(shown, rows, wanted, words, frame.read_title(options), str(options.bars))
    settings = text.table(shown.groups.iloc[rows], keys, heading="model")
    said = f"{text.describe_missing(shown)}{settings}{extent(shown, rows)}\n{text.describe_constant(shown)}"
    return Picture(drawn, said)


def rates(keys: Sequence[str]) -> dict[str, list[int]]:
    """The rates that groups have, and the numbers of their groups."""
    found: dict[str, list[int]] = {}
    for key in keys:
        if match := OF_GROUP.fullmatch(key):
            found.setdefault(match["rate"], []).append(int(match["group"]))
    return {rate: sorted(numbers) for rate, numbers in found.items() if not rate.startswith("support")}


def _select_shown(shown: Chart, found: Mapping[str, Sequence[int]]) -> list[int]:
    """The settings that are drawn, those first whose groups differ least, summed over the rates; MOST of them."""
    gaps = [np.ptp(shown.groups[[f"{rate}_group{i}" for i in numbers]], axis=1) for rate, numbers in found.items()]
    return frame.by_rank(shown, -np.nansum(gaps, axis=0), MOST)


def extent(shown: Chart, rows: Sequence[int]) -> str:
    """Describes the number of runs and settings, and how many of these are drawn."""
    settings = count(len(shown.groups), "setting")
    drawn = settings if len(rows) == len(shown.groups) else f"{len(rows)} of {settings}, those of the smallest gaps"
    return f"{count(len(shown.runs), 'run')}, {drawn}"


def draw(
    shown: Chart, rows: Sequence[int], wanted: Sequence[str], names: dict[int, str], title: str | None, bars: str
) -> "Figure":
    """The figure: a row for each setting, in it a bar for each group."""
    import matplotlib as mpl

    labels = frame.name_rows(shown, rows, between="\n")
    height = 1.5 + len(rows) * max(0.16 * len(names) + 0.12, 0.38)
    left = 0.9 + frame.row_width(labels)
    wide = min(left + 1.75 * len(wanted), frame.WIDEST)
    with mpl.rc_context(STYLE):
        figure = frame.figure(wide, max(height, 2.6))
        panels = figure.subplots(1, len(wanted), sharey=True, squeeze=False)[0]
        for panel, rate in zip(panels, wanted, strict=True):
            _bars(panel, shown, rows, rate, names)
            panel.set_xlabel(frame.fold(describe(rate), frame.characters((wide - left) / len(wanted), 10.5)))
        frame.draw_rows(panels[0], labels, list(shown.constant[rows]))
        frame.head(figure, frame.title(shown, title, "rates of each group"), extent(shown, rows))
        frame.legend(figure, _swatches(names), _signs(shown, rows, bars))
    return figure


def _bars(panel: "Axes", shown: Chart, rows: Sequence[int], rate: str, names: dict[int, str]) -> None:
    thick, most = 0.8 / len(names), 0.0
    for place, group in enumerate(names):
        key = f"{rate}_group{group}"
        if key not in shown.keys:
            continue
        column = shown.keys.index(key)
        means, ends = shown.values[rows, column], shown.bars[rows, column]
        at = np.arange(len(rows)) + (place - (len(names) - 1) / 2) * thick
        for own, opacity in ((~shown.constant[rows], 1), (shown.constant[rows], FAINT)):
            panel.barh(at[own], means[own], thick * 0.92, **_fill(place), alpha=opacity, zorder=2)
        most = max(most, *np.nan_to_num(ends[:, 1]))
        gaps = np.abs(ends - means[:, None]).T
        if np.nansum(gaps) > 0:
            panel.errorbar(means, at, xerr=gaps, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.5, zorder=3)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    ticks = frame.round_numbers(0, most or 1, most=3)
    ticks = ticks[ticks <= bounds(rate)[1]]
    panel.set_xticks(ticks)
    panel.set_xlim(0, ticks[-1])


def _fill(place: int) -> dict[str, Any]:
    """The look of a group's bars: without colours hatches tell them apart."""
    return {
        "facecolor": COLOURS[place % len(COLOURS)],
        "hatch": HATCHES[place % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0,
    }


def _swatches(names: dict[int, str]) -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(**_fill(i), label=frame.short(name)) for i, name in enumerate(names.values())]


def _signs(shown: Chart, rows: Sequence[int], bars: str) -> list[Any]:
    from matplotlib.patches import Patch

    signs = [frame.bar_sign(spread.WORDS[bars])] if (shown.bars[..., 1] > shown.bars[..., 0]).any() else []
    pale = [Patch(color=GREY, alpha=FAINT, label=text.CONSTANT)] if shown.constant[rows].any() else []
    return [*signs, *pale]
