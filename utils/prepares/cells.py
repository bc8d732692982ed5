"""Weight of each group and class in the training rows: what the prepares share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.types import Batch


def cells(train: Batch, groups: Sequence[str], prepare: str) -> Tensor:
    """The sum of w over the rows of each group and class, (G, C) in double precision; C - 1 is the largest class.

    Raises:
        ValueError: there is one group only.
    """
    if len(groups) < 2:
        raise ValueError(
            f"prepare={prepare} weighs groups against each other, and all rows are of one ({groups[0]}); choose "
            "prepare=none, or data with a sensitive attribute"
        )
    device = train.y.device
    of_group = train.s.unsqueeze(-1) == torch.arange(len(groups), device=device)  # (n, G)
    of_class = train.y.unsqueeze(-1) == torch.arange(int(train.y.max()) + 1, device=device)  # (n, C)
    return of_group.double().T @ (of_class * train.w.unsqueeze(-1)).double()
