"""Bootstrap intervals (Efron, 1979) from counts, for figures that are no shares of rows."""

from collections.abc import Collection, Mapping

import numpy as np
from torch import Tensor

from utils import seeding
from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.metrics.intervals import Measured, Share, Spread, measure, require_level
from utils.types import Context


def draw(table: Counts, count: int, ctx: Context) -> Counts:
    """Tables (count, ...) of as many bootstrap samples, from the stream that all figures of a model share.

    Figures of equal tables have equal intervals, whichever others are asked for.
    """
    return confusion.bootstrap(table, count, seeding.rng(ctx.own_seed, "bootstrap"))


def spreads(values: Mapping[str, float], draws: Mapping[str, Floats], level: float) -> dict[str, Spread]:
    """Percentiles of ``level`` in (0, 1) and standard deviation of the draws (B,) of every figure.

    Draws that are undefined (nan) do not count, and the interval holds the value. Draws that are all the same, as of a
    classifier without any error, do not tell how far chance moves the figure: then it has no interval.
    """
    require_level(level)
    return {key: _spread(value, draws[key][~np.isnan(draws[key])], level) for key, value in values.items()}


def _spread(value: float, draws: Floats, level: float) -> Spread:
    if not len(draws) or np.ptp(draws) == 0:
        return Spread(None, None, None)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Spread(min(low, value), max(high, value), float(draws.std()))


def of_means(
    values: Mapping[str, Tensor], count: int, level: float, ctx: Context, averages: Collection[str] = ()
) -> Measured:
    """Means of figures that every row has, (n,) each, with intervals.

    What is 0 or 1 of every row is a share of the rows, and so are the ``averages``, of what would be 0 or 1 in one
    draw; their numerators may have a fraction. Of other values, a draw counts how often each comes.
    """
    shares: dict[str, Share] = {}
    means: dict[str, float] = {}
    draws: dict[str, Floats] = {}
    for key, of_rows in values.items():
        distinct, counts = np.unique(of_rows.double().cpu().numpy(), return_counts=True)
        means[key] = float(of_rows.double().mean())
        if key in averages or set(distinct) <= {0, 1}:
            shares[key] = (float(counts @ distinct), len(of_rows))
        else:
            draws[key] = draw(counts, count, ctx) @ distinct / len(of_rows)
    return measure(means, shares, level, spreads({key: means[key] for key in draws}, draws, level))
