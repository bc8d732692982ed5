"""The distance of a function from its linearisation, which LLR and CAPIFY penalise."""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.system.elementwise import for_curvature
from utils.threats import Threat, ascend, pull_back
from utils.types import Context, Predict, Scalar
from utils.views.one_pass import answers_at
from utils.views.written_out import of_inputs_alone


def local_linearity(
    predict: Predict,
    value: Callable[[Tensor], Tensor],
    threat: Threat,
    x: Tensor,
    radius: Tensor,
    ctx: Context,
    *,
    steps: int,
    rel_step: Scalar,
) -> tuple[Tensor, Tensor]:
    """gamma = |F(d) - F(0) - d . grad F(0)| at the d that maximises it, and grad F(0); F(d) = value(h(reach(d))).

    In features, the local linearity measure of Qin et al. 2019 (arXiv 1907.02610); in latent coordinates, equation
    18 of Ehyaei et al. 2024 (arXiv 2308.08938): the threat decides. The start is N(0, I), projected. F(0) is that of
    the row itself, which every threat reaches by d = 0.

    Args:
        predict: the model h.
        value: logits (..., n, k) -> (..., n).
        threat: with one candidate per row.
        x: (n, d).
        radius: (n,).
        ctx: gives the random start.
        steps: gradient evaluations of the inner maximisation.
        rel_step: length of a step, as a share of the radius.

    Returns:
        gamma (n,) and the gradient (n, d), both differentiable in the model.

    Raises:
        ValueError: the threat has several candidates per row.
    """
    zero = threat.zero(x)
    if len(zero) != 1:
        raise ValueError("local linearity is judged around the row itself; set twins=false in the threat of the term")
    reach = threat.at(x)
    point, logits = answers_at(predict, x)
    with torch.enable_grad(), for_curvature():
        base = value(logits)
        with of_inputs_alone():
            (gradient,) = torch.autograd.grad(base.sum(), point, create_graph=True, materialize_grads=True)
    slope = pull_back(gradient, threat, reach, x)

    def gamma(delta: Tensor, base: Tensor, slope: Tensor) -> Tensor:
        return (value(predict(reach(delta))) - base - (delta * slope).sum(-1)).abs()

    fixed_base, fixed_slope = base.detach(), slope.detach()
    delta, _ = ascend(
        lambda d: gamma(d, fixed_base, fixed_slope),
        ctx.normal(zero).squeeze(0),  # no dimension of candidates, which would be a view more of every tensor
        radius,
        threat,
        x,
        steps=steps,
        rel_step=rel_step,
    )
    return gamma(delta, base, slope), slope
