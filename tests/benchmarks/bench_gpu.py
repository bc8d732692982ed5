"""What one data-centre GPU does: a section of docs/speed.md, printed as Markdown. Run by hand, nine minutes at most:

    tests/benchmarks/gpu.sh [--device cpu --small]

The CUDA tests; images a second of a training step of TRADES-10, and its share of the bare passes (``bench_images``);
TRADES with and without DAFA as two processes side by side, PreActResNet-18, as many epochs of one learning-rate cycle
as their seconds allow, judged by AutoAttack on 1,000 test images; 64 causal_adv of loan in one stack. Images are of
CIFAR-10 where TRILEMMA_DATA has it, else of Fashion-MNIST. Nothing is downloaded or installed: a part that lacks a
package says so. Each part has seconds of its own and ends with them; one that fails prints its error in a line, the
others go on, and the exit status is 1. Without a GPU it is 3. ``--device cpu --small`` tries every part on digits.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import paths_config
from tests.benchmarks.bench_images import LINF, MODELS, TERMS, compare, context, recipes, rows
from utils import seeding
from utils.adversary.worst_case import still_right, worst_case
from utils.attacks.apgd import apgd
from utils.attacks.fab_t import fab_t
from utils.attacks.square import square
from utils.augment import crop_and_flip
from utils.datasets.cifar10 import FOLDER, cifar10
from utils.datasets.digits import digits
from utils.datasets.fashion_mnist import fashion_mnist
from utils.losses.objective import Weighted, make_objective
from utils.regularizers.dafa import Dafa
from utils.schedules import one_cycle
from utils.system.environment import keep_memory
from utils.training.one_model import PLAIN, fit
from utils.types import Batch, Dataset

NO_GPU, FAILED = 3, 1
WARMUP = 0.6364  # share of the epochs before DAFA weighs classes, as published
IMPORTS = {"hydra": "hydra-core", "omegaconf": "omegaconf", "tinydb": "tinydb", "pydantic": "pydantic"}
IMPORTS |= {"orjson": "orjson", "filelock": "filelock", "safetensors": "safetensors", "skops": "skops"}
METHODS = ("trades", "trades+dafa")
MEASURED = 0.1  # share of an epoch that is measured, after as much before
LEAST = 5  # seconds that a part is begun with
TESTS = ("tests/test_cuda.py", "tests/utils/test_augment.py")  # with what is marked cuda
RECIPE: dict[str, Any] = {"precision": "auto", "channels_last": True, "schedule": partial(one_cycle, peak=0.4)}
RECIPE |= {"augment": partial(crop_and_flip, padding=4, flip=False)}


class Size(NamedTuple):
    """What is asked of a machine."""

    seconds: dict[str, float]  # of each part, and of all
    model: str
    batch: int
    steps: int  # of a step's measurement ...
    rounds: int  # ... again and again
    rows: int | None  # of training; None: all
    images: int  # under AutoAttack
    iterations: int  # of APGD and FAB
    queries: int
    stack: int
    words: tuple[str, ...]  # of the stack


LARGE = Size(
    {"tests": 45, "step": 90, "start": 30, "side by side": 240, "attacks": 90, "stack": 60, "all": 530},
    *("preact_resnet18", 128, 8, 3, None, 1000, 100, 5000, 64, ("dataset=loan",)),
)
SMALL = Size(
    {"tests": 90, "step": 60, "start": 120, "side by side": 3, "attacks": 30, "stack": 120, "all": 530},
    *("small_cnn", 64, 1, 1, 300, 20, 2, 5, 3, ("dataset=loan", "dataset.rows=200", "trainer.epochs=1")),
)


class Clock:
    """Seconds that are left."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.started = seconds, time.monotonic()

    def left(self, part: str) -> float:
        """Of a part that begins now."""
        return min(self.seconds[part], self.seconds["all"] - (time.monotonic() - self.started))


class Asked(NamedTuple):
    """What a part is given."""

    size: Size
    device: str
    small: bool
    clock: Clock

    def again(self, *words: str) -> list[str]:
        """The command line of this file with other words."""
        module = [sys.executable, "-m", "tests.benchmarks.bench_gpu", "--device", self.device]
        return [*module, *["--small"] * self.small, *words]


# --- the parts, each the lines of its Markdown ---


def machine(asked: Asked) -> Iterator[str]:
    """The machine, and what it lacks."""
    name = platform.processor() or "CPU" if asked.device == "cpu" else torch.cuda.get_device_name()
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}"
    yield f"## On one {name}\n"
    yield f"{versions}, {time.strftime('%d %B %Y')}{', tiny budgets that only try the script' * asked.small}."
    if missing := lacking():
        yield f"Not installed here: {', '.join(missing)}."


def lacking() -> list[str]:
    """Packages of requirements.txt that are not installed."""
    return [package for module, package in IMPORTS.items() if find_spec(module) is None]


