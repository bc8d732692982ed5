"""CPU-seconds of certificates, beside the searches that they stand beside and bare passes. Run by hand:

    python -m tests.benchmarks.bench_certificates [--rows 10000] [--radius 0.05 0.2] [--boxes 200] [--adult]

1. ``--rows`` people of loan and both twins of each, judged by the default MLP trained by causal_adv: the certificate;
   the unfair area by the gradient attack and, where that finds nothing, 1,000 random points a twin; and the bare passes
   of the bounds, which are latent dimensions + 2 passes of every twin through the network.
2. ``--adult``: the same of its test rows under the learned SCM, whose file must be in the data folder.
3. An epoch of ``regularizer=certified``, of ``causal_adv`` and of ``erm`` on loan.

Sides take turns; shown is the median of process time on one thread, and its ratio to the certificate or to causal_adv.
"""

import argparse
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from tests.benchmarks.bench_causal import built, seconds, trained
from utils import seeding
from utils.adversary.certificates import Budget, Certificate, Judge, certify
from utils.build import Run
from utils.metrics.unfair_area import unfair_area
from utils.scms.counterfactual import draw
from utils.types import Batch, Context
from utils.words.numbers import read_radii

SEARCH: dict[str, Any] = {"individuals": "rows", "n": 1, "samples": 1000, "steps": 10, "rel_step": 0.25}
SEARCH |= {"restarts": 4, "estimators": "union", "intervals": 0, "level": 0.95}


def main() -> None:
    """Prints the measurements."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--radius", type=float, nargs="+", default=[0.05, 0.2])
    parser.add_argument("--boxes", type=int, default=200)
    parser.add_argument("--adult", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| data | radius | side | CPU-s | of the certificate | outcome |\n| --- | --- | --- | --- | --- | --- |")
    run = built("dataset=loan", "regularizer=causal_adv")
    x = draw(run.ctx.scm, args.rows, seeding.rng(5, "people"))
    ctx = trained(run, 10)
    for radius in args.radius:
        compare("loan", run, ctx, x, radius, args.boxes)
    if args.adult:
        adult = built("dataset=adult", "regularizer=erm")
        compare("adult", adult, trained(adult, 2), adult.dataset.test.x, 0.05, args.boxes)
    print(f"\npeak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB\n")
    epochs()


def compare(name: str, run: Run, ctx: Context, x: torch.Tensor, radius: float, boxes: int) -> None:
    """Prints the rows of one radius."""
    model = run.model
    judge, none = Judge(model, ctx.decide, ctx.scm, "l2", "own"), torch.zeros(len(x), dtype=torch.long)
    rows = Batch(x, none, none, torch.ones(len(x)), torch.arange(len(x)))
    dimensions = int((ctx.scm.unit > 0).sum())
    proofs: list[Certificate] = []
    found: list[Any] = []

    def prove() -> None:
        proofs.append(certify(judge, judge.individuals(x), radius, Budget(boxes, 10**7, 16)))

    @torch.no_grad()
    def search() -> None:
        found.append(unfair_area(model, rows, ctx, radii=read_radii([radius]), rows=len(x), **SEARCH))

    @torch.no_grad()
    def pass_bare() -> None:
        for part in x.split(512):
            for _ in range(len(ctx.scm.levels) * (dimensions + 2)):
                model(part)

    sides: dict[str, Callable[[], None]] = {"certificate": prove, "search": search, "bare passes": pass_bare}
    times = seconds(*sides.values())
    last = proofs[-1]
    shares = [float(of.double().mean()) for of in (last.fair, last.unfair, ~last.fair & ~last.unfair)]
    outcome = [
        f"fair {shares[0]:.4f}, unfair {shares[1]:.4f}, open {shares[2]:.4f}; {last.boxes} boxes",
        f"unfair {found[-1][f'uai_{radius}']:.4f}" + _any(found[-1], radius),
        f"{dimensions + 2} of each twin",
    ]
    for side, spent, told in zip(sides, times, outcome, strict=True):
        print(f"| {name}, {len(x)} | {radius} | {side} | {spent:.2f} | {spent / times[0]:.2f} | {told} |")


def _any(found: Any, radius: float) -> str:
    key = f"uai_any_{radius}"
    return f", in any draw {found[key]:.4f}" if key in found else ""


def epochs() -> None:
    """Prints what an epoch costs."""
    names = ("causal_adv", "certified", "erm")
    runs = {name: built("dataset=loan", f"regularizer={name}") for name in names}

    print("| epoch on loan | CPU-s | of causal_adv |\n| --- | --- | --- |")
    times = seconds(*(partial(trained, run, 2) for run in runs.values()))
    for name, spent in zip(names, times, strict=True):
        print(f"| {name} | {spent / 2:.2f} | {spent / times[0]:.2f} |")


if __name__ == "__main__":
    main()
