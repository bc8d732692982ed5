"""A training step of TRADES and PGD-AT over the bare passes of the same network. Run by hand:

    python -m tests.benchmarks.bench_images [--model small_cnn] [--batch 16,128] [--rounds 5] [--device cuda]

The bound of a step of TRADES-10 is 10 input-gradient passes with constant weights in eval mode, one clean forward
pass, and two passes with weight gradients in train mode; of PGD-AT-10 it is 10 input-gradient passes and one with
weight gradients. Both sides run in turns on the same rows; shown are medians of process time (on CUDA of elapsed time)
a step, and the median of the ratios of each round. On CUDA each precision, eager and compiled, is a row, with images
a second.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils import seeding
from utils.attacks.pgd import pgd
from utils.decides.threshold import Threshold
from utils.losses.objective import Weighted, make_objective
from utils.models.preact_resnet18 import PreActResNet18
from utils.models.small_cnn import SmallCNN
from utils.regularizers.pgd_at import pgd_at
from utils.regularizers.trades import trades
from utils.scms.none import none
from utils.system.environment import keep_memory
from utils.threats import everywhere, pixels
from utils.training.one_model import PLAIN, fit
from utils.types import Batch, Context
from utils.views import modes

STEPS = 10
LINF = partial(pixels, norm="linf")
TERMS = {
    "TRADES-10": partial(trades, threat=LINF, beta=6.0, steps=STEPS, rel_step=0.25, start="normal"),
    "PGD-AT-10": partial(pgd_at, threat=LINF, steps=STEPS, rel_step=0.25, start="uniform"),
}
MODELS: dict[str, tuple[tuple[int, int, int], Callable[..., nn.Module]]] = {
    "preact_resnet18": ((3, 32, 32), partial(PreActResNet18, width=64)),
    "small_cnn": ((1, 14, 14), partial(SmallCNN, widths=[16, 32, 64], strides=[1, 2, 2], norm="batch")),
}


def rows(shape: tuple[int, int, int], n: int, device: str) -> Batch:
    """Random images of ten classes as a split stores them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)
    y = torch.arange(n) % 10
    return Batch(x, y, torch.zeros_like(y), torch.ones(n), torch.arange(n)).to(device)


def context(batch: Batch) -> Context:
    """Of a training within 8/255."""
    return Context(
        scm=none(SimpleNamespace(loc=torch.zeros(1, device=batch.y.device)), seed=0),
        columns=(),
        attack=partial(pgd, threat=LINF, steps=1, rel_step=1.0, restarts=1, random_start=True),
        epsilon=everywhere(8 / 255),
        decide=Threshold(0.5),
        seed=0,
        generator=seeding.Rows(0, batch.index),
    )


def train(model: nn.Module, name: str, data: Batch, size: int, recipe: Any) -> None:
    """One epoch, as train.py runs it."""
    fit(
        model,
        make_objective(0.0, {"term": Weighted(1.0, TERMS[name])}),
        data,
        data.rows(slice(0, 0)),
        context(data),
        make_optimizer=partial(torch.optim.SGD, momentum=0.9),
        epochs=1,
        batch_size=size,
        lr=0.01,
        weight_decay=5e-4,
        order=seeding.generator(0, "order"),
        watch=lambda *_: None,
        recipe=recipe,
    )


def bare(model: nn.Module, name: str, data: Batch, size: int, recipe: Any) -> None:
    """The passes that no implementation of the step can leave out, in the same precision and layout."""
    device = data.y.device
    seen = partial(modes.as_predict, device=device, precision=recipe_dtype(recipe), channels_last=recipe.channels_last)
    steady, trained = seen(modes.steady(model)), seen(model.train())
    parameters = list(model.parameters())
    for part in data.parts(size):
        x = part.x.requires_grad_()
        for _ in range(STEPS):
            torch.autograd.grad(F.cross_entropy(steady(x), part.y), x)
        if name == "TRADES-10":
            with torch.no_grad():
                steady(x)
        for _ in range(2 if name == "TRADES-10" else 1):
            torch.autograd.grad(F.cross_entropy(trained(x.detach()), part.y), parameters)


def recipe_dtype(recipe: Any) -> torch.dtype:
    """What the layers compute in."""
    return torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32


def spent(work: Callable[[], None], device: str) -> float:
    """Seconds of one call: of the process on the CPU, elapsed on CUDA."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(model: nn.Module, name: str, data: Batch, size: int, recipe: Any, rounds: int, device: str) -> list[float]:
    """Median seconds a step of ours and of the bare passes, and the median of their ratios."""
    sides = [partial(f, model, name, data, size, recipe) for f in (train, bare)]
    for side in sides:
        side()
    times = [
        [spent(side, device) for side in (sides if i % 2 else sides[::-1])][:: 1 if i % 2 else -1]
        for i in range(rounds)
    ]
    steps = len(data.y) / size
    ours, bound = (statistics.median(t[i] for t in times) / steps for i in (0, 1))
    return [ours, bound, statistics.median(a / b for a, b in times)]


def recipes(device: str) -> dict[str, Any]:
    """What is compared: one way on the CPU, precision and compilation on CUDA."""
    last = replace(PLAIN, channels_last=True)
    if device == "cpu":
        return {"float32": last}
    return {
        f"{precision}{', compiled' if compiled else ''}": replace(last, precision=precision, compile=compiled)
        for precision in ("float32", "bfloat16")
        for compiled in (False, True)
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="preact_resnet18,small_cnn")
    parser.add_argument("--batch", default="16,128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    print("| model | batch | layers in | method | ours, s | bare passes, s | ratio | images a second |")
    print("|---|---|---|---|---|---|---|---|")
    for model_name in asked.model.split(","):
        shape, make = MODELS[model_name]
        for size in map(int, asked.batch.split(",")):
            for label, recipe in recipes(asked.device).items():
                torch.manual_seed(0)
                model = make(shape, 10, mean=[0.5] * shape[0], std=[0.25] * shape[0]).to(asked.device)
                data = rows(shape, size * asked.steps, asked.device)
                for name in TERMS:
                    ours, bound, ratio = compare(model, name, data, size, recipe, asked.rounds, asked.device)
                    figures = f"{ours:.4g} | {bound:.4g} | {ratio:.3f} | {size / ours:,.0f}"
                    print(f"| {model_name} | {size} | {label} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
