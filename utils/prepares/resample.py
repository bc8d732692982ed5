"""Sampling (Kamiran and Calders 2012, Knowledge and Information Systems 33:1, section 5.4): rows go and repeat."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.datasets.ranking import rank
from utils.prepares.cells import cells
from utils.types import Batch


def resample(
    train: Batch, groups: Sequence[str], rng: np.random.Generator, *, choice: Literal["uniform", "preferential"]
) -> Batch:
    """Leaves out rows and repeats others, so that class and group become independent and the classes' shares stay.

    Of the n_s n_y / n rows that group s and class y would have if they were independent, a cell that has more loses
    the rest, one that has fewer keeps all its rows and repeats some of them.

    Args:
        train: the training rows.
        groups: names of the G groups.
        rng: which rows are left out and repeated, where the choice is uniform.
        choice: "uniform", or of tables of two classes "preferential": the rows nearest to the border, by
            ``utils.datasets.ranking.rank``, as often as each other.

    Raises:
        ValueError: one group only, or a group without rows of some class; images or other classes than two, where the
            choice is preferential.
    """
    counts = cells(train._replace(w=torch.ones_like(train.w)), groups, "resample")  # (G, C), rows
    for group, y in ((counts == 0) & (counts.sum(0) > 0)).nonzero().tolist():
        raise ValueError(
            f"prepare=resample: no training row of group {groups[group]} is of class {y}, so none can be repeated; "
            "choose prepare=none or other data"
        )
    wanted = (counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()).round().long()
    scores = rank(train, "prepare=resample") if choice == "preferential" else None
    kept = []
    for group, y in (counts > 0).nonzero().tolist():
        rows = ((train.s == group) & (train.y == y)).nonzero().squeeze(1)
        order = rng.permutation(len(rows)) if scores is None else (scores[rows] * (1 - 2 * y)).argsort().cpu().numpy()
        kept.append(rows[_taken(order, int(wanted[group, y]))])
    return Batch(*(column[torch.cat(kept).sort().values] for column in train))


def _taken(order: np.ndarray, number: int) -> Tensor:
    """Returns as many places as asked: the first of the order are left out, or else repeated, the last of it first.

    The order is from far from the border to near it: of class 1 from the highest scores, of class 0 from the lowest.
    """
    n = len(order)
    if number <= n:
        return torch.from_numpy(order[:number].copy())
    again = order[::-1][np.arange(number - n) % n]
    return torch.from_numpy(np.concatenate([order, again]))
