"""MART: misclassification aware adversarial training (Wang et al. 2020, ICLR, openreview rklOg6EFwS)."""

import torch
from torch import Tensor

from utils.losses.inner_maximization import Start, mistake, perturb
from utils.losses.objective import divergence, emphasise, log_probabilities
from utils.threats import MakeThreat
from utils.types import Batch, Context, Predict, Scalar


def mart(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    beta: Scalar,
    threat: MakeThreat,
    steps: int,
    rel_step: float,
    start: Start,
) -> Tensor:
    """Loss (n,): b(p(x'), y) + beta KL(p(x), p(x')) (1 - p_y(x)), with x' the worst for the cross-entropy.

    b(p, y) = -log p_y - log(1 - max over k other than y of p_k) is the boosted cross-entropy, for two classes twice
    the plain one. The published code adds .0001 inside the second logarithm and so caps it
    at 9.2; here it is exact and finite for finite logits.

    Args:
        ctx: gives radius, emphasis and random start of each row, and hears the logits at x'.
        beta: weight of the divergence, lambda of the paper.
        threat: what may be reached.
        steps: gradient evaluations of the inner maximisation.
        rel_step: length of a step, as a share of the radius.
        start: "normal", as published, "uniform" or "clean".
    """
    moved = perturb(predict, batch, ctx, mistake, threat=threat, steps=steps, rel_step=rel_step, start=start)
    clean, attacked = predict(batch.x), predict(moved)
    ctx.observe(attacked.detach(), batch)
    doubt = -_of_label(log_probabilities(clean), batch.y).expm1()  # 1 - p_y(x)
    return emphasise(_boost(attacked, batch.y), beta * divergence(clean, attacked) * doubt, ctx)


def _boost(logits: Tensor, y: Tensor) -> Tensor:
    """Boosted cross-entropy (..., n) of logits (..., n, k) and labels y (n,)."""
    log_p = log_probabilities(logits)
    label = y.expand(log_p.shape[:-1]).unsqueeze(-1)
    rival = log_p.scatter(-1, label, -torch.inf).argmax(-1, keepdim=True)
    without_rival = log_p.scatter(-1, rival, -torch.inf).logsumexp(-1)  # log(1 - p of the rival)
    return -_of_label(log_p, y) - without_rival


def _of_label(log_p: Tensor, y: Tensor) -> Tensor:
    """log p_y (..., n) of (..., n, C)."""
    return log_p.gather(-1, y.expand(log_p.shape[:-1]).unsqueeze(-1)).squeeze(-1)
