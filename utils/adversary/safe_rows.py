"""Rows of a table that no attack on their features turns, by bounds of the network: who is proven needs no attack."""

import torch
from torch import Tensor

from utils.adversary.bounds import bounds_over, has_bounds
from utils.adversary.norm_bounds import bounds_near
from utils.adversary.taylor import Domain, NoBoundsError, Taylor
from utils.threats import ROUNDING, FeatureThreat
from utils.types import Batch, Context, Predict

ROWS = 4096  # that are bounded together, so that their numbers stay in the cache


def find_safe(predict: Predict, batch: Batch, ctx: Context, threat: FeatureThreat, radius: Tensor) -> Tensor:
    """Returns a mask (..., n) of the rows that are decided as their class everywhere within their radius (..., n).

    Nobody where nothing is known: of more than two classes, of models without bounds, of decisions by a coin.
    """
    first = predict.each[0] if ctx.each else predict  # type: ignore[attr-defined]
    if not ctx.decide.monotone or not has_bounds(first, batch.x.shape[-1]):
        return torch.zeros_like(batch.y, dtype=torch.bool)
    size = max(1, ROWS // max(1, len(ctx.each)))
    parts = zip(*(of.split(size, -1) for of in (batch.y, batch.s, radius)), batch.x.split(size, -2), strict=True)
    try:
        return torch.cat([_find_safe(predict, ctx, threat, *part) for part in parts], -1)
    except NoBoundsError:  # of a stack
        return torch.zeros_like(batch.y, dtype=torch.bool)


def _find_safe(
    predict: Predict, ctx: Context, threat: FeatureThreat, y: Tensor, s: Tensor, radius: Tensor, x: Tensor
) -> Tensor:
    """``find_safe`` of some rows; those that the cheaper bounds leave open come before the dearer ones."""
    ends = bounds_near(predict, _around(threat, x, radius))
    safe = torch.zeros_like(y, dtype=torch.bool) if ends is None else _are_right(ctx, y, s, *ends)
    most = int((~safe).sum(-1).max())
    if not most:
        return safe
    keep = safe.byte().argsort(dim=-1, stable=True)[..., :most]
    y, s, radius = (of.gather(-1, keep) for of in (y, s, radius))
    x = x.gather(-2, keep.unsqueeze(-1).expand(*keep.shape, x.shape[-1]))
    return safe.scatter(-1, keep, _are_right(ctx, y, s, *bounds_over(predict, _around(threat, x, radius))))


def _are_right(ctx: Context, y: Tensor, s: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Returns a mask (..., n) of rows of class y that are decided so by both bounds (..., n, k) of their logits."""
    if lower.shape[-1] > 1:
        return torch.zeros_like(y, dtype=torch.bool)
    return torch.where(y == 1, ctx.decide.margin(lower, s) >= 0, ctx.decide.margin(upper, s) < 0)


def _around(threat: FeatureThreat, x: Tensor, radius: Tensor) -> Taylor:
    """The features (..., n, d) within a radius and the rounding that ``check_budget`` leaves an attack."""
    columns = threat.mask.reshape(-1, x.shape[-1]).amax(0).nonzero().squeeze(-1)
    size = (1 + x.abs().amax(-1) + radius) * x.shape[-1] ** 0.5  # under L1 a rounding for every coordinate
    rounding = ROUNDING * torch.finfo(x.dtype).eps * size
    half = (radius + rounding).expand(len(columns), *radius.shape)
    is_round = threat.ball.norm != "linf"  # the ball of L1 lies in that of L2
    domain = Domain(torch.zeros_like(half), half, half[0] if is_round else None, whole=is_round)
    slope = torch.zeros(len(columns), x.shape[-1]).to(x)
    slope[torch.arange(len(columns)), columns] = 1.0
    slope = slope.reshape(len(columns), *(1,) * (x.ndim - 1), -1).expand(-1, *x.shape)
    return Taylor(x, slope, torch.zeros_like(x), domain) + 0.0
