"""How much the inner maximisations of trainings on tables find, by the number and the length of their steps.

Run by hand:

    python -m tests.benchmarks.bench_steps [--data NAME ...] [--radii R ...] [--only REGULARIZER ...]

A model is trained, and at some of its batches every ball is searched again: from the same start by steps of other
numbers and lengths, and at length, by 60 steps of a quarter and of a tenth of the radius from there and from five
random points. Shown is the mean over rows of what is found, of log-odds beyond those of the twins as they are, as a
share of the mean of the most that any of these searches finds. The least of the data sets stands in brackets.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tests.benchmarks.bench_step import built, stepping
from utils import seeding, threats
from utils.attacks import pgd
from utils.losses import linearity

STEPS, EVERY = 200, 50  # of the training, and from one look to the next
LONG, LENGTHS, STARTS = 60, (0.25, 0.1), 6  # of the search at length


class Way(NamedTuple):
    """Steps of an inner maximisation: their number, and their length as a share of the radius."""

    steps: int
    rel_step: float


SLOPES = [Way(10, 1.0), Way(5, 1.0), Way(5, 100.0), Way(3, 100.0)]  # of departures from linearity
LOSSES = [Way(10, 0.25), Way(5, 0.5), Way(3, 1.0), Way(1, 1.0)]
WAYS = {"llr": SLOPES, "capify": SLOPES, "causal_adv": SLOPES, "causal_al": LOSSES, "adversarial": LOSSES}
Found = dict[Way, list[float]]


class Looking:
    """Takes the place of ``threats.ascend``, and compares ways at every EVERY-th ascent that has gradients."""

    def __init__(self, ways: Sequence[Way], candidates: bool):
        self.ways, self.candidates = ways, candidates
        self.found: Found = defaultdict(list)
        self.calls = 0

    def ascend(self, damage: Any, start: Tensor, radius: Tensor, threat: Any, x: Tensor, **how: Any) -> Any:
        """As ``threats.ascend``."""
        self.calls += 1
        if self.calls % EVERY == 0:
            self._look(damage, start, radius, threat, x)
        return threats.ascend(damage, start, radius, threat, x, **how)

    def _look(self, damage: Any, start: Tensor, radius: Tensor, threat: Any, x: Tensor) -> None:
        def value(begin: Tensor, way: Way) -> Tensor:
            return threats.ascend(damage, begin, radius, threat, x, steps=way.steps, rel_step=way.rel_step)[1]

        source = seeding.generator(self.calls, "starts")
        balls = [threat.ball.uniform(start, threat.mask, source) * threat.ball.spread(radius) for _ in range(STARTS)]
        tried = {way: value(start, way) for way in self.ways}
        long = [value(begin, Way(LONG, length)) for begin in (start, *balls[1:]) for length in LENGTHS]
        most = torch.stack([*tried.values(), *long]).amax(0)
        with torch.no_grad():
            least = damage(torch.zeros_like(start))
        for way, got in tried.items():
            self.found[way].append(float(self._gain(got, least) / self._gain(most, least)))

    def _gain(self, value: Tensor, least: Tensor) -> Tensor:
        """The mean gain, of the worst of several candidates over the worst of them without a perturbation."""
        return (value.amax(0) - least.amax(0)).mean() if self.candidates else (value - least).mean()


@contextmanager
def in_place(looking: Looking) -> Iterator[None]:
    """Lets the methods ascend by ``looking``."""
    before = linearity.ascend, pgd.ascend
    linearity.ascend = pgd.ascend = looking.ascend
    try:
        yield
    finally:
        linearity.ascend, pgd.ascend = before


def look(name: str, data: str, radius: float) -> Found:
    """Trains one model and returns what each way found."""
    looking = Looking(WAYS[name], candidates=name in ("causal_al", "adversarial"))
    step = stepping([built([f"dataset={data}", f"regularizer={name}", f"epsilon.radius={radius}"])])
    with in_place(looking):
        for _ in range(STEPS):
            step()
    return looking.found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["nlm", "loan", "compas", "adult"])
    parser.add_argument("--radii", nargs="+", type=float, default=[0.05, 0.2, 0.5, 1.0])
    parser.add_argument("--only", nargs="+", default=list(WAYS), choices=list(WAYS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for ways in (SLOPES, LOSSES):
        if names := [name for name in options.only if WAYS[name] == ways]:
            print(f"| | radius | {' | '.join(f'{way.steps} of {way.rel_step:g}' for way in ways)} |\n|{'---|' * 6}")
        for name, radius in product(names, options.radii):
            of_data = [look(name, data, radius) for data in options.data]
            means = [[sum(found[way]) / len(found[way]) for found in of_data] for way in ways]
            cells = [f"{sum(each) / len(each):.3f} ({min(each):.3f})" for each in means]
            print(f"| {name} | {radius:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
