"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083) under any threat.

On the features it is the ordinary attack; under the causal threat it is the causal adversarial attack, one
ascent from every twin (Ehyaei et al. 2024, arXiv 2308.08938).
"""

import torch
from torch import Tensor

from utils.losses.objective import log_odds_against
from utils.threats import MakeThreat, ascend, of_candidates, worst
from utils.types import Batch, Context, Predict


def pgd(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    threat: MakeThreat,
    steps: int,
    rel_step: float,
    restarts: int,
    random_start: bool,
) -> Tensor:
    """The worst x' (n, *) found by projected steepest ascent of the cross-entropy.

    Args:
        ctx: gives SCM, radius per row and the stream of the random starts.
        threat: what may be reached; its docstring states the unit of the radius.
        steps: gradient evaluations per start.
        rel_step: length of a step, as a share of the radius.
        restarts: starts per candidate, >= 1.
        random_start: start inside the ball at random; otherwise the first start is the row itself.

    Raises:
        ValueError: no start at all.
    """
    if restarts < 1:
        raise ValueError(f"attack.evasion.restarts={restarts}: expected at least 1 start")
    reachable, radius = threat(ctx), ctx.epsilon(batch, ctx)
    predict = of_candidates(ctx.steady(predict), reachable.ball)
    zero = reachable.zero(batch.x).repeat(restarts, *(1,) * batch.x.ndim)
    reach = reachable.at(batch.x)

    def at(delta: Tensor) -> Tensor:
        return reach(delta.unflatten(0, (restarts, -1))).flatten(0, 1)

    def damage(delta: Tensor) -> Tensor:
        return log_odds_against(predict(at(delta)), batch.y)

    start = zero
    if random_start or restarts > 1:
        ball = reachable.ball
        start = ball.uniform(zero, reachable.mask, ctx.on(batch).generator) * ball.spread(radius)
    if not random_start:
        plain = torch.arange(len(zero), device=zero.device) < len(zero) // restarts
        start = torch.where(plain.reshape(-1, *(1,) * batch.x.ndim), zero, start)
    delta, found = ascend(damage, start, radius, reachable, batch.x, steps=steps, rel_step=rel_step)
    with torch.no_grad():
        moved = at(delta)
        return moved[0] if len(moved) == 1 else worst(moved, found)
