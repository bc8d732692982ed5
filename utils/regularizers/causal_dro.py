"""Distributionally robust training under a causally fair cost (Ehyaei, Farnadi and Samadi 2024, arXiv 2509.26275)."""

from typing import Literal

import torch
from torch import Tensor

from utils.losses.objective import cross_entropy, log_odds_against
from utils.system.elementwise import for_curvature
from utils.threats import TINY, causal
from utils.types import Batch, Context, Predict
from utils.views.written_out import of_inputs_alone


def causal_dro(predict: Predict, batch: Batch, ctx: Context, *, order: Literal[1, 2]) -> Tensor:
    """The largest loss over the twins + radius * a norm of its latent gradient, (n,): first order, no inner ascent.

    The worst expected loss over distributions within a Wasserstein distance of the rows, to first order, where moving a
    row to a twin is free and moving its noise in the continuous, non-sensitive latent coordinates costs its length, in
    the SCM's radius unit; labels stay. The radius is that distance. With ``order`` 2, Wasserstein-2, the norm is the
    root mean square over the rows of norm(gradient of the loss at the worst twin)_2. With ``order`` 1, Wasserstein-1,
    it is the Lipschitz constant of the loss: of a linear model of two classes on a linear SCM norm((J^T w)_N), J the
    Jacobian of the reduced form and N these coordinates, and the sum is the worst case exactly. Of any other model the
    largest norm of the gradient of the log-odds against the class, over the batch and its twins, stands for it, which
    is no bound: the slope may be larger elsewhere.

    This is our reading of the abstract's "closed form of the approximate worst-case loss", without the authors' code.

    Raises:
        ValueError: another order.
    """
    if order not in (1, 2):
        raise ValueError(f"regularizer.causal_dro.order={order!r}: expected 1 or 2")
    threat = causal(ctx, norm="l2", twins=True)
    reach = threat.at(batch.x)
    delta = threat.zero(batch.x).requires_grad_()
    logits = predict(reach(delta))
    with for_curvature():
        loss = cross_entropy(logits, batch.y).max(0).values
    value = loss if order == 2 else log_odds_against(logits, batch.y)
    with of_inputs_alone():
        (slope,) = torch.autograd.grad(value.sum(), delta, create_graph=True)
    square = (slope * threat.mask).square().sum(-1)  # (L, n); of order 2 other than 0 at the worst twin alone
    if order == 1:
        steepness = square.amax(0).amax(-1, keepdim=True)
    else:
        steepness = (square.sum(0) * batch.w).sum(-1, keepdim=True) / batch.w.sum(-1, keepdim=True)
    return loss + ctx.epsilon(batch, ctx) * steepness.clamp_min(TINY**2).sqrt()
