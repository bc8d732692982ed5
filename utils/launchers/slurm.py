"""``hydra/launcher=submitit_slurm``: a sweep as one array of SLURM's, waited for or left to itself.

Launched again, the same line submits what is neither finished nor queued, and waits for the rest.
"""

import io
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

import paths_config
from utils.launchers import slurm_queue as queue
from utils.launchers.batched import UNITS, cut, require_flags
from utils.launchers.shared_folders import list_variables
from utils.launchers.slurm_folders import require_shared
from utils.launchers.slurm_queue import QueueError, Tasks
from utils.launchers.submissions import (
    Place,
    Submission,
    Waiting,
    describe_end,
    digest,
    find_queued,
    forget,
    forget_ended,
    new_submission,
    note,
    require_own,
)
from utils.runs.finished_before import skip_finished
from utils.runs.outcomes import Outcome, ended_jobs, read_outcome, write_outcome
from utils.runs.sweep import Job, Planner
from utils.system.console import complain_once, count, format_error, say
from utils.system.locks import hold
from utils.words.quoting import copyable, option

if TYPE_CHECKING:
    from submitit import SlurmExecutor

SHARE = 0.75  # of a task's memory that a stack may take; the rest is for the program and what it reads
POLL = 2.0, 15.0  # seconds between two looks at the queue: at first, and at the most
STARTS = 30  # seconds that a task needs at the least before it can be asked to end
NAME = re.compile(r"[\w.-]+")  # in the queue
LATE = 60.0  # seconds after which a file that a node wrote is seen here too

Stacks = list[list[Job]]


