"""The work of one task of an array, on whichever node it runs."""

import os
import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.launchers.batched import spread, work
from utils.launchers.slurm_queue import QueueError, requeue, state_of
from utils.runs.outcomes import Outcome, ended_jobs, write_outcome
from utils.runs.sweep import Job
from utils.system.console import complain, say
from utils.system.garbage import collect_seldom
from utils.system.interrupts import Stopped, gently

DELIVER = "TRILEMMA_DELIVER"  # to the database, since locks of a shared folder may not be seen by other nodes


@dataclass(frozen=True)
class ArrayTask:
    """Jobs that are trained one stack after the other; those that have ended are left, as after a requeue.

    Args:
        packed: the stacks, see ``pack``.
        sweep: the folder in which the jobs say how they ended.
        here: the folder in which the sweep was started.
        budget: bytes of a stack.
        requeues: times that a task which is asked to end, as before its time is over, is queued again.
    """

    packed: bytes
    sweep: Path
    here: Path
    budget: int
    requeues: int

    def __call__(self) -> None:
        """Trains what is left; called by submitit."""
        collect_seldom()
        import torch

        os.chdir(self.here)
        os.environ[DELIVER] = "1"
        ended = ended_jobs(self.sweep)
        stacks = [[job for job in stack if job.number not in ended] for stack in unpack(self.packed)]
        own = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))  # tasks of a node take turns if SLURM deals no devices
        stacks = spread(list(filter(None, stacks)), torch.cuda.device_count(), own)
        from utils.runs.lifecycle import Kept

        kept = Kept()
        try:
            with gently():
                for stack in stacks:
                    work(stack, self.sweep, self.budget, kept)
        except Stopped as stopped:
            self._go_on_later(stopped, stacks)

    def _go_on_later(self, stopped: Stopped, stacks: Sequence[Sequence[Job]]) -> None:
        """Queues this task again, unless SLURM does so or it was cancelled; what was trained is in checkpoints."""
        say(f"asked to end by {stopped}; what was trained is kept")
        if not (why := self._queue_again()):
            return
        reason = f"out of time, and not queued again: {why}; launched again, the line goes on from here"
        complain(reason)
        ended = ended_jobs(self.sweep)
        for job in (job for stack in stacks for job in stack if job.number not in ended):
            write_outcome(self.sweep, job.number, Outcome("", "failed", reason))

    def _queue_again(self) -> str:
        """Returns why this task is not queued again; empty where it is, or is being ended by whoever knows why."""
        before, array = int(os.environ.get("SLURM_RESTART_COUNT", "0")), os.environ.get("SLURM_ARRAY_JOB_ID")
        # the number of the last task is that of the whole array
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID", "")
        try:
            if state_of(job) not in ("RUNNING", ""):  # cancelled, or queued again by SLURM itself
                return ""
            if before >= self.requeues:
                return f"it was {before} times, of hydra.launcher.max_num_timeout={self.requeues}"
            return requeue(job)
        except QueueError as error:
            return str(error)


def pack(stacks: Sequence[Sequence[Job]]) -> bytes:
    """Returns stacks as bytes, few of them: the configurations of their jobs are much alike."""
    return zlib.compress(pickle.dumps([list(stack) for stack in stacks]))


def unpack(packed: bytes) -> list[list[Job]]:
    """Returns the stacks that ``pack`` packed, on this side of the same submission."""
    stacks: list[list[Job]] = pickle.loads(zlib.decompress(packed))
    return stacks
