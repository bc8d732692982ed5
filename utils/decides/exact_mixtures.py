"""The exact trade-off of accuracy and equal rates where chance may decide between a group's thresholds.

Mixtures of a group's thresholds attain the shares of accepted rows (x of class 0, y of class 1) below its ROC curve's
upper hull, down to the diagonal, on which chance alone decides. In these shares errors and rates are linear, so that
the best mixtures for a permitted gap solve a linear programme (Hardt, Price and Srebro 2016, arXiv 1610.02413, sections
3.2 and 4.2); with a gap of 0 in fnr and fpr it is their derived predictor for equalised odds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from utils.decides.exact_thresholds import CLASSES, Curve, Floats

FEASIBLE = 1e-10
NONE = 1e-9  # shares up to here are rounding


class Hull(NamedTuple):
    """The corners of a group's upper hull, from rejecting all to accepting all."""

    x: Floats  # (h,) accepted share of class 0, ascending from 0 to 1
    y: Floats  # (h,) of class 1
    cuts: Floats  # (h,) descending
    rows: Floats  # (2,) of each class


class Mixture(NamedTuple):
    """Thresholds of a group, ascending, and the chance of each."""

    cuts: tuple[float, ...]
    shares: tuple[float, ...]


def hull(curve: Curve) -> Hull:
    """The hull of a group; a class without rows is taken to be accepted as the other is.

    Raises ValueError where a logit is inf.
    """
    from scipy.optimize import isotonic_regression

    rows, accepted = curve.rows, (curve.rows - curve.rejected)[::-1]  # from rejecting all on
    if accepted[0].any():
        raise ValueError(
            f"decide: there are infinite logits, {accepted[0].sum()}, so that no threshold rejects them; choose "
            "decide=group_exact"
        )
    steps = np.diff(accepted, axis=0)
    size = steps.sum(1)
    kept = np.flatnonzero(size)  # cuts that reject something else than the one before
    # its slopes are the shares of class 1, made monotone by pooling neighbours (Fawcett and Niculescu-Mizil 2007)
    pooled = isotonic_regression(steps[kept, 1] / size[kept], weights=size[kept], increasing=False)
    place = np.concatenate([[-1], kept])[pooled.blocks] + 1
    share = accepted[place] / np.maximum(rows, 1)
    x, y = (share[:, own if rows[own] else 1 - own] for own in (0, 1))
    start = np.flatnonzero(x == 0)[-1]  # of corners above one another the highest
    return Hull(x[start:], y[start:], curve.cuts[::-1][place][start:], rows.astype(float))


def mixtures(of: Sequence[Curve], rates: Sequence[str], permitted: float) -> list[Mixture]:
    """The mixture of thresholds of each group with the fewest expected errors on its rows.

    The expected rates of the groups are at most ``permitted`` apart, each of them.
    """
    hulls = [hull(curve) for curve in of]
    return [_mix(own, *point) for own, point in zip(hulls, _points(hulls, rates, permitted), strict=True)]


def _points(hulls: Sequence[Hull], rates: Sequence[str], permitted: float) -> Floats:
    """The point (x, y) of each group (g, 2): the fewest errors with rates that are so near."""
    from scipy.optimize import linprog

    count, width = len(hulls), 2 * len(hulls) + len(rates)  # variables: x and y of each group, least of each rate
    everyone = sum(own.rows.sum() for own in hulls)
    cost, above, least = np.zeros(width), [], []
    for i, own in enumerate(hulls):
        cost[2 * i : 2 * i + 2] = own.rows / everyone * (1, -1)
        run, rise = np.diff(own.x), np.diff(own.y)  # a corner to the next: y run - x rise <= y_0 run - x_0 rise
        run, rise = run / np.maximum(run, rise), rise / np.maximum(run, rise)  # or short edges would be held loosely
        lines = np.zeros((len(run) + 1, width))
        lines[:, 2 * i], lines[:, 2 * i + 1] = np.append(-rise, 1), np.append(run, -1)  # and above the diagonal
        above.append(lines)
        least.append(np.append(own.y[:-1] * run - own.x[:-1] * rise, 0))
        for j, rate in enumerate(rates):
            line = np.zeros(width)
            line[2 * i : 2 * i + 2], line[2 * count + j] = _weights(own, rate), -1
            above.append(np.stack([line, -line]))
            least.append(np.array([permitted, 0]))
    options = {"primal_feasibility_tolerance": FEASIBLE}
    found = linprog(cost, np.concatenate(above), np.concatenate(least), bounds=(0, 1), options=options)
    if not found.success:
        raise ValueError(f"decide: no mixture of thresholds was found: {found.message}")
    return found.x[: 2 * count].reshape(count, 2)


def _weights(own: Hull, rate: str) -> Floats:
    """Returns the weights of x and y in the accepted share whose gap is that of the rate."""
    of = np.isin([0, 1], CLASSES[rate]) * own.rows
    return of / of.sum()


def _mix(own: Hull, x: float, y: float) -> Mixture:
    """The thresholds around x on the hull and, as far as y lies below, chance: that is accepting all or none."""
    x = min(max(x, 0.0), 1.0)
    right = min(max(int(np.searchsorted(own.x, x, "left")), 1), len(own.x) - 1) if len(own.x) > 1 else 0
    left = max(right - 1, 0)
    run = own.x[right] - own.x[left]
    forward = (x - own.x[left]) / run if run else 0.0
    top = own.y[left] + forward * (own.y[right] - own.y[left])
    chance = min(max((top - y) / (top - x), 0.0), 1.0) if top - x > NONE else 0.0
    parts = [
        (own.cuts[left], (1 - chance) * (1 - forward)),
        (own.cuts[right], (1 - chance) * forward),
        (-np.inf, chance * x),
        (np.inf, chance * (1 - x)),
    ]
    shares: dict[float, float] = {}
    for cut, share in sorted(parts):
        if share > NONE:
            shares[float(cut)] = shares.get(float(cut), 0.0) + float(share)
    whole = sum(shares.values())
    return Mixture(tuple(shares), tuple(share / whole for share in shares.values()))
