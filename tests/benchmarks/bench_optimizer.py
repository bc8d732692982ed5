"""A step of the optimizer of 64 stacked models, against torch's with a group for each learning rate. Run by hand:

    python -m tests.benchmarks.bench_optimizer [--rounds N]

CPU-ms a step on one thread, the median over rounds in turns: ours, torch's Adam on the same tensors with a group for
each of so many learning rates, and as a lower bound one addition to every number.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from utils.models.mlp import MLP
from utils.training.stack_optimizer import optimizer_of
from utils.views.stack import Stack

MODELS, INPUTS, STEPS = 64, 10, 100
RATES = (1, 8, 64)
NETWORKS = ([16, 16], [100, 100], [100, 100, 100])


def stack_of(hidden: list[int]) -> Stack:
    """Returns models of one structure."""
    return Stack([MLP(INPUTS, 1, hidden=hidden, activation="tanh") for _ in range(MODELS)])


def steppers(hidden: list[int], kinds: int) -> dict[str, Callable[[], None]]:
    """Returns a step of each kind, whose gradients are there already."""
    rates = [0.001 * (1 + i * kinds // MODELS) for i in range(MODELS)]
    ours, bare = stack_of(hidden), list(stack_of(hidden).parameters())
    optimizer = optimizer_of(ours, torch.optim.Adam, rates, [0.0] * MODELS)
    size = MODELS // kinds
    parts = [[nn.Parameter(p.data[a : a + size]) for p in bare] for a in range(0, MODELS, size)]
    groups = [{"params": part, "lr": rates[i * size]} for i, part in enumerate(parts)]
    grouped = torch.optim.Adam(groups, foreach=True)
    gradients = [torch.randn_like(p) for p in bare]
    for i, part in enumerate(parts):
        for p, gradient in zip(part, gradients, strict=True):
            p.grad = gradient[i * size : (i + 1) * size]

    def own() -> None:
        for p, gradient in zip(optimizer.parameters, gradients, strict=True):
            p.grad = gradient
        optimizer.step()

    def add() -> None:
        torch._foreach_add_([p.data for p in bare], gradients, alpha=1e-3)

    return {"ours": own, "groups": grouped.step, "bare": add}


def measure(step: Callable[[], None]) -> float:
    """Returns CPU-ms a step."""
    start = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - start) / STEPS * 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("| 64 models of | learning rates | ours, ms | torch's groups, ms | one addition, ms | groups / ours |")
    print("|---|---|---|---|---|---|")
    for hidden in NETWORKS:
        for kinds in RATES:
            steps = steppers(hidden, kinds)
            spent: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(rounds + 1):
                for name, step in steps.items():
                    spent[name].append(measure(step))
            ours, groups, bare = (statistics.median(own[1:]) for own in spent.values())
            print(f"| {hidden} | {kinds} | {ours:.2f} | {groups:.2f} | {bare:.2f} | {groups / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
