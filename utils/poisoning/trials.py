"""Trials of a search for rows: a proposal of rows to add, and what came of training on them."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from utils.poisoning.judge import DIGITS, Judge, UndefinedError

Proposed = TypeVar("Proposed")


class Trial(NamedTuple, Generic[Proposed]):
    """Rows that a search tried, and what came of training on them; number 0 is the unpoisoned training."""

    number: int
    proposal: Proposed  # what rows were added, as the search has it
    metrics: dict[str, float]
    loss: float | None  # None where it failed
    violation: float  # permitted up to 0
    accepted: bool  # permitted, better than all before, and the best of those judged with it
    error: str
    seconds: tuple[float, float]  # CPU-seconds of choosing and of training


def judge_trial(
    number: int,
    proposal: Proposed,
    seconds: tuple[float, float],
    judge: Judge,
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
) -> Trial[Proposed]:
    """Returns the trial with its loss beside the unpoisoned metrics, a failed one where a metric is undefined."""
    try:
        judged = judge(metrics, baseline)
    except UndefinedError as error:
        return fail_trial(number, proposal, seconds, str(error))
    return Trial(number, proposal, dict(metrics), judged.loss, judged.violation, False, "", seconds)


def fail_trial(number: int, proposal: Proposed, seconds: tuple[float, float], error: str) -> Trial[Proposed]:
    """Returns the trial of a training without answer."""
    return Trial(number, proposal, {}, None, 0.0, False, error, seconds)


def accept_best(before: Sequence[Trial[Proposed]], made: Sequence[Trial[Proposed]]) -> list[Trial[Proposed]]:
    """Returns the trials made, the best accepted if it is permitted and has a lower loss than all ``before``."""
    rivals = [t for t in (*before, *made) if t.loss is not None and t.violation <= 0]
    best = min(((t.loss, t.number) for t in rivals), default=(0.0, None))[1]  # the first of equal ones
    return [t._replace(accepted=t.number == best) for t in made]


def list_steps(made: Sequence[Trial[Any]], metric: str) -> list[tuple[int, float]]:
    """Returns number and metric of the unpoisoned training and of every trial that was accepted."""
    return [(t.number, t.metrics[metric]) for t in made if t.accepted or not t.number]


def find_nearest(made: Sequence[Trial[Any]], judge: Judge) -> dict[str, Any]:
    """Returns, where nothing was accepted, the better set that broke the limits least: which, and how far beyond.

    Nothing where sets were accepted, or none was better than what a search began with.
    """
    start = made[0]
    if any(t.accepted for t in made[1:]) or start.loss is None:
        return {}
    better = [t for t in made[1:] if t.loss is not None and t.loss < start.loss and t.violation > 0]
    if not better:
        return {}
    near = min(better, key=lambda t: t.violation)
    beyond = {key: round(of, DIGITS) for key, of in judge.beyond(near.metrics, start.metrics).items()}
    broken = {key: of for key, of in beyond.items() if of > 0}
    return {"nearest": {"evaluation": near.number, judge.metric: near.metrics[judge.metric], "beyond": broken}}


def summarise(made: Sequence[Trial[Any]]) -> dict[str, Any]:
    """Returns the counts of a search, and the losses that it began and ended with."""
    accepted = [t for t in made[1:] if t.accepted]
    return {
        "evaluations": len(made) - 1,
        "failed": sum(t.loss is None for t in made),
        "accepted": len(accepted),
        "loss": [made[0].loss, accepted[-1].loss if accepted else made[0].loss],
    }
