"""CPU-milliseconds of a training step beside its bare matrix products. Run by hand:

    python -m tests.benchmarks.bench_step [--models N ...] [WORD ...]

Of stacks of N models (1, 16 and 64), each of a seed of its own, trained on batches of 100 under the words of train.py
(else ``regularizer=causal_adv`` on loan): a step, its matrix products alone, on tensors of the same shapes and strides,
their ratio, and how many operations the step has. Step and products take turns; shown is the first decile of process
time, which neighbours on the machine move least, on one thread.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import paths_config
from utils import build
from utils.losses.objective import make_objective
from utils.runs.fitting import stack_terms
from utils.scms.layers import in_layers
from utils.scms.once import Known
from utils.system.environment import keep_memory
from utils.training.many_models import find_losses
from utils.training.stack_optimizer import optimizer_of
from utils.views.stack import Stack, stack_batches, stack_contexts
from utils.views.written_out import write_out

PRODUCTS = ("aten.bmm", "aten.baddbmm", "aten.mm", "aten.addmm")
REPEATS = 40


class Heard(TorchDispatchMode):
    """Counts operations, and keeps the matrix products, with random numbers in place of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.products = 0, list[Callable[[], Any]]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Hears of one operation."""
        self.operations += 1
        if str(function).startswith(PRODUCTS):
            like = [torch.randn_like(a) if isinstance(a, Tensor) else a for a in args]
            named = {k: torch.empty_like(a) if isinstance(a, Tensor) else a for k, a in (kwargs or {}).items()}
            self.products.append(lambda: function(*like, **named))
        return function(*args, **(kwargs or {}))


def built(words: Sequence[str]) -> build.Run:
    """A run as the command line builds it."""
    with initialize_config_dir(str(paths_config.ROOT / "config"), version_base="1.3"):
        cfg = compose("train", overrides=["device=cpu", *words])
    params: Any = OmegaConf.to_container(cfg, resolve=True)
    return build.build_run(params)


def stepping(runs: Sequence[build.Run]) -> Callable[[], None]:
    """A step of the training of a stack of runs, on other rows each time."""
    stack, ctx = write_out(Stack([run.model for run in runs])), stack_contexts([run.ctx for run in runs])
    ctx = replace(ctx, scm=in_layers(ctx.scm), progress=0.0, epoch=0, epochs=10)
    train = stack_batches([run.dataset.train for run in runs])
    objective, known, weights = make_objective(*stack_terms(runs)), Known(train), list(stack.parameters())
    optimizer = optimizer_of(stack, runs[0].make_optimizer, [0.001] * len(runs), [0.0] * len(runs))

    def step() -> None:
        keep = torch.stack([torch.randperm(train.y.shape[-1])[:100] for _ in runs])
        find_losses(stack, objective, train, keep, ctx, known).sum().backward(inputs=weights)
        optimizer.step()

    return step


def row(words: Sequence[str], models: int) -> str:
    """A row of the table."""
    step, heard = stepping([built([*words, f"seed={seed}"]) for seed in range(models)]), Heard()
    step()
    with heard:
        step()
    times: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for spent, parts in zip(times, ([step], heard.products), strict=True):
            start = time.process_time()
            for part in parts:
                part()
            spent.append(time.process_time() - start)
    whole, bare = (1000 * sorted(spent)[REPEATS // 10] / models for spent in times)
    return f"| {models} | {whole:.2f} | {bare:.2f} | {whole / bare:.1f} | {heard.operations:,} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", default=["regularizer=causal_adv", "dataset=loan"])
    parser.add_argument("--models", type=int, nargs="*", default=(1, 16, 64))
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    print(f"`{' '.join(args.words)}`\n\n| models | ms a step and model | its products | ratio | operations |")
    print("|---|---|---|---|---|")
    for models in args.models:
        print(row(args.words, models), flush=True)


if __name__ == "__main__":
    main()
