"""Adversarial training by projected gradient ascent, PGD-AT (Madry et al. 2018, arXiv 1706.06083)."""

from torch import Tensor

from utils.losses.inner_maximization import Start, mistake, perturb
from utils.losses.objective import cross_entropy, emphasise
from utils.threats import MakeThreat
from utils.types import Batch, Context, Predict


def pgd_at(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    threat: MakeThreat,
    steps: int,
    rel_step: float,
    start: Start,
) -> Tensor:
    """Loss (n,): l(h(x'), y), with x' the worst for the steady model; the natural part of a robust loss, its only one.

    As ``adversarial``, with an inner attack of its own that leaves batch statistics alone and heeds class margins.

    Args:
        ctx: gives radius, emphasis and random start of each row, and hears the logits at x'.
        threat: what may be reached.
        steps: gradient evaluations of the inner maximisation.
        rel_step: length of a step, as a share of the radius.
        start: "uniform", as published, "normal" or "clean".
    """
    moved = perturb(predict, batch, ctx, mistake, threat=threat, steps=steps, rel_step=rel_step, start=start)
    attacked = predict(moved)
    ctx.observe(attacked.detach(), batch)
    return emphasise(cross_entropy(attacked, batch.y), None, ctx)
