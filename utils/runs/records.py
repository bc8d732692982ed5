"""The record of a run: before its training, finished, failed; and the file that the job itself keeps of it."""

import errno
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from utils.build import Run, describe_scm
from utils.configuration import precision
from utils.decides.thresholds_text import doubts_of
from utils.metrics import unreal_twins
from utils.metrics.intervals import Measured
from utils.model_zoo import describe_preprocessing
from utils.records import checksum, decisions
from utils.records.json_text import write_key
from utils.records.plain import to_plain
from utils.records.schema import RECORD_FILE, SCHEMA
from utils.records.typed import Record, Weights
from utils.runs.answers import Answers
from utils.runs.judging import warnings_of
from utils.system import atomic
from utils.system.console import complain, format_error
from utils.system.environment import environment
from utils.types import Dataset, StoredDecide

PIXELS = {"radius": "pixels in [0, 1]", "features": "pixels in [0, 1]"}
STANDARDISED = {"features": "standard deviations of the training split"}


@dataclass
class Alike:
    """Parts that the records of a stack have in common, made once while its runs are there."""

    loaded: Record | None = None  # the one whose model was loaded and answered as the judged one
    twins: dict[tuple[int, int], dict[str, float]] = field(default_factory=dict)  # of causal models and test rows

    def facts_of_twins(self, run: Run) -> dict[str, float]:
        """Returns the facts of the causal model of a run and of its twins."""
        shared = id(run.ctx.scm), id(run.dataset.test.x)
        if shared not in self.twins:
            self.twins[shared] = unreal_twins.facts_of_twins(run.ctx.scm, run.dataset)
        return self.twins[shared]


def blank_record(run: Run) -> Record:
    """Returns the part of a run's record that is fixed before it is trained."""
    return {
        "schema": SCHEMA,
        "name": run.name,
        "dataset": run.dataset.name,
        "run_id": run.run_id,
        "group_id": run.group_id,
        "params": run.params,
        "seed": run.seed,
        "fingerprint": run.dataset.fingerprint,
        "environment": environment(run.dataset.train.x.device, run.params["threads"]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def loadable_part(run: Run, decide: StoredDecide) -> Record:
    """Returns the part of a finished record, beside its weights, that loading its model takes."""
    return {
        "name": run.name,
        "run_id": run.run_id,
        "params": run.params,
        "status": "finished",
        "decide": decide.to_record(),
        "preprocessing": describe_preprocessing(run.dataset),
    }


def finished_record(
    run: Run,
    decide: StoredDecide,
    weights: Any,
    metrics: Measured,
    answers: Answers,
    seconds: tuple[float, float],
    alike: Alike,
) -> Record:
    """Returns the record of a trained and judged model, whose decisions on the test rows are written to a file.

    Args:
        run: trained.
        decide: its thresholds.
        weights: the file of its weights.
        metrics: its figures.
        answers: on the test rows.
        seconds: of its training and of its evaluation.
        alike: what earlier records of the stack have made, and this one may make.

    Raises:
        OSError: the file cannot be written.
    """
    data = run.dataset
    record = blank_record(run)
    doubts = warnings_of(metrics, data.groups, data.class_names, run.params["evaluation"]["metrics"])
    judgement = run.ctx.scm.judgement()
    facts = {**judgement.facts, **alike.facts_of_twins(run)}
    unlike = [*unreal_twins.warnings_of(facts, data.columns), *judgement.warnings]
    fitted = getattr(decide, "fitted", None)
    if fitted is not None:
        record |= {"fitted": {**fitted, "split": run.params["fit_on"]}}
    beyond = doubts_of(record.get("fitted"), metrics)
    rounded = precision.warnings_of(run.recipe, run.params, data.shape)
    adapted = [said for adaptation in run.adaptations for said in adaptation.remarks(data.class_names)]
    if warnings := [*doubts, *unlike, *rounded, *adapted, *getattr(decide, "warnings", ()), *beyond, *answers.warnings]:
        record |= {"warnings": warnings}
    if run.added is not None:
        record |= {"added": dict(run.added)}
    if run.changed is not None:
        record |= {"changed": dict(run.changed)}
    if causal := describe_scm(run.params, data, run.ctx.scm):
        record |= {"causal": causal}
    if answers.points:
        record |= {"operating_points": answers.points}
    if run.adaptations:
        record |= {"class_weights": [adaptation.class_weights() for adaptation in run.adaptations]}
    kept = _keep_decisions(run, decide(answers.logits, data.test.s))
    if metrics.arrays:
        record |= {"certificates": decisions.write_proofs(data.name, run.run_id, metrics.arrays)}
    figures: Any = Measured({**metrics, **data.facts}, metrics.shares, metrics.deviations).to_record()
    return {
        **record,
        **loadable_part(run, decide),
        "units": PIXELS if data.shape else {"radius": run.ctx.scm.radius_unit, **STANDARDISED},
        "rows": count_rows(data),
        "scm": facts,
        **figures,
        "seconds": {"fit": seconds[0], "evaluate": seconds[1]},
        "weights": weights,
        "decisions": kept["decisions"],
        "test_rows": kept["test_rows"],
    }


def count_rows(data: Dataset) -> dict[str, int]:
    """Returns the rows of each split; of test rows those that are judged, and the others where there are such."""
    found = {"train": len(data.train.y), "valid": len(data.valid.y), "test": len(data.test.y)}
    return found | ({"unjudged": data.unjudged} if data.unjudged else {})


def _keep_decisions(run: Run, labels: Tensor) -> dict[str, Weights]:
    """Writes the labels (n,) of the test rows; returns what the record holds of the files."""
    data = run.dataset
    rows = {key: getattr(data.test, key).cpu().numpy() for key in ("y", "s", "index")}
    sizes = data.classes, len(data.groups)
    return decisions.write(data.name, run.run_id, labels.cpu().numpy(), rows, sizes, data.fingerprint)


def failed_record(run: Run, error: Exception) -> Record:
    """Returns the record of a run that failed, and prints a line that says so."""
    reason = (format_error(error) or type(error).__name__).splitlines()[0]
    complain(f"{run.name}, seed {run.seed}: {reason}")
    return blank_record(run) | {"status": "failed", "reason": reason}


def make_folder(folder: Path) -> None:
    """Makes the folder of a job's own files before its training. Raises OSError where no record could be written."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECORD_FILE
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def write_record(record: Record, folder: Path) -> Record:
    """Writes the job's own ``record.json``, the source of truth; returns the record as plain values."""
    plain: Any = to_plain(record)
    texts = {**plain.texts, checksum.KEY: f'"{checksum.checksum(plain)}"'}
    lines = (f"{write_key(key)}: {text}" for key, text in texts.items())
    atomic.write_text(folder / RECORD_FILE, "{\n" + ",\n".join(lines) + "\n}\n")
    written: Record = plain
    return written
