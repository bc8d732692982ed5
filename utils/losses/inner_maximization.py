"""The inner maximisation of adversarial training: what TRADES, PGD-AT and MART share."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from utils.losses.objective import log_odds_against
from utils.threats import MakeThreat, ascend
from utils.types import Batch, Context, Predict

# the steady model and some rows -> (logits (n, k) at x' -> (n,), larger is worse)
Damage = Callable[[Predict, Batch], Callable[[Tensor], Tensor]]
Start = Literal["normal", "uniform", "clean"]
TINY_START = 0.001  # standard deviation of the normal start (Zhang et al. 2019), in units of the data


def mistake(_: Predict, batch: Batch) -> Callable[[Tensor], Tensor]:
    """The damage that is worst where the cross-entropy is: the log-odds against the class of each row."""
    return lambda logits: log_odds_against(logits, batch.y)


def lead(towards: Tensor) -> Callable[[Tensor], Tensor]:
    """The damage that is worst where the classes ``towards`` (n,) are the surest."""
    return lambda logits: -log_odds_against(logits, towards)


def perturb(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    damage: Damage,
    *,
    threat: MakeThreat,
    steps: int,
    rel_step: float,
    start: Start,
) -> Tensor:
    """x' (n, *), the last iterate of projected steepest ascent of the damage, detached.

    The model is attacked as it would be used: batch norm by its running statistics, which do not move, and no
    gradient for its weights. Radius and step are those of each row, so class margins scale both.

    Args:
        predict: the model in training.
        batch: rows (n, *).
        ctx: gives radius per row, random start and the model's steady view, and classes to lead the rows to.
        damage: what x' is chosen for, where the rows are led to no class.
        threat: what may be reached.
        steps: gradient evaluations.
        rel_step: length of a step, as a share of the radius.
        start: "normal", x + .001 N(0, I); "uniform" in the ball; or "clean", x itself.

    Raises:
        ValueError: another start.
    """
    reachable, view = threat(ctx), ctx.steady(predict)
    radius = ctx.epsilon(batch, ctx)
    zero = reachable.zero(batch.x)
    starts = {
        "normal": lambda: TINY_START * ctx.on(batch).normal(zero),
        "uniform": lambda: (
            reachable.ball.uniform(zero, reachable.mask, ctx.on(batch).generator) * reachable.ball.spread(radius)
        ),
        "clean": lambda: zero,
    }
    if start not in starts:
        raise ValueError(f"start={start!r} is not known; choose {', '.join(starts)}")
    reach = reachable.at(batch.x)
    worse = damage(view, batch) if ctx.towards is None else lead(ctx.towards)
    delta, _ = ascend(
        lambda d: worse(view(reach(d).squeeze(0))).unsqueeze(0),
        starts[start](),
        radius,
        reachable,
        batch.x,
        steps=steps,
        rel_step=rel_step,
        keep="last",
    )
    return reach(delta).squeeze(0).detach()
