"""Judging a model: every metric on the same rows, one flat dictionary."""

from collections.abc import Mapping
from dataclasses import replace

from utils import seeding
from utils.types import Batch, Context, Metric, Predict


def evaluate(predict: Predict, batch: Batch, ctx: Context, metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """All metrics of a model on the rows; an undefined one is None.

    Each metric starts from a random stream of its own, so that a subset of them gives the same figures. Neither
    the model nor its threshold changes.

    Raises:
        ValueError: two metrics report the same key.
    """
    found: dict[str, float | None] = {}
    for name, metric in metrics.items():
        own = replace(ctx, generator=seeding.generator(ctx.seed, f"evaluation {name}"))
        values = metric(predict, batch, own)
        twice = found.keys() & values.keys()
        if twice:
            raise ValueError(f"evaluation.metrics.{name} reports {sorted(twice)}, which another metric reports too")
        found |= values
    return found
