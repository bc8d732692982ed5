"""How well each class is recognised."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from utils.metrics import confusion
from utils.metrics.bootstrap import drawn, with_intervals
from utils.metrics.breakdown import of_class, tables
from utils.metrics.confusion import Counts, Floats
from utils.types import Batch, Context, Figures, Predict


def class_accuracy(
    predict: Predict, batch: Batch, ctx: Context, *, intervals: int, level: float
) -> Figures | Sequence[Figures]:
    """``accuracy_class_<i>``: share of the rows of class i with the right label, None where it has no rows.

    ``_low`` and ``_high`` are percentiles of ``intervals`` bootstrap draws, of ``level`` in (0, 1).
    """
    logits, labels = confusion.decided(predict, batch, ctx)
    figures = partial(_figures, intervals=intervals, level=level)
    return ctx.of_each(figures, logits, labels, batch.y.cpu().numpy())


def _figures(ctx: Context, logits: Floats, labels: Counts, y: Counts, *, intervals: int, level: float) -> Figures:
    table = tables(labels == y, y, np.zeros_like(y), groups=1, classes=max(2, logits.shape[-1]))
    shares, draws = of_class(table), of_class(drawn(table, intervals, ctx))
    keys = [f"accuracy_class_{i}" for i in range(len(shares))]
    return with_intervals(dict(zip(keys, shares, strict=True)), dict(zip(keys, draws.T, strict=True)), level)
