"""Each test row's decision, kept beside the weights of a run in about a bit a row, so that models compare row by row.

Two files in safetensors: ``<dataset>/<run_id>.decisions`` holds the labels that the model gave, packed; the runs that
were judged on the same rows share ``<dataset>/rows_<digest>.decisions``, which holds their classes and groups. A record
names both, as ``decisions`` and ``test_rows``. No torch is needed to read them.

Where rows were certified, ``<dataset>/<run_id>.<digest>.certificates`` holds what was proven of each; the record, or
that of its evaluations which proved it, names it as ``certificates``.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

import paths_config
from utils.records.typed import Record, Weights
from utils.system import atomic
from utils.system.sources import Look, look

KEYS = ("decisions", "test_rows")
PROOFS = "certificates"
LATER = re.compile(rf"evaluations/(?P<name>.*)/{PROOFS}", re.DOTALL)
ENDING = ".decisions"
MOST_LEVELS = 2**16  # of classes and of groups

Whole = NDArray[np.int64]
Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class Decisions:
    """The labels that a model gave to test rows, their classes and groups, (n,) each, and what tells the rows apart."""

    labels: Whole
    y: Whole
    s: Whole
    classes: int
    groups: int
    rows: str  # digest of the data, and of the numbers, classes and groups of the rows


class Packed(NamedTuple):
    """The same as the files hold it, by ``pack``."""

    n: int
    classes: int
    groups: int
    rows: str
    labels: Bits
    y: Bits
    s: Bits


def pack(values: NDArray[Any], levels: int) -> Bits:
    """Returns whole numbers (n,) below ``levels`` in as few bits each as tell them apart; of one level none."""
    return np.packbits(values.astype(np.int64)[:, None] >> np.arange(_width(levels)) & 1)


def unpack(packed: Bits, n: int, levels: int) -> Whole:
    """Returns the numbers (n,) that ``pack`` was given. Raises ValueError where the bytes are not those of so many."""
    width = _width(levels)
    if len(packed) != -(-n * width // 8):
        raise ValueError(f"{len(packed)} bytes are not {n} numbers of {width} bits")
    bits = np.unpackbits(packed, count=n * width).reshape(n, width).astype(np.int64)
    values: Whole = (bits << np.arange(width)).sum(1)
    if n and values.max() >= max(levels, 1):
        raise ValueError(f"{values.max()} is not below {levels}")
    return values


def _width(levels: int) -> int:
    return max(levels - 1, 0).bit_length()


def write(
    dataset: str, run_id: str, labels: NDArray[Any], rows: Mapping[str, NDArray[Any]], sizes: tuple[int, int], data: str
) -> dict[str, Weights]:
    """Writes the decisions of a run and, unless they are there, its test rows; returns what its record holds of both.

    Args:
        dataset: its name.
        run_id: that of the run.
        labels: (n,) as the model decided, from 0.
        rows: ``y``, ``s`` and ``index``, the class, group and number in the data of each row, (n,) each.
        sizes: how many classes and groups there are.
        data: its fingerprint.

    Raises:
        OSError: a file cannot be written.
    """
    classes, groups = sizes
    numbers = b"".join(rows[key].astype("<i8").tobytes() for key in ("index", "y", "s"))
    digest = hashlib.sha256(data.encode() + numbers).digest()
    own = {"sizes": np.array([len(labels), *sizes]), "rows": np.frombuffer(digest, dtype=np.uint8)}
    given = _write(f"{dataset}/{run_id}{ENDING}", save({"labels": pack(labels, classes)} | own))
    path = f"{dataset}/rows_{digest.hex()[:32]}{ENDING}"
    file = paths_config.weights_file(path)
    if (known := _rows.get(file)) is None or known[0] != look(file):  # of this process: not packed and read again
        of_rows = _write(path, save({"y": pack(rows["y"], classes), "s": pack(rows["s"], groups)} | own))
        known = _rows[file] = look(file), of_rows
    return dict(zip(KEYS, (given, known[1]), strict=True))


def _write(path: str, content: bytes) -> Weights:
    file = paths_config.weights_file(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if not (file.is_file() and atomic.digest(file) == sha256):
        atomic.write_bytes(file, content)
    return {"path": path, "sha256": sha256}


_rows: dict[Path, tuple[Look, Weights]] = {}  # files of test rows that this process has written or found whole


def write_proofs(dataset: str, run_id: str, arrays: Mapping[str, NDArray[Any]]) -> Weights:
    """Writes what was proven of rows, by name, to a file; returns what a record holds of it. Raises OSError."""
    content = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    return _write(f"{dataset}/{run_id}.{hashlib.sha256(content).hexdigest()[:8]}.{PROOFS}", content)


def read_proofs(of: Weights) -> dict[str, NDArray[Any]]:
    """Returns what was proven of rows, by name. Raises ValueError where the file is missing or another one."""
    return dict(_read(paths_config.weights_file(str(of["path"])), str(of["sha256"])))


def stated(record: Mapping[str, Any]) -> dict[str, Weights]:
    """Returns the files of decisions and certificates that a record names, by key; of evaluations by a path of keys."""
    found = {key: record[key] for key in (*KEYS, PROOFS) if record.get(key)}
    for name, later in (record.get("evaluations") or {}).items():
        if isinstance(later, Mapping) and later.get(PROOFS):
            found[f"evaluations/{name}/{PROOFS}"] = later[PROOFS]
    return found


def with_file(record: Record, key: str, of: Weights) -> Record:
    """The record with another file in place of one that ``stated`` returns by that key."""
    if not (later := LATER.fullmatch(key)):
        return {**record, key: of}  # type: ignore[misc]
    evaluations = dict(record["evaluations"])
    evaluations[later["name"]] = {**evaluations[later["name"]], PROOFS: of}
    return {**record, "evaluations": evaluations}


def wrong(record: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with each file of decisions that a record names."""
    for of in stated(record).values():
        try:
            _read(paths_config.weights_file(str(of["path"])), str(of["sha256"]))
        except ValueError as error:
            yield str(error)


