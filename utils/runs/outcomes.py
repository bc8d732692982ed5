"""The outcomes of a command's jobs; in a sweep each job writes its own to a file, on whichever machine it runs."""

import json
import os
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from utils.records.later import Record
from utils.system import atomic
from utils.system.console import complain, format_error

FOLDER = ".jobs"  # in the folder of a sweep, one file per job
EXIT = {"finished": 0, "skipped": 0, "failed": 1, "refused": 2}  # the exit code that each status asks for
WRONG = ("failed", "refused")


class Model(TypedDict):
    """The causal model that a figure of a run rests on: figures compare where fingerprints agree."""

    dataset: str
    option: str
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """The end of one job.

    A ``finished`` and a ``failed`` run have a record, a ``skipped`` one had it before; a ``refused`` one has none: a
    mistake in the command, or a folder that cannot be written to. The number of a record that was delivered is 0 until
    ``utils.runs.filing.number_records`` finds it by its run.
    """

    name: str
    status: str
    detail: str
    record: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # those that the sweep watches
    models: Mapping[str, "Model"] = field(default_factory=dict)  # that those of them rest on that are causal
    dataset: str | None = None  # the database that its record is in
    source: str | None = None  # of its data, see ``utils.runs.data_sources``
    sensitive: str | None = None  # the attributes that its groups are of
    setting: str | None = None  # its configuration but for the seed
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)  # low and high, of metrics that have one
    constant: bool = False  # its model predicts one class for nearly every row
    run_id: str | None = None  # of its record
    seconds: float | None = None  # of the fit and the evaluation of a finished run
    kept: bool = False  # the run failed, and its record is that of an earlier training, which finished

    @property
    def with_record(self) -> str:
        """The detail beside the record that it is about."""
        if self.record is None:
            return self.detail
        number = f"record {self.record}" if self.record else "delivered"
        if self.status != "failed":
            return f"{number}, {self.detail}"
        end = "stays as it was" if self.kept else "says so"
        return f"{self.detail} ({number}{f' {end}' if self.record else ''})"


def outcome_file(sweep: Path, number: int) -> Path:
    """Returns the path of the file in which job ``number`` of a sweep says how it ended."""
    return sweep / FOLDER / f"{number}.json"


def write_outcome(sweep: Path, number: int, outcome: Outcome) -> None:
    """Writes how job ``number`` ended into the folder of its sweep."""
    atomic.write_soon(outcome_file(sweep, number), json.dumps(vars(outcome)))


def read_outcome(sweep: Path, number: int) -> Outcome | None:
    """Returns how job ``number`` ended; None where it has not ended or died without a word."""
    try:
        return Outcome(**json.loads(outcome_file(sweep, number).read_text()))
    except FileNotFoundError:
        return None


def ended_jobs(sweep: Path) -> set[int]:
    """Returns the numbers of the jobs that have said how they ended."""
    try:
        with os.scandir(sweep / FOLDER) as entries:
            names = [entry.name.partition(".") for entry in entries]
    except FileNotFoundError:  # none yet
        return set()
    return {int(number) for number, _, kind in names if kind == "json" and number.isdecimal()}


def at_work(sweep: Path, number: int, what: str | None) -> None:
    """Writes what is being done, under the number of one of the jobs, until called with None."""
    path = sweep / FOLDER / f"{number}.now"
    with suppress(OSError):  # a full disk must not cost a training for a word
        if what is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(what)


def now(sweep: Path, numbers: Collection[int] | None = None) -> list[str]:
    """Returns what is being done at the moment, under the numbers of some jobs where they are given."""
    found = []
    for path in sorted((sweep / FOLDER).glob("*.now")):
        if numbers is None or int(path.stem) in numbers:
            with suppress(FileNotFoundError):
                found.append(path.read_text())
    return [what for what in found if what]


def defect(error: Exception, folder: Path) -> Outcome:
    """Returns the failure of a job by a defect of ours: printed in a line, and in full in a file of its folder."""
    atomic.write_text(folder / "error.txt", "".join(traceback.format_exception(error)))
    detail = f"{type(error).__name__}: {format_error(error)} (see {folder}/error.txt)"
    complain(detail)
    return Outcome("", "failed", detail)


def forget(folder: Path, made: Path) -> None:
    """Removes what a refused command has left: its own files in ``folder``, and empty folders up to ``made``.

    Args:
        folder: of the run or sweep.
        made: the uppermost folder that was not there before the command.
    """
    for path in sorted(folder.rglob("*"), reverse=True):  # files before their folders
        own = path.parent.name in (".hydra", FOLDER) or path.name == "multirun.yaml"
        with suppress(OSError):  # a folder that holds something else
            path.rmdir() if path.is_dir() else path.unlink() if own else None
    for path in (folder, *folder.parents):
        if not path.is_relative_to(made):
            return
        with suppress(OSError):
            path.rmdir()


ended: list[Outcome] = []  # how the jobs of this command ended
# (records, keys, database) -> why the figures of a sweep's records do not compare
ExplainApart = Callable[[Sequence[Record], Sequence[str], str], list[str]]
explanations: list[ExplainApart] = []


def exit_code(ended: Iterable[Outcome]) -> int:
    """Returns that of the gravest outcome: 0 all is well, 1 a run failed, 2 a mistake in the command."""
    return max((EXIT[outcome.status] for outcome in ended), default=0)
