"""Sweeps that were handed to a cluster: a file each, so that whoever asks later knows what waits there and runs.

The file is written before anything is submitted, under the name that the cluster's queue shows, so that a submission
that was cut off is known all the same.
"""

import hashlib
import json
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import paths_config
from utils.launchers.slurm_queue import Seen, Tasks
from utils.records.typed import Params
from utils.runs.outcomes import ended_jobs
from utils.system import atomic
from utils.system.console import warn_once

SAYS_NOTHING = ("existing", "choices", "watch", "device")  # of which run it is
REPLACING = "!"
NOISE = ("srun: ", "submitit ")  # of lines that say little of why a task ended


class Waiting(NamedTuple):
    """A job as a submission has it."""

    number: int  # in its sweep
    digest: str  # of its settings
    dataset: str
    words: str  # that tell it from the others


@dataclass(frozen=True)
class Submission:
    """Jobs that were submitted as one array.

    Args:
        name: of the array in the queue, which no other has.
        sweep: the folder in which the jobs say how they ended.
        host: on which it was submitted.
        submitted: when, in UTC.
        asked: what each task may take, for who explains why it ended: mem_gb and timeout_min.
        tasks: the jobs of each task of the array.
        logs: the folder of what tasks write.
        array: the number that SLURM gave it; empty before it did.
        cancelled: by our own command.
    """

    name: str
    sweep: str
    host: str
    submitted: str
    asked: Mapping[str, float]
    tasks: Sequence[Sequence[Waiting]]
    logs: str
    array: str = ""
    cancelled: bool = False

    @property
    def jobs(self) -> list[Waiting]:
        """All jobs, task by task."""
        return [job for task in self.tasks for job in task]

    def left(self) -> Iterator[tuple[int, list[Waiting]]]:
        """Yields the tasks some of whose jobs have not said how they ended, with these."""
        ended = ended_jobs(Path(self.sweep))
        for index, jobs in enumerate(self.tasks):
            if rest := [job for job in jobs if job.number not in ended]:
                yield index, rest


class Place(NamedTuple):
    """The place where a job waits or runs."""

    submission: Submission
    task: int
    number: int  # of the job, in that sweep


def new_submission(
    name: str, sweep: Path, asked: Mapping[str, float], tasks: Sequence[Sequence[Waiting]], logs: Path
) -> Submission:
    """Returns a submission under a name of its own."""
    now, host = datetime.now(UTC).isoformat(timespec="seconds"), socket.gethostname()
    return Submission(f"{name}-{secrets.token_hex(4)}", str(sweep), host, now, asked, tasks, str(logs))


def note(submission: Submission) -> None:
    """Writes the file of a submission."""
    atomic.write_text(_folder() / f"{submission.name}.json", json.dumps(asdict(submission)))


def forget(submission: Submission) -> None:
    """Removes the file of a submission."""
    (_folder() / f"{submission.name}.json").unlink(missing_ok=True)


def submissions(dataset: str | None = None) -> list[Submission]:
    """Returns what was submitted, oldest first; that of one data set where it is given."""
    found = [made for path in sorted(_folder().glob("*.json")) if (made := _read(path))]
    chosen = [s for s in found if dataset is None or any(job.dataset == dataset for job in s.jobs)]
    return sorted(chosen, key=lambda s: s.submitted)


def forget_ended(queue: Mapping[str, Tasks], again: Set[str]) -> None:
    """Removes the files of submissions that nobody need look at any more.

    Nothing of them is in the queue, and all their jobs have ended, or are launched again, or their folder is gone.

    Args:
        queue: what the cluster knows.
        again: the digests of the jobs that are launched now.
    """
    for own in submissions():
        if any(task.alive for task in queue.get(own.name, {}).values()):
            continue
        left = [job for _, jobs in own.left() for job in jobs]
        if not Path(own.sweep).is_dir() or all(job.digest in again for job in left):
            forget(own)


