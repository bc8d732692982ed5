"""The rule that picks one run of a setting, for select, card, plots and, in JavaScript, the page.

A setting is judged by its mean over seeds, but what is loaded is one run. It meets every requirement itself where one
of the runs does; of these it is the nearest to the mean, since the best one would be chosen for the luck of its test
rows, and its figures would promise too much. Where none does, it is the one that misses the requirements by least, and
whoever prints it has to say so. ``evals/page/handing.js`` is the same rule.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evals.choosing.constraint import SURE_ENDS, Constraint, Floats, Mask

CLOSE = 9  # decimals to which distances are compared
NO_SPREAD = 1e-12  # of standard deviations: below, what is left is rounding


class Handed(NamedTuple):
    """The run that is handed out."""

    place: int  # among the runs of the setting
    meeting: int  # how many of these meet every requirement themselves
    missed: tuple[Constraint, ...]  # those that this run does not meet itself

    @property
    def meets(self) -> bool:
        """Returns whether the run itself meets every requirement."""
        return not self.missed


def hand_out(runs: pd.DataFrame, keys: Sequence[str], constraints: Sequence[Constraint], *, sure: bool) -> Handed:
    """The run of a setting to use.

    Among the runs that meet every constraint themselves, the one of the least distance from the mean of all runs: the
    sum over ``keys`` of distances in standard deviations over the runs. Where none meets them all, the one of the
    least sum of misses, in standard deviations too, then of the least distance. Of equal ones the lowest seed, then
    the lowest doc_id.

    Args:
        runs: those of one setting, (n, ...) with the columns ``keys``, ``seed`` and ``doc_id``.
        keys: the metrics that the question is about.
        constraints: what is required, each on one of the keys.
        sure: a run meets a constraint with the whole of its own interval only.
    """
    ends = SURE_ENDS if sure else ()
    met: Mask = np.stack([np.ones(len(runs), dtype=bool), *(c.met(runs, sure=sure) for c in constraints)])
    values = runs[list(keys)].to_numpy(dtype=float)
    scales = _scales(values)
    distance = np.nansum(np.abs(values - values.mean(0)) / scales, axis=1)
    of = dict(zip(keys, np.where(np.isinf(scales), 1.0, scales), strict=True))
    missed = [c.beyond(runs, ends) / of[c.key] for c in constraints]
    misses = np.sum([np.zeros(len(runs)), *missed], axis=0)
    own: Mask = np.asarray(met.all(0))
    order = [np.where(own, 0.0, misses), distance]
    ranks = list(zip(~own, *(np.round(key, CLOSE) for key in order), *_names(runs), strict=True))
    place = min(range(len(runs)), key=ranks.__getitem__)
    return Handed(place, int(own.sum()), tuple(c for c, ok in zip(constraints, met[1:, place], strict=True) if not ok))


def _scales(values: Floats) -> Floats:
    """The standard deviation (k,) of the sample in each column of (n, k); infinite where all values are one."""
    if len(values) < 2:
        return np.full(values.shape[1], math.inf)
    spread = values.std(0, ddof=1)
    return np.where(spread > NO_SPREAD, spread, math.inf)


def _names(runs: pd.DataFrame) -> tuple[list[float], list[Any]]:
    """Seeds, those without one last, and doc_ids."""
    seeds = pd.to_numeric(runs["seed"], errors="coerce").fillna(math.inf)
    return seeds.tolist(), runs["doc_id"].tolist()
