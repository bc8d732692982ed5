"""Sets of added or changed rows, judged by training on them: each once, and kept in the journal."""

import json
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from utils.poisoning.features import Rows
from utils.poisoning.journal import Entry, Journal
from utils.poisoning.judge import Judge, UndefinedError
from utils.poisoning.trials import Trial, accept_best, fail_trial, judge_trial
from utils.types import Answer, Batch, Victim


def shared(entries: Sequence[Entry], *, budget: int) -> list[Entry]:
    """The first sets that a search judges whatever its budget, before the first that failed."""
    return list(takewhile(lambda entry: not entry["error"], entries[: budget + 1]))


class Added(NamedTuple):
    """A valid row, and how often it is added."""

    row: tuple[float, ...]  # (d,), natural units
    label: int
    copies: int


AddedRows = tuple[Added, ...]
Part = TypeVar("Part")  # of a set


def expanded(added: Sequence[Added], columns: int) -> Rows:
    """The rows side by side (m, columns), each as often as it is added."""
    times = torch.tensor([each.copies for each in added], dtype=torch.int64)
    natural = torch.tensor([each.row for each in added], dtype=torch.float64).reshape(-1, columns)
    labels = torch.tensor([each.label for each in added], dtype=torch.int64)
    return Rows(natural.repeat_interleave(times, 0), labels.repeat_interleave(times))


class Evaluations(Generic[Part]):
    """Trains the victim on changed rows, and judges. What the journal holds is not trained again.

    A set is a tuple of parts, rows to add or changes of rows, which ``train_with`` makes training rows of; the journal
    has it under ``name``.

    Raises:
        ValueError: the training without a change fails, or a metric that is needed is undefined then.
    """

    def __init__(
        self, victim: Victim, train_with: Callable[[Sequence[Part]], Batch], judge: Judge, journal: Journal, name: str
    ):
        self.victim, self.train_with, self.judge, self.journal, self.name = victim, train_with, judge, journal, name
        self._known = {_key(entry[name]): entry for entry in journal.entries}
        self.made: list[Trial[tuple[Part, ...]]] = []
        self.made.append(self._trials([()])[0]._replace(accepted=True))
        if self.made[0].error:
            raise ValueError(f"attack.poison: without {name} rows, {self.made[0].error}")

    @property
    def best(self) -> Trial[tuple[Part, ...]]:
        """The last that was accepted."""
        return next(trial for trial in reversed(self.made) if trial.accepted)

    def is_new(self, parts: Sequence[Part]) -> bool:
        """Returns whether a set has not been judged in this search."""
        return all(trial.proposal != tuple(parts) for trial in self.made)

    def try_sets(self, sets: Sequence[tuple[Part, ...]]) -> list[Trial[tuple[Part, ...]]]:
        """Trains on some sets and judges them; the best is accepted as ``accept_best`` says."""
        trials = self._trials(sets)
        trials = accept_best([self.best], trials)
        self.made += trials
        return trials

    def _trials(self, sets: Sequence[tuple[Part, ...]]) -> list[Trial[tuple[Part, ...]]]:
        missing = [parts for parts in sets if _key(parts) not in self._known]
        if missing:
            answers = self.victim.refit([self.train_with(parts) for parts in missing])()
            self._file([self._entry(parts, answer) for parts, answer in zip(missing, answers, strict=True)])
        numbers = range(len(self.made), len(self.made) + len(sets))
        return [self._trial(number, parts) for number, parts in zip(numbers, sets, strict=True)]

    def _file(self, entries: Sequence[dict[str, Any]]) -> None:
        self.journal.add(entries)
        self._known |= {_key(entry[self.name]): entry for entry in entries}

    def _entry(self, parts: Sequence[Part], answer: Answer) -> dict[str, Any]:
        entry: dict[str, Any] = {self.name: parts, "metrics": {}, "error": "", "seconds": answer.seconds}
        try:
            return entry | {"metrics": self.judge.metrics(answer)}
        except UndefinedError as error:
            return entry | {"error": str(error)}

    def _trial(self, number: int, parts: tuple[Part, ...]) -> Trial[tuple[Part, ...]]:
        entry = self._known[_key(parts)]
        metrics, seconds = entry["metrics"], (0.0, entry["seconds"])
        if entry["error"]:
            return fail_trial(number, parts, seconds, entry["error"])
        baseline = self.made[0].metrics if self.made else metrics
        return judge_trial(number, parts, seconds, self.judge, metrics, baseline)


def _key(parts: Sequence[Any]) -> str:
    return json.dumps(parts)
