"""Intervals of a mean over seeds: by resampling them, or by Student's t.

Few seeds say little, whatever is made of them. Resampling n of them gives too narrow an interval: with two or three
seeds it is their range, which holds the true median of a run in 1 - 2^(1 - n) of all cases, 50 and 75 per cent; five
normal ones cover the mean in about 84, ten in about 91, where Student's t covers it in 95 whatever n is.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Interval = Callable[[Floats], tuple[Floats, Floats]]  # values (s, n) of n seeds -> ends (s,) and (s,)

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
LISTED = 6  # seeds up to which every resample is listed, 462 of them
DRAWS = 1000  # beyond
ROUNDING = 1e-12  # of a sum of probabilities


def bootstrap(values: Floats) -> tuple[Floats, Floats]:
    """Percentiles of the means of n seeds drawn with replacement (Efron 1979), (s, n) -> (s,), (s,); nan for one.

    Exact up to six seeds; from seven on by 1,000 draws that are always the same. Too narrow for few seeds.
    """
    settings, n = values.shape
    if n < 2:
        return np.full(settings, np.nan), np.full(settings, np.nan)
    shares, probability = _resamples(n)
    means = np.sort(values, 1) @ shares.T  # sorted: the order of the seeds must not matter
    if n > LISTED:  # all as likely
        places = [int(np.ceil(tail * DRAWS)) - 1 for tail in (TAIL, 1 - TAIL)]
        low, high = np.partition(means, places, 1)[:, places].T
        return low, high
    order = means.argsort(1)
    reached = probability[order].cumsum(1)
    below = [(reached < tail - ROUNDING).sum(1, keepdims=True) for tail in (TAIL, 1 - TAIL)]
    low, high = (np.take_along_axis(means, np.take_along_axis(order, place, 1), 1)[:, 0] for place in below)
    return low, high


def student(values: Floats) -> tuple[Floats, Floats]:
    """Mean -+ t sd / sqrt(n) with n - 1 degrees of freedom (Student 1908), (s, n) -> (s,), (s,); nan for one.

    Exact where runs are normal. With two or three seeds it is wide, 12.7 and 4.3 standard errors, and may leave the
    range of the metric: that is what they tell.
    """
    settings, n = values.shape
    if n < 2:
        return np.full(settings, np.nan), np.full(settings, np.nan)
    half = stdtrit(n - 1, 1 - TAIL) * values.std(1, ddof=1) / np.sqrt(n)
    return values.mean(1) - half, values.mean(1) + half


def by_setting(values: Floats, setting: NDArray[np.int64], settings: int, interval: Interval) -> tuple[Floats, Floats]:
    """Intervals (g,) of g settings from the values (r,) of runs and the setting (r,) of each; nan does not count."""
    known = ~np.isnan(values)
    values, setting = values[known], setting[known]
    order = setting.argsort(kind="stable")
    values, count = values[order], np.bincount(setting, minlength=settings)
    first = count.cumsum() - count
    low, high = np.full(settings, np.nan), np.full(settings, np.nan)
    for n in np.unique(count[count > 1]):
        which = np.flatnonzero(count == n)
        low[which], high[which] = interval(values[first[which][:, None] + np.arange(n)])
    return low, high


@cache
def _resamples(n: int) -> tuple[Floats, Floats]:
    """Returns the share of draws (r, n) that each of n seeds has in every resample, and its probability (r,)."""
    if n > LISTED:
        drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS)
        return drawn / n, np.full(DRAWS, 1 / DRAWS)
    listed = map(partial(np.bincount, minlength=n), combinations_with_replacement(range(n), n))
    counts = np.array(list(listed))
    ways = [factorial(n) / prod(map(factorial, row)) for row in counts.tolist()]
    return counts / n, np.array(ways) / n**n
