"""Copies of training rows of one group with one label: the plainest data that move a learner's error rates."""

from collections.abc import Sequence

import numpy as np
import torch

from utils.types import Batch
from utils.words.near import near


def duplicate(
    train: Batch, groups: Sequence[str], rng: np.random.Generator, *, group: object, label: int, count: int
) -> Batch:
    """Adds copies of rows of one group with one label, drawn with replacement; the other rows stay as they are.

    A learner that sees more rows of class 0 of a group gets fewer of them wrong: label 0 lowers the false positive rate
    of the group, label 1 its false negative rate.

    Args:
        train: the training rows.
        groups: names of the groups.
        rng: which rows are copied.
        group: its name, or its number from 0.
        label: class of the rows.
        count: copies, 0 or more.

    Raises:
        ValueError: no such group, or no row of it with the label.
    """
    place = _find_group(group, groups)
    rows = ((train.s == place) & (train.y == label)).nonzero().squeeze(1)
    if not len(rows):
        raise ValueError(
            f"prepare=duplicate: no training row of group {groups[place]} is of class {label}, so none can be copied; "
            "choose another prepare.group or prepare.label"
        )
    again = rows[torch.from_numpy(rng.integers(0, len(rows), count)).to(rows.device)]
    return Batch(*(torch.cat([column, column[again]]) for column in train))


def _find_group(group: object, groups: Sequence[str]) -> int:
    """Returns the number of a group. Raises ValueError where there is none of the name or number."""
    if isinstance(group, str) and group in groups:
        return list(groups).index(group)
    if isinstance(group, int) and 0 <= group < len(groups):
        return group
    listed = ", ".join(f"{i} ({name})" for i, name in enumerate(groups))
    raise ValueError(
        f"prepare.group={group}: expected one of the groups, by number or name{near(group, groups)} {listed}"
    )