def packed(record: Mapping[str, Any]) -> Packed:
    """Returns the files of decisions that a record names, as they are packed.

    Raises:
        ValueError: it names none, as records of older versions and imported ones, or the files are not what they were.
    """
    files = {key: record[key] for key in KEYS if record.get(key)}
    if len(files) < len(KEYS):
        raise ValueError("its record keeps no decisions")
    given, rows = (_read(paths_config.weights_file(str(of["path"])), str(of["sha256"])) for of in files.values())
    try:
        n, classes, groups = map(int, given["sizes"])
        if not (np.array_equal(given["sizes"], rows["sizes"]) and np.array_equal(given["rows"], rows["rows"])):
            raise ValueError("its decisions are of other rows than its record says")
        if not (1 < classes <= MOST_LEVELS and 0 < groups <= MOST_LEVELS):
            raise ValueError(f"its decisions are of {classes} classes and {groups} groups")
        return Packed(n, classes, groups, bytes(rows["rows"]).hex(), given["labels"], rows["y"], rows["s"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"its decisions are not whole: {error}") from error


def read(record: Mapping[str, Any]) -> Decisions:
    """Returns the decisions that a record names. Raises ValueError as ``packed``."""
    of = packed(record)
    labels, y = (unpack(values, of.n, of.classes) for values in (of.labels, of.y))
    return Decisions(labels, y, unpack(of.s, of.n, of.groups), of.classes, of.groups, of.rows)


def _read(path: Path, sha256: str) -> Mapping[str, NDArray[Any]]:
    """Reads a file of a record. Raises ValueError where it is missing or another one."""
    if not path.is_file():
        raise ValueError(f"its decisions {path} are missing")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"its decisions {path} have another checksum than when stored")
    try:
        return dict(load(content))
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"its decisions {path} cannot be read: {error}") from error
