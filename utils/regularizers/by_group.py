"""Rates of groups as a training sees them: what the terms of group fairness share."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from utils.types import Batch, Context

Rate = Literal["acceptance_rate", "fnr", "fpr", "equalized_odds"]
# class of the rows among which groups are to be accepted equally often, None for all rows; each is an aim of its own
AMONG: Mapping[Rate, tuple[int | None, ...]] = {
    "acceptance_rate": (None,),  # demographic parity
    "fnr": (1,),  # equal opportunity
    "fpr": (0,),
    "equalized_odds": (1, 0),
}


def weights_among(batch: Batch, rate: Rate) -> Tensor:
    """w of the rows that each aim of a rate is about, 0 of the others, (..., a, n). Raises ValueError: another rate."""
    if rate not in AMONG:
        raise ValueError(f"rate={rate!r} is not known; choose {', '.join(AMONG)}")
    about = [torch.ones_like(batch.w) if y is None else batch.y == y for y in AMONG[rate]]
    return torch.stack([batch.w * rows for rows in about], -2)


def members(batch: Batch, ctx: Context, method: str) -> Tensor:
    """1 where a row is of a group, else 0, (..., G, n). Raises ValueError where all rows are of one group."""
    if ctx.groups < 2:
        raise ValueError(
            f"regularizer={method} compares groups, and these data have one only; choose data with a sensitive "
            "attribute, or another regularizer"
        )
    return (batch.s.unsqueeze(-2) == torch.arange(ctx.groups, device=batch.s.device).unsqueeze(-1)).to(batch.w)
