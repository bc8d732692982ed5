"""CPU-seconds per model of sweeps: batched against one by one. Run by hand:

    python -m tests.benchmarks.bench_sweep [--jobs N] [--rounds N] [REGULARIZER ...]

1. N jobs (seeds x radius, for erm seeds x learning rate) on loan as the command line runs them, processes with all
   that belongs to them (start, composition, data, training, evaluation, filing), by the batched and by the basic
   launcher, in turns; one process and one thread each. Shown is the median over the rounds.
2. What a job costs beside data, training and evaluation in the batched launcher: the CPU time of a sweep in this
   process, after all imports, less that of making data and SCMs, and of fitting and judging the stacks.
"""

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.commands import environment, line

SEEDS = 8
REGULARIZERS = ("erm", "adversarial", "causal_adv")
LAUNCHERS = {"batched": ["hydra/launcher=batched", "hydra.launcher.workers=1"], "basic": []}


def words(regularizer: str, jobs: int) -> list[str]:
    """The sweep of one regularizer."""
    values = jobs // SEEDS
    key = "trainer.lr" if regularizer == "erm" else "epsilon"
    scale = 0.002 if regularizer == "erm" else 0.02
    listed = ",".join(f"{scale * (i + 1):.3f}" for i in range(values))
    return [f"regularizer={regularizer}", f"seed=range({SEEDS})", f"{key}={listed}", "device=cpu"]


def in_a_folder(run: Callable[[dict[str, str], str], Any]) -> Any:
    """Call with an environment whose databases and weights are in an empty folder, and that folder."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"TRILEMMA_{name}": str(Path(folder) / name.lower()) for name in ("EVALS", "WEIGHTS")}
        return run(environment() | own, folder)


def cpu_of(sweep: list[str]) -> float:
    """CPU-seconds of a sweep as a process of its own."""

    def run(env: dict[str, str], folder: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(line("train", "-m", *sweep), env=env, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return in_a_folder(run)


def compared(regularizer: str, jobs: int, rounds: int) -> dict[str, float]:
    """CPU-seconds per model by launcher, the median of rounds in turns."""
    sweep = words(regularizer, jobs)
    spent: dict[str, list[float]] = {name: [] for name in LAUNCHERS}
    for _ in range(rounds):
        for name, choice in LAUNCHERS.items():
            spent[name].append(cpu_of([*sweep, *choice]) / jobs)
    return {name: statistics.median(values) for name, values in spent.items()}


def row(name: str, costs: list[dict[str, float]]) -> str:
    """The last of the costs, or their mean, as a row of the table."""
    chosen = costs if name == "mean" else costs[-1:]
    batched, basic = (statistics.mean(cost[launcher] for cost in chosen) for launcher in ("batched", "basic"))
    return f"| {name} | {batched:.2f} | {basic:.2f} | {basic / batched:.1f} |"


def overhead(jobs: int) -> float:
    """CPU-seconds a job of the batched launcher beside data, fitting and judging."""
    import train
    from utils import build, cli
    from utils.runs import lifecycle

    timed_parts = (
        (lifecycle, "fit_together"),
        (lifecycle, "_judge_together"),
        (build, "build_dataset"),
        (build, "build_scm"),
    )
    measured = dict.fromkeys((name for _, name in timed_parts), 0.0)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                measured[name] += time.process_time() - start

        return call

    def run(env: dict[str, str], folder: str) -> float:
        os.environ.update(env)
        here = Path.cwd()
        os.chdir(folder)
        parts = [(module, name, getattr(module, name)) for module, name in timed_parts]
        argv = sys.argv
        for module, name, function in parts:
            setattr(module, name, timed(name, function))
        sys.argv = ["train.py", "-m", *words("erm", jobs), *LAUNCHERS["batched"], "trainer.epochs=1"]
        start = time.process_time()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                code = cli.run(train.train, "train")
            assert code == 0
            return time.process_time() - start
        finally:
            for module, name, function in parts:
                setattr(module, name, function)
            sys.argv = argv
            os.chdir(here)

    spent = in_a_folder(run)
    return (spent - sum(measured.values())) / jobs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regularizers", nargs="*", default=REGULARIZERS)
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    overhead(SEEDS)  # imports
    print(f"Beside data, training and evaluation: {1000 * overhead(args.jobs):.1f} ms of CPU a job, {args.jobs} jobs\n")
    print(f"| {args.jobs} jobs on loan | batched, CPU-s a model | one by one | ratio |\n|---|---|---|---|")
    costs = []
    for regularizer in args.regularizers:
        costs.append(compared(regularizer, args.jobs, args.rounds))
        print(row(regularizer, costs), flush=True)
    print(row("mean", costs))


if __name__ == "__main__":
    main()
