"""A user's table beside pandas: reading it, and a whole look at it. Run by hand, some minutes:

    python -m tests.benchmarks.bench_tables [--rows 1000000] [--columns 50] [--rounds 3] [--train]

The table is made anew: half of its columns are numbers, half texts of 3 to 75 levels; one number and one text are
missing in some rows. The sides take turns, each in a process of its own: ``pandas.read_csv`` with its defaults,
``read_table``, ``evals.look`` from its first word to its page, the encoded and split data set by the schema that the
look wrote, and with ``--train`` whole runs of ``erm`` and ``causal_adv`` of one epoch, without unfair
areas and attacked rows. Shown are
medians of process time and of the largest memory above that of the imports, this also in units of rows x columns of the
file x 4 bytes, and the median of the ratios to pandas of every round.
"""

import argparse
import contextlib
import os
import resource
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

import paths_config

TRAINED = ("erm", "causal_adv")
SIDES = ("pandas.read_csv", "read_table", "evals.look", "data set by a schema", *TRAINED)
GRAPH = "\ngraph:\n  - sex -> x0 -> x1\n"
EPOCH = "scm=linear trainer.epochs=1 existing=replace"
UNASKED = " ".join(f"~evaluation.metrics.{name}" for name in ("unfair_area", "robust", "attacked"))


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
    import utils.build  # noqa: F401
    from evals.look import main
    from utils.datasets.table import build_table
    from utils.tables.reading import read_table
    from utils.tables.table_schema import read_schema

    schema = path.with_suffix(".yaml")
    resting, start = _peak(), time.process_time()
    if side == SIDES[0]:
        pd.read_csv(path)
    elif side == SIDES[1]:
        read_table(path)
    elif side == SIDES[2]:
        words = (str(path), "label=hired", "sensitive=sex,race", f"out={schema}", "existing=replace")
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            code = main(words)
        assert code == 0
        schema.write_text(schema.read_text() + GRAPH)
    elif side == SIDES[3]:
        build_table(read_schema(schema), name="people", where=str(schema), folder=path.parent, seed=0)
    else:
        os.environ |= {key: str(path.parent) for key in ("TRILEMMA_EVALS", "TRILEMMA_WEIGHTS")}
        os.chdir(path.parent)
        sys.argv = ["train.py", f"dataset={schema.name}", f"regularizer={side}", *f"{EPOCH} {UNASKED}".split()]
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            try:
                runpy.run_path(str(paths_config.ROOT / "train.py"), run_name="__main__")
            except SystemExit as ended:
                if ended.code:
                    raise
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
    parser.add_argument("--train", action="store_true")
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
        sides = SIDES if options.train else SIDES[: -len(TRAINED)]
        rounds = [{side: measure(side, path) for side in sides} for _ in range(options.rounds)]
    cells = options.rows * options.columns * 4 / 2**20
    print(
        "| side | CPU-seconds | x pandas | MB above the imports | x rows x columns x 4 bytes |\n|---|---|---|---|---|"
    )
    for side in sides:
        ratio = statistics.median(found[side][0] / found[SIDES[0]][0] for found in rounds)
        seconds, memory = (statistics.median(found[side][i] for found in rounds) for i in (0, 1))
        print(f"| {side} | {seconds:.1f} | {ratio:.2f} | {memory:,.0f} | {memory / cells:.1f} |")


if __name__ == "__main__":
    main()
