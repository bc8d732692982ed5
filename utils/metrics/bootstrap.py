"""Intervals of figures over the test rows: percentiles of bootstrap draws, made from counts.

``<key>_low`` and ``<key>_high`` stand beside a figure in a record. A share that is 0 or 1 has an interval without
width, since no draw holds what the rows do not: read it as up to 3 / n away (Hanley and Lippman-Hand, 1983).
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from utils import seeding
from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.types import Context, Figures


def with_intervals(values: Mapping[str, float], draws: Mapping[str, Floats], level: float) -> Figures:
    """The three entries of every figure, nan being undefined; its draws (B,). No interval around what is undefined."""
    out: dict[str, float | None] = {}
    ends = confusion.intervals(np.array([draws[key] for key in values]), level) if values else []
    for (key, value), (low, high) in zip(values.items(), ends, strict=True):
        out |= entries(key, value, low, high)
    return out


def entries(key: str, value: float, low: float | None, high: float | None) -> Figures:
    """A figure and the ends of its interval; all None where the figure is nan."""
    if np.isnan(value):
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    return {key: float(value), f"{key}_low": low, f"{key}_high": high}


def drawn(table: Counts, count: int, ctx: Context) -> Counts:
    """Tables (count, ...) of as many bootstrap samples, from the stream that all figures of a model share.

    Figures of equal tables have equal intervals, whichever others are asked for.
    """
    return confusion.bootstrap(table, count, seeding.rng(ctx.own_seed, "bootstrap"))


def of_means(values: Mapping[str, Tensor], count: int, level: float, ctx: Context) -> Figures:
    """Means of figures that every row has, (n,) each, with intervals: a draw counts how often each value comes."""
    means = {key: float(of_rows.double().mean()) for key, of_rows in values.items()}
    return with_intervals(means, {key: _mean_draws(of_rows, count, ctx) for key, of_rows in values.items()}, level)


def _mean_draws(values: Tensor, count: int, ctx: Context) -> Floats:
    if not len(values):
        return np.full(count, np.nan)
    distinct, counts = np.unique(values.double().cpu().numpy(), return_counts=True)
    means: Floats = drawn(counts, count, ctx) @ distinct / len(values)
    return means
