"""Frontiers on which a policy chooses: what a limit permits, or what weighs two metrics up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from evals.choosing.constraint import Constraint, of_test_rows
from evals.plots import chart as charts
from evals.plots import frontier, text
from evals.plots.axis import sides
from evals.plots.chart import Chart
from evals.plots.frontier import Policy
from evals.plots.picture import Picture
from evals.records import query
from utils.system.console import count
from utils.words.near import near
from utils.words.numbers import read_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXCLUDED = "#9c3b2e"
LOWER, UPPER = (">=", ">"), ("<=", "<")
OPPOSITE = {"<=": ">", "<": "≥", ">=": "<", ">": "≤"}


# --- by threshold ----------------------------------------------------------------------------------------------


def exclude(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """Hatches what a limit on one axis excludes; the best of the other axis among the rest is chosen."""
    limit = parse_limit(options.limit)
    shown = charts.chart(records, options, sides(options, "x", "y"))
    policy = apply_limit(shown, limit)
    return _picture(shown, policy, options)


def parse_limit(given: Any) -> Constraint:
    """Parses the limit as typed. Raises ValueError where it is not one, or not on test rows."""
    if given is None:
        raise ValueError("kind=excluded needs limit=..., such as limit='fnr_gap<=0.15'")
    match = query.COMPARISON.fullmatch(str(given).replace(" ", ""))
    if match is None or match[2] not in (*LOWER, *UPPER):
        raise ValueError(f"limit={given!r} is no limit; write one comparison such as limit='fnr_gap<=0.15'")
    try:
        bound = read_number(match[3])
    except ValueError as error:
        raise ValueError(f"limit={given!r} compares with {match[3]!r}, which is no number") from error
    return Constraint(f"{match[1]}{match[2]}{bound:g}", of_test_rows(match[1]), match[2], bound)


def apply_limit(shown: Chart, limit: Constraint) -> Policy:
    """The policy of a limit.

    Raises:
        ValueError: a limit on what is no axis, on the better side of one, or that no setting meets.
    """
    if limit.key not in shown.keys:
        raise ValueError(
            f"limit={limit.text} is on neither axis{near(limit.key, shown.keys)} Axes: {', '.join(shown.keys)}"
        )
    i = shown.keys.index(limit.key)
    sign = shown.signs[i]
    if (limit.sign in LOWER) != (sign > 0):
        word, sense = ("higher", ">=") if sign > 0 else ("lower", "<=")
        raise ValueError(f"limit={limit.text} excludes the better end: {word} is better in {limit.key}; write {sense}")
    values = shown.values
    meets = limit.met(shown.groups, sure=False)
    if not meets.any():
        best = int(np.argmax(sign * values[:, i]))
        raise ValueError(
            f"limit={limit.text} excludes all {count(len(values), 'setting')}; the nearest is "
            f"{shown.groups['label'].iloc[best]} at {values[best, i]:.4g}"
        )
    gains = values * np.array(shown.signs)
    row = max(np.flatnonzero(meets), key=lambda j: (gains[j, 1 - i], gains[j, i]))
    reason = f"best {shown.axes[1 - i].brief} with {limit.text}"
    include = (np.nan, limit.bound) if i else (limit.bound, np.nan)
    return Policy(
        text.Choice(int(row), reason, (limit,)), include, lambda axes: _hatch(axes, limit, upright=i == 0, sign=sign)
    )


def _hatch(axes: "Axes", limit: Constraint, *, upright: bool, sign: int) -> Any:
    """Hatches from the limit to the worse end of its axis; returns the entry of the legend."""
    from matplotlib.patches import Patch

    ends = axes.get_xlim() if upright else axes.get_ylim()
    worst = ends[0] if sign > 0 else ends[1]
    look: dict[str, Any] = {
        "hatch": "///",
        "facecolor": (0.61, 0.23, 0.18, 0.06),
        "edgecolor": (0.61, 0.23, 0.18, 0.45),
    }
    span, line = (axes.axvspan, axes.axvline) if upright else (axes.axhspan, axes.axhline)
    span(limit.bound, worst, linewidth=0, zorder=1, label="_excluded", **look)
    line(limit.bound, color=EXCLUDED, linewidth=1.3, zorder=4.5)
    return Patch(label=f"excluded: {limit.key} {OPPOSITE[limit.sign]} {limit.bound:g}", linewidth=0.6, **look)


# --- by weights ------------------------------------------------------------------------------------------------


def tangent(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """The setting of the best weighted sum of both axes, and the line of all points that are worth the same."""
    weights = parse_weights(options.weights)
    shown = charts.chart(records, options, sides(options, "x", "y"))
    return _picture(shown, best_sum(shown, weights), options)


def parse_weights(given: Any) -> tuple[float, float]:
    """The weights as typed. Raises ValueError where they are not two positive numbers."""
    if given is None:
        raise ValueError("kind=tangent needs weights=..., of x and of y, such as weights=1,0.1")
    words = [word for word in str(given).strip("[]()").split(",") if word.strip()]
    try:
        numbers = [read_number(word) for word in words]
    except ValueError as error:
        raise ValueError(f"weights={given}: expected two numbers such as weights=1,0.1") from error
    if len(numbers) != 2 or not all(np.isfinite(numbers)):
        raise ValueError(f"weights={given}: expected two numbers, of x and of y, such as weights=1,0.1")
    if min(numbers) <= 0:
        raise ValueError(
            f"weights={given}: a weight of 0 or less would ignore a metric or reward harm; take positive ones"
        )
    return numbers[0], numbers[1]


def best_sum(shown: Chart, weights: tuple[float, float]) -> Policy:
    """The policy of two weights: the largest w_x s_x x + w_y s_y y, s the directions (+1 or -1) of the axes."""
    slopes = np.array(weights) * np.array(shown.signs)
    worth = shown.values @ slopes
    gains = shown.values * np.array(shown.signs)
    row = max(range(len(worth)), key=lambda j: (worth[j], gains[j, 0]))
    said = " : ".join(f"{weight:g}" for weight in weights)
    reason = f"best sum of {shown.keys[0]} and {shown.keys[1]}, weights {said}"
    return Policy(text.Choice(row, reason), draw=lambda axes: _line(axes, shown.values[row], slopes, said))


def _line(axes: "Axes", through: Any, slopes: Any, said: str) -> Any:
    """The tangent through a point: dy/dx = -slope_x / slope_y; the entry of the legend."""
    look: dict[str, Any] = {"color": EXCLUDED, "linewidth": 1.4, "zorder": 4.6}
    x, y = through
    return axes.axline((x, y), slope=-slopes[0] / slopes[1], label=f"worth the same, {said}", **look)


def _picture(shown: Chart, policy: Policy, options: DictConfig) -> Picture:
    said = text.summary(shown, frontier.reference(options)) + text.describe_choice(
        shown, policy.choice, str(options.dataset)
    )
    return Picture(frontier.draw(shown, frontier.style(options), policy), f"{said}{_describe_points(shown)}")


def _describe_points(shown: Chart) -> str:
    """States that the operating points of the runs do not compete, where they have some; nothing where they do."""
    held = (shown.records[int(i)].get("operating_points") or {} for i in shown.runs.index)
    there = sum(len(of.get("permitted", ())) for of in held)
    if not there or not shown.models.all():
        return ""
    return f"  {count(there, 'operating point')} left out, which compete in evals.select; points=true takes them in\n"
