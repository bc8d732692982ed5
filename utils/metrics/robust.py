"""Accuracy under attack, and for whom it is lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from utils.radius import everywhere, radius_value
from utils.threats import MakeThreat, check_budget
from utils.types import Attack, Batch, Context, Predict


def robust(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Sequence[str | float],
    training_radius: str | float | None,
    attack: Attack,
) -> dict[str, float | None]:
    """``robust_accuracy_<radius>``: share of rows whose label is right at x and at the attacked x'.

    Also ``robust_accuracy_worst_group_<radius>`` and ``robust_accuracy_worst_class_<radius>`` (over sensitive
    groups and true classes), and ``robust_accuracy`` and ``robust_accuracy_worst_class`` at the training radius. A
    row lost at one radius counts as lost at every larger one, since the balls are nested.
    """
    wanted = dict.fromkeys(str(radius) for radius in (*radii, training_radius) if radius is not None)
    kept = attacked_rows(predict, batch, ctx, radii=list(wanted), attack=attack)
    found: dict[str, float | None] = {}
    for radius in radii:
        right = kept[str(radius)]
        found[f"robust_accuracy_{radius}"] = _mean(right)
        found[f"robust_accuracy_worst_group_{radius}"] = _worst(right, batch.s)
        found[f"robust_accuracy_worst_class_{radius}"] = _worst(right, batch.y)
    if training_radius is not None:
        found["robust_accuracy"] = _mean(kept[str(training_radius)])
        found["robust_accuracy_worst_class"] = _worst(kept[str(training_radius)], batch.y)
    return found


def attacked(
    predict: Predict, batch: Batch, ctx: Context, *, name: str, radii: Sequence[str | float]
) -> dict[str, float | None]:
    """``robust_accuracy_<name>_<radius>``: accuracy under the attack of the ``attack`` group."""
    kept = attacked_rows(predict, batch, ctx, radii=radii, attack=ctx.attack)
    return {f"robust_accuracy_{name}_{radius}": _mean(right) for radius, right in kept.items()}


def attacked_rows(
    predict: Predict, batch: Batch, ctx: Context, *, radii: Sequence[str | float], attack: Attack
) -> dict[str, Tensor]:
    """Which rows (n,) stay right under the attack at each radius; the attack's budget is checked."""
    with torch.no_grad():
        right = ctx.decide(predict(batch.x), batch.s) == batch.y
    kept: dict[str, Tensor] = {}
    for radius in sorted(radii, key=radius_value):
        at_radius = replace(ctx, epsilon=everywhere(radius))
        moved = attack(predict, batch, at_radius)
        threat: MakeThreat | None = getattr(attack, "keywords", {}).get("threat")
        if threat is not None:
            check_budget(threat(ctx), batch.x, moved, at_radius.epsilon(batch, at_radius))
        with torch.no_grad():
            right = right & (ctx.decide(predict(moved), batch.s) == batch.y)
        kept[str(radius)] = right
    return kept


def _mean(right: Tensor) -> float:
    return float(right.double().mean())


def _worst(right: Tensor, of: Tensor) -> float | None:
    shares: Mapping[int, float] = {int(value): _mean(right[of == value]) for value in of.unique()}
    return min(shares.values(), default=None)
