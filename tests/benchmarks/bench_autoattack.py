"""CPU-seconds of AutoAttack and its parts beside the published code (pyautoattack). Run by hand:

    python -m tests.benchmarks.bench_autoattack [--rows 300] [--steps 20] [--queries 300] [--rounds 5] [--enlarge 1]

Both attack the same rows of scikit-learn's digits on the same small net with the same steps or queries, in turns, on
one thread. ``--enlarge 4`` makes 32 x 32 pixels of the 8 x 8, which the net averages back. Shown are the rows that are
robust to each, the median seconds of process time of each, and the median of the ratios of the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from pyautoattack import AutoAttack
from torch import Tensor, nn

from tests.utils.attacks.robust_digits import PUBLISHED, image_context, images, right, robust_net
from utils.attacks.apgd import apgd
from utils.attacks.autoattack import autoattack
from utils.attacks.fab_t import fab_t
from utils.attacks.square import square
from utils.threats import pixels
from utils.types import Attack, Batch

RADIUS = {"linf": 0.1, "l2": 0.5, "l1": 1.0}
GROWTH = {"linf": 0, "l2": 1, "l1": 2}  # of a radius with the side of the pixels, as a power
NAMES = {"apgd_ce": "apgd-ce", "apgd_t": "apgd-t", "fab_t": "fab-t", "square": "square"}


def ours(norm: str, steps: int, queries: int) -> dict[str, Attack]:
    """The parts of the standard version, with the published restarts and targets."""
    threat, few = partial(pixels, norm=norm), norm == "l1"
    return {
        "apgd_ce": partial(apgd, threat=threat, loss="ce", steps=steps, restarts=5 if few else 1, targets=1),
        "apgd_t": partial(apgd, threat=threat, loss="targeted", steps=steps, restarts=1, targets=5 if few else 9),
        "fab_t": partial(fab_t, threat=threat, steps=steps, restarts=1, targets=9, alpha_max=0.1, eta=1.05, beta=0.9),
        "square": partial(square, threat=threat, queries=queries, p_init=0.8, restarts=1),
    }


def theirs(model: nn.Module, norm: str, radius: float, steps: int, queries: int, parts: list[str]) -> Any:
    """The published standard version, or some of its parts."""
    whole = AutoAttack(model, norm=PUBLISHED[norm], eps=radius, seed=0, version="standard")
    whole.verbose, whole.attacks_to_run = False, parts
    for one in (whole.apgd, whole.apgd_targeted, whole.fab):
        one.n_iter = steps
    whole.square.n_queries = queries
    return whole


def in_turns(rounds: int, *contestants: Callable[[], Tensor]) -> tuple[list[Tensor], list[list[float]]]:
    """What each gives, and its process times."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        found = []
        for spent, contestant in zip(times, contestants, strict=True):
            start = time.process_time()
            found.append(contestant())
            spent.append(time.process_time() - start)
    return found, times


def compared(model: nn.Module, rows: Batch, norm: str, radius: float, arguments: argparse.Namespace) -> Iterator[str]:
    attacks, ctx = ours(norm, arguments.steps, arguments.queries), image_context(radius)
    for label, names in {**{name: [name] for name in attacks}, "ensemble": list(attacks)}.items():
        mine = partial(autoattack, model, rows, ctx, attacks={name: attacks[name] for name in names})
        other = theirs(model, norm, radius, arguments.steps, arguments.queries, [NAMES[name] for name in names])
        run = partial(other.run_standard_evaluation, rows.x, rows.y, batch_size=len(rows.y))
        found, (fast, slow) = in_turns(arguments.rounds, mine, lambda run=run: run()[0])
        kept = [int(right(model, x, rows.y).sum()) for x in found]
        ratio = statistics.median(a / b for a, b in zip(fast, slow, strict=True))
        seconds = statistics.median(fast), statistics.median(slow)
        yield f"{norm:<5} {label:<9} {kept[0]:>6} {kept[1]:>10} {seconds[0]:>9.2f} s {seconds[1]:>9.2f} s {ratio:>7.2f}"


def report(arguments: argparse.Namespace) -> Iterator[str]:
    torch.set_num_threads(1)
    side = arguments.enlarge
    rows = images().rows(slice(0, arguments.rows))
    rows = rows._replace(x=nn.functional.interpolate(rows.x, scale_factor=side))
    model = nn.Sequential(nn.AvgPool2d(side), robust_net())
    yield f"{len(rows.y)} rows of {rows.x.shape[-1]} x {rows.x.shape[-1]}, {right(model, rows.x, rows.y).sum()} right"
    yield f"{'':<15} {'robust':>6} {'published':>10} {'ours':>11} {'published':>11} {'ratio':>7}"
    for norm in arguments.norms.split(","):
        yield from compared(model, rows, norm, RADIUS[norm] * side ** GROWTH[norm], arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="CPU-seconds of AutoAttack beside the published code")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20, help="of APGD and FAB; published 100")
    parser.add_argument("--queries", type=int, default=300, help="of Square; published 5000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--enlarge", type=int, default=1, help="side of a pixel")
    parser.add_argument("--norms", default="linf,l2,l1")
    for line in report(parser.parse_args()):
        print(line, flush=True)
