"""Columns and rows that may not be what their owner takes them for: copies of the label, rows that stand twice."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import mul

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from utils.system.console import count
from utils.tables.encoding import ABSENT, Source
from utils.tables.remarks import Remark, column_line

MOST = 20_000  # rows that are looked at
LEAK = 0.99  # area under the ROC curve of one attribute alone
LIKELY = 0.95  # the same of one that may be known only once the label is


def suspects(of: Sequence[Source], y: NDArray[np.int64], cells: pd.DataFrame) -> list[Remark]:
    """Remarks on attributes that alone predict the label, by a part of many rows, and on equal rows."""
    chosen = np.linspace(0, len(y) - 1, min(len(y), MOST)).astype(np.int64)
    found = []
    for source in of:
        area = alone(source, chosen, y[chosen])
        if area > LIKELY:
            subject = "that it is missing" if source.flags else "it"
            end = ", as a copy of it does" if area > LEAK else "; is it known before the label is?"
            found.append(
                _leave_out(source.flags or source.name, f"{subject} alone predicts the label (AUC {area:.3f}){end}")
            )
    return [*found, *_copies(of, chosen), *_repeated(cells)]


def _copies(of: Sequence[Source], rows: NDArray[np.int64]) -> Iterator[Remark]:
    """Yields attributes that hold in every row what one before them holds."""
    seen: dict[bytes, Source] = {}
    for source in of:
        first = seen.setdefault(source.values[rows].tobytes(), source)
        if first is not source and not source.flags and np.array_equal(first.values, source.values, equal_nan=True):
            yield _leave_out(source.name, f"it holds in every row the same as {first.name!r}")


def _leave_out(name: str, text: str) -> Remark:
    return Remark(name, text, column_line(name, type="ignore"))


def alone(source: Source, rows: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """The area under the ROC curve of one attribute as a score of the labels (k,) of some rows (k,), in [.5, 1].

    Levels are scored by the share of class 1 among their rows, which can only flatter the attribute.
    """
    score = source.values[rows].astype(np.float64)
    known = ~np.isnan(score)
    score, y = score[known], y[known]
    positives = int(y.sum())
    if not 0 < positives < len(y):
        return 0.5
    if source.coded:
        code = score.astype(np.int64) - ABSENT
        score = ((np.bincount(code, y) + 0.5) / (np.bincount(code) + 1))[code]
    area = (rankdata(score)[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives))
    return float(max(area, 1 - area))


def _repeated(cells: pd.DataFrame) -> list[Remark]:
    twice = int(pd.util.hash_pandas_object(cells, index=False).duplicated().sum())
    if twice < 5:
        return []
    enough = 100 * len(cells) ** 2 / 2 / twice  # combinations; of a few categories, rows repeat themselves by chance
    if not any(met >= enough for met in accumulate((max(cells[n].nunique(), 1.0) for n in cells), mul)):
        return []
    return [
        Remark(
            "",
            f"{count(twice, 'row')} stand in the file more than once; rows of one person belong in one part"
            " of the split",
            "split: {how: cluster, column: ...}",
        )
    ]
