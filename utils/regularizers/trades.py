"""TRADES (Zhang et al. 2019, arXiv 1901.08573)."""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.losses.inner_maximization import Start, perturb
from utils.losses.objective import cross_entropy, divergence, emphasise
from utils.threats import MakeThreat
from utils.types import Batch, Context, Predict, Scalar


def trades(
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
    """Loss (n,): l(h(x), y) + beta KL(p(x), p(x')), with x' the worst for the divergence.

    x' is sought from the answer p(x) of the steady model, which stays fixed; in the loss both answers are those of
    the model in training, first on x, then on x', each with batch statistics of its own.

    Args:
        ctx: gives radius, emphasis and random start of each row, and hears the logits at x'.
        beta: weight of the divergence, 1 / lambda of the paper.
        threat: what may be reached.
        steps: gradient evaluations of the inner maximisation.
        rel_step: length of a step, as a share of the radius.
        start: "normal", as published, or "uniform".

    Raises:
        ValueError: the start "clean", where the divergence has no slope.
    """
    if start == "clean":
        raise ValueError("regularizer.trades.start=clean: the divergence from p(x) is flat at x; use normal or uniform")
    moved = perturb(predict, batch, ctx, _departure, threat=threat, steps=steps, rel_step=rel_step, start=start)
    clean, attacked = predict(batch.x), predict(moved)
    ctx.observe(attacked.detach(), batch)
    return emphasise(cross_entropy(clean, batch.y), beta * divergence(clean, attacked), ctx)


def _departure(view: Predict, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Returns the divergence of answers, as logits (n, k), from the steady model's on the rows themselves."""
    with torch.no_grad():
        clean = view(batch.x)
    return lambda logits: divergence(clean, logits)
