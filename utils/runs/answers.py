"""The thresholds of trained models and their answers on test rows, with the operating points that are wanted."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from utils.build import Run
from utils.metrics.group import attribute_sizes
from utils.runs.fitting import answers_to_fit, fit_threshold, logits_of
from utils.runs.operating_points import Points, fit_points, judge_points
from utils.types import Batch, StoredDecide


class Fitted(NamedTuple):
    """The thresholds of a trained model."""

    decide: StoredDecide
    points: Points | None  # its operating points, where it has some
    warnings: list[str]  # why there are none


class Answers(NamedTuple):
    """The answers of a trained model on the test rows."""

    logits: Tensor  # (n, k)
    points: dict[str, Any] | None  # its operating points, as a record holds them
    warnings: list[str]  # why there are none


def fit_decisions(run: Run) -> Fitted:
    """Fits the thresholds of a trained model, and the operating points that its configuration wants, in one pass.

    Where there can be no points, a warning stands in their place.

    Raises:
        ValueError: there are no thresholds.
    """
    logits, rows = answers_to_fit(run)
    decide = fit_threshold(run, logits, rows)
    try:
        return Fitted(decide, _fit_points(run, logits, rows), [])
    except ValueError as error:
        return Fitted(decide, None, [f"no operating points: {error}"])


def answer(runs: Sequence[Run], fitted: Sequence[Fitted]) -> list[Answers]:
    """Returns the answers of models of one structure, their operating points judged."""
    logits = [logits_of(run, run.dataset.test) for run in runs]
    found: list[dict[str, Any] | None] = [None] * len(runs)
    alike: dict[str, dict[int, Points]] = {}  # by their settings, which the models of a stack have in common
    for i, (run, of) in enumerate(zip(runs, fitted, strict=True)):
        if of.points is not None:
            alike.setdefault(json.dumps(run.params["operating_points"]), {})[i] = of.points
    for points in alike.values():
        judged = _judge([runs[i] for i in points], [logits[i] for i in points], list(points.values()))
        for i, own in zip(points, judged, strict=True):
            split = runs[i].params["fit_on"]
            found[i] = {"fit_on": split} | own | {"fitted": own["fitted"] | {"split": split}}
    return [Answers(of, own, fit.warnings) for of, own, fit in zip(logits, found, fitted, strict=True)]


def _fit_points(run: Run, logits: Tensor, rows: Batch) -> Points | None:
    """Returns the operating points of a run that wants them. Raises ValueError where there are none."""
    settings, data = run.params.get("operating_points"), run.dataset
    if not settings or data.classes > 2 or len(data.groups) < 2:
        return None
    own = {key: settings[key] for key in ("rates", "permitted", "groups_min")}
    return fit_points(logits, rows, data.groups, data.class_names, **own)


def _judge(runs: Sequence[Run], logits: Sequence[Tensor], points: Sequence[Points]) -> list[dict[str, Any]]:
    """Returns the figures of the operating points of runs with the same settings."""
    data, settings = runs[0].dataset, runs[0].params["operating_points"] or {}
    own: Any = {key: settings[key] for key in ("groups_min", "intervals", "level")}
    judged = [(of, run.dataset.test) for of, run in zip(logits, runs, strict=True)]
    seeds, sizes = [run.seed for run in runs], attribute_sizes(data.columns)
    return judge_points(points, judged, len(data.groups), sizes=sizes, seeds=seeds, **own)
