"""Adversarial training on a share of each batch (Kurakin, Goodfellow and Bengio 2017, arXiv 1611.01236)."""

import torch
from torch import Tensor

from utils.losses.objective import cross_entropy, emphasise
from utils.types import Attack, Batch, Context, Predict


def half_adversarial(predict: Predict, batch: Batch, ctx: Context, *, attack: Attack, share: float) -> Tensor:
    """Loss (n,): l(h(x'), y) of the first ``share`` of the rows, l(h(x), y) of the others; their mean is of all rows.

    A batch is in random order, so which rows are attacked is drawn anew in every epoch, and by the seed alone. The
    attack sees the steady model; the model in training answers all rows in one pass, so that batch statistics are
    those of the mixture.

    Args:
        ctx: gives radius, emphasis and random start of each row, and hears the logits at x'.
        attack: what becomes of the attacked rows.
        share: in [0, 1], of the rows, rounded to whole ones.

    Raises:
        ValueError: a share out of range, or a class that the rows are led to, by which this attack does not go.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"regularizer.half_adversarial.share={share}: expected a share of the rows in [0, 1]")
    if ctx.towards is not None:
        raise ValueError(
            "regularizer=half_adversarial has an attack of its own, which leads to no class; choose a term beside "
            "fair_tat that it leads: 'regularizer=[pgd_at,fair_tat]'"
        )
    rows = batch.y.ndim - 1  # their dimension, behind that of a stack
    count = round(share * batch.y.shape[rows])
    first, rest = _part(batch, rows, 0, count), _part(batch, rows, count, batch.y.shape[rows] - count)
    moved = attack(predict, first, ctx.on(first)) if count else first.x
    logits = predict(torch.cat([moved, rest.x], rows))
    if count:
        ctx.observe(logits.narrow(rows, 0, count).detach(), first)
    return emphasise(cross_entropy(logits, batch.y), None, ctx)


def _part(batch: Batch, rows: int, start: int, count: int) -> Batch:
    """Returns ``count`` of the rows, from ``start`` on."""
    return Batch(*(column.narrow(rows, start, count) for column in batch))
