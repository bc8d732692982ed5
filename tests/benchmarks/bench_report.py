"""The page of a large sweep: CPU-seconds to write it, its size, and how long the browser takes for a full redraw.

``python -m tests.benchmarks.bench_report [--runs 5000]``. Beside it, what cannot be spared: those of reading the
database, and of writing the same records as JSON. The redraw is of everything, with the frontier anew, until the
pixels are there, in headless Chromium without a graphics card.
"""

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from evals import report
from evals.records import query, reproduce
from tests.evals.chromium import browser, opened
from utils.configuration.run_identity import group_id, run_id
from utils.run_store import RunStore

ROWS = 10_000  # of the test set
GROUPS = {"women": 5_800, "men": 4_200}
RATES = ("accuracy", "acceptance_rate", "fnr", "fpr", "tpr", "ppv", "prevalence")
ATTACKS = ("linf_0.01", "l2_1.0", "l1_20")
PERMITTED = (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, None)
TERMS = (["erm"], ["adversarial"], ["trades"], ["pgd_at"], ["mart"], ["trades", "dafa"], ["pgd_at", "dafa"])


def records(count: int, *, seeds: int = 3) -> Iterator[dict[str, Any]]:
    """Records like those of ``dataset=celeba_jobs``: settings of several terms, radii and learning rates."""
    rng = np.random.default_rng(1306)
    every = sorted({term for terms in TERMS for term in terms})
    composed = reproduce._composed(("dataset=celeba_jobs", f"regularizer=[{','.join(every)}]"))
    for number in range(count):
        setting, seed = divmod(number, seeds)
        terms, radius = TERMS[setting % len(TERMS)], (0.003, 0.01, 0.03)[setting // len(TERMS) % 3]
        params = json.loads(json.dumps(composed.resolved)) | {"seed": seed}
        params["regularizer"] = {term: params["regularizer"][term] for term in terms}
        params["epsilon"]["radius"] = params["evaluation"]["metrics"]["linf"]["training_radius"] = radius
        params["trainer"]["lr"] = round(0.02 + 0.001 * (setting // len(TERMS) // 3 % 250), 4)
        choices = {
            group: composed.chosen[group] for group in ("dataset", "model", "scm", "attack", "epsilon", "decide")
        }
        params["choices"] = choices | {"trainer": "faces", "evaluation": "faces", "regularizer": "+".join(terms)}
        yield record(params, np.random.default_rng([setting, 7]), rng)


def record(params: dict[str, Any], of_setting: np.random.Generator, rng: np.random.Generator) -> dict[str, Any]:
    """One run; what its setting is like comes from the one generator, its seed's luck from the other."""
    skill, unfairness = of_setting.beta(6, 2), of_setting.uniform(0.01, 0.25)
    accuracy = 0.58 + 0.105 * skill + rng.normal(0, 0.002)
    metrics: dict[str, float | None] = {"bayes_accuracy": 0.7012, "bayes_fnr_gap": 0.118}
    for key in ("accuracy", "balanced_accuracy", "worst_class_accuracy", "mcc", "auc"):
        metrics |= with_interval(key, round((accuracy - rng.uniform(0, 0.02)) * ROWS) / ROWS, rng)
    metrics |= rates(accuracy, unfairness + rng.normal(0, 0.01), rng)
    for key in ("fnr_gap", "fpr_gap", "tpr_gap", "ppv_gap", "accuracy_gap", "demographic_parity_difference"):
        metrics |= with_interval(key, metrics[key], rng) | {f"{key}_null": rng.uniform(0.01, 0.02)}
    for attack in ATTACKS:
        metrics |= with_interval(f"robust_accuracy_{attack}", accuracy * of_setting.uniform(0.3, 0.97), rng)
    identity = {key: value for key, value in params.items() if key != "choices"}
    return {
        "run_id": run_id(identity),
        "status": "finished",
        "name": f"celeba_jobs_resnet18_narrow_{params['choices']['regularizer']}",
        "dataset": "celeba_jobs",
        "group_id": group_id(identity),
        "params": params,
        "seed": params["seed"],
        "created": "2026-11-26T09:00:00+00:00",
        "preprocessing": {"groups": list(GROUPS)},
        "weights": {"path": "celeba_jobs/x.safetensors", "sha256": "0" * 64},
        "metrics": metrics,
        "shares": shares(metrics),
        "operating_points": points(accuracy, unfairness, rng),
    }


def rates(accuracy: float, gap: float, rng: np.random.Generator) -> dict[str, float | None]:
    """The rates of both groups, and the gaps between them."""
    found: dict[str, float | None] = {}
    for rate in RATES:
        middle = accuracy if rate == "accuracy" else rng.uniform(0.35, 0.4)
        between = abs(gap) if rate in ("fnr", "tpr") else rng.uniform(0, 0.1)
        for i, rows in enumerate(GROUPS.values()):
            found[f"{rate}_group{i}"] = round((middle + between * (i - 0.5)) * rows) / rows
        low, high = found[f"{rate}_group0"], found[f"{rate}_group1"]
        name = "demographic_parity_difference" if rate == "acceptance_rate" else f"{rate}_gap"
        found |= {name: abs(high - low), f"{rate}_signed_gap": high - low}
    return found


def with_interval(key: str, value: float | None, rng: np.random.Generator) -> dict[str, float | None]:
    """A metric with ends of an interval of a bootstrap over rows."""
    wide = rng.uniform(0.007, 0.01)
    return {
        key: value,
        f"{key}_low": round((value - wide) * ROWS) / ROWS,
        f"{key}_high": round((value + wide) * ROWS) / ROWS,
    }


def points(accuracy: float, gap: float, rng: np.random.Generator) -> dict[str, Any]:
    """Thresholds that permit less and less: the smaller the gap, the less accurate."""
    found = []
    for permitted in PERMITTED:
        kept = gap if permitted is None else min(gap, permitted)
        lost = 0.25 * (gap - kept) ** 1.5 + rng.uniform(0, 0.001)
        found.append({"accuracy": round((accuracy - lost) * ROWS) / ROWS, **rates(accuracy - lost, kept, rng)})
    logits = rng.normal(size=(len(PERMITTED), len(GROUPS))).tolist()
    columns = {key: [of[key] for of in found] for key in found[0]}
    counts = [shares(of) for of in found]
    held = {"metrics": columns, "shares": {key: [of[key] for of in counts] for key in counts[0]}}
    return {"fit_on": "valid", "rates": ["fnr"], "permitted": list(PERMITTED), "logits": logits} | held


def shares(metrics: dict[str, float | None]) -> dict[str, list[int]]:
    """Numerator and denominator of the shares of all rows, and of both groups'."""
    of = {"accuracy": ROWS} | {f"{rate}_group{i}": rows for rate in RATES for i, rows in enumerate(GROUPS.values())}
    return {key: [round((metrics[key] or 0) * rows), rows] for key, rows in of.items()}


def main() -> None:
    """Write a database of so many runs, then its page, and open it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--keep", type=Path, help="folder that keeps database and page")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        os.environ["TRILEMMA_EVALS"] = str(folder)
        made = list(records(given.runs))
        RunStore(folder / "celeba_jobs.json", journal_after=10**9).add_many(made)
        started = process_time()
        json.dumps(made)
        print(f"json.dumps of the records: {process_time() - started:.2f} CPU-s")
        started = process_time()
        query.read("celeba_jobs")
        print(f"reading the database: {process_time() - started:.2f} CPU-s")
        path = folder / "page.html"
        started = process_time()
        report.report(query.options(["dataset=celeba_jobs", f"out={path}"], report.OPTIONS))
        print(f"the page: {process_time() - started:.2f} CPU-s, {path.stat().st_size / 1e6:.2f} MB")
        with browser() as chromium:
            page = opened(chromium, path)
            for mode, with_points in itertools.product(("runs", "mean"), ("none", "few", "all")):
                page.evaluate("changes => trilemma.set(changes)", {"seeds": mode, "points": with_points, "bars": False})
                times = page.evaluate("Array.from({length: 7}, () => trilemma.redraw())")
                shown = page.evaluate("trilemma.shown().length")
                print(f"redraw, {mode}, points {with_points}, {shown} marks: {np.median(times):.0f} ms")


if __name__ == "__main__":
    main()
