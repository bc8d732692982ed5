"""A radius that grows from zero."""

from torch import Tensor

from utils.types import Batch, Context


def ramp(batch: Batch, ctx: Context, *, radius: float, warmup: float) -> Tensor:
    """Radius (n,), linear from 0 to ``radius`` over the first ``warmup`` share of the training, then constant."""
    return batch.w.new_full(batch.w.shape, radius * min(1.0, ctx.progress / warmup))
