"""Accuracy under attack, and for whom it is lost."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils import seeding
from utils.adversary.bounds import cost_of
from utils.adversary.safe_rows import find_safe
from utils.adversary.worst_case import moves, still_right, threat_of, within_budget
from utils.metrics.bootstrap import of_means
from utils.metrics.breakdown import break_down, groups_of, tables
from utils.metrics.confusion import Counts
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured
from utils.threats import GRADIENT, FeatureThreat, everywhere
from utils.types import Attack, AttackName, Batch, Context, Figures, Predict, Radii, Radius, Scalar
from utils.views.row_parts import parts

KEYS = {
    "robust_accuracy": Key(1, "robust accuracy", headline=3),
    "robust_accuracy_worst_class": Key(1, "robust accuracy of the worst class", headline=5),
    "robust_accuracy_worst_group": Key(1, "robust accuracy of the worst group", headline=5),
    "robust_accuracy_{attack}": Key(1, "robust accuracy against {attack}", norm=False),
}


def robust(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Radii,
    training_radius: Radius | Tensor | None,
    attack: Attack,
    intervals: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """``robust_accuracy_<radius>``: share of rows whose label is right at x and at the attacked x'.

    Also ``robust_accuracy_group<i>_<radius>`` and ``robust_accuracy_class_<i>_<radius>`` of every sensitive group and
    true class, ``robust_accuracy_worst_group_<radius>`` and ``robust_accuracy_worst_class_<radius>`` of those with
    rows, and ``robust_accuracy`` and ``robust_accuracy_worst_class`` at the training radius. Each has ``<key>_low``
    and ``<key>_high``, the interval of ``level`` in (0, 1). A row lost at one radius
    counts as lost at every larger one, since the balls are nested. Where the attack has nothing to move, all are None.
    """
    trained = [] if training_radius is None else [training_radius]
    batch = _select_told(attack, batch, ctx)
    kept = attack_rows(predict, batch, ctx, radii=[*radii.values(), *trained], attack=attack)
    ends = [*(f"_{radius}" for radius in radii), *("" for _ in trained)]
    found = _figures(ends, level, ctx.each or (ctx,), *(of.cpu().numpy() for of in (kept, batch.s, batch.y)))
    return found if ctx.each else found[0]


def _figures(
    ends: Sequence[str], level: float, models: Sequence[Context], kept: NDArray[np.bool_], s: Counts, y: Counts
) -> list[Measured]:
    """Returns the figures of each model: kept (..., r, n), the training radius last, if there is one, its end empty."""
    found = [Measured() for _ in models]
    shape = len(models), kept.shape[-1]
    s, y = s.reshape(shape), y.reshape(shape)
    # models of other groups or classes have no common table, so that they are judged one by one
    each = zip(models, s, y, strict=True)
    [(groups, classes)] = {(groups_of(of, own), max(2, 1 + int(label.max(initial=0)))) for own, of, label in each}
    for end, right in zip(ends, kept.reshape(len(models), len(ends), -1).swapaxes(0, 1), strict=True):
        table = tables(right, y, s, groups=groups, classes=classes)
        of_models = break_down("robust_accuracy", end, table, level=level, headline=not end)
        for own, more in zip(found, of_models, strict=True):
            own.add(more)
    return found


def attacked(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    name: AttackName,
    radii: Radii,
    intervals: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """``robust_accuracy_<name>_<radius>``: accuracy under the attack of the ``attack`` group, with its interval."""
    batch = _select_told(ctx.attack, batch, ctx)
    kept = attack_rows(predict, batch, ctx, radii=list(radii.values()), attack=ctx.attack)
    keys = [f"robust_accuracy_{name}_{radius}" for radius in radii]
    return of_means(dict(zip(keys, kept.unbind(-2), strict=True)), intervals, level, ctx)


def _select_told(attack: Attack, batch: Batch, ctx: Context) -> Batch:
    """The rows (..., n, *) that the attack tells something of: none where it has nothing to move, as in some tables."""
    if moves(attack, ctx):
        return batch
    return Batch(batch.x[..., :0, :], *(column[..., :0] for column in batch[1:]))


def attack_rows(predict: Predict, batch: Batch, ctx: Context, *, radii: Sequence[Scalar], attack: Attack) -> Tensor:
    """Returns a mask (..., r, n) of rows that stay right under the attack at each of r radii; checks its budget.

    Every model goes through its radii from the smallest to the largest, each once.
    """
    return torch.cat([_attack_part(predict, part, ctx.on(part), radii, attack) for part in parts(batch)], -1)


def _attack_part(predict: Predict, batch: Batch, ctx: Context, radii: Sequence[Scalar], attack: Attack) -> Tensor:
    """``attack_rows`` of one part; of tables, rows that are lost or proven to stay right leave the attack."""
    right = still_right(predict, batch, ctx)
    models = right.shape[:-1]
    values = torch.stack([_of_models(r, right) for r in radii], -1).reshape(-1, len(radii))  # (m, r)
    ladders = [sorted(set(own)) for own in values.tolist()]
    largest = batch.w.new_tensor([ladder[-1] for ladder in ladders]).reshape(*models, 1)
    safe = _find_safe(predict, batch, ctx, attack, largest)
    rungs = []
    for i in range(max(map(len, ladders))):
        at = batch.w.new_tensor([ladder[min(i, len(ladder) - 1)] for ladder in ladders]).reshape(*models, 1)
        right = _attack_open(predict, batch, replace(ctx, epsilon=everywhere(at)), attack, right, right & ~safe)
        rungs.append(right)
    reached = torch.stack(rungs, -2).reshape(len(ladders), len(rungs), right.shape[-1])
    wanted = [[ladder.index(v) for v in own] for ladder, own in zip(ladders, values.tolist(), strict=True)]
    kept = torch.stack([steps[chosen] for steps, chosen in zip(reached, wanted, strict=True)])
    return kept.reshape(*models, *kept.shape[1:])


def _find_safe(predict: Predict, batch: Batch, ctx: Context, attack: Attack, radius: Tensor) -> Tensor:
    """Returns a mask (..., n) of rows that bounds prove to stay right, where these cost less than the attack."""
    make, settings = threat_of(attack), getattr(attack, "keywords", {})
    threat = make(ctx) if make and ctx.columns and moves(attack, ctx) else None
    passes = GRADIENT * settings.get("steps", 0) * settings.get("restarts", 1)
    if not isinstance(threat, FeatureThreat) or passes < cost_of(int(threat.mask.sum())):
        return torch.zeros_like(batch.y, dtype=torch.bool)
    return find_safe(predict, batch, ctx, threat, radius.expand(batch.w.shape))


def _attack_open(predict: Predict, batch: Batch, ctx: Context, attack: Attack, right: Tensor, open_: Tensor) -> Tensor:
    """The rows (..., n) that are right still after an attack on those that are open.

    Images, and rows whose attack draws random numbers for all together, are attacked whether or not they are open.
    """
    if not ctx.columns or isinstance(ctx.generator, seeding.Rows):
        moved = within_budget(attack, predict, batch, ctx)
        return right & still_right(predict, batch._replace(x=moved), ctx)
    if not open_.any():
        return right
    keep = open_.byte().argsort(dim=-1, descending=True, stable=True)[..., : int(open_.sum(-1).max())]
    some, before = batch.of_each(keep) if ctx.each else batch.rows(keep), seeding.states(ctx.generator)
    moved = within_budget(attack, predict, some, ctx)
    if seeding.states(ctx.generator) != before:  # other rows, other numbers
        seeding.rewind(ctx.generator, before)
        moved = within_budget(attack, predict, batch, ctx)
        return right & still_right(predict, batch._replace(x=moved), ctx)
    found = still_right(predict, some._replace(x=moved), ctx) | ~open_.gather(-1, keep)
    return right.scatter(-1, keep, right.gather(-1, keep) & found)


def _of_models(radius: Scalar, right: Tensor) -> Tensor:
    """A radius for every model (...), in double precision."""
    value = radius.squeeze(-1).cpu() if isinstance(radius, Tensor) else torch.tensor(radius)
    return value.double().expand(right.shape[:-1])
