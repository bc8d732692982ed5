"""The threshold that maximises Matthews' correlation."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from torch import Tensor

from utils.decides.threshold import Threshold, logit
from utils.types import Batch


def mcc(
    logits: Tensor, batch: Batch, groups: Sequence[str] = (), classes: Sequence[str] = (), *, levels: int
) -> Threshold:
    """The threshold t in {0, 1/(levels-1), ..., 1} with the largest correlation of labels and classes.

    MCC = (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), 0 where the root is 0 (Matthews, 1975), class 1 being
    z >= logit(t) in double precision. Ties go to the lowest threshold, decided in exact arithmetic; so where no
    threshold separates anything the answer is 0. Weights of rows are not used.

    Logits (n, 1), levels >= 2. Raises ValueError otherwise, and on nan logits.
    """
    if levels < 2:
        raise ValueError(f"decide.levels={levels}: expected at least 2 thresholds, 0 and 1")
    if logits.shape[-1] != 1:
        raise ValueError(
            f"decide=mcc fits a threshold for two classes, got {logits.shape[-1]} logits; use decide=fixed"
        )
    z = logits.detach().double().cpu().numpy().reshape(-1)
    if np.isnan(z).any() or not len(z):
        raise ValueError(f"decide=mcc: {np.isnan(z).sum()} of {len(z)} logits are nan; expected rows with numbers")
    accepted = _count_accepted(z, batch.y.cpu().numpy(), levels)
    negatives, positives = accepted[:, 0].tolist()
    scores = [_signed_square(fp, tp, negatives, positives) for fp, tp in accepted.T.tolist()]
    rounded = [numerator / denominator for numerator, denominator in scores]  # to the nearest, which keeps their order
    best = max(rounded)
    first = [i for i, score in enumerate(rounded) if score == best]
    return Threshold(max(first, key=lambda i: (Fraction(*scores[i]), -i)) / (levels - 1))


def _count_accepted(z: np.ndarray, y: np.ndarray, levels: int) -> np.ndarray:
    """Rows of each class accepted at each threshold, (2, levels); at the first, 0, all are."""
    cuts = [logit(i / (levels - 1)) for i in range(levels)]
    reached = np.searchsorted(cuts, z, side="right")  # number of thresholds that the row passes, the first ones
    histogram = np.bincount((y == 1) * (levels + 1) + reached, minlength=2 * (levels + 1)).reshape(2, -1)
    return histogram[:, :0:-1].cumsum(-1)[:, ::-1]


def _signed_square(fp: int, tp: int, negatives: int, positives: int) -> tuple[int, int]:
    """MCC |MCC|, which orders thresholds as MCC does, without rounding: numerator and denominator."""
    covariance = tp * (negatives - fp) - fp * (positives - tp)
    spread = (tp + fp) * positives * negatives * (negatives + positives - tp - fp)
    return (covariance * abs(covariance), spread) if spread else (0, 1)
