"""What whole commands cost beside ``import torch, hydra``, in this checkout and another. Run by hand:

    python -m tests.benchmarks.bench_runs OTHER_CHECKOUT [--rounds N] [--only NAME ...]

CPU-seconds and peak memory of processes, from their start to the last record filed, one thread each; both checkouts and
the imports take turns. Shown is the least of the rounds, which neighbours on the machine move least: less that of the
imports, or whole, and of stacks a model's share of the whole.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import paths_config
from tests.commands import environment, line

IMPORTS = "import torch, hydra"
STACK = ("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=range(8)")
RADII = "epsilon=" + ",".join(f"{0.02 * i:.2f}" for i in range(1, 9))
RATES = "trainer.lr=" + ",".join(f"{0.002 * i:.3f}" for i in range(1, 9))


class Side(NamedTuple):
    """A command: its program and words, those that are to be run before, and the runs that its cost is shared by."""

    program: str
    words: tuple[str, ...]
    before: tuple[str, ...] | None = None
    models: int = 1
    imports: bool = True  # whether it needs them, and so is shown beside them


ERM = ("dataset=loan", "regularizer=erm")
SIDES = {
    "erm on loan": Side("train", ERM),
    "causal_adv on loan": Side("train", ("dataset=loan", "regularizer=causal_adv")),
    "causal_adv on adult": Side("train", ("dataset=adult", "regularizer=causal_adv", "scm.discrete=anm")),
    "a finished run again, whole": Side("train", ERM, ERM, imports=False),
    "evaluate.py dataset=loan, whole": Side("evaluate", ("dataset=loan",), ERM, imports=False),
    "64 erm on loan, stacked, each": Side("train", ("regularizer=erm", RATES, *STACK), None, 64, imports=False),
    "64 causal_adv on loan, stacked, each": Side(
        "train", ("regularizer=causal_adv", RADII, *STACK), None, 64, imports=False
    ),
}


class Spent(NamedTuple):
    """What a process took."""

    seconds: float
    megabytes: float


def spend(words: list[str], env: dict[str, str], folder: str) -> Spent:
    """Runs a process and waits for it and those that it waited for."""
    child = subprocess.Popen(words, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)} failed: {said.decode()[-500:]}")
    return Spent(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def cost(side: Side, checkout: Path) -> Spent:
    """What a command takes in a checkout, with databases of its own."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"TRILEMMA_{name}": str(Path(folder) / name.lower()) for name in ("EVALS", "WEIGHTS")}
        env = environment() | own | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)

        def run(program: str, words: tuple[str, ...]) -> Spent:
            device = ("device=cpu",) if program == "train" else ()
            return spend(line(program, *words, *device, checkout=checkout), env, folder)

        if side.before is not None:
            run("train", side.before)
        return run(side.program, side.words)


def main() -> None:
    """Measures in turns and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout to compare with, such as a git worktree of main")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=SIDES, default=list(SIDES))
    given = parser.parse_args()
    checkouts = {"before": given.other.resolve(), "now": paths_config.ROOT}
    bare = [sys.executable, "-c", IMPORTS]
    imports, spent = list[Spent](), dict[tuple[str, str], list[Spent]]()
    for _ in range(given.rounds):
        for name in given.only:
            imports.append(spend(bare, environment() | {"OMP_NUM_THREADS": "1"}, os.curdir))
            for which, checkout in checkouts.items():
                spent.setdefault((name, which), []).append(cost(SIDES[name], checkout))
    least = min(of.seconds for of in imports)
    print(f"`{IMPORTS}`: {least:.2f} CPU-s, {min(of.megabytes for of in imports):.0f} MiB\n")
    print("| | before, CPU-s | now | MiB before | now |\n|---|---|---|---|---|")
    for name in given.only:
        side = SIDES[name]
        beside = least if side.imports else 0.0
        fewest = [min(of.seconds for of in spent[name, which]) for which in checkouts]
        shown = [f"{(seconds - beside) / side.models:.2f}" for seconds in fewest]
        peaks = [f"{min(of.megabytes for of in spent[name, which]):.0f}" for which in checkouts]
        print(f"| {name} | {' | '.join((*shown, *peaks))} |", flush=True)


if __name__ == "__main__":
    main()
