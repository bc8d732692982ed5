"""Radii as people write them: 0.05, .1, 8/255."""

from fractions import Fraction

import torch

from utils.types import Epsilon, Scalar


def radius_value(radius: str | float) -> float:
    """The number that a radius means; a fraction may be written as text.

    Raises:
        ValueError: no number, negative, or not finite.
    """
    try:
        value = float(Fraction(str(radius).strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"radius {radius!r} is not a number; write for example 0.1 or 8/255") from None
    if value < 0:
        raise ValueError(f"radius {radius!r} is negative; a radius is 0 or more")
    return value


def everywhere(radius: str | Scalar) -> Epsilon:
    """The same radius for every row, as an epsilon."""
    value = radius if isinstance(radius, torch.Tensor) else radius_value(radius)
    return lambda batch, _: value * torch.ones_like(batch.w)
