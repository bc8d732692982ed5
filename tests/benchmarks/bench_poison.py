"""Rows that make a learner fairer: the published search beside ours. Run by hand, hours at the full budget:

    python -m tests.benchmarks.bench_poison [--seeds 3] [--budget 495] [--learner gb] [--processes 2] [METHOD ...]

On COMPAS within two years (TRILEMMA_DATA has the file), learners of scikit-learn with their defaults:

- published: one row at a time, of label 1, by a Gaussian process with an upper confidence bound (bayesian-optimization,
  kappa 2.5) in the box of all 13 features, rounded to a valid row, started anew at every improvement;
- random, tpe, gp: the same rows (one copy, label 1, accuracy ignored) by our sequential search with each sampler;
- copies: the same with up to 100 copies of a row, of any label, the accuracy constrained;
- defaults: our search as its yaml has it, but for the budget: training rows like the row in place of its copies.

Shown are means over seeds: the gap in false positive rates on the validation rows after so many evaluations, the
accuracy there, what is left of both on the test rows, and CPU-seconds an evaluation of choosing and of training. Every
run is filed in ``--folder`` as it ends, our searches as they go on: the same line again goes on where it was stopped.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import process_time, thread_time
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import paths_config
from utils.attacks.bo_poison import PLANS, bo_poison
from utils.datasets.compas_two_years import compas_two_years
from utils.decides.threshold import Threshold
from utils.poisoning.features import Space
from utils.poisoning.history import History, read_entry
from utils.poisoning.judge import Judge
from utils.poisoning.rows_csv import with_rows
from utils.records.settings import SEARCH_KEYS
from utils.types import Answer, Batch, Dataset, Poisoned, Victim

LEARNERS = {
    "gb": lambda seed: GradientBoostingClassifier(random_state=seed),
    "hgb": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "rf": lambda seed: RandomForestClassifier(random_state=seed),
    "logistic": lambda seed: LogisticRegression(max_iter=1000),
}
YAML = yaml.safe_load((paths_config.ROOT / "config" / "attack" / "bo_poison.yaml").read_text())["poison"]
DEFAULTS = {key: value for key, value in YAML.items() if key[0] != "_" and key not in SEARCH_KEYS}
ONE_BY_ONE = {"accuracy": "ignore", "label": 1, "copies": 1, "spread": False, "rows": None}
OURS = {
    "random": ONE_BY_ONE | {"sampler": "random"},
    "tpe": ONE_BY_ONE | {"sampler": "tpe"},
    "gp": ONE_BY_ONE | {"sampler": "gp"},
    "copies": {"spread": False},
    "defaults": {},
}
METHODS = ("published", *OURS)
MARKS = (50, 100, 200, 495)  # evaluations
GAP = "fpr_gap"


class Job(NamedTuple):
    """One search."""

    method: str
    learner: str
    seed: int
    budget: int
    inner_seeds: int = 1
    settings: tuple[tuple[str, Any], ...] = ()  # beside those of the method

    @property
    def name(self) -> str:
        """Of its files."""
        more = "".join(f"_{key}={value}" for key, value in self.settings)
        return f"{self.learner}_{self.method}_{self.budget}_{self.inner_seeds}_{self.seed}{more}"


def data(seed: int) -> Dataset:
    """The published sizes: 1,319 rows validate."""
    return compas_two_years(
        name="compas_two_years",
        split=[0.5, 0.25, 0.25],
        sensitive=["race_african_american"],
        actionable=["priors_count"],
        seed=seed,
    )


def answer(judged: Batch, train: Batch, job: Job) -> Answer:
    """Of learners trained on some rows; as many as inner seeds."""
    started = process_time()
    x, y = train.x.double().numpy(), train.y.numpy()
    logits = []
    for inner in range(job.inner_seeds):
        learner = LEARNERS[job.learner](1000 * job.seed + inner).fit(x, y)
        p = learner.predict_proba(judged.x.double().numpy())[:, 1:].clip(1e-6, 1 - 1e-6)
        logits.append(torch.from_numpy(np.log(p / (1 - p))))
    return Answer(torch.stack(logits), "", process_time() - started)


def victim(rows: Dataset, job: Job, journal: Path) -> Victim:
    """Whoever trains this learner."""

    def refit(sets: Sequence[Batch]) -> Callable[[], list[Answer]]:
        return lambda: [answer(rows.valid, train, job) for train in sets]

    return Victim(
        columns=rows.columns,
        groups=rows.groups,
        loc=rows.loc,
        scale=rows.scale,
        train=rows.train,
        valid=rows.valid,
        refit=refit,
        fit=None,
        loss=None,
        fit_decide=lambda *_: Threshold(0.5),
        seed=job.seed,
        run=job.learner,
        journal=journal,
        earlier=(),
        watch=lambda *_: None,
    )


def space_of(own: Victim, label: int | None, copies: int, spread: bool = False) -> Space:
    """The rows that may be added."""
    return Space.of(
        own.columns,
        own.train,
        own.loc,
        own.scale,
        label=label,
        classes=2,
        copies=copies,
        spread=spread,
        bounds={},
        fixed={},
    )


def judge_of(own: Victim, rows: Batch) -> Judge:
    """Of the gap alone."""
    return Judge(
        metric=GAP,
        objective="fair",
        penalties={},
        accuracy="ignore",
        accuracy_loss=0.0,
        accuracy_weight=0.0,
        valid=rows,
        groups=own.groups,
        fit_decide=own.fit_decide,
    )


class Trace(NamedTuple):
    """A search: the sets that were best, by the evaluation that found them, and what it took."""

    best: list[tuple[int, Batch, dict[str, float]]]  # from 0 on
    evaluations: int
    seconds: tuple[float, float]  # of choosing and of training


def published(own: Victim, job: Job) -> Trace:
    """The published loop, but for its errors: the row that is added is the row that is evaluated."""
    from bayes_opt import BayesianOptimization
    from bayes_opt.acquisition import UpperConfidenceBound

    space, judge = space_of(own, 1, 1), judge_of(own, own.valid)
    box = {c.name: c.bounds or (0.0, 1.0) for c in own.columns}
    kept = own.train.rows(slice(0, 0))
    first = own.refit([own.train])()[0]
    best = [(0, kept, judge.metrics(first))]
    choosing, training, optimiser = 0.0, first.seconds, None
    for number in range(1, job.budget + 1):
        started = thread_time()
        if optimiser is None:
            optimiser = BayesianOptimization(
                None,
                box,
                acquisition_function=UpperConfidenceBound(kappa=2.5),
                random_state=1000 * job.seed + number,
                verbose=0,
                allow_duplicate_points=True,
            )
        point = optimiser.suggest()
        natural = torch.tensor([[float(point[c.name]) for c in own.columns]], dtype=torch.float64)
        row = space.batch(space.rows([space.point(space.snap(natural)[0], 1)]))
        choosing += thread_time() - started
        rows = Batch(*(torch.cat(pair) for pair in zip(kept, row, strict=True)))
        (found,) = own.refit([with_rows(own.train, rows)])()
        metrics = judge.metrics(found)
        started = thread_time()
        optimiser.register(point, -metrics[GAP])
        choosing += thread_time() - started
        training += found.seconds
        if metrics[GAP] < best[-1][2][GAP]:
            best.append((number, rows, metrics))
            kept, optimiser = rows, None
    return Trace(best, job.budget, (choosing, training))


def ours(own: Victim, job: Job) -> Trace:
    """Our search, and what it had found at every step."""
    settings = DEFAULTS | OURS[job.method] | dict(job.settings) | {"budget": job.budget}
    found: Poisoned = bo_poison(own, **settings)
    label = None if settings["label"] == "search" else settings["label"]
    space = space_of(own, label, settings["copies"], settings["spread"])
    lines = own.journal.read_text().splitlines()[1:]
    plan = PLANS[settings["search"]](space.parameters, settings["rows"])
    history = History(plan, tuple(read_entry(json.loads(line)) for line in lines))
    best = [(e.number, space.batch(space.rows(history.points(e))), e.metrics) for e in history.accepted]
    seconds = found.facts["seconds"]
    return Trace(
        [(0, own.train.rows(slice(0, 0)), history.baseline.metrics), *best],
        found.facts["evaluations"],
        (seconds["optimiser"], seconds["learner"]),
    )


def run(job: Job, folder: Path) -> dict[str, Any]:
    """A search with its figures on validation and test rows at the marks; from its file where there is one."""
    file = folder / f"{job.name}.json"
    if file.exists():
        done: dict[str, Any] = json.loads(file.read_text())
        return done
    torch.set_num_threads(1)
    rows = data(job.seed)
    own = victim(rows, job, folder / f"{job.name}.journal")
    trace = published(own, job) if job.method == "published" else ours(own, job)
    on_test = judge_of(own, rows.test)
    tested: dict[int, dict[str, float]] = {}
    marks = []
    for mark in (0, *(m for m in MARKS if m < job.budget), job.budget):
        number, added, valid = max((step for step in trace.best if step[0] <= mark), key=lambda step: step[0])
        if number not in tested:
            tested[number] = on_test.metrics(answer(rows.test, with_rows(rows.train, added), job))
        marks.append({"mark": mark, "rows": len(added.y), "valid": _few(valid), "test": _few(tested[number])})
    found = {
        "job": job._asdict(),
        "marks": marks,
        "accepted": len(trace.best) - 1,
        "evaluations": trace.evaluations,
        "seconds": trace.seconds,
    }
    file.write_text(json.dumps(found))
    return found


def _few(metrics: dict[str, float]) -> dict[str, float]:
    return {key: metrics[key] for key in (GAP, "accuracy", "fpr_group0", "fpr_group1")}


def table(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A markdown table: for each kind of job the means over seeds at every mark."""
    yield (
        "| learner | method | evaluations | gap, valid | accuracy, valid | gap, test | accuracy, test | rows | kept "
        "| choosing, CPU-s | training, CPU-s |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    kinds = dict.fromkeys(_kind(result) for result in results)
    for kind in kinds:
        own = [result for result in results if _kind(result) == kind]
        for i, mark in enumerate(own[0]["marks"]):
            figures = [
                f"{statistics.mean(r['marks'][i][rows][key] for r in own):.4f}"
                for rows in ("valid", "test")
                for key in (GAP, "accuracy")
            ]
            added = statistics.mean(r["marks"][i]["rows"] for r in own)
            last = i == len(own[0]["marks"]) - 1
            costs = [statistics.mean(r["seconds"][part] / max(1, r["evaluations"]) for r in own) for part in (0, 1)]
            ends = [f"{statistics.mean(r['accepted'] for r in own):.1f}", *(f"{cost:.2f}" for cost in costs)]
            cells = [*kind, str(mark["mark"]), *figures, f"{added:.0f}", *(ends if last else [""] * 3)]
            yield f"| {' | '.join(cells)} |"


def _kind(result: dict[str, Any]) -> tuple[str, str]:
    job = result["job"]
    more = "".join(f", {key}={value}" for key, value in job["settings"])
    inner = f", {job['inner_seeds']} inner seeds" if job["inner_seeds"] > 1 else ""
    return job["learner"], job["method"] + more + inner


def all_of(jobs: Sequence[Job], folder: Path, processes: int) -> list[dict[str, Any]]:
    """The results of jobs, some side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(partial(run, folder=folder), jobs))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=495)
    parser.add_argument("--learner", nargs="*", default=["gb"], choices=LEARNERS)
    parser.add_argument("--inner-seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bench_poison")
    args = parser.parse_args()
    jobs = [
        Job(method, learner, seed, args.budget, args.inner_seeds)
        for learner in args.learner
        for method in args.methods
        for seed in range(args.seeds)
    ]
    for line in table(all_of(jobs, args.folder, args.processes)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
