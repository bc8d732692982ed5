"""Massaging (Kamiran and Calders 2012, Knowledge and Information Systems 33:1, section 5.2): labels change."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.datasets.ranking import rank
from utils.prepares.cells import cells
from utils.types import Batch


def massage(train: Batch, groups: Sequence[str], rng: np.random.Generator, *, share: float) -> Batch:
    """Changes the labels of the rows nearest to the border, so that class and group become independent.

    A group whose share of class 1 is below that of all rows gets class 1 on its rows of class 0 that a ranker scores
    highest; a group above it class 0 on its rows of class 1 that are scored lowest; as many as its share lacks. Of two
    groups these are the M promotions and M demotions of the publication, which ranks by naive Bayes; the ranker here
    is ``utils.datasets.ranking.rank``.

    Args:
        train: the training rows of a table, two classes.
        groups: names of the G groups.
        rng: not used: the choice is determined by the rows.
        share: how much of the way to independence, in [0, 5]: 1 goes it exactly, more goes beyond.

    Raises:
        ValueError: one group only, images, or more than two classes.
    """
    counts = cells(train._replace(w=torch.ones_like(train.w)), groups, "massage")  # (G, C), rows
    scores = rank(train, "prepare=massage")
    base = counts[:, 1].sum() / counts.sum()
    missing = (share * (base * counts.sum(1) - counts[:, 1])).round().long().tolist()
    y = train.y.clone()
    for group, number in enumerate(missing):
        rows = ((train.s == group) & (train.y == int(number < 0))).nonzero().squeeze(1)
        nearest = scores[rows].argsort(descending=number > 0, stable=True)[: abs(number)]
        y[rows[nearest]] = int(number > 0)
    return train._replace(y=y)
