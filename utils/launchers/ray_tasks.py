"""``hydra/launcher=ray``: the jobs of a sweep as tasks of a Ray cluster, or of a Ray started on this machine."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from utils.launchers.batched import cut, in_bytes, require_flags, work
from utils.launchers.ray_cluster import Cluster, connect, import_ray
from utils.runs.finished_before import skip_finished
from utils.runs.outcomes import Outcome, at_work, ended_jobs, write_outcome
from utils.runs.sweep import Job, Planner
from utils.system.console import complain, count, say
from utils.system.interrupts import stop_if_interrupted

POLL = 2.0  # seconds between two looks at the tasks


class Ray(Launcher):
    """A task for each job, or for each stack of jobs; what dies with a process or a node begins again elsewhere.

    Args:
        stack: jobs that differ in seed and numbers alone train together within a task, at most ``max_models`` of them.
        max_models: of a stack; null for 64.
        max_memory: of a task, as text such as "2GB"; larger stacks are cut.
        ray: ``init``, the arguments of ``ray.init``, and ``remote``, those of a task.

    Raises:
        ValueError: a size that cannot be read.
    """

    def __init__(self, stack: bool, max_models: int | None, max_memory: str, ray: Mapping[str, Any]):
        require_flags(stack=stack)
        self.stack, self.max_models, self.budget = stack, max_models, in_bytes(max_memory)
        plain: Any = OmegaConf.to_container(ray, resolve=True) if isinstance(ray, DictConfig) else ray
        self.init, self.remote = dict(plain["init"]), dict(plain["remote"])
        self.tries = 1 + self.remote.pop("max_retries", 0)
        self.planner: Planner | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Takes what Hydra hands over; the task is train.py's. Raises ValueError where Ray is not installed."""
        import_ray()
        self.config = config
        self.planner = self.planner or Planner(hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Trains the jobs that are not finished; each leaves word of how it ended.

        Raises:
            ValueError: no cluster, none that can take a task, or a node that does not see the folders.
        """
        assert self.planner is not None
        sweep = Path(self.config.hydra.sweep.dir).absolute()
        jobs = skip_finished(self.planner.plan(job_overrides, initial_job_idx), sweep)
        if not jobs:
            return []
        wants = {"CPU": self.remote.get("num_cpus", 1), "GPU": self.remote.get("num_gpus", 0)}
        wants |= self.remote.get("resources", {})
        cluster = Cluster(connect(self.init), wants, remote=self.init.get("address") is not None)
        cluster.require_able()
        cluster.require_shared(sweep)
        stacks = cut(jobs, self.max_models) if self.stack else [[job] for job in jobs]
        nodes = count(len(cluster.able()), "node")
        say(f"{count(len(jobs), 'job')} in {count(len(stacks), 'task')} of Ray, on {nodes}")
        try:
            self._follow(cluster, stacks, sweep)
        except KeyboardInterrupt:
            stop_if_interrupted()  # Ray waits in C++, which forgets what signal it was
            raise
        return []

    def _follow(self, cluster: Cluster, stacks: Sequence[Sequence[Job]], sweep: Path) -> None:
        """Waits for the tasks, and lets those begin again that died, until all jobs have said how they ended."""
        ray = cluster.ray
        begin = ray.remote(max_retries=0, **self.remote)(_train)
        running = {begin.remote(stack, sweep, Path.cwd(), self.budget): (stack, 1) for stack in stacks}
        while running:
            ended, _ = ray.wait(list(running), num_returns=len(running), timeout=POLL)
            for task in ended:
                stack, tried = running.pop(task)
                reason = _explain_death(ray, task)
                told = ended_jobs(sweep) if reason else ()
                if not reason or not (left := [job for job in stack if job.number not in told]):
                    continue
                for job in left:
                    at_work(sweep, job.number, None)
                if tried < self.tries:
                    complain(f"{reason}; {_name(left)} again")
                    running[begin.remote(left, sweep, Path.cwd(), self.budget)] = left, tried + 1
                    continue
                detail = f"{reason}, {count(tried, 'time')} (hydra.launcher.ray.remote.max_retries={tried - 1})"
                for job in left:
                    write_outcome(sweep, job.number, Outcome("", "failed", detail))
            cluster.look(len(running))


def _name(jobs: Sequence[Job]) -> str:
    return f"#{jobs[0].number} begins" if len(jobs) == 1 else f"{len(jobs)} jobs from #{jobs[0].number} on begin"


def _explain_death(ray: Any, task: Any) -> str | None:
    """Returns what kept a task from its end; None of one that came to it."""
    try:
        ray.get(task)
    except ray.exceptions.NodeDiedError:
        return "its node died"
    except ray.exceptions.OutOfMemoryError as error:
        return f"Ray ended it for want of memory: {str(error).splitlines()[0]}"
    except ray.exceptions.WorkerCrashedError:
        return "its process died: killed (out of memory?)"
    except ray.exceptions.RayError as error:
        return f"Ray could not run it: {str(error).strip().splitlines()[-1]}"
    return None


def _train(stack: Sequence[Job], sweep: Path, here: Path, budget: int) -> None:
    """Trains a stack on the node that Ray has chosen."""
    os.chdir(here)
    from utils.runs.lifecycle import Kept

    work(stack, sweep, budget, Kept())
