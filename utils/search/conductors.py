"""Who conducts a study: one process alone, or several on any machines, each with trials of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from utils.search.journal import StudyLock, is_gone, is_silent, journal_file, name_process, open_journal
from utils.search.question import Question
from utils.search.search_words import Line
from utils.search.study import Point, count_begun, draw, one_at_a_time, open_study, points
from utils.system.console import count, say

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BEAT = 10.0  # seconds between two signs of life
POLL = 1.0  # seconds between two looks at trials of others
OWNER = "conductor"  # the attribute of a trial that names its process


class Alone:
    """The only process: it goes on with every trial that another has left."""

    def __init__(self, study: "Study", storage: Any):
        self.study, self.storage = study, storage
        self._points: Iterator[Point] | None = None

    def ask(self, most: int, line: Line, trials: int, sampler: str, seed: int) -> list[Point]:
        """Returns at most so many points to be tried; none once the study has its ``trials``."""
        self._points = self._points or points(self.study, line, trials, sampler, seed)
        return list(islice(self._points, most))

    @contextmanager
    def telling(self, trial: "Trial") -> Iterator[bool]:  # noqa: ARG002
        """Lets what a trial came to be told; yields False where another process has taken it over."""
        yield True

    def leave(self, trial: "Trial") -> None:
        """Gives up on a trial without a result, which stays open."""

    def forget(self) -> None:
        """Removes the study, unless others conduct it, which leaves its name free."""
        import optuna

        optuna.delete_study(study_name=self.study.study_name, storage=self.storage)


class Together(Alone):
    """One of several processes. A trial belongs to one; those of a process that has died are another's.

    Args:
        lock: of the study; what is looked at and then changed is looked at and changed under it.
        crew: the folder of the signs of life, a file for each process.
    """

    def __init__(self, study: "Study", storage: Any, lock: StudyLock, crew: Path, own: str):
        super().__init__(study, storage)
        self._lock, self._crew, self._own = lock, crew, own
        self._left: set[int] = set()  # trials that this process gave up on
        self._waits = False

    def ask(self, most: int, line: Line, trials: int, sampler: str, seed: int) -> list[Point]:
        """Returns points as ``Alone``, its share of what is left; waits while others have trials that may be left."""
        while True:
            with self._lock:
                alive = self._find_alive()
                open_ones = self._running()
                dead = [t for t in open_ones if _owner(t) not in alive and t.number not in self._left]
                left = max(0, trials - count_begun(self.study)) + len(dead)
                share = min(most, -(-left // len(alive)))
                asked = [self._take_over(trial) for trial in dead[:share]]
                asked += [self._begin() for _ in range(share - len(asked))]
            if asked:
                return [draw(self.study, trial, line, sampler, seed) for trial in asked]
            others = [trial for trial in open_ones if _owner(trial) in alive - {self._own}]
            if not others:
                return []
            if not self._waits:
                say(f"waiting for {count(len(others), 'trial')} of other processes, to be taken over if they die")
                self._waits = True
            time.sleep(POLL)

    def _running(self) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        return self.study.get_trials(states=(TrialState.RUNNING,))

    def _find_alive(self) -> set[str]:
        there = [path for path in self._crew.iterdir() if not path.name.startswith(".")]
        return {self._own, *(path.name for path in there if not is_gone(path.name) and not is_silent(path))}

    def _take_over(self, trial: "FrozenTrial") -> "FrozenTrial":
        if owner := _owner(trial):
            say(f"trial {trial.number} is taken over from process {owner}, which has ended")
        self.study._storage.set_trial_user_attr(trial._trial_id, OWNER, self._own)
        return trial

    def _begin(self) -> "FrozenTrial":
        """Adds a trial that is this process's from its first line in the journal on."""
        from optuna.trial import TrialState, create_trial

        self.study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={OWNER: self._own}))
        return self.study.get_trials()[-1]

    @contextmanager
    def telling(self, trial: "Trial") -> Iterator[bool]:
        """Yields whether the trial is still open and this process's: one that slept for long may have lost it."""
        with self._lock:
            mine = any(t.number == trial.number and _owner(t) == self._own for t in self._running())
            if not mine:
                say(f"trial {trial.number} was taken over by another process, which tells its result")
            yield mine

    def leave(self, trial: "Trial") -> None:
        """Gives up on a trial, which another process may try."""
        with self.telling(trial) as mine:
            if mine:
                self._left.add(trial.number)
                trial.set_user_attr(OWNER, "")

    def forget(self) -> None:
        """Removes the study, unless others conduct it."""
        with self._lock:
            if self._find_alive() == {self._own}:
                super().forget()


def _owner(trial: "FrozenTrial") -> str:
    return str(trial.user_attrs.get(OWNER, ""))


@contextmanager
def conducted(question: Question, storage: str | None) -> Iterator[Alone]:
    """A study that this process conducts: alone, or with others where its storage is a journal.

    Raises:
        ValueError: a journal that cannot be used, or the study of that name asks another question.
    """
    path = journal_file(storage, question.name)
    if path is None:
        with one_at_a_time(question.name) as folder:
            at = storage or f"sqlite:///{folder / question.name}.db"
            yield Alone(open_study(question, at), at)
        return
    lock, crew = StudyLock(path), path.with_name(f"{path.name}.conductors")
    with living(crew, lock) as own:
        journal = open_journal(path, lock)
        with lock:
            study = open_study(question, journal)
        yield Together(study, journal, lock, crew, own)


@contextmanager
def living(crew: Path, lock: StudyLock) -> Iterator[str]:
    """Shows others by a file that this process lives, and by its lock while it has it; yields its name."""
    own, stop = name_process(), Event()

    def beat() -> None:
        crew.mkdir(exist_ok=True)
        (crew / own).touch()
        lock.touch()

    def beat_on() -> None:
        while not stop.wait(BEAT):
            with suppress(OSError):  # the next may succeed
                beat()

    beat()
    thread = Thread(target=beat_on, daemon=True)
    thread.start()
    try:
        yield own
    finally:
        stop.set()
        thread.join()
        for path in crew.iterdir():
            if path.name == own or (not path.name.startswith(".") and (is_gone(path.name) or is_silent(path))):
                path.unlink(missing_ok=True)
