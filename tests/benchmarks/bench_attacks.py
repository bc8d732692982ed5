"""CPU-seconds of the gradient attacks, beside those of pyautoattack and foolbox and the bare passes. Run by hand:

    python -m tests.benchmarks.bench_attacks [--net small_cnn preact_resnet18] [--rounds 5] [--steps 20]

All attack the same rows by the same network, under linf. The bare passes are steps + 1 times a forward pass and the
gradient with respect to the input, and nothing else. ``hold``: the labels are the network's and the radius is so small
that no row is lost, so that every attack does all of its work. ``lost``: a radius of 8/255, where rows may leave ours;
pyautoattack takes a row that is lost along, foolbox and PGD always do.

The sides take turns, the order changing from round to round, so that what else the machine does slows all alike. Shown
are medians of process time on one thread, the ratio to the bare passes (the median of the ratios of every round), and
the share of rows that stay right.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import foolbox
import torch
import torch.nn.functional as F  # noqa: N812
from pyautoattack.autopgd_base import APGDAttack
from torch import Tensor, nn

from utils import seeding
from utils.attacks.apgd import apgd
from utils.attacks.pgd import pgd
from utils.decides.threshold import Threshold
from utils.models.preact_resnet18 import PreActResNet18
from utils.models.small_cnn import SmallCNN
from utils.scms.none import none
from utils.system.environment import keep_memory
from utils.threats import everywhere, pixels
from utils.types import Batch, Context

LINF = partial(pixels, norm="linf")
NETS: dict[str, tuple[tuple[int, int, int], int, Callable[..., nn.Module]]] = {  # shape of images, rows, network
    "small_cnn": ((1, 14, 14), 128, partial(SmallCNN, widths=[16, 32, 64], strides=[1, 2, 2], norm="batch")),
    "preact_resnet18": ((3, 32, 32), 16, partial(PreActResNet18, width=64)),
}
RADII = {"hold": 1e-6, "lost": 8 / 255}


def network(name: str) -> tuple[nn.Module, Batch]:
    """A network with random weights and images that it labels itself."""
    shape, n, make = NETS[name]
    torch.manual_seed(0)
    model = make(shape, 10, mean=[0.5] * shape[0], std=[0.25] * shape[0]).eval().requires_grad_(False)
    x = torch.rand(n, *shape)
    return model, Batch(x, model(x).argmax(1), torch.zeros(n).long(), torch.ones(n), torch.arange(n))


def context(radius: float) -> Context:
    return Context(
        scm=none(SimpleNamespace(loc=torch.zeros(1)), seed=0),
        columns=(),
        attack=lambda predict, batch, ctx: batch.x,
        epsilon=everywhere(radius),
        decide=Threshold(0.5),
        seed=0,
        generator=seeding.Rows(0, torch.arange(0)),
    )


def passes(model: nn.Module, batch: Batch, steps: int) -> Tensor:
    """What no attack of so many steps can do without."""
    point = batch.x.clone().requires_grad_()
    for _ in range(steps + 1):
        torch.autograd.grad(F.cross_entropy(model(point), batch.y, reduction="sum"), point)
    return batch.x


def sides(model: nn.Module, batch: Batch, radius: float, steps: int) -> dict[str, Callable[[], Tensor]]:
    """Each attack with as many steps, giving x'."""
    ctx = context(radius)
    theirs = APGDAttack(model, n_iter=steps, norm="Linf", eps=radius, loss="ce", device="cpu")
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    plain = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=steps, random_start=True)
    settings: dict[str, Any] = {"threat": LINF, "steps": steps, "restarts": 1}
    return {
        "bare passes": lambda: passes(model, batch, steps),
        "apgd": lambda: apgd(model, batch, ctx, **settings, loss="ce", targets=1),
        "pyautoattack APGD": lambda: theirs.perturb(batch.x, batch.y),
        "pgd": lambda: pgd(model, batch, ctx.on(batch), **settings, rel_step=0.25, random_start=True),
        "foolbox LinfPGD": lambda: plain(wrapped, batch.x, batch.y, epsilons=radius)[1],
    }


def spent(work: Callable[[], Tensor]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def table(name: str, case: str, steps: int, rounds: int) -> Iterator[str]:
    model, batch = network(name)
    attacks = sides(model, batch, RADII[case], steps)
    right = {side: float((model(work()).argmax(1) == batch.y).float().mean()) for side, work in attacks.items()}
    times: dict[str, list[float]] = {side: [] for side in attacks}
    for i in range(rounds):
        for side in list(attacks) if i % 2 else reversed(attacks):
            times[side].append(spent(attacks[side]))
    bare = times["bare passes"]
    for side, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, bare, strict=True))
        figures = f"{statistics.median(own):.4g} | {ratio:.3f} | {right[side]:.3f}"
        yield f"| {name} | {len(batch.y)} | {case} | {side} | {figures} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--case", nargs="+", default=list(RADII), choices=RADII)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    warnings.simplefilter("ignore")
    print("| network | rows | case | attack | seconds | over bare passes | right |\n|---|---|---|---|---|---|---|")
    for net in asked.net:
        for case in asked.case:
            for line in table(net, case, asked.steps, asked.rounds):
                print(line, flush=True)
