"""Local linearity regularisation (Qin et al. 2019, arXiv 1907.02610)."""

from torch import Tensor

from utils.linearity import local_linearity
from utils.objective import binary_logit
from utils.threats import MakeThreat, every_candidate, movable
from utils.types import Batch, Context, Predict


def llr(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    linearity: float,
    gradient: float,
    mask: str,
    threat: MakeThreat,
    steps: int,
    rel_step: float,
) -> Tensor:
    """linearity * gamma + gradient * norm(m grad z(x))^2, (n,), on the logit z in model space.

    gamma is the largest departure of z from its linearisation in the ball of ``threat``; m the mask of columns.
    """
    gamma, slope = local_linearity(
        lambda x: binary_logit(every_candidate(predict, x), "llr"),
        threat(ctx),
        batch.x,
        ctx.epsilon(batch, ctx),
        ctx,
        steps=steps,
        rel_step=rel_step,
    )
    return linearity * gamma + gradient * (slope * movable(ctx.columns, mask, slope)).square().sum(-1)
