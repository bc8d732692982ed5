"""The references of equations, kept beside the fitted equations: growing trees takes two CPU-seconds."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import paths_config
from utils.scms.scoring import Fitted, held_out, references
from utils.system import atomic
from utils.types import Dataset

READ_BY = 2  # raised with what trees are grown on, or how


def keep_references(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """Returns what ``references`` does, from the weights folder where they were found for these rows and parents."""
    path = _path(equations, dataset)
    try:
        kept = json.loads(path.read_text())
        if kept["sha256"] != _checksum(kept["references"]):
            raise ValueError(f"{path} was altered")
        return {str(fact): float(score) for fact, score in kept["references"].items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):  # none yet, or damaged
        found = references(equations, dataset)
    with suppress(OSError):  # of a folder that cannot be written to
        atomic.write_soon(path, json.dumps({"references": found, "sha256": _checksum(found)}))
    return found


def _checksum(found: object) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _path(equations: Sequence[Fitted], dataset: Dataset) -> Path:
    """The file of the references, named after all that they depend on."""
    first = dataset.train.x[:1]
    levels = [1 if own.head is None else own.chances(first).shape[-1] for own in equations]
    asked = [(of.name, of.columns, of.parents, of.kind, of.where, k) for of, k in zip(equations, levels, strict=True)]
    rows = [hashlib.sha256(of.index.cpu().numpy().tobytes()).hexdigest() for of in (dataset.train, held_out(dataset))]
    text = json.dumps([READ_BY, version("scikit-learn"), dataset.fingerprint, rows, asked], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return paths_config.weights() / dataset.name / f"scm_{key}.references"