def cuda_tests(asked: Asked) -> Iterator[str]:
    """The tests that are marked so; they need torch and pytest alone."""
    command = [sys.executable, "-m", "pytest", "--noconftest", "-m", "cuda", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=asked.clock.left("tests"))
    last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]
    if done.returncode:
        raise RuntimeError(last)
    yield f"\nCUDA tests: {last.strip('= ')}."


def step(asked: Asked) -> Iterator[str]:
    """A step of TRADES-10 beside the passes that it cannot do without; eager first, as compiling takes its time."""
    size, ends = asked.size, time.monotonic() + asked.clock.left("step")
    yield f"\n| TRADES-10, {size.model}, batch {size.batch} | images a second | bare passes take |\n|---|---|---|"
    shape, make = MODELS[size.model]
    data = rows(shape, size.batch * size.steps, asked.device)
    for label, recipe in sorted(recipes(asked.device).items(), key=lambda item: item[1].compile):
        if time.monotonic() > ends:
            yield f"| {label} | skipped: time is up | |"
            continue
        torch.manual_seed(0)
        model = make(shape, 10, mean=[0.5] * shape[0], std=[0.25] * shape[0]).to(asked.device)
        took, _, ratio = compare(model, "TRADES-10", data, size.batch, recipe, size.rounds, asked.device)
        yield f"| {label} | {size.batch / took:,.0f} | {1 / ratio:.0%} |"


def side_by_side(asked: Asked) -> Iterator[str]:
    """Both methods at once, first for the seconds of an epoch, then for one cycle and the attacks."""
    size, clock = asked.size, asked.clock
    began, seconds = time.monotonic(), clock.left("side by side")
    epoch = max(found["epoch"] for (found,) in children(asked, 0, 0.0, seconds + clock.seconds["start"]))
    left = max(seconds - (time.monotonic() - began), seconds / 2)
    epochs = max(1, int(left / epoch))
    attacks = min(clock.seconds["attacks"], clock.left("all") - left)
    told = children(asked, epochs, attacks, min(clock.seconds["start"] + 1.2 * left + attacks, clock.left("all")))
    trained = f"{epochs} epochs in {max(lines[0]['seconds'] for lines in told):.0f} s side by side"
    yield f"\n| {size.model}, {told[0][0]['data']}, {trained} | attacks | right | worst class |\n|---|---|---|---|"
    for method, lines in zip(METHODS, told, strict=True):
        for line in (lines[1], lines[-1]):
            yield f"| {method} | {line['after']} | {line['average']:.3f} | {line['worst']:.3f} |"


