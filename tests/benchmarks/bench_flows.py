"""Unfair areas under additive noise and under flows against the truth, and what fits cost. Run by hand, minutes:

    python -m tests.benchmarks.bench_flows [--rows 20000] [--adult]

People and their twins are drawn from the SCMs of ``tests.truths``; equations are learned, by the settings of
``config/scm/learned.yaml``, from two fifths of the rows and the graph. A linear classifier with random weights, which
does not read the sensitive attributes, decides. ``true`` is the share of the test rows, half of all, whose decision
some true twin changes, ``filed`` is the same of the twins of the equations, drawn 16 times. CPU-s are of the fit, on
one thread; ``--adult`` adds those of adult, whose file must be in the data folder.
"""

import argparse
import os
import time
from tempfile import TemporaryDirectory

import torch

from tests import truths
from tests.utils.scms.test_truths import classifier, table
from utils.build import build_dataset, build_scm
from utils.command_line.composing import compose_params
from utils.scms.counterfactual import chances, twins

NAMES = ("MIXED", "NON_ROOT", "TWO_ATTRIBUTES", "BENT", "SPREAD")
DRAWS = 16


def filed(data, scm, model) -> float:
    """The share of test rows and draws of which some twin is decided otherwise."""
    x, g = data.test.x, torch.Generator().manual_seed(0)
    own = model(x) >= 0
    share = 0.0
    for _ in range(DRAWS if scm.posterior else 1):
        drawn = twins(scm, x, chances(scm, x, lambda like: torch.rand(like.shape, generator=g)))
        share += float(((model(drawn) >= 0) != own).any(0).double().mean())
    return share / (DRAWS if scm.posterior else 1)


def fit(data, noise: str):
    """The learned equations and the CPU-s that they took."""
    params = compose_params(["dataset=lin", "scm=learned", f"scm.noise={noise}"])
    before = time.process_time()
    scm = build_scm(params, data)
    return scm, time.process_time() - before


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--adult", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| truth | true | additive | flow | refuted | CPU-s additive | CPU-s flow |\n|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        os.environ["TRILEMMA_WEIGHTS"] = folder
        for name in NAMES:
            data, others = table(getattr(truths, name), asked.rows)
            model = classifier(data)
            true = float(((model(others) >= 0) != (model(data.test.x) >= 0)).any(0).double().mean())
            (additive, first), (flow, second) = fit(data, "additive"), fit(data, "flow")
            refuted = [any("depends on the parents" in w for w in of.judgement().warnings) for of in (additive, flow)]
            said = " and ".join(word for word, wrong in zip(("additive", "flow"), refuted, strict=True) if wrong) or "-"
            figures = f"{true:.3f} | {filed(data, additive, model):.3f} | {filed(data, flow, model):.3f}"
            print(f"| {name.lower()} | {figures} | {said} | {first:.1f} | {second:.1f} |", flush=True)
        for noise in ("additive", "flow") if asked.adult else ():
            data = build_dataset(compose_params(["dataset=adult"]), torch.device("cpu"))
            print(f"\nadult, {noise}: {fit(data, noise)[1]:.1f} CPU-s")


if __name__ == "__main__":
    main()
