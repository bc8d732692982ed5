"""``hydra/launcher=batched``: jobs that differ in seed and numbers alone are trained together, as one stack.

An engine, never a different experiment: every job files the record that it would file alone.
"""

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import wait
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from utils.runs.finished_before import skip_finished
from utils.runs.outcomes import at_work, defect, read_outcome, write_outcome
from utils.runs.sweep import Job, Planner
from utils.system.console import complain, count, say
from utils.system.pool import pool

if TYPE_CHECKING:
    from utils.runs.lifecycle import Kept

MOST = 64  # models of a stack where there is one process; more gain little
FEWEST, SHARED = 8, 32  # where there are several: at the least, and at the most
TRIES = 3  # times that stacks are begun whose process died
UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30}

_kept: "Kept | None" = None  # of a process of a pool


class Batched(Launcher):
    """Stacks of at most ``max_models`` models and ``max_memory`` bytes, on ``workers`` processes.

    Args:
        max_models: of a stack; null for ``MOST``, or ``SHARED`` where several processes share the jobs. Where these are
            few a stack is smaller still, so that no process is idle.
        max_memory: of all workers, as text such as "2GB"; larger stacks are cut.
        workers: processes that train a stack each; null for one per CUDA device, or where there is none one per core
            that this process may use.

    Raises:
        ValueError: a size that cannot be read.
    """

    def __init__(self, max_models: int | None, max_memory: str, workers: int | None):
        self.max_models = max_models
        self.max_memory = in_bytes(max_memory)
        self.workers = workers
        self.planner: Planner | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Takes what Hydra hands over; the task is train.py's."""
        self.config = config
        self.planner = self.planner or Planner(hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Trains the jobs, stack by stack; each leaves word of how it ended."""
        assert self.planner is not None
        sweep = Path(self.config.hydra.sweep.dir).absolute()
        jobs = skip_finished(self.planner.plan(job_overrides, initial_job_idx), sweep)
        if not jobs:
            return []
        import torch  # which help, mistakes and finished runs need not wait for
        from joblib import cpu_count

        from utils.runs.lifecycle import Kept

        wanted = self.workers or torch.cuda.device_count() or int(cpu_count())
        stacks = spread(cut(jobs, self.max_models, wanted), torch.cuda.device_count())
        workers = min(wanted, len(stacks))
        budget = self.max_memory // workers
        singles = sum(len(stack) == 1 for stack in stacks)
        say(
            f"{count(len(jobs), 'job')} in {count(len(stacks), 'stack')}, {singles} of a single job, on "
            f"{count(workers, 'process', 'processes')}"
        )
        for reason, number in alone(jobs).items():
            say(f"{count(number, 'job')} one by one, since {reason}")
        if workers == 1:
            kept = Kept()
            for stack in stacks:
                work(stack, sweep, budget, kept)
            return []
        for _ in range(TRIES):
            stacks = _in_processes(stacks, workers, sweep, budget)
        return []


def in_bytes(text: str | int) -> int:
    """``2GB``, ``500 MB`` or a number of bytes.

    Raises:
        ValueError: anything else.
    """
    words = str(text).upper().replace(" ", "")
    unit = UNITS.get(words[-2:], 1)
    try:
        size = int(float(words[:-2] if unit > 1 else words) * unit)
    except ValueError:
        size = 0
    if size < 1:
        raise ValueError(f"hydra.launcher.max_memory={text!r}: expected a size such as 2GB or 500MB")
    return size


def require_flags(**settings: Any) -> None:
    """Raises ValueError for one of the launcher's settings that is neither true nor false."""
    for key, value in settings.items():
        if not isinstance(value, bool):
            raise ValueError(f"hydra.launcher.{key}={value}: expected true or false")


def cut(jobs: Sequence[Job], max_models: int | None, workers: int = 1) -> list[list[Job]]:
    """Stacks of at most ``max_models`` runs of one structure, largest first; jobs that are one run stay together.

    None: as many as pay. Where several processes share them they are smaller, so that each has some and none is done
    long before the others.
    """
    from utils.configuration.run_identity import identity  # imports torch
    from utils.configuration.stacking import stackable, structure_of  # imports torch

    by_structure: dict[str, dict[str, list[Job]]] = {}
    for job in jobs:
        same_run = by_structure.setdefault(structure_of(job.params), {})
        same_run.setdefault(json.dumps(identity(job.params, ""), sort_keys=True), []).append(job)
    if workers > 1:
        share = -(-sum(map(len, by_structure.values())) // workers)
        max_models = min(max_models or SHARED, max(FEWEST, share))
    max_models = max_models or MOST
    stacks = []
    for runs in by_structure.values():
        alike = sorted(runs.values(), key=lambda same: same[0].params["seed"])  # runs of a seed share their data
        parts = -(-len(alike) // max_models) if stackable(alike[0][0].params) else len(alike)
        bounds = [round(i * len(alike) / parts) for i in range(parts + 1)]
        stacks += [sorted(chain.from_iterable(alike[a:b]), key=_optimizer) for a, b in pairwise(bounds)]
    return sorted(stacks, key=len, reverse=True)


def alone(jobs: Sequence[Job]) -> Counter[str]:
    """Counts the jobs that form no stack, by the reason."""
    from utils.configuration.stacking import why_alone  # imports torch

    return Counter(reason for job in jobs if (reason := why_alone(job.params)))


def spread(stacks: Sequence[list[Job]], devices: int, first: int = 0) -> list[list[Job]]:
    """The same stacks, in turns on the CUDA devices, where there are several and none is asked for, from one on."""
    if devices < 2:
        return list(stacks)

    def on(job: Job, device: int) -> Job:
        asked = job.params["device"]
        return job._replace(params=job.params | {"device": f"cuda:{device}" if asked == "auto" else asked})

    return [[on(job, i % devices) for job in stack] for i, stack in enumerate(stacks, first)]


def _optimizer(job: Job) -> tuple[float, float]:
    """Sorts models of equal learning rate and weight decay side by side."""
    trainer = job.params["trainer"]
    return trainer["lr"], trainer["weight_decay"]


def work(stack: Sequence[Job], sweep: Path, budget: int, kept: "Kept", first: int = 0) -> None:
    """Trains one stack; every job leaves word of how it ended, whatever happens to the others.

    ``kept`` and ``first`` are as ``carry_out_together`` takes them.
    """
    from utils.runs.lifecycle import carry_out_together

    left = {job.number: job for job in stack}
    say_now = partial(at_work, sweep, stack[0].number)
    try:
        for job, outcome in carry_out_together(stack, budget=budget, say_now=say_now, kept=kept, first=first):
            write_outcome(sweep, job.number, outcome)
            del left[job.number]
    except Exception as error:  # noqa: BLE001  a defect of ours in one stack must not cost the others
        for job in left.values():
            write_outcome(sweep, job.number, defect(error, job.folder))


def _begin() -> None:
    """Lets a process of a pool, which works for one sweep alone, keep what its stacks may share."""
    global _kept
    from utils.runs.lifecycle import Kept

    _kept = Kept()


def _work(stack: Sequence[Job], sweep: Path, budget: int, first: int) -> None:
    """Trains one stack in a process of a pool."""
    assert _kept is not None
    work(stack, sweep, budget, _kept, first)


def _in_processes(stacks: Sequence[Sequence[Job]], workers: int, sweep: Path, budget: int) -> list[list[Job]]:
    """Trains the stacks; returns those of jobs that left no word, since a process died, which ends the others too."""
    if not stacks:
        return []
    with pool(workers, _begin) as processes:
        tasks = [
            processes.submit(_work, stack, sweep, budget, len(stack) * (i % workers) // workers)
            for i, stack in enumerate(stacks)
        ]
        wait(tasks)
    left = [[job for job in stack if read_outcome(sweep, job.number) is None] for stack in stacks]
    left = [stack for stack in left if stack]
    if left:
        complain(f"a process of the sweep died; {sum(map(len, left))} of its jobs are not done")
    return left
