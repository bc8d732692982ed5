"""Train, attack and evaluate one classifier, and file it in the database of its data set.

python train.py regularizer=causal_adv epsilon=0.1
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from utils import cli

if TYPE_CHECKING:
    from utils.build import Run


def train(cfg: DictConfig) -> cli.Outcome:
    """One run: build, fit, fix the threshold, evaluate, file. A finished run of the same identity is skipped."""
    import torch

    import paths_config
    from utils.build import build_run
    from utils.run_store import RunStore
    from utils.validation import validate, validate_settings

    params = resolved(cfg)
    validate(params)
    validate_settings(params)
    run = build_run(params)
    store = RunStore(paths_config.database(run.dataset.name))
    check_folders()
    with one_at_a_time(run):
        finished = store.find(run.run_id)
        lost = finished and not paths_config.weights_file(finished["weights"]["path"]).is_file()
        if finished and params["existing"] == "skip" and not lost:
            return _skipped(run, finished)
        rehearse(run)
        write_record(blank_record(run) | {"status": "running"})
        try:
            record = fitted_record(run)
        except (ValueError, AssertionError, torch.OutOfMemoryError) as error:
            record = blank_record(run) | {"status": "failed", "reason": str(error).splitlines()[0]}
            cli.complain(record["reason"])
        doc_id = store.add(write_record(record), replace=lost or params["existing"] == "replace")
    if record["status"] == "failed":
        kept = "stays as it was" if finished else "says so"
        return cli.Outcome(run.name, "failed", f"{record['reason']} (record {doc_id} {kept})")
    report(record, doc_id, store.path)
    seconds = sum(record["seconds"].values())
    return cli.Outcome(run.name, "finished", f"record {doc_id}, seed {run.ctx.seed}, {seconds:.1f} s", seconds)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, with the names of the chosen options."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf.errors import MissingMandatoryValue

    from utils.overrides import options
    from utils.validation import PARTS

    try:
        plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = str(error.full_key or error).splitlines()[0]
        raise ValueError(f"{key} is required: give {key}=... on the command line") from None
    chosen = HydraConfig.get().runtime.choices
    lost = [group for group in (*PARTS, "regularizer") if group not in (plain if group == "regularizer" else chosen)]
    if lost:
        raise ValueError(f"{lost[0]} is required: give {lost[0]}=OPTION, one of {', '.join(options(lost[0]))}")
    choices = {group: chosen[group] for group in PARTS}
    return plain | {"choices": choices | {"regularizer": "+".join(plain["regularizer"])}}


@contextmanager
def one_at_a_time(run: "Run") -> Iterator[None]:
    """Let one process at a time train a run; one that had to wait then finds it finished."""
    from filelock import FileLock, Timeout

    import paths_config

    folder = paths_config.weights() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{run.run_id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        cli.say(f"{run.name}, seed {run.ctx.seed}: another process is training this very run; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_folders() -> None:
    """Write and remove an empty file where the results will go, so that a training is not lost for want of a folder.

    Raises:
        ValueError: a folder cannot be made or written to.
    """
    from tempfile import TemporaryFile

    import paths_config

    for folder, variable in ((paths_config.evals(), "TRILEMMA_EVALS"), (paths_config.weights(), "TRILEMMA_WEIGHTS")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ValueError(
                f"cannot write to {folder} ({error.strerror}); set {variable} to a folder that can be written to"
            ) from None


def rehearse(run: "Run") -> None:
    """Try objective, attack and threshold on a few rows, so that what does not fit is refused before any training."""
    from dataclasses import replace

    import torch

    from utils import seeding

    fit_on = run.params["fit_on"]
    rows, few = getattr(run.dataset, fit_on), run.dataset.train.rows(slice(0, 4))
    if not len(rows.y):
        raise ValueError(f"fit_on={fit_on}, but dataset.split leaves it no rows; choose another split or fit_on=train")
    probe = replace(run.ctx, generator=seeding.generator(run.ctx.seed, "probe"))
    run.objective(run.model, few, probe)
    run.ctx.attack(run.model, few, probe)
    with torch.no_grad():
        run.fit_decide(run.model(rows.x), rows)


def blank_record(run: "Run") -> dict[str, Any]:
    """What is known of a run before it is trained."""
    from datetime import UTC, datetime

    from utils.environment import environment
    from utils.run_store import SCHEMA

    return {
        "schema": SCHEMA,
        "name": run.name,
        "dataset": run.dataset.name,
        "run_id": run.run_id,
        "group_id": run.group_id,
        "params": run.params,
        "seed": run.ctx.seed,
        "fingerprint": run.dataset.fingerprint,
        "environment": environment(run.dataset.train.x.device, run.params["threads"]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def fitted_record(run: "Run") -> dict[str, Any]:
    """Train the model, fix its threshold, judge it on the test rows, save its weights."""
    from dataclasses import replace
    from time import perf_counter

    import torch

    from evals.evaluation import evaluate
    from utils import seeding
    from utils.model_zoo import describe_preprocessing, save_weights
    from utils.training import fit

    trainer, data = run.params["trainer"], run.dataset
    started = perf_counter()
    with cli.epochs_shown(run.name, trainer["epochs"]) as watch:
        fit(
            run.model,
            run.objective,
            data.train,
            data.valid,
            run.ctx,
            make_optimizer=run.make_optimizer,
            epochs=trainer["epochs"],
            batch_size=trainer["batch_size"],
            lr=trainer["lr"],
            weight_decay=trainer["weight_decay"],
            order=seeding.generator(run.ctx.seed, "order"),
            watch=watch,
        )
    rows = getattr(data, run.params["fit_on"])
    with torch.no_grad():
        decide: Any = run.fit_decide(run.model(rows.x), rows)
    weights = save_weights(run.model, data.name, run.run_id)  # before judging, which may fail
    trained = perf_counter()
    cli.say(f"{run.name}  judging on {len(data.test.y)} test rows")
    metrics = evaluate(run.model, data.test, replace(run.ctx, decide=decide), run.metrics)
    judged = perf_counter()
    return blank_record(run) | {
        "status": "finished",
        "decide": decide.to_record(),
        "preprocessing": describe_preprocessing(data),
        "units": {"radius": run.ctx.scm.radius_unit, "features": "standard deviations of the training split"},
        "rows": {"train": len(data.train.y), "valid": len(data.valid.y), "test": len(data.test.y)},
        "scm": dict(run.ctx.scm.facts),
        "metrics": metrics,
        "seconds": {"fit": trained - started, "evaluate": judged - trained},
        "weights": weights,
    }


def write_record(record: dict[str, Any]) -> dict[str, Any]:
    """Write the job's own ``record.json``, the source of truth; the record as plain values."""
    import json

    from hydra.core.hydra_config import HydraConfig

    from utils import atomic
    from utils.run_store import to_plain

    plain: dict[str, Any] = to_plain(record)
    folder = Path(HydraConfig.get().runtime.output_dir)
    atomic.write_text(folder / "record.json", json.dumps(plain, indent=1, allow_nan=False))
    return plain


