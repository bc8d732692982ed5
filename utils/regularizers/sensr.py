"""SenSR: sensitive subspace robustness (Yurochkin, Bower and Sun 2020, arXiv 1907.00020)."""

from torch import Tensor

from utils.losses.fair_metrics import FairMetric
from utils.losses.fair_search import Multiplier, Search
from utils.losses.objective import cross_entropy
from utils.types import Batch, Context, Predict


def sensr(
    predict: Predict, batch: Batch, ctx: Context, *, metric: FairMetric, multiplier: Multiplier, search: Search
) -> Tensor:
    """Loss (n,) at the worst fairly near row, l(h(x'), y).

    x' maximises l(h(x'), y) - multiplier * squared fair distance; the multiplier holds the mean of the latter to the
    mean squared radius (see ``utils.losses.fair_search``).
    """
    view = ctx.steady(predict)
    moved = search(lambda x: cross_entropy(view(x), batch.y), batch, ctx, metric, multiplier)
    return cross_entropy(predict(moved), batch.y)
