"""Local linearity regularisation (Qin et al. 2019, arXiv 1907.02610)."""

from torch import Tensor

from utils.losses.linearity import local_linearity
from utils.losses.objective import binary_logit
from utils.threats import MakeThreat, movable
from utils.types import Batch, Context, Predict, Scalar


def llr(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    linearity: Scalar,
    gradient: Scalar,
    mask: str,
    threat: MakeThreat,
    steps: int,
    rel_step: Scalar,
) -> Tensor:
    """linearity * gamma + gradient * norm(m grad z(x))^2, (n,), on the logit z in model space.

    gamma is the largest departure of z from its linearisation in the ball of ``threat``; m the mask of columns.
    """
    gamma, slope = local_linearity(
        predict,
        lambda logits: binary_logit(logits, "llr"),
        threat(ctx),
        batch.x,
        ctx.epsilon(batch, ctx),
        ctx,
        steps=steps,
        rel_step=rel_step,
    )
    return linearity * gamma + gradient * (slope * movable(ctx.columns, mask, slope)).square().sum(-1)
