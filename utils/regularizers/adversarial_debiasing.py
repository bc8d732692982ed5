"""Adversarial debiasing (Zhang, Lemoine and Mitchell 2018, arXiv 1801.07593)."""

import torch
from torch import Tensor

from utils.losses.objective import binary_logit
from utils.regularizers.by_group import Rate, members, weights_among
from utils.system.elementwise import sigmoid
from utils.types import Batch, Context, Predict

TINY = 1e-12
SHORTER = (1.0, 0.5, 0.25, 0.125, 0.0)  # of Newton's step; it may overshoot far from the optimum, and 0 stays


def adversarial_debiasing(
    predict: Predict, batch: Batch, ctx: Context, *, rate: Rate, steps: int, ridge: float
) -> Tensor:
    """Returns what the best adversary learns of the group from the logit, in nats, () or (m,) of a stack.

    H(s) - min over V of [E -log q(s; V, z) + ridge / 2 |V|^2], q = softmax(log p + (1, z, sigmoid z) V), p the shares
    of the groups in the batch. 0 where V = 0 is the best answer and the adversary is left with guessing by the
    shares; never below 0. For ``acceptance_rate`` it is asked about all rows, for ``fnr`` about those of class 1, for
    ``fpr`` of class 0; for ``equalized_odds`` two adversaries are, which together know logit and class, and their
    gains are summed. Expectations are weighted by w.

    The paper trains an adversary of this kind by steps of its own beside the model's. Here it is the best response to
    the batch, by Newton's method, which for so few parameters costs little: no second learning rate, no state, the
    same answer in any stack, no cycles. The gradient for the model is that at the fitted V, held fixed, which is
    exact at the optimum (Danskin). The paper's projection of the model's gradient is left out.

    Args:
        ctx: tells how many groups there are.
        rate: acceptance_rate (demographic parity), equalized_odds, fnr (equal opportunity) or fpr.
        steps: of Newton.
        ridge: > 0, keeps V finite where groups can be told apart by the logit.

    Raises:
        ValueError: one group, more than two classes, or a setting out of range.
    """
    if steps < 1:
        raise ValueError(f"regularizer.adversarial_debiasing.steps={steps}: expected at least 1")
    if not ridge > 0:
        raise ValueError(f"regularizer.adversarial_debiasing.ridge={ridge}: expected a number above 0")
    member, w = members(batch, ctx, "adversarial_debiasing"), weights_among(batch, rate)
    z = binary_logit(predict(batch.x), "adversarial_debiasing").double()
    share = w.double() / w.double().sum(-1, keepdim=True).clamp_min(TINY)  # (..., a, n), of a row in its aim
    group = member.double().mT.unsqueeze(-3)  # (..., 1, n, G)
    guess = (share.unsqueeze(-2) @ group).clamp_min(TINY).log()  # (..., a, 1, G), by the shares alone

    def loss(v: Tensor, basis: Tensor) -> Tensor:
        """Returns the adversary's loss above that of guessing, (..., a), at v (..., a, 3, G)."""
        log_q = (guess + basis @ v).log_softmax(-1)
        return (share * (group * (guess - log_q)).sum(-1)).sum(-1) + ridge / 2 * v.square().sum((-2, -1))

    with torch.no_grad():
        basis = _basis(z)
        v = torch.zeros(*guess.shape[:-2], basis.shape[-1], ctx.groups, dtype=z.dtype, device=z.device)
        for _ in range(steps):
            step = _newton(v, basis, share, group, guess, ridge)
            tried = torch.stack([v - length * step for length in SHORTER])
            best = torch.stack([loss(of, basis) for of in tried]).argmin(0)
            v = tried.gather(0, best[None, ..., None, None].expand_as(tried[:1])).squeeze(0)
    return -loss(v, _basis(z)).sum(-1).to(batch.w)


def _basis(z: Tensor) -> Tensor:
    """Returns the adversary's inputs from a logit (..., n), (..., 1, n, 3)."""
    return torch.stack([torch.ones_like(z), z, sigmoid(z)], -1).unsqueeze(-3)


def _newton(v: Tensor, basis: Tensor, share: Tensor, group: Tensor, guess: Tensor, ridge: float) -> Tensor:
    """Newton's step (..., a, 3, G) down the adversary's loss."""
    q = (guess + basis @ v).softmax(-1)  # (..., a, n, G)
    slope = (share.unsqueeze(-1) * basis).mT @ (q - group) + ridge * v
    weighted = share.unsqueeze(-1) * q
    spread = torch.diag_embed(weighted) - weighted.unsqueeze(-1) * q.unsqueeze(-2)  # (..., a, n, G, G)
    basis = basis.expand(*share.shape, basis.shape[-1])
    curvature = torch.einsum("...ni,...nj,...ngh->...igjh", basis, basis, spread).flatten(-4, -3).flatten(-2)
    curvature = curvature + ridge * torch.eye(curvature.shape[-1], dtype=v.dtype, device=v.device)
    return torch.linalg.solve(curvature, slope.flatten(-2)).reshape(v.shape)
