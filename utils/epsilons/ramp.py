"""A radius that grows from zero."""

import torch
from torch import Tensor

from utils.types import Batch, Context, Scalar


def ramp(batch: Batch, ctx: Context, *, radius: Scalar, warmup: float) -> Tensor:
    """Radius (n,), linear from 0 to ``radius`` over the first ``warmup`` share of the training, then constant.

    Raises:
        ValueError: ``warmup`` outside (0, 1].
    """
    if not 0 < warmup <= 1:
        raise ValueError(f"epsilon.schedule.warmup={warmup}: expected a share in (0, 1]; or use epsilon=constant")
    return min(1.0, ctx.progress / warmup) * (radius * torch.ones_like(batch.w))
