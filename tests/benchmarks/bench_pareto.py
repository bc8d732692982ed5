"""The Pareto set and the hypervolume beside moocore, which is written in C. Run by hand, under a minute:

    python -m tests.benchmarks.bench_pareto [--rounds 5]

Both sides take turns in one run on the same points, in three metrics: independent normal ones, of which few are
efficient; and points of a sphere, of which all are, the worst case. Shown are medians of process time in
milliseconds, the median of the ratios of each round (below 1: ours is faster), and whether both found the same.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from evals.records.pareto import efficient, hypervolume

Floats = NDArray[np.float64]
SIGNS = [1, 1, 1]


def normal(n: int) -> Floats:
    """Independent positive coordinates, (n, 3)."""
    return np.abs(np.random.default_rng(0).normal(size=(n, 3)))


def sphere(n: int) -> Floats:
    """The same on the unit sphere: none dominates another."""
    points = normal(n)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def their_set(points: Floats) -> Any:
    """Moocore's mask, duplicates kept as ours are."""
    return moocore.is_nondominated(points, maximise=True, keep_weakly=True)


def their_volume(points: Floats) -> float:
    """Moocore's hypervolume above the origin."""
    return float(moocore.hypervolume(points, [0.0, 0.0, 0.0], maximise=True))


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Process time of a call, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def compared(what: str, points: Floats, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> str:
    """A row of the table."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    same = all(np.allclose(a[1], b[1]) for a, b in pairs)
    times = [statistics.median(pair[side][0] for pair in pairs) * 1000 for side in (0, 1)]
    ratio = statistics.median(a[0] / max(b[0], 1e-9) for a, b in pairs)
    cells = [what, f"{len(points):,}", f"{times[0]:,.1f}", f"{times[1]:,.1f}", f"{ratio:.2f}", "yes" if same else "NO"]
    return f"| {' | '.join(cells)} |"


def report(rounds: int) -> Iterator[str]:
    """The table, line by line."""
    yield "| three metrics | points | ours, ms | moocore, ms | ratio | same |\n|---|---|---|---|---|---|"
    for name, make, n in (("normal", normal, 100_000), ("sphere", sphere, 100_000), ("sphere", sphere, 10_000)):
        points = make(n)
        ours, theirs = lambda p=points: efficient(p, SIGNS), lambda p=points: their_set(p)
        yield compared(f"Pareto set, {name}", points, ours, theirs, rounds)
    for name, make, n in (("normal", normal, 100_000), ("sphere", sphere, 1_000), ("sphere", sphere, 5_000)):
        points = make(n)
        ours, theirs = lambda p=points: hypervolume(p, [0, 0, 0], SIGNS), lambda p=points: their_volume(p)
        yield compared(f"hypervolume, {name}", points, ours, theirs, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    for line in report(parser.parse_args().rounds):
        print(line, flush=True)
