"""The accuracy of each class."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from utils.metrics import confusion
from utils.metrics.breakdown import parts, tables
from utils.metrics.confusion import Counts, Floats
from utils.metrics.measuring import number_shares, of_shares
from utils.types import Batch, Context, Figures, Predict


def class_accuracy(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    intervals: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """``accuracy_class_<i>``: share of the rows of class i with the right label, None where it has no rows.

    ``_low`` and ``_high`` are the interval of ``level`` in (0, 1), see ``utils.metrics.intervals``.
    """
    logits, labels = confusion.decide_rows(predict, batch, ctx)
    figures = partial(_figures, level=level)
    return ctx.of_each(figures, logits, labels, batch.y.cpu().numpy())


def _figures(ctx: Context, logits: Floats, labels: Counts, y: Counts, *, level: float) -> Figures:
    table = tables(labels == y, y, np.zeros_like(y), groups=1, classes=max(2, logits.shape[-1]))
    return of_shares(number_shares("accuracy_class_", parts(table.sum(0))), level)
