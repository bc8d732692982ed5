"""Judging a model: every metric on the same rows, one flat dictionary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from utils import seeding
from utils.metrics import masking
from utils.metrics.undefined import undefined
from utils.seeding import Rows, derive
from utils.stacking import Stack, together
from utils.types import Batch, Context, Figures, Metric, Predict


def evaluate(predict: Predict, batch: Batch, ctx: Context, metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """All metrics of a model on the rows; an undefined one is None.

    Each metric starts from a random stream of its own, so that a subset of them gives the same figures. Neither
    the model nor its threshold changes.

    Raises:
        ValueError: two metrics report the same key.
    """
    found: dict[str, float | None] = {}
    for name, metric in metrics.items():
        figures: Any = metric(predict, batch, _own_stream(ctx, name))
        _add(found, name, figures)
    return found


def evaluate_many(
    stack: Stack, batch: Batch, ctx: Context, metrics: Sequence[Mapping[str, Metric]]
) -> list[dict[str, float | None]]:
    """All metrics of every model of a stack on its rows (m, n, *), as ``evaluate`` gives them.

    Raises:
        ValueError: as ``evaluate``.
        UnstackableError: metrics that differ in more than numbers.
    """
    found: list[dict[str, float | None]] = [{} for _ in metrics]
    for name in metrics[0]:
        metric = together([own[name] for own in metrics], f"evaluation.metrics.{name}", batch.x.device)
        try:
            figures = metric(stack, batch, _own_stream(ctx, name))
        except (RuntimeError, IndexError, TypeError):
            figures = {}
        if isinstance(figures, Mapping):  # a metric that knows nothing of stacks
            figures = _one_by_one([own[name] for own in metrics], stack, batch, ctx, name)
        for one, own_figures in zip(found, figures, strict=True):
            _add(one, name, own_figures)
    return found


def warnings_of(
    found: Mapping[str, float | None], groups: Sequence[str], nodes: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A sentence for each check of the evaluation itself that failed, and for each cause that left figures undefined.

    Args:
        found: the metrics of a model.
        groups: the names of the groups of its data.
        nodes: the settings of the metrics, by name.
    """
    least = nodes.get("group", {}).get("groups_min", 0)
    return masking.warnings_of(found) + undefined(found, groups, groups_min=least)


def _one_by_one(metrics: Sequence[Metric], stack: Stack, batch: Batch, ctx: Context, name: str) -> list[Any]:
    each = enumerate(zip(metrics, stack.each, ctx.each, strict=True))
    return [metric(model, batch.of_model(i), _own_stream(own, name)) for i, (metric, model, own) in each]


def _own_stream(ctx: Context, name: str) -> Context:
    purpose = f"evaluation {name}"
    if isinstance(ctx.generator, Rows):
        return replace(ctx, generator=Rows(derive(ctx.own_seed, purpose), ctx.generator.index))
    return replace(ctx, generator=seeding.generators(ctx.seed, purpose))


def _add(found: dict[str, float | None], name: str, figures: Figures) -> None:
    twice = found.keys() & figures.keys()
    if twice:
        raise ValueError(f"evaluation.metrics.{name} reports {sorted(twice)}, which another metric reports too")
    found |= figures