def report(record: dict[str, Any], doc_id: int, database: Path) -> None:
    """The headline figures on one screen, and what to do with them."""
    metrics = record["metrics"]
    radii = record["params"]["epsilon"]["evaluate"]
    keys = ["accuracy", "balanced_accuracy", "mcc", "auc", "fnr_gap", "fpr_gap"]
    keys += ["demographic_parity_difference", "equalized_odds_difference"]
    keys += ["robust_accuracy", *(f"robust_accuracy_{r}" for r in radii)] + [f"uai_{r}" for r in radii] + ["uai_cf"]
    keys += [f"uai_ar_{r}" for r in radii]
    cli.say(f"\n{record['name']}, seed {record['seed']}, on {record['rows']['test']} test rows")
    for key in keys:
        if key in metrics:
            value, low, high = (metrics.get(k) for k in (key, f"{key}_low", f"{key}_high"))
            shown = "undefined" if value is None or value != value else f"{value:.4f}"
            interval = f"  [{low:.4f}, {high:.4f}]" if low is not None and high is not None else ""
            cli.say(f"  {key:<32} {shown}{interval}")
    if "probability" in record["decide"]:
        chosen = f"{record['decide']['probability']:.2f} (decide={record['params']['choices']['decide']})"
        cli.say(f"  class 1 from a probability of {chosen}")
    seconds = record["seconds"]
    cli.say(f"  fit {seconds['fit']:.1f} s, evaluation {seconds['evaluate']:.1f} s")
    cli.say(f"filed as record {doc_id} of {database}")
    cli.say(f'load it with utils.model_zoo.from_database({doc_id}, "{record["dataset"]}")')
    cli.say(f"compare what is there with python -m evals.plot dataset={record['dataset']}")


def _skipped(run: "Run", record: dict[str, Any]) -> cli.Outcome:
    cli.say(
        f"{run.name}, seed {run.ctx.seed}: finished before, record {record['doc_id']}; existing=replace trains anew"
    )
    return cli.Outcome(run.name, "skipped", f"record {record['doc_id']}, seed {run.ctx.seed}")


if __name__ == "__main__":
    sys.exit(cli.run(train, "train"))
