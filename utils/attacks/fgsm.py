"""The fast gradient method (Goodfellow et al. 2015, arXiv 1412.6572): one step to the edge of the ball."""

import torch
from torch import Tensor

from utils.losses.objective import log_odds_against
from utils.threats import MakeThreat, of_candidates, slope, worst
from utils.types import Batch, Context, Predict


def fgsm(predict: Predict, batch: Batch, ctx: Context, *, threat: MakeThreat) -> Tensor:
    """x' (n, *) = x + radius * the steepest direction of the cross-entropy at x (the sign of it under Linf)."""
    reachable, radius = threat(ctx), ctx.epsilon(batch, ctx)
    predict = of_candidates(ctx.steady(predict), reachable.ball)
    zero, reach = reachable.zero(batch.x), reachable.at(batch.x)

    def damage(delta: Tensor) -> Tensor:
        return log_odds_against(predict(reach(delta)), batch.y)

    with torch.no_grad():
        gradient, _ = slope(damage, zero)
        step = reachable.ball.steepest(gradient * reachable.mask) * reachable.ball.spread(radius)
        delta = reachable.legal(batch.x, step)
        return worst(reach(delta), damage(delta)).detach()
