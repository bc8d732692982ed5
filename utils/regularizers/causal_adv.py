"""CAPIFY: causal adversarial perturbations for individual fairness (Ehyaei et al. 2024, arXiv 2308.08938)."""

from typing import Literal

import torch
from torch import Tensor

from utils.losses.linearity import local_linearity
from utils.losses.objective import binary_logit, is_zero, surprise_at
from utils.scms.counterfactual import chances, other_twins
from utils.threats import MakeThreat, movable
from utils.types import Batch, Context, Predict, Scalar


def causal_adv(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    space: Literal["latent", "features"],
    linearity: Scalar,
    gradient: Scalar,
    twins: Scalar,
    mask: str,
    latent_threat: MakeThreat,
    feature_threat: MakeThreat,
    steps: int,
    rel_step: Scalar,
) -> Tensor:
    """linearity * gamma + gradient * norm(m grad F(0))^2 + twins * max over twins t of l(h(t), y), (n,).

    Equation 18 of the paper. In ``space`` "latent", F(d) = l(h(x moved by d in the exogenous noise), y) and the
    radius is in the SCM's radius unit; in "features", F(d) = z(x + d) in model space, as in the published runs.
    gamma is the largest departure of F from its linearisation in the ball; m masks the coordinates of the
    gradient.

    Args:
        predict: the model, two classes in "features".
        batch: training rows.
        ctx: gives SCM, radius and random start.
        space: "latent" or "features".
        linearity: weight lambda of gamma.
        gradient: weight mu of the squared gradient.
        twins: weight nu of the worst twin.
        mask: coordinates of the gradient: "actionable" (published), "non_sensitive", "continuous" or "all".
        latent_threat: ball in the noise around the row itself.
        feature_threat: ball in the features.
        steps: gradient evaluations of the inner maximisation.
        rel_step: length of a step, as a share of the radius.

    Raises:
        ValueError: another space.
    """
    loss = surprise_at(batch.y)
    values = {
        "latent": (latent_threat, loss),
        "features": (feature_threat, lambda logits: binary_logit(logits, "causal_adv in features")),
    }
    if space not in values:
        raise ValueError(f"regularizer.causal_adv.space={space!r} is not known; choose latent or features")
    threat, value = values[space]
    others = other_twins(ctx.scm, batch.x, chances(ctx.scm, batch.x, ctx.uniform))
    losses = [loss(logits) for logits in (predict(batch.x).unsqueeze(0), predict(others))]
    total = twins * torch.cat(losses).amax(0)  # the factual twin is the row itself
    if is_zero(linearity) and is_zero(gradient):  # the twins alone need no inner maximisation
        return total
    gamma, slope = local_linearity(
        predict, value, threat(ctx), batch.x, ctx.epsilon(batch, ctx), ctx, steps=steps, rel_step=rel_step
    )
    return total + linearity * gamma + gradient * (slope * movable(ctx.columns, mask, slope)).square().sum(-1)
