"""Learning rate schedules: (epochs done, epochs in all) -> share of the full rate."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Schedule = Callable[[float, int], float]


def constant(done: float, epochs: int) -> float:
    """Always 1."""
    return 1.0


def piecewise(done: float, epochs: int, *, at: Sequence[float], factors: Sequence[float]) -> float:
    """1 at first, then ``factors`` of the full rate from the shares ``at`` of the epochs on, to whole epochs.

    The drops of Pang et al. 2021 (arXiv 2010.00467), of TRADES and of Madry et al. differ in these numbers alone.

    Raises:
        ValueError: not as many shares as factors, or shares that are not ascending in [0, 1].
    """
    shares = [0.0, *at, 1.0]
    if len(at) != len(factors) or any(a > b for a, b in pairwise(shares)):
        raise ValueError(
            f"trainer.schedule: at={list(at)} and factors={list(factors)} must be as many, and the shares ascend from "
            "0 to 1"
        )
    reached = [factor for share, factor in zip(at, factors, strict=True) if done >= round(share * epochs)]
    return reached[-1] if reached else 1.0


def cosine(done: float, epochs: int) -> float:
    """(1 + cos(pi t)) / 2 at the share t of the training (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return (1 + math.cos(math.pi * done / epochs)) / 2


def one_cycle(done: float, epochs: int, *, peak: float) -> float:
    """Linear from 0 to 1 at the share ``peak`` in (0, 1) of the training, then to 0 (Smith 2017, arXiv 1506.01186).

    Raises:
        ValueError: a peak outside (0, 1).
    """
    if not 0 < peak < 1:
        raise ValueError(f"trainer.schedule.peak={peak}: expected a share of the training between 0 and 1")
    share = done / epochs
    return min(share / peak, (1 - share) / (1 - peak))
