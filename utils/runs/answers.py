"""The answers of trained models on their test rows, with the operating points that their configuration wants."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from utils.build import Run
from utils.metrics.group import attribute_sizes
from utils.runs.fitting import logits_of
from utils.runs.operating_points import Points, fit_points, judge_points


class Answers(NamedTuple):
    """The answers of a trained model on the test rows."""

    logits: Tensor  # (n, k)
    points: dict[str, Any] | None  # its operating points, as a record holds them
    warnings: list[str]  # why there are none


def answer(runs: Sequence[Run]) -> list[Answers]:
    """Returns the answers of models of one structure; a warning stands in place of points that there cannot be."""
    logits = [logits_of(run, run.dataset.test) for run in runs]
    found: list[dict[str, Any] | None] = [None] * len(runs)
    warnings: list[list[str]] = [[] for _ in runs]
    alike: dict[str, dict[int, Points]] = {}  # by their settings, which the models of a stack have in common
    for i, run in enumerate(runs):
        try:
            if points := _fit(run):
                alike.setdefault(json.dumps(run.params["operating_points"]), {})[i] = points
        except ValueError as error:
            warnings[i] = [f"no operating points: {error}"]
    for fitted in alike.values():
        judged = _judge([runs[i] for i in fitted], [logits[i] for i in fitted], list(fitted.values()))
        for i, of in zip(fitted, judged, strict=True):
            split = runs[i].params["fit_on"]
            found[i] = {"fit_on": split} | of | {"fitted": of["fitted"] | {"split": split}}
    return list(map(Answers, logits, found, warnings))


def _fit(run: Run) -> Points | None:
    """Returns the operating points of a run that wants them. Raises ValueError where there are none."""
    settings, data = run.params.get("operating_points"), run.dataset
    if not settings or data.classes > 2 or len(data.groups) < 2:
        return None
    rows = getattr(data, run.params["fit_on"])
    own = {key: settings[key] for key in ("rates", "permitted", "groups_min")}
    return fit_points(logits_of(run, rows), rows, data.groups, data.class_names, **own)


def _judge(runs: Sequence[Run], logits: Sequence[Tensor], points: Sequence[Points]) -> list[dict[str, Any]]:
    """Returns the figures of the operating points of runs with the same settings."""
    data, settings = runs[0].dataset, runs[0].params["operating_points"] or {}
    own: Any = {key: settings[key] for key in ("groups_min", "intervals", "level")}
    judged = [(of, run.dataset.test) for of, run in zip(logits, runs, strict=True)]
    seeds, sizes = [run.seed for run in runs], attribute_sizes(data.columns)
    return judge_points(points, judged, len(data.groups), sizes=sizes, seeds=seeds, **own)
