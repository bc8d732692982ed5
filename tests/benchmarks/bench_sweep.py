"""CPU-seconds per model of sweeps: batched against one by one. Run by hand:

    python -m tests.benchmarks.bench_sweep [--jobs N] [--rounds N] [REGULARIZER ...]

1. N jobs (seeds x radius, for erm seeds x learning rate) on loan as the command line runs them, processes with all
   that belongs to them (start, composition, data, training, evaluation, filing), by the batched and by the basic
   launcher, in turns; one process and one thread each. Shown is the median over the rounds.
2. What a job costs in the batched launcher, by part: the CPU time of a sweep of erm with one epoch in this process,
   after all imports. Making data and SCMs, fitting the stacks, fitting their thresholds, judging them, and fitting and
   judging their operating points, which is evaluation too, are what a sweep is for; what is left is beside them.
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


def parts_of(jobs: int) -> dict[str, float]:
    """CPU-seconds a job of the batched launcher, by part; ``beside`` is what is in none of the others."""
    import train
    from utils import build, cli
    from utils.runs import answers, lifecycle

    functions: tuple[tuple[str, Any, str], ...] = (
        ("data", build, "build_dataset"),
        ("data", build, "build_scm"),
        ("training", lifecycle, "fit_together"),
        ("thresholds", answers, "answers_to_fit"),
        ("thresholds", answers, "fit_threshold"),
        ("evaluation", lifecycle, "_judge_together"),
        ("evaluation", answers, "logits_of"),
        ("operating points", answers, "fit_points"),
        ("operating points", answers, "judge_points"),
    )
    measured = dict.fromkeys((part for part, *_ in functions), 0.0)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                measured[part] += time.process_time() - start

        return call

    def run(env: dict[str, str], folder: str) -> float:
        os.environ.update(env)
        here = Path.cwd()
        os.chdir(folder)
        own = [(module, name, getattr(module, name)) for _, module, name in functions]
        argv = sys.argv
        for part, module, name in functions:
            setattr(module, name, timed(part, getattr(module, name)))
        sys.argv = ["train.py", "-m", *words("erm", jobs), *LAUNCHERS["batched"], "trainer.epochs=1"]
        start = time.process_time()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                code = cli.run(train.train, "train")
            assert code == 0
            return time.process_time() - start
        finally:
            for module, name, function in own:
                setattr(module, name, function)
            sys.argv = argv
            os.chdir(here)

    spent = in_a_folder(run)
    return {part: of / jobs for part, of in (measured | {"beside": spent - sum(measured.values())}).items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regularizers", nargs="*", default=REGULARIZERS)
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1, help="of the first; 0: the second alone")
    args = parser.parse_args()
    parts_of(SEEDS)  # imports
    costs_of = parts_of(args.jobs)
    print(f"| {args.jobs} jobs, CPU-ms a job: | {' | '.join(costs_of)} |\n|---{'|---' * len(costs_of)}|")
    print(f"| erm, one epoch | {' | '.join(f'{1000 * of:.1f}' for of in costs_of.values())} |\n")
    if not args.rounds:
        return
    print(f"| {args.jobs} jobs on loan | batched, CPU-s a model | one by one | ratio |\n|---|---|---|---|")
    costs = []
    for regularizer in args.regularizers:
        costs.append(compared(regularizer, args.jobs, args.rounds))
        print(row(regularizer, costs), flush=True)
    print(row("mean", costs))


if __name__ == "__main__":
    main()
