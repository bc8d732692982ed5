"""A threshold given beforehand."""

from collections.abc import Sequence

from torch import Tensor

from utils.decides.threshold import Threshold
from utils.types import Batch


def fixed(
    logits: Tensor, batch: Batch, groups: Sequence[str] = (), classes: Sequence[str] = (), *, probability: float
) -> Threshold:
    """Class 1 from ``probability`` in [0, 1] on, whatever the data. Raises ValueError outside [0, 1]."""
    return Threshold(float(probability))
