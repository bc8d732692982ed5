"""Certified training: the decision is kept all over the causal perturbation ball, by bounds that prove it.

As convex bounds train robust networks (Wong and Kolter 2018, arXiv 1711.00851; Gowal et al. 2018, arXiv 1810.12715),
here through the structural equations and over all twins.
"""

import torch
from torch import Tensor

from utils.adversary.bounds import around, through
from utils.losses.objective import binary_logit, cross_entropy
from utils.scms.counterfactual import abduct, chances, interventions
from utils.system.elementwise import sigmoid
from utils.types import Batch, Context, Predict, Scalar


def certified(predict: Predict, batch: Batch, ctx: Context, *, spread: Scalar, warmup: float) -> Tensor:
    """l(z_worst, y) + spread (sigmoid(z_high) - sigmoid(z_low)), (n,): a proven loss and a proven change of decisions.

    z_low and z_high are bounds of the logit over the ball around every twin of a row, the whole causal perturbation
    ball (``utils.adversary.bounds``); z_worst is that of them on which the loss l is larger, so that the first part is
    an upper bound of what ``causal_al`` looks for. The second is the share of thresholds, drawn from the logistic
    distribution around 1/2, at which some point of the ball may be decided otherwise than another: a smooth unfair area
    that bounds prove. Bounds are of the noise that was drawn for discrete nodes, whose levels stay.

    Args:
        predict: a two-class model of which bounds are known.
        batch: training rows.
        ctx: gives SCM, radius and the draws of noise.
        spread: weight of the second part, >= 0.
        warmup: share of the training over which the radius grows from 0 to its full size; 0: none.

    Raises:
        NoBoundsError: no bounds are known of the model, or of an equation.
    """
    scm, x = ctx.scm, batch.x
    noise = abduct(scm, x, chances(scm, x, ctx.uniform))
    levels = noise.shape[:-1]
    do = {i: _twins_as_rows(value.expand(levels)) for i, value in interventions(scm, x).items()}
    share = min(1.0, ctx.progress / warmup) if warmup else 1.0
    radius = _twins_as_rows((share * ctx.epsilon(batch, ctx)).expand(levels))
    features = around(scm, _twins_as_rows(noise, 1), do, radius)
    logits = through(predict, features)
    low, high = (_rows_as_twins(binary_logit(end, "certified"), len(noise)) for end in logits.bounds())
    low, high = low.amin(0), high.amax(0)
    worst = torch.where(batch.y > 0, low, high)
    return cross_entropy(worst.unsqueeze(-1), batch.y) + spread * (sigmoid(high) - sigmoid(low))


def _twins_as_rows(of: Tensor, trailing: int = 0) -> Tensor:
    """Twins (L, ..., n, *) as rows (..., L n, *), with so many dimensions behind those of the rows."""
    rows = -1 - trailing
    return of.movedim(0, rows - 1).flatten(rows - 1, rows)


def _rows_as_twins(of: Tensor, levels: int) -> Tensor:
    """Rows (..., L n) as twins (L, ..., n)."""
    return of.unflatten(-1, (levels, -1)).movedim(-2, 0)
