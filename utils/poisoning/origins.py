"""Counts what added rows are: copies of people's records, people's features with another label, or invented."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.types import Batch

Codes = NDArray[np.int64]


class Origins(NamedTuple):
    """Marks of m added rows beside the people of a training set; a row is one of the first three."""

    copies: Tensor  # (m,) bool: somebody has these features and this label
    relabelled: Tensor  # (m,) bool: people have these features, none of them this label
    invented: Tensor  # (m,) bool: nobody has these features
    contradicted: Tensor  # (m,) bool: somebody of these features has another label, whoever else has this one
    beyond: Tensor  # (m,) bool: a column holds less than all people, or more


def find_origins(rows: Batch, people: Batch) -> Origins:
    """Returns what each row (m) is beside people (n), both in the model space of one data set.

    Features are identical where every column is, sensitive ones too, to the last bit of single precision.
    """
    x, own = _plain(people.x), _plain(rows.x)
    of_people, code = encode_features(x, own)
    y, label = (labels.cpu().numpy() for labels in (people.y, rows.y))
    classes = 1 + int(max(y.max(initial=0), label.max(initial=0)))
    table = count_labels(of_people, y, 1 + int(max(of_people.max(initial=-1), code.max(initial=-1))), classes)
    there, same = table[code].sum(1), table[code, label]
    ends = (x.min(0).values, x.max(0).values) if len(x) else (own, own)
    beyond = ((own < ends[0]) | (own > ends[1])).any(1)
    copies, somebody = torch.from_numpy(same > 0), torch.from_numpy(there > 0)
    return Origins(copies, somebody & ~copies, ~somebody, torch.from_numpy(there > same), beyond)


def count_origins(rows: Batch, train: Batch, groups: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Returns what a record says of added rows (m) beside the training rows of their data set.

    Args:
        rows: that are added.
        train: the training rows; those that were added to them, whose index is negative, are no people.
        groups: the names of the groups.
        classes: the names of the classes, where they have any.

    Returns:
        ``rows``; how many of them are ``distinct``; ``cells``, by group and class; and a count for each of ``Origins``.
    """
    own, label, s = _plain(rows.x), rows.y.cpu().numpy(), rows.s.cpu().numpy()
    counts = {name: int(mask.sum()) for name, mask in find_origins(rows, _people(train))._asdict().items()}
    cells: dict[str, dict[str, int]] = {}
    for (group, of), number in zip(*np.unique(np.column_stack([s, label]), axis=0, return_counts=True), strict=True):
        name = classes[of] if of < len(classes) else str(of)
        cells.setdefault(groups[group], {})[name] = int(number)
    (code,) = encode_features(own)
    distinct = len(np.unique(np.column_stack([code, label]), axis=0))
    return {"rows": len(label), "distinct": distinct, "cells": cells, **counts}


def _people(train: Batch) -> Batch:
    """Returns the training rows that were not added."""
    own = train.index >= 0
    return train if bool(own.all()) else train.rows(own)


def _plain(x: Tensor) -> Tensor:
    """Returns rows (n, d) as single-precision numbers on the CPU."""
    return x.detach()[:].cpu().float()


def encode_features(*tables: Tensor) -> list[Codes]:
    """Returns a code (n,) for each row of each table (n, d), float32: equal where all columns are, from 0 on."""
    rows = np.ascontiguousarray(torch.cat(tables).numpy() + np.float32(0))  # -0.0 is 0.0
    if not rows.size:
        return [np.zeros(len(table), dtype=np.int64) for table in tables]
    _, codes = np.unique(rows.view(f"V{rows.strides[0]}").ravel(), return_inverse=True)
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return [np.asarray(part, dtype=np.int64) for part in np.split(codes.ravel(), ends)]


def count_labels(code: Codes, y: Codes, points: int, classes: int) -> Codes:
    """Returns the rows (points, classes) of each code and class."""
    return np.bincount(code * classes + y, minlength=points * classes).reshape(points, classes)
