"""Wall seconds of training a learner on many sets of added rows, in one process and in several. Run by hand:

    TRILEMMA_DATA=... python -m tests.benchmarks.bench_refits [--sets 40] [--repeats 3] [--processes 2]

COMPAS as published (``dataset=compas_two_years``), 20 copies of a training row a set. The numbers of processes take
turns; shown are medians, and the seconds of one process over those of several. Only a machine with idle cores can show
a scaling, so the load before is shown. The start of the processes, once a search, is left out and shown beside.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from utils.build import Run, build_run
from utils.command_line.overrides import CONFIG
from utils.poisoning.rows_csv import with_rows
from utils.runs.refits import refits
from utils.types import Batch

MODELS = ("random_forest", "gradient_boosting", "hist_gradient_boosting", "logistic_sklearn")


def run_of(model: str) -> Run:
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=["dataset=compas_two_years", f"model={model}", "device=cpu"])
    params: Any = OmegaConf.to_container(cfg, resolve=True)
    return build_run(params | {"choices": {}})


def seconds(run: Run, sets: list[Batch], processes: int) -> tuple[float, float]:
    """To start, with the first two answers, and for all sets."""
    begun = time.perf_counter()
    with refits(run, inner_seeds=1, processes=processes) as refit:
        refit(sets[:processes])()
        started = time.perf_counter()
        refit(sets)()
        return started - begun, time.perf_counter() - started


def table(sets: int, repeats: int, processes: int) -> Iterator[str]:
    yield f"| {sets} trainings | 1 process, s | {processes} processes, s | ratio | start, s | load before |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for model in MODELS:
        run = run_of(model)
        added = [with_rows(run.dataset.train, run.dataset.train.rows(torch.full((20,), i))) for i in range(sets)]
        load, one, many, start = os.getloadavg()[0], [], [], []
        for _ in range(repeats):
            one.append(seconds(run, added, 1)[1])
            begun, all_sets = seconds(run, added, processes)
            many.append(all_sets)
            start.append(begun)
        alone, beside = statistics.median(one), statistics.median(many)
        rest = f"{alone / beside:.2f} | {statistics.median(start):.1f} | {load:.1f} on {os.cpu_count()} cores"
        yield f"| {model} | {alone:.1f} | {beside:.1f} | {rest} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    for line in table(**vars(parser.parse_args())):
        print(line, flush=True)
