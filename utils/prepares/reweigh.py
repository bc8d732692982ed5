"""Reweighing (Kamiran and Calders 2012, Knowledge and Information Systems 33, section 5.3)."""

from collections.abc import Sequence

import numpy as np

from utils.prepares.cells import cells
from utils.types import Batch


def reweigh(train: Batch, groups: Sequence[str], rng: np.random.Generator) -> Batch:
    """Multiplies each row's w by P(s) P(y) / P(s, y), s its group and y its class, estimated on these rows by w.

    In the weighted rows group and class are independent, no group and no class has more weight than before, and so
    the sum of all w stays. Nothing is drawn from ``rng``.

    Raises:
        ValueError: one group only, or a group without rows of some class, naming both.
    """
    mass = cells(train, groups, "reweigh")  # (G, C)
    empty = (mass == 0) & (mass.sum(0) > 0)
    for group, y in empty.nonzero().tolist():
        raise ValueError(
            f"prepare=reweigh: no training row of group {groups[group]} is of class {y}, and no weight makes up for "
            "that; choose prepare=none or other data"
        )
    ratio = mass.sum(1, keepdim=True) * mass.sum(0) / (mass.sum() * mass)
    return train._replace(w=train.w * ratio[train.s, train.y].to(train.w))
