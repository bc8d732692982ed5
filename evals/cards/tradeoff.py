"""The trade-off plot with the chosen model marked in it, for its card."""

from typing import Any

from evals.choosing.choice import Choice
from evals.plots.axis import sides
from evals.plots.chart import chart
from evals.plots.frame import swatch
from evals.plots.frontier import draw, style
from evals.plots.kinds import OPTIONS
from evals.plots.style import GREY
from evals.records import query
from utils.runs.causal_figures import compares

AXES = ("fnr_gap", "uai_0.05", "demographic_parity_difference", "accuracy_gap", "worst_class_accuracy", "accuracy")
MARK = "#B3001B"
RING: dict[str, Any] = {"markersize": 15, "markerfacecolor": "none", "markeredgecolor": MARK, "markeredgewidth": 1.8}


def axes_of(found: Choice) -> tuple[str, str] | None:
    """The objective, and the metric of the first constraint on another, or one that all candidates have."""
    others = [key for key in found.question.keys if key != found.question.objective]
    members = [i for places in found.pool.table["members"] for i in places]
    common = set.intersection(
        *({k for k, v in found.pool.records[i]["metrics"].items() if v is not None} for i in members)
    )
    records = [found.pool.records[i] for i in members]
    others += [key for key in AXES if key in common and key != found.question.objective and compares(records, key)]
    return (found.question.objective, others[0]) if others else None


def tradeoff(found: Choice, dataset: str, x: str, y: str) -> Any:
    """Draws two metrics of all candidates, the constraints as lines and the chosen one marked; returns the Figure."""
    table, question = found.pool.table, found.question
    records = [found.pool.records[i] for places in table["members"] for i in places]
    ends = [c.side for c in question.constraints if c.key == y and c.side]
    words = [f"dataset={dataset}", f"x={x}", f"y={y}", f"x_better={'higher' if question.higher else 'lower'}"]
    words += [f"y_better={'lower' if ends[0] > 0 else 'higher'}"] if ends else []
    options = query.options(words, OPTIONS)
    ring = swatch("chosen", (MARK, "o"), **RING)  # beside the mark there may be no room for a word
    figure = draw(chart(records, options, sides(options, "x", "y")), style(options), more=[ring])
    axes = figure.axes[0]
    for key, line, span in ((x, axes.axvline, axes.get_xlim()), (y, axes.axhline, axes.get_ylim())):
        for c in question.constraints:
            if c.key == key and span[0] <= c.bound <= span[1]:
                line(c.bound, color=GREY, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    place = _place(found, x, y)
    axes.plot(place[:1], place[1:], marker="o", zorder=8, **RING)
    return figure


def _place(found: Choice, x: str, y: str) -> tuple[float, float]:
    """Returns the coordinates of the chosen candidate: the mean over its runs."""
    members = found.pool.table["members"].iloc[found.ranked[0]]
    means = query.frame([found.pool.records[i] for i in members])[[x, y]].mean()
    return float(means[x]), float(means[y])
