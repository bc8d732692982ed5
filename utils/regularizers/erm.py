"""Empirical risk minimisation."""

from torch import Tensor

from utils.losses.objective import cross_entropy
from utils.types import Batch, Context, Predict


def erm(predict: Predict, batch: Batch, ctx: Context) -> Tensor:
    """The plain classification loss (n,), l(h(x), y)."""
    return cross_entropy(predict(batch.x), batch.y)
