"""Sets of added rows, judged by training on them: each once, and kept in the journal."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import torch

from utils.poisoning.features import Rows, Space
from utils.poisoning.journal import Entry, Journal
from utils.poisoning.judge import Judge, UndefinedError
from utils.poisoning.rows_csv import with_rows
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


def expanded(added: Sequence[Added], columns: int) -> Rows:
    """The rows side by side (m, columns), each as often as it is added."""
    times = torch.tensor([each.copies for each in added], dtype=torch.int64)
    natural = torch.tensor([each.row for each in added], dtype=torch.float64).reshape(-1, columns)
    labels = torch.tensor([each.label for each in added], dtype=torch.int64)
    return Rows(natural.repeat_interleave(times, 0), labels.repeat_interleave(times))


class Evaluations:
    """Trains the victim on its rows and added ones, and judges. What the journal holds is not trained again.

    Raises:
        ValueError: the training without added rows fails, or a metric that is needed is undefined then.
    """

    def __init__(self, victim: Victim, space: Space, judge: Judge, journal: Journal):
        self.victim, self.space, self.judge, self.journal = victim, space, judge, journal
        self._known = {_key(entry["added"]): entry for entry in journal.entries}
        self.made: list[Trial[AddedRows]] = []
        self.made.append(self._trials([()])[0]._replace(accepted=True))
        if self.made[0].error:
            raise ValueError(f"attack.poison: without added rows, {self.made[0].error}")

    @property
    def best(self) -> Trial[AddedRows]:
        """The last that was accepted."""
        return next(trial for trial in reversed(self.made) if trial.accepted)

    def train_with(self, added: Sequence[Added]) -> Batch:
        """Returns the training rows, then the added ones."""
        return with_rows(self.victim.train, self.space.batch(expanded(added, len(self.space.columns))))

    def is_new(self, added: Sequence[Added]) -> bool:
        """Returns whether a set has not been judged in this search."""
        return all(trial.proposal != tuple(added) for trial in self.made)

    def try_sets(self, sets: Sequence[AddedRows]) -> list[Trial[AddedRows]]:
        """Trains on some sets and judges them; the best is accepted as ``accept_best`` says."""
        trials = self._trials(sets)
        trials = accept_best([self.best], trials)
        self.made += trials
        return trials

    def _trials(self, sets: Sequence[AddedRows]) -> list[Trial[AddedRows]]:
        missing = [added for added in sets if _key(added) not in self._known]
        if missing:
            answers = self.victim.refit([self.train_with(added) for added in missing])()
            self._file([self._entry(added, answer) for added, answer in zip(missing, answers, strict=True)])
        numbers = range(len(self.made), len(self.made) + len(sets))
        return [self._trial(number, added) for number, added in zip(numbers, sets, strict=True)]

    def _file(self, entries: Sequence[dict[str, Any]]) -> None:
        self.journal.add(entries)
        self._known |= {_key(entry["added"]): entry for entry in entries}

    def _entry(self, added: Sequence[Added], answer: Answer) -> dict[str, Any]:
        entry: dict[str, Any] = {"added": added, "metrics": {}, "error": "", "seconds": answer.seconds}
        try:
            return entry | {"metrics": self.judge.metrics(answer)}
        except UndefinedError as error:
            return entry | {"error": str(error)}

    def _trial(self, number: int, added: AddedRows) -> Trial[AddedRows]:
        entry = self._known[_key(added)]
        metrics, seconds = entry["metrics"], (0.0, entry["seconds"])
        if entry["error"]:
            return fail_trial(number, added, seconds, entry["error"])
        baseline = self.made[0].metrics if self.made else metrics
        return judge_trial(number, added, seconds, self.judge, metrics, baseline)


def _key(added: Sequence[Any]) -> str:
    return json.dumps(added)
