"""Wall seconds of one sweep with the basic launcher and with joblib's processes. Run by hand:

    python -m tests.benchmarks.bench_joblib [--jobs 8] [--repeats 3]

The sweep is ``causal_adv`` on loan with the default settings, one seed a job, each time into an empty database. The
launchers take turns. Shown are medians; the ratio is the basic launcher's seconds over those of the line. Only a
machine with idle cores can show a scaling: where others keep them busy, a second process gains nothing. So the load
before each sweep is shown, and CPU-seconds, which tell what the processes cost (with n_jobs=1
joblib runs the jobs in the command's own process).
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import paths_config

LAUNCHERS = {
    "basic": ("hydra/launcher=basic",),
    "joblib, n_jobs=1": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1"),
    "joblib, n_jobs=2": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}


class Cost(NamedTuple):
    """What a sweep cost."""

    wall: float  # seconds
    cpu: float  # seconds, of all its processes
    load: float  # processes that others ran in the minute before, and what is left of the sweep before


def cost(jobs: int, *words: str) -> Cost:
    """Of a sweep as a user starts it, from the start of the command to its end."""
    sweep = ("-m", *words, "device=cpu", "regularizer=causal_adv", f"seed=range({jobs})")
    with TemporaryDirectory() as folder:
        own = {f"TRILEMMA_{name}": str(Path(folder) / name.lower()) for name in ("DATA", "EVALS", "WEIGHTS")}
        load, used, start = os.getloadavg()[0], _cpu(), time.perf_counter()
        subprocess.run(
            [sys.executable, str(paths_config.ROOT / "train.py"), *sweep],
            cwd=folder,
            env=os.environ | own,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return Cost(time.perf_counter() - start, _cpu() - used, load)


def _cpu() -> float:
    """Seconds of the processes that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def table(jobs: int, repeats: int) -> Iterator[str]:
    costs: dict[str, list[Cost]] = {name: [] for name in LAUNCHERS}
    for _ in range(repeats):
        for name, words in LAUNCHERS.items():
            costs[name].append(cost(jobs, *words))
    basic = statistics.median(each.wall for each in costs["basic"])
    yield f"| {jobs} jobs of causal_adv, loan | seconds (least to most) | ratio | CPU-seconds | load before |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in costs.items():
        walls, cpus, loads = zip(*each, strict=True)
        median = statistics.median(walls)
        spread = f"{median:.0f} ({min(walls):.0f} to {max(walls):.0f})"
        rest = f"{statistics.median(cpus):.0f} | {statistics.median(loads):.1f} on {os.cpu_count()} cores"
        yield f"| {name} | {spread} | {basic / median:.2f} | {rest} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    print(*table(**vars(parser.parse_args())), sep="\n")
