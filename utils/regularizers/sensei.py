"""SenSeI: sensitive set invariance (Yurochkin and Sun 2021, arXiv 2006.14168)."""

import torch
from torch import Tensor

from utils.losses.fair_metrics import FairMetric
from utils.losses.fair_search import Multiplier, Search
from utils.types import Batch, Context, Predict, Scalar


def sensei(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    rho: Scalar,
    metric: FairMetric,
    multiplier: Multiplier,
    search: Search,
) -> Tensor:
    """rho * norm(h(x) - h(x'))^2, (n,), h the logits, beside the plain loss.

    x' maximises norm(h(x) - h(x'))^2 - multiplier * squared fair distance; the multiplier holds the mean of the latter
    to the mean squared radius (see ``utils.losses.fair_search``). Two classes have one logit here, the difference of
    the two that inFairness' networks have, so that rho counts for up to twice as much.
    """
    view = ctx.steady(predict)
    with torch.no_grad():
        answers = view(batch.x)
    moved = search(lambda x: (view(x) - answers).square().sum(-1), batch, ctx, metric, multiplier)
    return rho * (predict(batch.x) - predict(moved)).square().sum(-1)
