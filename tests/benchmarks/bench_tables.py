"""A user's table beside pandas: reading it, and a whole look at it. Run by hand, some minutes:

    python -m tests.benchmarks.bench_tables [--rows 1000000] [--columns 50] [--rounds 3]

The table is made anew: half of its columns are numbers, half texts of 3 to 75 levels; one number and one text are
missing in some rows. Three sides take turns, each in a process of its own: ``pandas.read_csv`` with its defaults,
``read_table``, and ``evals.look`` from its first word to its page. Shown are medians of process time and of the largest
memory above that of the imports, and the median of the ratios to pandas of every round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

import paths_config

SIDES = ("pandas.read_csv", "read_table", "evals.look")


def make(path: Path, rows: int, columns: int) -> None:
    """Writes a table, a part at a time."""
    chance = np.random.default_rng(0)
    for start in range(0, rows, 100_000):
        n = min(100_000, rows - start)
        held: dict[str, object] = {"sex": chance.choice(["f", "m"], n), "race": chance.choice(list("abcd"), n)}
        for i in range((columns - 3) // 2):
            held[f"x{i}"] = chance.normal(50, 10, n).round(3)
        held["x0"] = np.where(chance.random(n) < 0.05, np.nan, held["x0"])
        for i in range(columns - 1 - len(held)):
            held[f"t{i}"] = chance.choice([f"level {j}" for j in range(3 + 3 * i)], n)
        held["t0"] = np.where(chance.random(n) < 0.05, "?", held["t0"])
        frame = pd.DataFrame(held | {"hired": chance.choice(["yes", "no"], n)})
        frame.to_csv(path, mode="a", header=not start, index=False)


def work(side: str, path: Path) -> None:
    """Does one side's work; prints its seconds and the MB that it needed beyond its imports."""
    from evals.look import main
    from utils.tables.reading import read_table

    resting, start = _peak(), time.process_time()
    if side == SIDES[0]:
        pd.read_csv(path)
    elif side == SIDES[1]:
        read_table(path)
    else:
        words = (str(path), "label=hired", "sensitive=sex,race", f"out={path.with_suffix('.yaml')}", "existing=replace")
        with Path(os.devnull).open("w") as nowhere:
            sys.stdout, shown = nowhere, sys.stdout
            code = main(words)
            sys.stdout = shown
        assert code == 0
    print(time.process_time() - start, _peak() - resting)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(side: str, path: Path) -> tuple[float, float]:
    """The same in a process of its own."""
    words = [sys.executable, "-m", "tests.benchmarks.bench_tables", "--side", side, "--path", str(path)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, cwd=paths_config.ROOT)
    seconds, memory = map(float, answer.stdout.split())
    return seconds, memory


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--path", type=Path)
    options = parser.parse_args()
    if options.side:
        work(options.side, options.path)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        make(path, options.rows, options.columns)
        print(f"{options.rows:,} rows x {options.columns} columns, {path.stat().st_size / 2**20:,.0f} MB of text\n")
        rounds = [{side: measure(side, path) for side in SIDES} for _ in range(options.rounds)]
    print("| side | CPU-seconds | x pandas | MB above the imports |\n|---|---|---|---|")
    for side in SIDES:
        ratio = statistics.median(found[side][0] / found[SIDES[0]][0] for found in rounds)
        seconds, memory = (statistics.median(found[side][i] for found in rounds) for i in (0, 1))
        print(f"| {side} | {seconds:.1f} | {ratio:.2f} | {memory:,.0f} |")


if __name__ == "__main__":
    main()
