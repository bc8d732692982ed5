"""Random search: the worst of many points drawn uniformly from the threat's set."""

import torch
from torch import Tensor

from utils.losses.objective import log_odds_against
from utils.threats import MakeThreat, worst
from utils.types import Batch, Context, Predict

CHUNK = 8192  # rows a forward pass: activations that stay in the cache


def random_search(predict: Predict, batch: Batch, ctx: Context, *, threat: MakeThreat, samples: int) -> Tensor:
    """The worst x' (n, *) of ``samples`` points a candidate, the centre of the ball among them.

    The rows share one sample of directions (Ehyaei et al. 2024, arXiv 2308.08938: 1,000 points a twin).

    Raises:
        ValueError: no sample at all.
    """
    if samples < 1:
        raise ValueError(f"attack.evasion.samples={samples}: expected at least 1 point")
    reachable, radius = threat(ctx), ctx.epsilon(batch, ctx)
    if reachable.ball.events > 1:
        raise ValueError("random search shares its points between rows, which is for tables; for images: attack=square")
    zero, reach = reachable.zero(batch.x), reachable.at(batch.x)
    one_row = zero[:1].narrow(radius.ndim, 0, 1)
    directions = reachable.ball.uniform(one_row.expand(samples, *one_row.shape[1:]), reachable.mask, ctx.generator)
    directions[0] = 0.0
    scale = reachable.ball.spread(radius)
    best = reach(zero)[0]
    with torch.no_grad():
        best_value = log_odds_against(predict(best), batch.y)
        for points in directions.split(max(1, CHUNK // (zero.shape[0] * radius.numel()))):
            x = reach((points * scale).unsqueeze(1) + zero).flatten(0, 1)
            value = log_odds_against(predict(x), batch.y)
            x = torch.cat([best.unsqueeze(0), x])
            value = torch.cat([best_value.unsqueeze(0), value])
            best, best_value = worst(x, value), value.amax(0)
    return best.detach()
