"""Bootstrap intervals (Efron, 1979) from counts, for figures that are no shares of rows."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from torch import Tensor

from utils import seeding
from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.metrics.intervals import Measured, Spread, require_level
from utils.metrics.measuring import measure_each
from utils.types import Context

DRAWN = 16384  # tables that are drawn together, so that their numbers stay in the cache


def draw(table: Counts, count: int, seed: int) -> Counts:
    """Tables (count, ...) of as many bootstrap samples, from the stream that all figures of a model share.

    Figures of equal tables have equal intervals, whichever others are asked for.
    """
    return confusion.bootstrap(table, count, seeding.rng(seed, "bootstrap"))


def spread_tables(
    figures: Mapping[str, Callable[[Counts], Floats]], tables: Counts, count: int, seeds: Sequence[int], level: float
) -> dict[str, Spread]:
    """Returns the intervals (p,) of figures of tables (p, k, k), from ``count`` samples of each by its own seed."""
    require_level(level)
    ends = {key: np.full((3, len(tables)), np.nan) for key in figures}
    size = max(1, DRAWN // max(1, count))
    for start in range(0, len(tables), size):
        some = slice(start, start + size)
        drawn = np.stack([draw(table, count, seed) for table, seed in zip(tables[some], seeds[some], strict=True)])
        for key, figure in figures.items():
            ends[key][:, some] = spread(figure(tables[some]), figure(drawn), level)
    return {key: Spread(*of) for key, of in ends.items()}


def spread(values: Floats, draws: Floats, level: float) -> Spread:
    """Percentiles (p,) of ``level`` in (0, 1) and standard deviation of the draws (p, B) of figures (p,).

    Draws that are undefined (nan) do not count, and the interval holds the value. Draws that are all the same, as of a
    classifier without any error, do not tell how far chance moves the figure: then it has no interval, but nan.
    """
    require_level(level)
    found = np.full((3, len(values)), np.nan)
    holes = np.isnan(draws).any(-1)
    for own in (np.flatnonzero(~holes), *np.flatnonzero(holes).reshape(-1, 1)):
        kept = draws[own][:, ~np.isnan(draws[own]).any(0)]
        if not kept.size:
            continue
        moves = np.ptp(kept, axis=-1) > 0
        low, high = np.quantile(kept[moves], [(1 - level) / 2, (1 + level) / 2], axis=-1)
        held = values[own[moves]]
        found[:, own[moves]] = np.minimum(low, held), np.maximum(high, held), kept[moves].std(-1)
    return Spread(*found)


def of_means(
    values: Mapping[str, Tensor], count: int, level: float, ctx: Context, averages: Collection[str] = ()
) -> Measured | list[Measured]:
    """Means of figures that every row has, (n,) each, with intervals; of each model of a stack, (m, n).

    What is 0 or 1 of every row is a share of the rows, and so are the ``averages``, of what would be 0 or 1 in one
    draw; their numerators may have a fraction. Of other values, a draw counts how often each comes.
    """
    models = ctx.each or (ctx,)
    means: dict[str, Floats] = {}
    shares: dict[str, tuple[Floats, Counts]] = {}
    moved: dict[str, Spread] = {}
    for key, of_rows in values.items():
        rows = of_rows.double().cpu().reshape(len(models), -1)
        means[key] = np.array([float(own.mean()) for own in rows])
        part, whole = np.zeros(len(models)), np.full(len(models), rows.shape[-1])
        spreads = np.full((3, len(models)), np.nan)
        for i, own in enumerate(rows.numpy()):
            distinct, counts = np.unique(own, return_counts=True)
            if key in averages or set(distinct) <= {0, 1}:
                part[i] = counts @ distinct
            else:
                draws = draw(counts, count, models[i].own_seed) @ distinct / len(own)
                whole[i], spreads[:, i] = 0, np.ravel(spread(means[key][[i]], draws[None], level))
        shares[key], moved[key] = (part, whole), Spread(*spreads)
    found = measure_each(means, shares, level, moved)
    return found if ctx.each else found[0]
