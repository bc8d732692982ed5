"""The fit of labels and scores to the classes."""

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from utils.losses.objective import count_classes
from utils.metrics import confusion
from utils.metrics.bootstrap import spread_tables
from utils.metrics.confusion import Counts, Floats
from utils.metrics.directions import Key
from utils.metrics.intervals import Spread
from utils.metrics.measuring import measure_each, number_shares
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
    y, models, classes = batch.y.cpu().numpy(), ctx.each or (ctx,), count_classes(logits)
    tables = confusion.counts(y, labels, np.zeros_like(y), groups=1, classes=classes).reshape(-1, classes, classes)
    values, shares = of_tables(tables)
    values |= {key: np.full(len(models), np.nan) for key in BINARY if key not in values}
    drawn, seeds = {key: FROM_TABLE[key] for key in DRAWN}, [own.own_seed for own in models]
    spreads = spread_tables(drawn, tables, intervals, seeds, level)
    if classes == 2:
        scores, of_rows = (of.reshape(len(models), -1) for of in (logits[..., 0], y))
        areas = [auc(z, own, level) for z, own in zip(scores, of_rows, strict=True)]
        values["auc"] = np.array([area for area, _ in areas])
        spreads["auc"] = Spread(*np.array([ends for _, ends in areas], np.float64).T)
    found = measure_each(values, shares, level, spreads)
    return found if ctx.each else found[0]


def of_tables(tables: Counts) -> tuple[dict[str, Floats], dict[str, confusion.Parts]]:
    """Figures (p,) of tables (p, k, k), nan where they are undefined, and the shares (p,) that they are made of."""
    metrics = FROM_TABLE | (OF_TWO_CLASSES if tables.shape[-1] == 2 else {})
    values = {key: metric(tables) for key, metric in metrics.items()}
    values["mcc"] = np.where(np.count_nonzero(tables.sum(-1), axis=-1) < 2, np.nan, values["mcc"])
    shares = {key: confusion.PARTS[key](tables) for key in metrics if key in confusion.PARTS}
    return values, shares | number_shares("accuracy_class_", confusion.of_classes(tables))


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
