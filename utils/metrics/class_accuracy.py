"""How well each class is recognised."""

from collections.abc import Sequence

import numpy as np

from utils.metrics import confusion
from utils.metrics.confusion import Counts, Floats
from utils.types import Batch, Context, Figures, Predict


def class_accuracy(predict: Predict, batch: Batch, ctx: Context) -> Figures | Sequence[Figures]:
    """``accuracy_class_<i>``: share of the rows of class i with the right label, None where it has no rows."""
    logits, labels = confusion.decided(predict, batch, ctx)
    return ctx.of_each(_figures, logits, labels, batch.y.cpu().numpy())


def _figures(ctx: Context, logits: Floats, labels: Counts, y: Counts) -> Figures:
    classes = max(2, logits.shape[-1])
    table = confusion.counts(y, labels, np.zeros_like(y), groups=1, classes=classes)[0]
    return {f"accuracy_class_{i}": confusion.defined(share) for i, share in enumerate(confusion.recalls(table))}
