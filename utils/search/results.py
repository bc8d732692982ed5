"""The results of a search: of its trials, from the records of their jobs, and of the whole study."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from utils.metrics.directions import direction
from utils.records.typed import Record
from utils.run_store import store_of
from utils.search.question import Question
from utils.search.study import count_unfinished
from utils.words.near import near
from utils.words.quoting import copyable, option

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial


class NoResultError(ValueError):
    """A trial has failed."""


class UnreportedError(NoResultError):
    """A run does not report a metric."""


def judge(study: "Study", trial: "Trial", question: Question, records: Sequence[Record]) -> None:
    """Tells the study what the records of a trial's jobs say.

    Raises:
        NoResultError: a metric is undefined in one of them or, as UnreportedError, not there.
    """
    metrics = {key: _mean(key, records) for key in question.metrics}
    for bound in question.bounds:
        trial.set_constraint(str(bound), bound.excess(metrics))
    trial.set_user_attr("metrics", metrics)
    trial.set_user_attr("runs", [[record["dataset"], record["run_id"]] for record in records])
    study.tell(trial, [metrics[key] for key in question.objectives])


def _mean(key: str, records: Sequence[Record]) -> float:
    for record in records:
        if key not in record["metrics"]:
            raise UnreportedError(f"record {record['doc_id']} has no metric {key}{near(key, record['metrics'], '')}")
        if record["metrics"][key] is None:
            raise NoResultError(f"{key} is undefined (null) in record {record['doc_id']}")
    return fmean(record["metrics"][key] for record in records)


def describe(study: "Study", question: Question) -> Iterator[str]:
    """Yields the lines of what a study has found: its Pareto set, and how to draw it."""
    from optuna.trial import TrialState

    done = study.get_trials(states=(TrialState.COMPLETE,))
    failed = study.get_trials(states=(TrialState.FAIL,))
    counts = {"with a result": len(done), "failed": len(failed), "left for a relaunch": count_unfinished(study)}
    yield f"\nstudy {question.name}: trials " + ", ".join(f"{what}: {n}" for what, n in counts.items() if n)
    conditions = ", ".join(map(str, question.bounds))
    if best := study.best_trials:
        what = "Pareto set" if len(question.objectives) > 1 else "best"
        yield f"{what} of the trials with {conditions}:" if conditions else f"{what}:"
        yield from _rows(best, question)
    elif done:
        yield f"no trial meets {conditions}; the nearest:"
        yield from _rows([min(done, key=lambda trial: max(trial.constraints.values()))], question)
    for dataset in sorted({dataset for trial in done for dataset, _ in trial.user_attrs["runs"]}):
        words = [option("dataset", dataset), *_axes(question), option("where", f"experiment=={question.name}")]
        yield f"draw it with {copyable('python -m evals.plot', *words)}"


def _rows(trials: Sequence["FrozenTrial"], question: Question) -> list[str]:
    """Trials in aligned columns, the best of the first objective first."""
    first, end = next(iter(question.objectives.items()))
    table = [["trial", *question.metrics, "records", "at"]]
    once = {str(sorted(trial.params.items())): trial for trial in reversed(trials)}.values()  # the first at each point
    for trial in sorted(once, key=lambda t: t.user_attrs["metrics"][first], reverse=end == "maximize"):
        metrics = [f"{trial.user_attrs['metrics'][key]:.4f}" for key in question.metrics]
        at = [
            f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
            for key, value in trial.params.items()
        ]
        table.append([str(trial.number), *metrics, _doc_ids(trial), " ".join(at)])
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, wide, strict=True)).rstrip() for row in table]


def _doc_ids(trial: "FrozenTrial") -> str:
    """The records of a trial's runs, as they are numbered now."""
    runs: list[list[str]] = trial.user_attrs["runs"]
    ids = []
    for dataset in dict.fromkeys(name for name, _ in runs):
        there = store_of(dataset).find_many(run for name, run in runs if name == dataset)
        ids += [str(record["doc_id"]) for record in there.values()]
    return ",".join(ids) or "gone"


def _axes(question: Question) -> list[str]:
    """The words for a plot's axes: the first two objectives, or the only one beside accuracy."""
    keys = list(question.objectives)[:2]
    axes = list(zip("xy", keys, strict=True)) if len(keys) == 2 else [("y", key) for key in keys if key != "accuracy"]
    words = []
    for axis, key in axes:
        sign = 1 if question.objectives[key] == "maximize" else -1
        words.append(option(axis, key))
        if sign != direction(key):
            words.append(option(f"{axis}_better", "higher" if sign > 0 else "lower"))
    return words
