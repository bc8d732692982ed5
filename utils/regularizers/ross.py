"""Training for actionable recourse (Ross, Lakkaraju and Bastani 2021, arXiv 2011.06146)."""

import torch
from torch import Tensor

from utils.losses.objective import cross_entropy
from utils.threats import Ball, movable, slope
from utils.types import Batch, Context, Predict, Scalar


def ross(predict: Predict, batch: Batch, ctx: Context, *, step: Scalar, mask: str) -> Tensor:
    """Loss (n,) of the favourable class after one step of recourse, l(h(x'), 1).

    x' = x - step * g / norm(g), with g the gradient of l(h(x), 1) on the columns of ``mask``, masked first and
    normalised then. ``step`` in model space.
    """
    favourable = torch.ones_like(batch.y)
    with torch.no_grad():
        gradient, _ = slope(lambda x: cross_entropy(predict(x), favourable), batch.x)
        gradient = gradient * movable(ctx.columns, mask, batch.x)
        ball = Ball("l2")
        recourse = batch.x - ball.spread(step * torch.ones_like(batch.w)) * ball.steepest(gradient)
    return cross_entropy(predict(recourse), favourable)
