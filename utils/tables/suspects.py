"""Columns and rows that may not be what their owner takes them for: copies of the label, rows that stand twice."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from utils.system.console import count
from utils.tables.encoding import Block
from utils.tables.remarks import Remark, column_line

MOST = 20_000  # rows that are looked at
LEAK = 0.99  # area under the ROC curve of one attribute alone

Floats = NDArray[np.float64]


def suspects(
    blocks: Sequence[Block], encoded: Sequence[Floats], y: NDArray[np.int64], cells: pd.DataFrame
) -> list[Remark]:
    """Remarks on attributes that alone predict the label, and on rows equal in every cell; of many rows a part."""
    chosen = np.linspace(0, len(y) - 1, min(len(y), MOST)).astype(np.int64)
    found = [
        Remark(
            block.name,
            f"it alone predicts the label (AUC {auc:.3f}), as a copy of it does",
            column_line(block.name, type="ignore"),
        )
        for block, values in zip(blocks, encoded, strict=True)
        if (auc := alone(values[chosen], y[chosen])) > LEAK
    ]
    return [*found, *_repeated(cells)]


def alone(values: Floats, y: NDArray[np.int64]) -> float:
    """The area under the ROC curve of an attribute (n, c) as a score of the label (n,), in [.5, 1].

    Levels are scored by the share of class 1 among their rows, which can only flatter the attribute.
    """
    known = ~np.isnan(values).any(1)
    values, y = values[known], y[known]
    positives = int(y.sum())
    if not 0 < positives < len(y):
        return 0.5
    score = values[:, 0] if values.shape[1] == 1 else values @ _shares(values, y)
    area = (rankdata(score)[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives))
    return float(max(area, 1 - area))


def _shares(values: Floats, y: NDArray[np.int64]) -> Floats:
    """The share of class 1 among the rows of each level (c,), halved towards one half where there are few."""
    rows = values.sum(0)
    return (values.T @ y + 0.5) / (rows + 1)


def _repeated(cells: pd.DataFrame) -> list[Remark]:
    if len(cells) > MOST:
        return []
    twice = int(cells.duplicated().sum())
    combinations = math.prod(float(cells[name].nunique()) for name in cells)
    by_chance = len(cells) ** 2 / 2 / combinations  # of unrelated columns; a few categories alone repeat themselves
    if twice < max(5, 100 * by_chance):
        return []
    return [
        Remark(
            "",
            f"{count(twice, 'row')} stand in the file more than once; rows of one person belong in one part"
            " of the split",
            "split: {how: cluster, column: ...}",
        )
    ]
