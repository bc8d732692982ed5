"""CPU-seconds of a sweep on a simulated cluster, beside its trainings. Run by hand:

    python -m tests.benchmarks.bench_cluster [--jobs N] [--writers N]

A stub stands for the trainer: it makes the record of every job from that of one training on loan, with the job's own
configuration and figures. The jobs' records are delivered by processes of their own, half of which deliver one record
at a time and half 32 (``TRILEMMA_DELIVER=1``). Each of these is a process:

1. the sweep itself, its jobs shared among the writers in stacks: planned, delivered, numbered and summed up, nothing
   filed; the CPU-seconds of the writers are those of the sweep;
2. the same line launched again, which finds all delivered; 3. a fold; 4. looks at the records; 5. the same line again.
"""

import argparse
import hashlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paths_config
from tests.commands import SMALL, environment, line

SEEDS = 100
STUB = "from tests.benchmarks import bench_cluster; bench_cluster.sweep_with_stub()"


def make_record(params: Any, template: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of a job that nobody has trained."""
    from utils.configuration.traits import run_name

    text = json.dumps({key: value for key, value in params.items() if key != "seed"}, sort_keys=True)
    group = hashlib.sha256(text.encode()).hexdigest()[:16]
    run = hashlib.sha256(f"{group}{params['seed']}".encode()).hexdigest()[:16]
    chance = random.Random(run)
    metrics = {key: of and of * chance.uniform(0.9, 1.0) for key, of in template["metrics"].items()}
    own = {"name": run_name(params), "run_id": run, "group_id": group, "seed": params["seed"], "params": params}
    return template | own | {"metrics": metrics}


def carry_out_stub(jobs: Sequence[Any], **_: Any) -> Iterator[Any]:
    """Delivers the records of a stack in a process of its own, one by one or 32 at a time, in place of training it."""
    from utils.run_store import store_of
    from utils.runs.finished_before import remember
    from utils.runs.printed import outcome_of

    template = json.loads(Path(os.environ["BENCH_TEMPLATE"]).read_text())
    records = [make_record(job.params, template) for job in jobs]
    size = 32 if jobs[0].number // len(jobs) % 2 else 1
    store = store_of("loan")
    if not (child := os.fork()):
        for start in range(0, len(records), size):
            store.add_many(records[start : start + size], replace=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for job, record in zip(jobs, records, strict=True):
        remember(job.params, record)
        yield job, outcome_of(record, 0, "finished")


def sweep_with_stub() -> None:
    """Runs train.py on the words of this process, with the stub in the place of the trainer."""
    import train
    from utils.runs import lifecycle

    lifecycle.carry_out_together = carry_out_stub  # type: ignore[assignment]
    sys.exit(train.main())


def spend(what: str, words: Sequence[str], env: dict[str, str], show: Callable[[str], str]) -> None:
    """Prints the CPU-seconds of a process, and of those that it starts, and what it says."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, env=env, cwd=env["BENCH_FOLDER"], capture_output=True, text=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    assert done.returncode == 0, done.stderr[-2000:]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| {what} | {cpu:.1f} | {wall:.0f} | {show(done.stdout)} |", flush=True)


def find_line(pattern: str) -> Callable[[str], str]:
    """Returns a function that finds the first line of a text with the pattern."""
    return lambda text: next((of.strip() for of in text.splitlines() if re.search(pattern, of)), text[-80:])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = {f"TRILEMMA_{of}": str(folder / of.lower()) for of in ("EVALS", "WEIGHTS")}
        env = environment() | own | {"BENCH_FOLDER": name, "PYTHONPATH": str(paths_config.ROOT)}
        env |= {"BENCH_TEMPLATE": str(folder / "run" / "record.json")}
        trained = ("dataset=loan", *SMALL, f"hydra.run.dir={folder / 'run'}")
        subprocess.run(line("train", *trained), env=env, cwd=folder, check=True, capture_output=True)
        (folder / "evals" / "loan.json").unlink()
        rates = ",".join(f"{0.001 * (i + 1):.3f}" for i in range(args.jobs // SEEDS))
        words = ["-m", *SMALL, "dataset=loan", f"seed=range({SEEDS})", f"trainer.lr={rates}", "hydra/launcher=batched"]
        words += ["hydra.launcher.workers=1", f"hydra.launcher.max_models={args.jobs // args.writers}"]
        database = [sys.executable, "-m", "evals.database"]
        counted = find_line(r"^[\d,]+ jobs?: ")
        print(f"| {args.jobs:,} jobs of {args.writers} writers | CPU-s | s | said |\n|---|---|---|---|")
        stub = [sys.executable, "-c", STUB, *words]
        spend("sweep without trainings", stub, env | {"TRILEMMA_DELIVER": "1"}, counted)
        spend("relaunch by a job, nothing filed", line("train", *words), env | {"TRILEMMA_DELIVER": "1"}, counted)
        spend("fold", [*database, "fold", "dataset=loan"], env, find_line("folded"))
        spend("`evaluate.py dataset=loan`", line("evaluate", "dataset=loan"), env, find_line("loan"))
        chosen = ["dataset=loan", "maximize=accuracy"]
        spend("`evals.select`", [sys.executable, "-m", "evals.select", *chosen], env, find_line("loan"))
        spend("relaunch", line("train", *words), env, counted)


if __name__ == "__main__":
    main()
