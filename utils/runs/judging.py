"""Judging a model: every metric on the same rows, one flat dictionary."""

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from utils import seeding
from utils.metrics import masking
from utils.metrics.intervals import Measured
from utils.metrics.small_groups import worst_of_few
from utils.metrics.undefined import explain_undefined
from utils.seeding import Rows, derive
from utils.system.interrupts import stop_if_interrupted
from utils.types import Batch, Context, Figures, Metric, Predict
from utils.views.stack import Stack, UnstackableError, together

# settings that count repetitions, which a rehearsal makes SHORT of
REPETITIONS = {"intervals", "samples", "steps", "queries", "restarts", "n"}
SHORT = 2
PLAIN = {float, int, NoneType}  # of most figures; to ask what a value is an instance of is slow
FEW = 4  # rows of each class and group in a rehearsal
FEW_IMAGES = 16  # and images at the most, one of each class and group


class MetricError(ValueError):
    """A metric ended in an error, or returned something else than figures."""


def evaluate(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    metrics: Mapping[str, Metric],
    tell: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Returns all metrics of a model on the rows; an undefined one is None. ``tell`` hears of each before it begins.

    Each metric starts from a random stream of its own, so that a subset of them gives the same figures, and runs
    without gradients: one that needs them differentiates by ``utils.threats.slope`` or within ``torch.enable_grad()``.
    Neither the model nor its threshold changes.

    Raises:
        MetricError: a metric ended in an error, or returned no figures; the message names it.
        ValueError: two metrics report the same key.
    """
    found = Measured()
    for name, metric in metrics.items():
        tell(name)
        _add(found, name, _figures(metric, name, predict, batch, ctx))
    return found


def rehearse(predict: Predict, batch: Batch, ctx: Context, metrics: Mapping[str, Metric]) -> Measured:
    """Calls ``evaluate`` on a few rows of the batch, with repetitions cut short, only to see whether it works.

    Raises:
        ValueError: as ``evaluate``.
    """
    short = {name: shortened(metric) for name, metric in metrics.items()}
    return evaluate(predict, a_few(batch), replace(ctx, attack=shortened(ctx.attack)), short)


def a_few(batch: Batch) -> Batch:
    """Returns rows of every class in every group: FEW of each, of images one of each and FEW_IMAGES at the most."""
    images = batch.x.ndim > 2
    _, cell = torch.stack([batch.y, batch.s], 1).unique(dim=0, return_inverse=True)
    order = cell.argsort(stable=True)
    sizes = cell.bincount()
    before = sizes.cumsum(0) - sizes
    place = torch.arange(len(order), device=cell.device) - before[cell[order]]  # of a row in its cell
    chosen = order[place < (1 if images else FEW)]
    return batch.rows(chosen[: FEW_IMAGES if images else None])


def evaluate_many(
    stack: Stack,
    batch: Batch,
    ctx: Context,
    metrics: Sequence[Mapping[str, Metric]],
    tell: Callable[[str], None] = lambda _: None,
) -> list[Measured]:
    """Returns all metrics of every model of a stack on its rows (m, n, *), as ``evaluate`` gives and tells them.

    Raises:
        ValueError: as ``evaluate``.
        UnstackableError: metrics that differ in more than numbers.
    """
    found = [Measured() for _ in metrics]
    for name in metrics[0]:
        tell(name)
        metric = together([own[name] for own in metrics], f"evaluation.metrics.{name}", batch.x.device)
        figures = _of_stack(metric, name, stack, batch, ctx)
        if figures is None:
            figures = _one_by_one([own[name] for own in metrics], stack, batch, ctx, name)
        for one, own_figures in zip(found, figures, strict=True):
            _add(one, name, own_figures)
    return found


def warnings_of(
    found: Measured,
    groups: Sequence[str],
    classes: Sequence[str],
    nodes: Mapping[str, Mapping[str, Any]],
    *,
    row: str = "test row",
) -> list[str]:
    """Returns a sentence for each check of the evaluation itself that failed and each cause of undefined figures.

    Args:
        found: the metrics of a model.
        groups: the names of the groups of its data.
        classes: the names of the classes, where they have any.
        nodes: the settings of the metrics, by name.
        row: what each of the rows is called.
    """
    least = nodes.get("group", {}).get("groups_min", 0)
    undefined = explain_undefined(found, found.shares, groups, classes, groups_min=least, row=row)
    of_few = worst_of_few(found, found.shares, groups, groups_min=least, row=row)
    return masking.warnings_of(found) + undefined + of_few + found.reasons


def _of_stack(metric: Metric, name: str, stack: Stack, batch: Batch, ctx: Context) -> Sequence[Figures] | None:
    """Returns the figures of every model; None where the metric knows nothing of stacks: one mapping, or an error."""
    try:
        with torch.no_grad():
            figures: Any = metric(stack, batch, _own_stream(ctx, name))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - an error of the metric itself comes again, one by one, and is told there
        stop_if_interrupted()
        return None
    if isinstance(figures, Sequence) and len(figures) == len(stack.each):
        return [_checked(own, name) for own in figures]
    return None


def _one_by_one(metrics: Sequence[Metric], stack: Stack, batch: Batch, ctx: Context, name: str) -> list[Figures]:
    each = enumerate(zip(metrics, stack.each, ctx.each, strict=True))
    return [_figures(metric, name, model, batch.of_model(i), own) for i, (metric, model, own) in each]


def _figures(metric: Metric, name: str, predict: Predict, batch: Batch, ctx: Context) -> Figures:
    """Returns the figures of one model, computed without gradients. Raises MetricError."""
    try:
        with torch.no_grad():
            figures = metric(predict, batch, _own_stream(ctx, name))
    except (torch.OutOfMemoryError, MemoryError, UnstackableError):
        raise
    except Exception as error:
        stop_if_interrupted()
        raise MetricError(_explain(metric, name, error)) from error
    return _checked(figures, name)


def _checked(figures: Any, name: str) -> Figures:
    """Returns the figures as they are. Raises MetricError for anything else."""
    if not isinstance(figures, Mapping) or not all(isinstance(key, str) for key in figures):
        raise MetricError(
            f"evaluation.metrics.{name} returned {_brief(figures)}: expected figures by key, such as "
            '{"brier_score": 0.1}, from ctx.of_each where it knows stacks'
        )
    for key, value in figures.items():
        if type(value) not in PLAIN and not isinstance(value, Real):
            raise MetricError(
                f"evaluation.metrics.{name} gives {key}={_brief(value)}: expected a number, or None where it is "
                "undefined; float(...) makes one of a tensor"
            )
    return figures


def _brief(value: Any) -> str:
    return " ".join(repr(value).split())[:80]


def _explain(metric: Metric, name: str, error: Exception) -> str:
    """Returns an error of a metric in one line: our own messages as they are, others with their kind and place."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, ValueError | AssertionError):
        return f"evaluation.metrics.{name}: {reason}"
    function = getattr(metric, "func", metric)
    file = function.__code__.co_filename if inspect.isfunction(function) else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" at line {lines[-1]} of {Path(file).name}" if lines else ""
    remedy = "; metrics run without gradients: differentiate within torch.enable_grad()" * ("grad" in reason)
    return f"evaluation.metrics.{name} ended in {type(error).__name__}{where}: {reason}{remedy}"


def shortened(method: Any) -> Any:
    """Returns a method with every setting of REPETITIONS at most SHORT, its attacks' too."""
    if isinstance(method, Mapping):
        return {name: shortened(of) for name, of in method.items()}
    if not isinstance(method, partial):
        return method
    settings = {
        key: min(value, SHORT) if key in REPETITIONS and isinstance(value, int) else shortened(value)
        for key, value in method.keywords.items()
    }
    return partial(method.func, *method.args, **settings)


def _own_stream(ctx: Context, name: str) -> Context:
    purpose = f"evaluation {name}"
    if isinstance(ctx.generator, Rows):
        return replace(ctx, generator=Rows(derive(ctx.own_seed, purpose), ctx.generator.index))
    return replace(ctx, generator=seeding.generators(ctx.seed, purpose))


def _add(found: Measured, name: str, figures: Figures) -> None:
    twice = found.keys() & figures.keys()
    if twice:
        raise ValueError(f"evaluation.metrics.{name} reports {sorted(twice)}, which another metric reports too")
    found.add(figures)
