"""Group weights in the loss: what one group's rows count against another's."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.prepares.cells import cells
from utils.types import Batch


def group_weights(
    train: Batch,
    groups: Sequence[str],
    rng: np.random.Generator,
    *,
    weights: Sequence[float] | None,
    classes: Literal["all"] | Sequence[int],
) -> Batch:
    """Multiplies each row's w by the weight of its group, where its class is one of the ``classes``.

    A loss is a mean weighted by w, so ratios count alone. A weight on the rows of class 1 lowers the false negative
    rate of that group, one on those of class 0 its false positive rate.

    Args:
        train: the training rows.
        groups: names of the G groups.
        rng: not used: nothing is drawn.
        weights: one for each group, above 0; None balances them: n / (G n_g), n the w of all rows of these classes
            and n_g of those in the group, so that every group counts as much and n stays.
        classes: "all", or those whose rows are weighed.

    Raises:
        ValueError: one group only, weights that are not one above 0 for each group, or a group without such rows.
    """
    mass = cells(train, groups, "group_weights")
    chosen = torch.ones(mass.shape[1], dtype=torch.bool, device=mass.device)
    if classes != "all":
        chosen = torch.isin(torch.arange(mass.shape[1], device=mass.device), torch.tensor(classes, device=mass.device))
    own = (mass * chosen).sum(1)  # (G,)
    _check(own, groups, weights, classes)
    factor = own.sum() / (len(groups) * own) if weights is None else own.new_tensor(weights)
    return train._replace(w=torch.where(chosen[train.y], train.w * factor[train.s].to(train.w), train.w))


def _check(
    own: Tensor, groups: Sequence[str], weights: Sequence[float] | None, classes: Literal["all"] | Sequence[int]
) -> None:
    for group in (own == 0).nonzero().flatten().tolist():
        of = "" if classes == "all" else f" is of a class in prepare.classes={list(classes)}"
        raise ValueError(
            f"prepare=group_weights: no training row of group {groups[group]}{of}; choose "
            f"{'' if classes == 'all' else 'other classes, '}prepare=none or other data"
        )
    if weights is not None and (len(weights) != len(groups) or not all(weight > 0 for weight in weights)):
        raise ValueError(
            f"prepare.weights={list(weights)}: expected {len(groups)} numbers above 0, one for each group in this "
            f"order: {', '.join(groups)}; or null to balance them"
        )
