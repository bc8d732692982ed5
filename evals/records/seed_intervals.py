"""Intervals of a mean over seeds, by Student's t.

A percentile bootstrap of two or three seeds is their range, which covers the mean in 50 and 75 % of cases, and of ten
in 91. Student's interval covers it in 95 % whatever n is, where runs are about normal. By simulation
(``tests/evals/records/test_seed_intervals.py``) it covers that of beta(2, 8) in 93 to 94 %, of exponential figures in
88 to 91. No interval knows of what no seed has shown, such as the one training in ten that collapses.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
METHOD = "Student"  # in words: "over 3 seeds (Student)"
TIED = 1e-9  # range of values that are equal but for rounding


def student(values: Floats) -> tuple[Floats, Floats]:
    """Mean -+ t sd / sqrt(n) with n - 1 degrees of freedom (Student 1908), (s, n) -> (s,), (s,).

    NaN for one seed, and where all seeds give the same figure, as few test rows may do: a width of 0 would say that
    every other seed gives it too. With two or three seeds it is wide, 12.7 and 4.3 standard errors, and may leave the
    range of the metric, at which ``utils.metrics.directions.bounds`` cuts it.
    """
    settings, n = values.shape
    if n < 2:
        return np.full(settings, np.nan), np.full(settings, np.nan)
    half = factors(n)[-1] * values.std(1, ddof=1)
    half[np.ptp(values, 1) < TIED] = np.nan
    return values.mean(1) - half, values.mean(1) + half


def factors(most: int) -> Floats:
    """Returns half the width of the interval in standard deviations, by number of seeds 2, ..., ``most``."""
    n = np.arange(2, most + 1)
    if not len(n):
        return np.empty(0)
    from utils.system.special import special  # imports scipy, which tables of single runs need not wait for

    return np.asarray(special().stdtrit(n - 1, (1 + LEVEL) / 2) / np.sqrt(n))


def by_setting(values: Floats, setting: NDArray[np.int64], settings: int) -> tuple[Floats, Floats]:
    """Intervals (g,) of g settings from the values (r,) of runs and the setting (r,) of each; nan does not count."""
    known = ~np.isnan(values)
    values, setting = values[known], setting[known]
    order = setting.argsort(kind="stable")
    values, count = values[order], np.bincount(setting, minlength=settings)
    first = count.cumsum() - count
    low, high = np.full(settings, np.nan), np.full(settings, np.nan)
    for n in np.unique(count[count > 1]):
        which = np.flatnonzero(count == n)
        low[which], high[which] = student(values[first[which][:, None] + np.arange(n)])
    return low, high