def children(asked: Asked, epochs: int, attacks: float, seconds: float) -> list[list[dict[str, Any]]]:
    """What the processes of both methods say, until the seconds are over."""

    def run(method: str) -> list[dict[str, Any]]:
        words = ["--train", method, "--epochs", str(epochs), "--attacks", str(attacks)]
        try:
            done = subprocess.run(asked.again(*words), capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            out, why = error.stdout or b"", f"{method}: no word within {seconds:.0f} s"
        else:
            out, why = done.stdout, (done.stderr.decode().strip().splitlines() or [f"{method} said nothing"])[-1]
            if done.returncode:
                raise RuntimeError(why)
        lines = [json.loads(line) for line in out.splitlines(keepends=True) if line.endswith(b"\n")]
        if len(lines) < (2 if epochs else 1):
            raise RuntimeError(why)
        return lines

    with ThreadPoolExecutor(len(METHODS)) as pool:
        return list(pool.map(run, METHODS))


def stack(asked: Asked) -> Iterator[str]:
    """Whole runs of the command line, their start included."""
    if missing := lacking():
        yield f"\nNo stack of causal_adv: it needs {', '.join(missing)}."
        return
    count = asked.size.stack
    words = ["-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "regularizer=causal_adv", *asked.size.words]
    words += [f"seed=range({count})", f"device={asked.device}"]
    with tempfile.TemporaryDirectory() as folder:
        own = {f"TRILEMMA_{name}": str(Path(folder) / name.lower()) for name in ("EVALS", "WEIGHTS")}
        began = time.monotonic()
        command = [sys.executable, str(paths_config.ROOT / "train.py"), *words]
        limit = asked.clock.left("stack")
        done = subprocess.run(command, env=os.environ | own, cwd=folder, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip().splitlines()[-1])
    took = time.monotonic() - began
    yield f"\n{count} causal_adv of loan in one stack, start and evaluation included: {took / count:.2f} s a model."


# --- one training ---


def images(small: bool) -> Dataset:
    """CIFAR-10 where it is, else Fashion-MNIST; digits, for a try."""
    if small:
        return digits(name="digits", split=[0.7, 0.0, 0.3], seed=0)
    load = cifar10 if (paths_config.data() / FOLDER).is_dir() else fashion_mnist
    return load(name=load.__name__, rows=None, test_rows=None, valid=0.0, size=None, seed=0)


def train(asked: Asked, method: str, epochs: int, attacks: float) -> Iterator[dict[str, Any]]:
    """Of 0 epochs the seconds of one; of more what one cycle took, and what is right after every attack."""
    data, size = images(asked.small), asked.size
    whole = data.train.rows(slice(0, size.rows)).to(asked.device)
    shape = tuple(whole.x.shape[1:])
    torch.manual_seed(0)
    model = MODELS[size.model][1](shape, 10, mean=[0.5] * shape[0], std=[0.25] * shape[0]).to(asked.device)
    if not epochs:
        part = whole.rows(slice(0, max(size.batch, int(len(whole.y) * MEASURED))))
        fit_cycle(model, method, part, 1, size.batch)  # what is done once is not measured
        yield {"epoch": fit_cycle(model, method, part, 1, size.batch) * len(whole.y) / len(part.y)}
        return
    yield {"data": data.name, "seconds": fit_cycle(model, method, whole, epochs, size.batch)}
    test = data.test.rows(slice(0, size.images)).to(asked.device)
    test = test._replace(x=test.x.float() / 255)
    yield from judged(model.eval().requires_grad_(False), test, size, attacks)


def fit_cycle(model: torch.nn.Module, method: str, data: Batch, epochs: int, batch: int) -> float:
    """Trains for one cycle of the learning rate; returns seconds."""
    adaptations = [Dafa(classes=10, warmup=WARMUP, strength=1.0, floor=0.1).to(data.y.device)] * ("dafa" in method)
    began = time.monotonic()
    fit(
        model,
        make_objective(0.0, {"trades": Weighted(1.0, TERMS["TRADES-10"])}, adaptations),
        data,
        data.rows(slice(0, 0)),
        context(data),
        make_optimizer=partial(torch.optim.SGD, momentum=0.9),
        epochs=epochs,
        batch_size=batch,
        lr=0.2,
        weight_decay=5e-4,
        order=seeding.generator(0, "order"),
        watch=lambda *_: None,
        recipe=replace(PLAIN, **RECIPE),
        adaptations=adaptations,
    )
    return time.monotonic() - began


def judged(model: torch.nn.Module, test: Batch, size: Size, seconds: float) -> Iterator[dict[str, Any]]:
    """What is right before AutoAttack and after each of its parts that begins within the seconds."""
    parts = {
        "apgd_ce": partial(apgd, threat=LINF, loss="ce", steps=size.iterations, restarts=1, targets=1),
        "apgd_t": partial(apgd, threat=LINF, loss="targeted", steps=size.iterations, restarts=1, targets=9),
        "fab_t": partial(
            fab_t, threat=LINF, steps=size.iterations, restarts=1, targets=9, alpha_max=0.1, eta=1.05, beta=0.9
        ),
        "square": partial(square, threat=LINF, queries=size.queries, p_init=0.8, restarts=1),
    }
    ends, ctx = time.monotonic() + seconds, context(test)
    right, names = still_right(model, test, ctx), []
    yield figures(right, test, "none")
    for name, attack in parts.items():
        if time.monotonic() > ends:
            break
        left = right.nonzero().squeeze(1)
        if len(left):
            moved, _ = worst_case(model, test.rows(left), ctx, {name: attack})
            right[left] = still_right(model, test.rows(left)._replace(x=moved), ctx)
        names.append(name)
        whole = len(names) == len(parts)
        yield figures(right, test, "AutoAttack" if whole else f"{', '.join(names)} (then time was up)")


def figures(right: Tensor, test: Batch, after: str) -> dict[str, Any]:
    """Of the rows that are right."""
    classes = [right[test.y == y].double().mean().item() for y in test.y.unique().tolist()]
    return {"after": after, "average": right.double().mean().item(), "worst": min(classes)}


PARTS: dict[str, Callable[[Asked], Iterator[str]]] = {
    "machine": machine,
    "tests": cuda_tests,
    "step": step,
    "side by side": side_by_side,
    "stack": stack,
}


def section(asked: Asked) -> int:
    """Prints all parts; returns the exit status."""
    status = 0
    for name, part in PARTS.items():
        if asked.clock.left("all") < LEAST:
            print(f"\nSkipped, since time is up: {name}.", flush=True)
            continue
        try:
            for line in part(asked):
                print(line, flush=True)
        except Exception as error:  # noqa: BLE001  whatever it is, the other parts go on
            print(f"\n{name} failed: {' '.join(str(error).split())[:300] or type(error).__name__}", flush=True)
            status = FAILED
    return status


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny budgets")
    parser.add_argument("--train", choices=METHODS, help="one of the two processes, which prints JSON")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--attacks", type=float, default=0.0, help="seconds")
    words = parser.parse_args()
    if words.device != "cpu" and not torch.cuda.is_available():
        print("There is no GPU that torch can see here.")
        return NO_GPU
    size = SMALL if words.small else LARGE
    asked = Asked(size, words.device, words.small, Clock(size.seconds))
    keep_memory()
    if not words.train:
        return section(asked)
    for line in train(asked, words.train, words.epochs, words.attacks):
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
