"""The fit of labels and scores to the classes."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import NormalDist

import numpy as np

from utils.losses.objective import count_classes
from utils.metrics import confusion
from utils.metrics.bootstrap import draw, spreads
from utils.metrics.confusion import Counts, Floats
from utils.metrics.directions import Key
from utils.metrics.intervals import Share, Spread, measure, number_shares
from utils.types import Batch, Context, Figures, Predict

KEYS = {
    "accuracy": Key(1, "accuracy", headline=1),
    "bayes_accuracy": Key(0, "best attainable accuracy", headline=1),  # of generated data, which state it
    "balanced_accuracy": Key(1, "balanced accuracy", headline=1),
    "worst_class_accuracy": Key(1, "accuracy of the worst class", headline=1),
    "mcc": Key(1, "Matthews correlation", headline=1, least=-1),
    "auc": Key(1, "area under the ROC curve", headline=1),
    "prevalence": Key(0, "share of {one}"),
    "acceptance_rate": Key(0, "acceptance rate"),
    "mean_max_confidence": Key(0, "mean probability of the label"),
}
# nan where a class has no rows: np.mean and np.min pass it on
FROM_TABLE: dict[str, Callable[[Counts], Floats]] = {
    "accuracy": confusion.RATES["accuracy"],
    "balanced_accuracy": lambda t: confusion.recalls(t).mean(-1),
    "worst_class_accuracy": lambda t: confusion.recalls(t).min(-1),
    "mcc": confusion.matthews,
}
OF_TWO_CLASSES = {rate: confusion.RATES[rate] for rate in ("prevalence", "acceptance_rate")}
BINARY = (*OF_TWO_CLASSES, "auc")
DRAWN = ("balanced_accuracy", "mcc")  # no shares of rows


def classification(
    predict: Predict, batch: Batch, ctx: Context, *, intervals: int, level: float
) -> Figures | Sequence[Figures]:
    """Accuracy, balanced accuracy, accuracy of the worst class, Matthews' correlation and area under the ROC curve.

    ``prevalence`` and ``acceptance_rate`` are the shares of class 1 among classes and labels. Each has ``<key>_low``
    and ``<key>_high``, its interval of ``level`` in (0, 1), see ``utils.metrics.intervals``: of balanced accuracy and
    correlation from ``intervals`` bootstrap draws, of the area DeLong's.

    What is undefined is None, an end of an interval too; mcc alone is 0 where labels are all one, as in scikit-learn,
    but not where classes are. From three classes on, the area, prevalence and acceptance rate are None.
    """
    logits, labels = confusion.decide_rows(predict, batch, ctx)
    figures = partial(_figures, intervals=intervals, level=level)
    return ctx.of_each(figures, logits, labels, batch.y.cpu().numpy())


def _figures(ctx: Context, logits: Floats, labels: Counts, y: Counts, *, intervals: int, level: float) -> Figures:
    classes = count_classes(logits)
    binary = classes == 2
    table = confusion.counts(y, labels, np.zeros_like(y), groups=1, classes=classes)[0]
    metrics = FROM_TABLE | (OF_TWO_CLASSES if binary else {})
    values = {key: float(metrics[key](table)) if key in metrics else np.nan for key in (*FROM_TABLE, *BINARY)}
    if np.count_nonzero(table.sum(-1)) < 2:
        values["mcc"] = np.nan
    shares: dict[str, Share] = {
        key: confusion.parts_of(key, table) for key in metrics if key in confusion.PARTS
    } | number_shares("accuracy_class_", confusion.of_classes(table))
    draws = draw(table, intervals, ctx)
    moved = spreads({key: values[key] for key in DRAWN}, {key: metrics[key](draws) for key in DRAWN}, level)
    if binary:
        values["auc"], moved["auc"] = auc(logits[:, 0], y, level)
    return measure(values, shares, level, moved)


def auc(z: Floats, y: Counts, level: float) -> tuple[float, Spread]:
    """Area under the ROC curve of scores z (n,) for class 1 of y (n,), and its interval of ``level``.

    The mean over class 1 of its placement, the share of class 0 that scores less, ties counting half (Mann and
    Whitney, 1947); the variance is that of the two classes' placements (DeLong et al., 1988), the interval is
    normal and cut at 0 and 1. The area is nan without both classes. It has no interval without two rows of each, and
    where the variance is 0, as with classes apart: that does not tell how far chance moves it.
    """
    positive, negative = np.sort(z[y == 1]), np.sort(z[y == 0])
    if not len(positive) or not len(negative):
        return np.nan, Spread(None, None, None)
    above, below = _placement(positive, negative), 1 - _placement(negative, positive)
    area = float(above.mean())
    if min(len(positive), len(negative)) < 2 or np.ptp(above) == np.ptp(below) == 0:
        return area, Spread(None, None, None)
    error = float(np.sqrt(above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative)))
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return area, Spread(max(area - half, 0.0), min(area + half, 1.0), error)


def _placement(z: Floats, reference: Floats) -> Floats:
    """Share of the sorted reference (m,) below each score (n,), ties counting half."""
    return (np.searchsorted(reference, z, "left") + np.searchsorted(reference, z, "right")) / (2 * len(reference))