class Slurm(Launcher):
    """Hands a sweep to SLURM by submitit.

    Args:
        wait: for the jobs to end; else the command ends once they are submitted.
        stack: jobs that differ in seed and numbers alone train together within a task, at most ``max_models`` of them.
        max_models: of a stack; null for 64.
        max_tasks: of the array, each of which takes several jobs where there are more; null: what the cluster permits.
        submitit_folder: of the tasks' output.
        max_num_timeout: times that a task which runs out of time, or is preempted, is queued again.
        asked: what submitit asks SLURM for.
    """

    def __init__(
        self,
        *,
        wait: bool,
        stack: bool,
        max_models: int | None,
        max_tasks: int | None,
        submitit_folder: str,
        max_num_timeout: int,
        **asked: Any,
    ):
        self.wait, self.stack, self.max_models, self.max_tasks = wait, stack, max_models, max_tasks
        self.folder, self.requeues = submitit_folder, max_num_timeout
        plain: Any = OmegaConf.to_container(OmegaConf.create(asked), resolve=True)
        self.asked = {key: value for key, value in plain.items() if value is not None}
        require_flags(wait=wait, stack=stack, stderr_to_stdout=plain["stderr_to_stdout"])
        if not isinstance(self.asked.get("setup", []), list):
            raise ValueError(f"hydra.launcher.setup={asked['setup']}: expected lines of a shell, as [module load cuda]")
        if not NAME.fullmatch(str(plain["name"])):
            raise ValueError(f"hydra.launcher.name={plain['name']}: expected letters, digits, _, - and .")
        if 60 * plain["timeout_min"] < plain["signal_delay_s"] + STARTS:
            raise ValueError(
                f"hydra.launcher.signal_delay_s={plain['signal_delay_s']} leaves nothing of timeout_min="
                f"{plain['timeout_min']}: a task would be asked to end before it began; lower one or raise the other"
            )
        self.planner: Planner | None = None
        self.queued: set[int] = set()  # jobs that are left to the cluster
        self.digests: dict[int, str] = {}  # of the jobs' settings, by number

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Takes what Hydra hands over; the task is train.py's.

        Raises:
            ValueError: SLURM or submitit is not there, or the folder is that of a sweep which still runs.
        """
        import_submitit()
        queue.require_slurm()
        self.config = config
        self.planner = self.planner or Planner(hydra_context, config)
        sweep = Path(config.hydra.sweep.dir).absolute()
        if sweep.is_dir():
            with _nothing_submitted():
                require_own(sweep, queue.look())

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Submits the jobs that are neither finished nor queued, and waits for all of them or for none.

        Raises:
            ValueError: SLURM refuses them, or a node does not see the folders.
        """
        assert self.planner is not None
        sweep = Path(self.config.hydra.sweep.dir).absolute()
        planned = self.planner.plan(job_overrides, initial_job_idx)
        jobs = skip_finished(planned, sweep)
        if not jobs:
            return []
        registry = paths_config.evals() / ".submitted"
        with _nothing_submitted():
            registry.mkdir(parents=True, exist_ok=True)
        with _nothing_submitted(), hold(registry / ".lock", "another command submits jobs"):
            known = queue.look()
            self.digests = {job.number: digest(job.params) for job in planned}
            forget_ended(known, set(self.digests.values()))
            there = self._places(jobs, known)
            if fresh := [job for job in jobs if job.number not in there]:
                require_shared(sweep, self.asked)
                there |= self._submit(fresh, sweep)
        old, datasets = len(jobs) - len(fresh), list(dict.fromkeys(job.params["dataset"]["name"] for job in jobs))
        if old:
            say(
                f"{count(old, 'job')} queued or running since an earlier command, as that one asked for; "
                f"`{copyable('python -m evals.database cancel', option('dataset', datasets[0]))}` takes them back"
            )
        self.queued.update(there)  # if this command ends before them
        if self.wait:
            follow(there, sweep)
        else:
            for dataset in datasets:
                for verb, what in (("watch", "how they are"), ("cancel", "cancels them")):
                    say(f"  {copyable(f'python -m evals.database {verb}', option('dataset', dataset))}  # {what}")
        return []

    def _places(self, jobs: Sequence[Job], known: Mapping[str, Tasks]) -> dict[int, Place]:
        """Returns where those of the jobs are that wait or run already."""
        digests = {job.number: self.digests[job.number] for job in jobs}
        found = find_queued(digests.values(), known)
        return {number: found[own] for number, own in digests.items() if own in found}

    def _submit(self, jobs: Sequence[Job], sweep: Path) -> dict[int, Place]:
        """Submits jobs as an array; returns where they are.

        Raises:
            ValueError: SLURM refuses it.
        """
        from utils.launchers.array_task import ArrayTask, pack

        stacks = cut(jobs, self.max_models) if self.stack else [[job] for job in jobs]
        tasks = deal(stacks, min(self.max_tasks or queue.largest_array(), queue.largest_array()))
        waiting = [[self._describe(job) for stack in task for job in stack] for task in tasks]
        logs = Path(self.folder.partition("%")[0]).absolute()
        submission = new_submission(str(self.asked["name"]), sweep, self._limits(), waiting, logs)
        budget = int(SHARE * self.asked["mem_gb"] * UNITS["GB"])
        works = [ArrayTask(pack(task), sweep, Path.cwd(), budget, self.requeues) for task in tasks]
        executor = self._executor(submission)
        note(submission)
        try:
            with redirect_stderr(io.StringIO()):  # where submitit says again what is in its error
                handles = executor.submit_array(works)
        except BaseException as error:
            if not any(task.alive for task in queue.look().get(submission.name, {}).values()):
                forget(submission)
            if type(error).__name__ == "FailedJobError":
                why = queue.explain_refusal(str(error))
                raise ValueError(f"SLURM refused {count(len(jobs), 'job')}: {why}") from None
            raise
        array = handles[0].job_id.partition("_")[0]
        submission = replace(submission, array=array)
        note(submission)
        say(f"{count(len(jobs), 'job')} submitted as array {array} of SLURM, {count(len(tasks), 'task')}")
        return {job.number: Place(submission, i, job.number) for i, task in enumerate(waiting) for job in task}

    def _describe(self, job: Job) -> Waiting:
        assert self.planner is not None
        words = " ".join(self.planner.words(job.number))
        return Waiting(job.number, self.digests[job.number], job.params["dataset"]["name"], words)

    def _limits(self) -> dict[str, float]:
        return {key: self.asked[key] for key in ("mem_gb", "timeout_min")}

    def _executor(self, submission: Submission) -> "SlurmExecutor":
        """Returns submitit's part, which writes the script and asks for what the settings say.

        Raises:
            ValueError: a setting that submitit does not take.
        """
        submitit = import_submitit()
        executor = submitit.SlurmExecutor(folder=self.folder)
        own = {"name": submission.name, "setup": [*_environment(), *self.asked.get("setup", [])]}
        try:
            executor.update_parameters(**executor._convert_parameters(self.asked | own))
        except (ValueError, TypeError) as error:
            raise ValueError(f"hydra.launcher: {str(error).splitlines()[0]}") from None
        return executor


