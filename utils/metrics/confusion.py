"""Confusion tables per group, the rates read off them, and their resampling.

A table ``t`` is (..., k, k): rows are the true class, columns the label; leading dimensions are groups, and draws
before them. Every rate is nan where it is undefined; ``to_float`` turns that into None for a record.

Accuracy, gaps and correlations depend on rows only through such counts, so the bootstrap over rows is a
multinomial draw over cells, and permuting the groups among rows is a hypergeometric one.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from utils.system.console import count
from utils.types import Batch, Context, Predict
from utils.views.modes import in_double
from utils.views.row_parts import parts

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def decide_rows(predict: Predict, batch: Batch, ctx: Context) -> tuple[Floats, Counts]:
    """Returns logits (..., n, k) and labels (..., n), of tables by ``in_double``. Raises ValueError for a nan logit."""
    predict = in_double(predict) if ctx.columns else predict
    with torch.no_grad():
        answers = [(predict(part.x), part.s) for part in parts(batch)]
        labels = torch.cat([ctx.decide(logits, s) for logits, s in answers], -1)
        logits = torch.cat([logits for logits, _ in answers], -2)
    if broken := int(logits.isnan().any(-1).sum()):
        raise ValueError(
            f"the model answers nan on {broken} of {count(labels.numel(), 'row')}; train it with a lower trainer.lr"
        )
    return logits.double().cpu().numpy(), labels.cpu().numpy()


def counts(y: Counts, labels: Counts, s: Counts, *, groups: int, classes: int) -> Counts:
    """Tables (..., groups, classes, classes) of rows with class ``y``, label and group ``s``, each (..., n).

    Raises ValueError where one of them is outside its range.
    """
    return count_cells((s, y, labels), (groups, classes, classes))


def count_cells(places: Sequence[Counts], shape: tuple[int, ...]) -> Counts:
    """Tables (..., *shape) of how many rows have each place, one coordinate (..., n) for each dimension.

    Raises ValueError where one of them is outside its range.
    """
    cells = np.ravel_multi_index(tuple(np.broadcast_arrays(*places)), shape)
    lead, size = cells.shape[:-1], math.prod(shape)
    tables = np.arange(math.prod(lead)).reshape(*lead, 1)
    return np.bincount((tables * size + cells).reshape(-1), minlength=tables.size * size).reshape(*lead, *shape)


def bootstrap(table: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Tables (draws, ...) of as many samples of n rows with replacement (Efron, 1979)."""
    n = table.sum()
    drawn = rng.multinomial(n, table.reshape(-1) / max(n, 1), size=draws)
    return drawn.reshape(draws, *table.shape)


def permute(table: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Tables (draws, groups, k, k) after as many random permutations of the group among all rows.

    Group sizes and the table over all groups stay: a multivariate hypergeometric draw, group after group.
    """
    cells = table.reshape(len(table), -1)
    left = np.tile(cells.sum(0), (draws, 1))  # (draws, cells), rows not yet in a group
    hands = []
    for size in cells.sum(1):
        hands.append(_deal(left, size, rng))
        left = left - hands[-1]
    return np.stack(hands, 1).reshape(draws, *table.shape)


def _deal(left: Counts, size: int, rng: np.random.Generator) -> Counts:
    """``size`` rows without replacement from the cells of each draw, (draws, cells) -> (draws, cells)."""
    hand = np.zeros_like(left)
    wanted = np.full(len(left), size)
    others = left.sum(1)
    for cell in np.flatnonzero(left.any(0)):
        others -= left[:, cell]
        hand[:, cell] = rng.hypergeometric(left[:, cell], others, wanted)
        wanted -= hand[:, cell]
    return hand


def share(part: NDArray, whole: NDArray) -> Floats:
    """part / whole, nan where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


# --- rates: their numerators and denominators -------------------------------------------------------------------

Parts = tuple[Counts, Counts]  # how many rows count, of how many
PARTS: dict[str, Callable[[Counts], Parts]] = {  # (..., k, k) -> (...), (...); all but accuracy of two classes
    "accuracy": lambda t: (np.trace(t, axis1=-2, axis2=-1), t.sum((-2, -1))),
    "fnr": lambda t: (t[..., 1, 0], t[..., 1, :].sum(-1)),
    "fpr": lambda t: (t[..., 0, 1], t[..., 0, :].sum(-1)),
    "tpr": lambda t: (t[..., 1, 1], t[..., 1, :].sum(-1)),
    "ppv": lambda t: (t[..., 1, 1], t[..., 1].sum(-1)),  # precision
    "acceptance_rate": lambda t: (t[..., 1].sum(-1), t.sum((-2, -1))),
    "prevalence": lambda t: (t[..., 1, :].sum(-1), t.sum((-2, -1))),
}


def rate(name: str, t: Counts) -> Floats:
    """The rate of this name, (..., k, k) -> (...)."""
    return share(*PARTS[name](t))


RATES: dict[str, Callable[[Counts], Floats]] = {name: partial(rate, name) for name in PARTS}


def of_classes(t: Counts) -> Parts:
    """Rows of each class with the right label, and all of the class, (..., k, k) -> (..., k), (..., k)."""
    return np.diagonal(t, axis1=-2, axis2=-1), t.sum(-1)


def recalls(t: Counts) -> Floats:
    """Share of the rows of each class with the right label, (..., k, k) -> (..., k)."""
    return share(*of_classes(t))


def matthews(t: Counts) -> Floats:
    """Matthews' correlation (..., k, k) -> (...), 0 where labels or classes are all one (Gorodkin, 2004)."""
    n = t.sum((-2, -1))
    true, labelled = t.sum(-1), t.sum(-2)
    covariance = np.trace(t, axis1=-2, axis2=-1) * n - (true * labelled).sum(-1)
    spread = np.sqrt(1.0 * (n**2 - (true**2).sum(-1)) * (n**2 - (labelled**2).sum(-1)))
    return np.where(n > 0, np.divide(covariance, spread, out=np.zeros(np.shape(n)), where=spread > 0), np.nan)


def to_float(value: float) -> float | None:
    """A plain float, or None for nan."""
    return None if np.isnan(value) else float(value)
