"""The best value that a search finds, by one process and by three that share a journal. Run by hand:

    python -m tests.benchmarks.bench_shared_search [--trials 24] [--repeats 10] [--batch 4]

The function is Branin's (1972), of two numbers, whose least value is 0.397887. Each search asks its trials of random
draws, TPE or GP: by one process one at a time, by one in batches, and by three, whose turns are mixed as those of
processes of one pace: a batch is told only after each of the others has been asked. Shown are the mean and the
standard deviation over the repeats, each with a seed of its own, of the least value found; and its median above the
minimum.
"""

import argparse
import statistics
from collections.abc import Iterator
from math import cos, pi
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.core.override_parser.overrides_parser import OverridesParser

from utils.search.conductors import Together
from utils.search.journal import StudyLock, open_journal
from utils.search.question import Question
from utils.search.search_words import read
from utils.search.study import import_optuna, open_study

LEAST = 0.397887
WORDS = ["x=interval(-5,10)", "y=interval(0,15)"]


def branin(x: float, y: float) -> float:
    """Branin's function, whose least value is 0.397887."""
    curve = y - 5.1 / (4 * pi**2) * x**2 + 5 / pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * pi)) * cos(x) + 10


def least(conductors: int, batch: int, trials: int, sampler: str, seed: int) -> float:
    """The least value that so many conductors find together."""
    question = Question("bench", read(OverridesParser.create().parse_overrides(WORDS)), {"value": "minimize"}, ())
    with TemporaryDirectory() as folder:
        crew, path = Path(folder) / "crew", Path(folder) / "bench.log"
        crew.mkdir()
        path.touch()
        each = []
        for number in range(conductors):
            lock = StudyLock(path)
            storage = open_journal(path, lock)
            (crew / f"elsewhere.{number}.a").touch()
            each.append(Together(open_study(question, storage), storage, lock, crew, f"elsewhere.{number}.a"))
        turns: list[list[tuple[object, float]]] = [[] for _ in each]
        begun = 0
        while begun < trials or any(turns):
            for number, conductor in enumerate(each):
                for trial, value in turns[number]:
                    conductor.study.tell(trial, value)
                turns[number] = []
                if begun < trials:
                    asked = conductor.ask(min(batch, trials - begun), question.line, trials, sampler, seed)
                    begun += len(asked)
                    turns[number] = [(trial, branin(float(at["x"]), float(at["y"]))) for trial, at in asked]
        return float(each[0].study.best_value)


def table(trials: int, repeats: int, batch: int) -> Iterator[str]:
    """Yields the lines."""
    import_optuna()
    ways = {"one process, one at a time": (1, 1), f"one process, batches of {batch}": (1, batch)}
    ways |= {"three processes, one at a time": (3, 1), f"three processes, batches of {batch}": (3, batch)}
    yield f"| least of {trials} trials, {repeats} repeats | sampler | mean ± sd | median above the minimum |"
    yield "| --- | --- | --- | --- |"
    for sampler in ("random", "tpe", "gp"):
        for name, (conductors, size) in ways.items():
            found = [least(conductors, size, trials, sampler, seed) for seed in range(repeats)]
            spread = f"{statistics.fmean(found):.2f} ± {statistics.stdev(found):.2f}"
            yield f"| {name} | {sampler} | {spread} | {statistics.median(found) - LEAST:.3f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    for line in table(**vars(parser.parse_args())):
        print(line, flush=True)
