"""An epoch of an adaptation to the classes over one of the robust term alone. Run by hand:

    python -m tests.benchmarks.bench_classes [--rounds 9] [--epochs 3] [WORD ...]

Each round trains every objective of ``OBJECTIVES`` once from the same weights, in turns; an epoch is counted from where
its adaptation acts. Shown are the median CPU-seconds of an epoch, the median over the rounds of its ratio to the epoch
of the term alone, and apart from both what the adaptation does between two epochs, such as the validation passes of FRL
and WAT. WORDs are those of the command line, such as
``dataset=fashion_mnist dataset.rows=2000 dataset.valid=0.1``; by default handwritten digits.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from tests.benchmarks.bench_causal import built
from utils.build import Run
from utils.runs.fitting import fit_plainly
from utils.system.environment import keep_memory

# by the term that each is compared with
OBJECTIVES = {
    "trades": ("[trades]", "[trades,dafa]", "[trades,frl]", "[trades,cfa]", "[trades,wat]"),
    "pgd_at": ("[pgd_at]", "[pgd_at,dafa]", "[pgd_at,fair_tat]"),
}
BY_DEFAULT = ("dataset=digits", "epsilon.radius=0.06")


class Clock:
    """CPU-seconds of a training's epochs, and apart from them of what an adaptation does after each."""

    def __init__(self, run: Run):
        self.epochs: list[float] = []
        self.between: list[float] = []
        self._began = time.process_time()
        for adaptation in run.adaptations:
            self._time(adaptation)

    def _time(self, adaptation: Any) -> None:
        epoch_ended = adaptation.epoch_ended

        def timed(*args: Any) -> None:
            began = time.process_time()
            epoch_ended(*args)
            self.between.append(time.process_time() - began)

        adaptation.epoch_ended = timed

    def watch(self, epoch: float, _: Mapping[str, float]) -> None:
        """Heard after every epoch, and now and then within one."""
        if epoch != int(epoch):
            return
        now = time.process_time()
        spent = self.between[len(self.epochs)] if self.between else 0.0
        self.epochs.append(now - self._began - spent)
        self._began = now


def trained(words: list[str], objective: str, epochs: int) -> Clock:
    """Train one objective from the weights of seed 0; what its epochs took."""
    run = built(*words, f"regularizer={objective}", f"trainer.epochs={epochs}", "trainer.checkpoint_every=0")
    for adaptation in run.adaptations:
        if hasattr(adaptation, "warmup"):
            adaptation.warmup = 0.0  # from the second epoch on
    clock = Clock(run)
    fit_plainly(run, watch=clock.watch)
    return clock


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    words = asked.words or list(BY_DEFAULT)
    names = [name for each in OBJECTIVES.values() for name in each]
    clocks: dict[str, list[Clock]] = {name: [] for name in names}
    for i in range(asked.rounds):
        for name in names if i % 2 else names[::-1]:
            clocks[name].append(trained(words, name, asked.epochs))
    print("| objective | an epoch, CPU-s | ratio to the term alone | between two epochs, CPU-s |")
    print("|---|---|---|---|")
    for alone, *adapted in OBJECTIVES.values():
        for name in (alone, *adapted):
            own, base = ([statistics.mean(clock.epochs[1:]) for clock in clocks[key]] for key in (name, alone))
            ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
            between = statistics.median(statistics.mean(clock.between or [0.0]) for clock in clocks[name])
            print(f"| {name} | {statistics.median(own):.3f} | {ratio:.3f} | {between:.3f} |")


if __name__ == "__main__":
    main()
