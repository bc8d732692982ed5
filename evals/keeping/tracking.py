"""Runs as MLflow stores them: an SQLite file, an experiment per data set, a run per record."""

import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from evals.keeping.upkeep import read_created
from utils.system import atomic
from utils.system.console import count

if TYPE_CHECKING:
    from mlflow import MlflowClient

Record = Mapping[str, Any]

FORBIDDEN = re.compile(r"[^/\w.\- :]")  # in MLflow's names
BATCH = 100  # parameters that MLflow takes at once
TABLES = {"experiments", "runs", "metrics", "params", "tags"}
TAGS = ("run_id", "group_id", "doc_id", "dataset", "status", "reason")


class Tracked(NamedTuple):
    """A record with its metrics and its settings as flat mappings."""

    record: Record
    metrics: Mapping[str, float]
    settings: Mapping[str, Any]


def store(dataset: str, runs: Sequence[Tracked], path: Path, *, replace: bool) -> str:
    """Adds runs to an MLflow file, or updates those that it has; returns what was done.

    A new file is there whole or not at all. One that is added to is complete after the next export where this one
    was killed.

    Raises:
        ValueError: the file is not MLflow's, or MLflow refuses what it is given.
    """
    known = path.exists() and not replace
    if known:
        _require_mlflow_file(path)
    with _quiet(), _place(path, known) as file:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            client = MlflowClient(tracking_uri=f"sqlite:///{file}")
            experiment = _experiment(client, dataset, path)
            before = _runs(client, experiment)
            changed = [_log(client, experiment, run, before.get(run.record["run_id"])) for run in runs]
        except MlflowException as error:
            raise ValueError(f"MLflow cannot store these runs in {path}: {str(error).splitlines()[0]}") from error
    there = [was for run, was in zip(runs, changed, strict=True) if run.record["run_id"] in before]
    added = len(runs) - len(there)
    said = f"{count(added, 'run')} added to experiment {dataset}"
    return f"{path}: {said}, {len(there)} there already, {sum(there)} of them updated"


def text(value: Any) -> str:
    """A setting in words: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _place(path: Path, known: bool) -> Iterator[Path]:
    """Yields the file to write to: the file itself, or one that takes its place when all is done."""
    if known:
        yield path.resolve()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        made = Path(folder).resolve() / path.name
        yield made
        made.replace(path)
        atomic.sync_folder(path.parent)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow from printing about tables that it creates, and from reporting usage to its makers."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _require_mlflow_file(path: Path) -> None:
    """Refuses a file without MLflow's tables. Raises ValueError."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is no SQLite file ({error}); give another name, or replace=true") from error
    if not found >= TABLES:
        raise ValueError(f"{path} is an SQLite file, but not MLflow's; give another name, or replace=true")


def _experiment(client: "MlflowClient", dataset: str, path: Path) -> str:
    """The experiment of a data set, made where there is none; artifacts, of which we store none, go beside the file."""
    found = client.get_experiment_by_name(dataset)
    if found is not None:
        return str(found.experiment_id)
    artifacts = path.resolve().with_name(f"{path.stem}_artifacts") / dataset
    return str(client.create_experiment(dataset, artifact_location=artifacts.as_uri()))


def _runs(client: "MlflowClient", experiment: str) -> dict[str, Any]:
    """The runs of an experiment by their tag run_id."""
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        found |= {run.data.tags["run_id"]: run for run in page if "run_id" in run.data.tags}
        token = page.token
        if not token:
            return found


def _log(client: "MlflowClient", experiment: str, run: Tracked, known: Any) -> bool:
    """Updates MLflow's run (``known``, None for a new one) to a record; returns whether that changed it."""
    from mlflow.entities import Metric, Param, RunTag

    record = run.record
    tags = {key: str(record[key]) for key in TAGS if record.get(key) is not None}
    start = max(0, int(read_created(record).timestamp() * 1000))
    if known is None:
        known = client.create_run(experiment, start_time=start, tags=tags, run_name=record.get("name"))
    data, now = known.data, int(time.time() * 1000)
    metrics = [Metric(k, v, now, 0) for k, v in _rename(run.metrics).items() if data.metrics.get(k) != v]
    params = [Param(k, text(v)) for k, v in _rename(run.settings).items() if k not in data.params]
    newer = [RunTag(k, v) for k, v in tags.items() if data.tags.get(k) != v]
    status = {"finished": "FINISHED", "failed": "FAILED"}[record["status"]]
    if not (metrics or params or newer) and known.info.status == status:
        return False
    for first in range(0, max(len(params), len(metrics), len(newer)), BATCH):
        batch = slice(first, first + BATCH)
        client.log_batch(known.info.run_id, metrics=metrics[batch], params=params[batch], tags=newer[batch])
    seconds = sum(v for v in (record.get("seconds") or {}).values() if isinstance(v, int | float))
    client.set_terminated(known.info.run_id, status, end_time=start + int(1000 * seconds))
    return True


def _rename(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same under names that MLflow allows. Raises ValueError where two become one."""
    named = {FORBIDDEN.sub("_", key): value for key, value in values.items()}
    if len(named) < len(values):
        lost = sorted({key for key in values if FORBIDDEN.search(key)})
        raise ValueError(f"MLflow would take some of {', '.join(lost)} for one; rename an evaluation")
    return named