@contextmanager
def _nothing_submitted() -> Iterator[None]:
    """Turns an error of the system's or the queue's into one of the command. Raises ValueError."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{format_error(error)}; nothing was submitted") from None


def import_submitit() -> Any:
    """Submitit. Raises ValueError where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "hydra/launcher=submitit_slurm is not installed: pip install -r requirements/submitit.txt"
        ) from None
    return submitit


def deal(stacks: Sequence[list[Job]], most: int) -> list[Stacks]:
    """Returns the stacks of each task, at most so many tasks, each with its share."""
    tasks = min(most, len(stacks))
    return [list(stacks[i::tasks]) for i in range(tasks)]


def _environment() -> list[str]:
    """Returns lines of the script by which the nodes find this program and its folders, whatever the site passes on."""
    passed = [f"export {name}={shlex.quote(value)}" for name, value in sorted(list_variables().items())]
    return ["export SLURM_EXPORT_ENV=ALL", *passed]  # to the step, where a site passes nothing on to jobs


# --- waiting ---------------------------------------------------------------------------------------------------


def follow(there: Mapping[int, Place], sweep: Path) -> None:
    """Waits until every job has said how it ended, in this sweep or in the one that it was submitted in, or died."""
    left, gone, pause = dict(there), dict[int, float](), POLL[0]
    told: set[str] = set()
    try:
        while left := _collect(left, sweep):
            time.sleep(pause)
            pause = min(POLL[1], 1.2 * pause)
            try:
                known = queue.look()
            except QueueError as error:
                complain_once(f"{error}; asking again")
                continue
            for line in _find_stuck(left, known):
                if line not in told:
                    told.add(line)
                    say(line)
            for number in _find_dead(left, known, gone):
                place = left.pop(number)
                task = known.get(place.submission.name, {}).get(place.task)
                detail = describe_end(place.submission, place.task, task)
                write_outcome(sweep, number, Outcome("", "failed", detail))
    except KeyboardInterrupt:
        say(f"{count(len(left), 'job')} stay queued or running; the same line launched again waits for them")
        raise


def _collect(left: Mapping[int, Place], sweep: Path) -> dict[int, Place]:
    """Returns the jobs that have not ended; of one that ended in an earlier sweep this one gets word too."""
    ended = {folder: ended_jobs(Path(folder)) for folder in {place.submission.sweep for place in left.values()}}
    rest = {}
    for number, place in left.items():
        folder = place.submission.sweep
        if place.number not in ended[folder]:
            rest[number] = place
        elif Path(folder) != sweep and (outcome := read_outcome(Path(folder), place.number)):
            write_outcome(sweep, number, outcome)
    return rest


def _find_stuck(left: Mapping[int, Place], known: Mapping[str, Tasks]) -> Iterable[str]:
    """Returns a line for each reason, other than its turn, for which tasks of these jobs wait."""
    tasks = {(place.submission.name, place.task) for place in left.values()}
    states = [seen for name, index in tasks if (seen := known.get(name, {}).get(index))]
    stuck = Counter(seen.reason for seen in states if seen.state == "PENDING" and seen.reason not in queue.TURN)
    return [f"{count(n, 'task')} wait: {reason} (`man squeue` explains it)" for reason, n in stuck.items()]


def _find_dead(left: Mapping[int, Place], known: Mapping[str, Tasks], gone: dict[int, float]) -> Iterable[int]:
    """Returns the jobs whose task is over and that still left no word; ``gone`` keeps since when it is over."""
    now, dead = time.monotonic(), []
    for number, place in left.items():
        task = known.get(place.submission.name, {}).get(place.task)
        if task is not None and task.alive:
            gone.pop(number, None)
            continue
        told = task is not None and task.state != "COMPLETED"  # SLURM says that it did not end well
        if now - gone.setdefault(number, now) > (POLL[0] if told else LATE):
            dead.append(number)
    return dead
