"""Thresholds of two groups: the exact frontier beside the published grid, and mixtures beside fairlearn. Run by hand:

    python -m tests.benchmarks.bench_thresholds [--rows 100000] [--rounds 5]

Scores are logistic, those of group 1 higher and less telling. ``grid``: for each permitted gap in false negative rates,
the accuracy of the best pair of the 20 x 20 grid in [-1.5, 1.5], computed as published, pair by pair, and of
``group_exact``, on the rows they are fitted to. Times are of one gap, and for the exact frontier also of all gaps.
``chance``: ``group_randomized`` beside fairlearn's ThresholdOptimizer at its 1000 points, expected accuracy and gap.

The sides take turns; shown are medians of process time on one thread, and the ratio to ours (the median of the ratios
of every round).
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from fairlearn.postprocessing import ThresholdOptimizer

from tests.utils.decides.rows import gap, scored
from tests.utils.decides.test_group_randomized import FAIRLEARN, Scores, accuracy
from utils.decides import group_exact as thresholds
from utils.decides import group_randomized as mixtures
from utils.decides.exact_thresholds import TOGETHER, curves, policies, sides
from utils.types import Batch

NAMES = ("women", "men")
group_exact = partial(thresholds.group_exact, confidence=None, groups_min=1)
group_randomized = partial(mixtures.group_randomized, groups_min=1)
PERMITTED = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2)
GRID = np.linspace(-1.5, 1.5, 20)


def grid(z: torch.Tensor, batch: Batch) -> list[tuple[float, float]]:
    """Accuracy and gap of each pair of the published grid, one after another."""
    scores, y, s = z[:, 0].numpy(), batch.y.numpy(), batch.s.numpy()
    groups = [(scores[s == i], y[s == i]) for i in (0, 1)]
    found = []
    for pair in [(a, b) for a in GRID for b in GRID]:
        labels = [(own >= threshold, of) for (own, of), threshold in zip(groups, pair, strict=True)]
        right = sum(int((label == of).sum()) for label, of in labels)
        missed = [1 - label[of == 1].mean() for label, of in labels]
        found.append((right / len(y), abs(missed[1] - missed[0])))
    return found


def spent(sides_of: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of each side, and its ratio to the first."""
    times: dict[str, list[float]] = {side: [] for side in sides_of}
    for i in range(rounds):
        for side in list(sides_of) if i % 2 else reversed(sides_of):
            start = time.process_time()
            sides_of[side]()
            times[side].append(time.process_time() - start)
    first = next(iter(times.values()))
    return {
        side: (statistics.median(own), statistics.median(a / b for a, b in zip(own, first, strict=True)))
        for side, own in times.items()
    }


def exact_beside_grid(n: int, rounds: int) -> Iterator[str]:
    z, batch = scored(n)
    pairs = grid(z, batch)
    yield "| permitted gap | accuracy, exact | accuracy, grid | gap, exact | gap, grid |\n|---|---|---|---|---|"
    for permitted in PERMITTED:
        labels = group_exact(z, batch, NAMES, rate="fnr", permitted=permitted)(z, batch.s)
        ours = (labels == batch.y).double().mean().item(), gap(labels, batch.y, batch.s, 2, ("fnr",))
        theirs = max((pair for pair in pairs if pair[1] <= permitted), default=(float("nan"), float("nan")))
        yield f"| {permitted} | {ours[0]:.4f} | {theirs[0]:.4f} | {ours[1]:.4f} | {theirs[1]:.4f} |"

    def whole() -> int:
        return len(policies(sides(curves(z, batch, NAMES), ("fnr",))))

    work = {
        "exact, one gap": lambda: group_exact(z, batch, NAMES, rate="fnr", permitted=0.05),
        "exact, all gaps": whole,
        "grid": lambda: grid(z, batch),
    }
    yield f"\n| {n} rows | seconds | over ours |\n|---|---|---|"
    for side, (seconds, ratio) in spent(work, rounds).items():
        yield f"| {side} | {seconds:.3f} | {ratio:.2f} |"
    yield f"\n{whole()} efficient policies"


def chance_beside_fairlearn(n: int, rounds: int) -> Iterator[str]:
    z, batch = scored(n)
    x, y, s = z.double().numpy(), batch.y.numpy(), batch.s.numpy()
    yield f"\n| {n} rows, equal | side | accuracy | gap | seconds | over ours |\n|---|---|---|---|---|---|"
    for rate, constraint in FAIRLEARN.items():

        def ours(rate: Any = rate) -> np.ndarray:
            decide = group_randomized(z, batch, NAMES, rate=rate, permitted=0.0)
            return decide.probability(z, batch.s).double().numpy()

        def theirs(constraint: str = constraint) -> np.ndarray:
            model = ThresholdOptimizer(
                estimator=Scores().fit(x, y), constraints=constraint, prefit=True, predict_method="predict"
            )
            model.fit(x, y, sensitive_features=s)
            return model._pmf_predict(x, sensitive_features=s)[:, 1]

        works = {"group_randomized": ours, "fairlearn": theirs}
        times = spent(works, rounds)
        for side, work in works.items():
            chances = work()
            apart = gap(chances, batch.y, batch.s, 2, TOGETHER[rate])
            seconds, ratio = times[side]
            yield f"| {rate} | {side} | {accuracy(chances, y):.5f} | {apart:.1e} | {seconds:.3f} | {ratio:.2f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for line in exact_beside_grid(asked.rows, asked.rounds):
        print(line, flush=True)
    for line in chance_beside_fairlearn(asked.rows, asked.rounds):
        print(line, flush=True)