def find_queued(digests: Iterable[str], queue: Mapping[str, Tasks]) -> dict[str, Place]:
    """Returns where the jobs of some settings wait or run, by their digest; one that replaces a run serves all."""
    found: dict[str, Place] = {}
    for own in submissions():
        tasks = queue.get(own.name, {})
        for index, jobs in own.left():
            if index in tasks and tasks[index].alive:
                found |= {job.digest: Place(own, index, job.number) for job in jobs}
    return {key: place for key in digests if (place := found.get(key) or found.get(key + REPLACING))}


def require_own(sweep: Path, queue: Mapping[str, Tasks]) -> None:
    """Refuses the folder of a sweep whose jobs still wait or run, since their words are kept there.

    Args:
        sweep: the folder.
        queue: what the cluster knows.

    Raises:
        ValueError: there are such jobs.
    """
    for own in submissions():
        if Path(own.sweep) == sweep and any(task.alive for task in queue.get(own.name, {}).values()):
            raise ValueError(
                f"the folder {sweep} is that of array {own.array}, which waits or runs: leave hydra.sweep.dir out, or "
                "name another; the same line waits for the jobs that are there, wherever its own folder is"
            )


def digest(params: Params) -> str:
    """Returns what is equal for equal settings; of a run that is to replace another one it ends in ``REPLACING``."""
    own = {key: value for key, value in params.items() if key not in SAYS_NOTHING}
    text = json.dumps([own, str(paths_config.data())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24] + REPLACING * (params["existing"] == "replace")


def describe_end(submission: Submission, index: int, task: Seen | None) -> str:
    """Returns why a task ended whose jobs left no word."""
    if task is None:
        return f"SLURM no longer knows task {index} of {submission.name}; {_log(submission, index)}"
    asked = submission.asked
    why = {
        "OUT_OF_MEMORY": f"it took more than hydra.launcher.mem_gb={asked['mem_gb']:g}",
        "TIMEOUT": f"it took longer than hydra.launcher.timeout_min={asked['timeout_min']:g}",
        "NODE_FAIL": "the node failed",
        "PREEMPTED": "another job took its place, and the cluster did not queue it again",
        "CANCELLED": "it was cancelled",
        "COMPLETED": "its jobs left no word",
    }.get(task.state, task.reason)
    on = f" on {task.node}" if task.node else ""
    log = "" if task.state == "CANCELLED" else f"; {_log(submission, index)}"
    return f"SLURM: {task.state}{on}: {why}{log}"


def _log(submission: Submission, index: int) -> str:
    """Returns where the output of a task is, and what tells most of its end."""
    logs = Path(submission.logs)
    names = (f"{submission.array}_{index}", *((submission.array,) if len(submission.tasks) == 1 else ()))
    found = [path for name in names for path in (logs / name).glob("*.err")]
    if not found:
        return f"no log in {logs}: it never started, or the node does not see that folder"
    with suppress(OSError):
        lines = [line.strip() for line in found[0].read_text(errors="replace").splitlines() if line.strip()]
        own = [line for line in lines if not line.startswith(NOISE)]
        srun = [line for line in lines if line.startswith("srun: error: ")]
        telling = own or srun or lines
        return f"see {found[0]}" + (f": {telling[-1]}" if telling else "")
    return f"see {found[0]}"


def _folder() -> Path:
    return paths_config.evals() / ".submitted"


def _read(path: Path) -> Submission | None:
    """The submission that a file holds; None of a damaged one, with a warning."""
    try:
        stored = json.loads(path.read_text())
        tasks = [[Waiting(*job) for job in task] for task in stored["tasks"]]
        made = Submission(**stored | {"tasks": tasks})
        texts = (made.name, made.sweep, made.host, made.submitted, made.logs, made.array)
        jobs = (job for task in tasks for job in task)
        sound = all(isinstance(text, str) for text in texts) and all(
            isinstance(job.number, int) and isinstance(job.digest, str) and isinstance(job.dataset, str) for job in jobs
        )
        if sound and all(isinstance(made.asked[key], int | float) for key in ("mem_gb", "timeout_min")):
            return made
    except FileNotFoundError:  # another command has just removed it
        return None
    except (ValueError, TypeError, KeyError, OSError):
        pass
    warn_once(f"{path} is damaged, and passed over; what it submitted is not known here (squeue shows it)")
    return None
