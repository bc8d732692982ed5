"""Adversarial training (Madry et al. 2018, arXiv 1706.06083)."""

from torch import Tensor

from utils.losses.objective import cross_entropy
from utils.types import Batch, Context, Predict


def adversarial(predict: Predict, batch: Batch, ctx: Context) -> Tensor:
    """Loss (n,) on the rows as the attack of the ``attack`` group leaves them: l(h(x'), y)."""
    return cross_entropy(predict(ctx.attack(predict, batch, ctx)), batch.y)
