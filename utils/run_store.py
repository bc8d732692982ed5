"""The run database: one TinyDB file per data set, safe under many processes, kills and full disks.

The file is what ``TinyDB(path)`` writes, table ``_default``. Writers hold the lock ``<path>.lock``, readers need
none. Up to ``journal_after`` records each write replaces the file atomically; above that, it adds a JSON line
``{"doc_id", "record"}`` to ``<path>.journal``, which is folded into the file once it holds more than a tenth as
many lines as the file holds records. A fold writes nothing that is not in the journal, so one that is killed
halfway is simply repeated.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from tinydb.queries import QueryLike
from tinydb.storages import Storage
from tinydb.table import Table

from utils import atomic

SCHEMA = 1  # of the records; a new number gives every run a new id
STATUS = ("finished", "failed")
DEFAULT = "_default"  # TinyDB's name of its first table

FRACTION = re.compile(r"\s*\d+(\.\d+)?\s*/\s*\d+(\.\d+)?\s*")
DOC_ID = re.compile(r"0|[1-9][0-9]{0,17}")

Record = dict[str, Any]
Tables = dict[str, dict[str, Record]]
Signature = tuple[int, ...] | None


class StoreError(ValueError):
    """The file of a database cannot be read as one."""


# --- plain values and ids --------------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """The same value in JSON types: arrays and tensors as lists, paths as text, NaN and infinities as None.

    Raises:
        ValueError: a value of another type, with its place in the record.
    """
    return _plain(value, "", lambda leaf: leaf if isinstance(leaf, str) or math.isfinite(leaf) else None)


def canonical(params: Any) -> str:
    """One text for equal settings: keys sorted, ``1`` for ``1.0``, the float for a fraction such as ``8/255``."""
    return json.dumps(_plain(params, "", _normal), sort_keys=True, allow_nan=False, separators=(",", ":"))


def run_id(params: Mapping[str, Any]) -> str:
    """16 hex digits that name a run: SHA-256 of SCHEMA and the canonical settings."""
    return hashlib.sha256(f"{SCHEMA}:{canonical(params)}".encode()).hexdigest()[:16]


def group_id(params: Mapping[str, Any]) -> str:
    """The ``run_id`` without the seed: equal for the repetitions of one experiment."""
    return run_id({key: value for key, value in params.items() if key != "seed"})


def _plain(value: Any, place: str, leaf: Callable[[str | float], Any]) -> Any:
    """``value`` in JSON types, with ``leaf`` applied to every text and float."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, PurePath):
        return leaf(value.as_posix())
    if isinstance(value, str | float):
        return leaf(value if isinstance(value, str) else float(value))
    if isinstance(value, Mapping):
        return {_key(k, place): _plain(v, f"{place}.{k}", leaf) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(v, f"{place}.{i}", leaf) for i, v in enumerate(value)]
    if hasattr(value, "tolist"):  # NumPy and torch, whatever the device, without importing either
        return _plain(value.tolist(), place, leaf)
    raise ValueError(
        f"cannot store {type(value).__name__} {value!r:.60} at {place.lstrip('.') or 'the top'}; "
        "give numbers, text, lists or mappings of them"
    )


def _key(key: Any, place: str) -> str:
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError(f"cannot store the key {key!r:.60} of {place.lstrip('.') or 'the top'}; keys are text")


def _normal(leaf: str | float) -> Any:
    if isinstance(leaf, str):
        number = _fraction(leaf)
        return leaf if number is None else _normal(number)
    if not math.isfinite(leaf):
        return str(leaf)  # "inf" is a norm, not a missing value
    return int(leaf) if leaf.is_integer() else leaf


def _fraction(text: str) -> float | None:
    if not FRACTION.fullmatch(text):
        return None
    above, below = (Fraction(part.strip()) for part in text.split("/"))
    return float(above / below) if below else None


# --- the file and its journal ----------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """What was read last; it holds while the file has its signature and the journal has only grown."""

    signature: Signature  # of the file; None where there is none, () before the first reading
    tables: Tables  # as in the file
    journal: bytes  # its complete lines
    runs: dict[str, Record]  # the default table with the journal applied


class _Storage(Storage):
    """A TinyDB storage of one file and its journal. ``write`` and ``fold`` need the lock, ``read`` does not."""

    def __init__(self, path: Path, journal_after: int):
        self.path = path
        self.journal = path.with_name(path.name + ".journal")
        self._journal_after = journal_after
        self._seen = _Seen((), {}, b"", {})

    def read(self) -> Tables:
        """All tables, the journal applied; the records are shared, so callers copy what they hand out."""
        seen = self._refresh()
        return {**seen.tables, DEFAULT: dict(seen.runs)}

    def write(self, tables: Tables) -> None:
        """Store the new and changed records of the default table durably; none is ever removed."""
        runs, seen = tables[DEFAULT], self._seen
        changed = {i: record for i, record in runs.items() if seen.runs.get(i) is not record}
        large = len(runs) > self._journal_after
        if seen.journal and (not large or _lines(seen) > len(seen.tables.get(DEFAULT, {})) / 10):
            self.fold()  # before the write: if the disk is full, nothing has been accepted
        if large:
            self._append(changed)
        else:
            self._rewrite(tables)

    def fold(self) -> int:
        """Write the journal's records into the file and remove it; the number of lines folded."""
        seen = self._refresh()
        if seen.journal:
            self._rewrite({**seen.tables, DEFAULT: seen.runs})
        if self.journal.exists():
            self.journal.unlink()
            atomic.sync_folder(self.journal.parent)
        return _lines(seen)

    def damaged(self) -> list[Path]:
        """Those of file and journal that cannot be read."""
        broken = []
        for path, parse in ((self.path, _tables), (self.journal, _entries)):
            try:
                parse(_content(path)[1], path)
            except StoreError:
                broken.append(path)
        return broken

    def _refresh(self) -> _Seen:
        seen = self._seen
        while True:  # the journal belongs to the file that was there before and after it was read
            before, _ = _content(self.path, seen.signature, peek=True)
            journal = _content(self.journal)[1]
            signature, content = _content(self.path, seen.signature)
            if before == signature:
                break
        journal = journal[: journal.rfind(b"\n") + 1]  # a line without an end was never acknowledged
        if signature != seen.signature:
            tables = _tables(content, self.path)
            seen = _Seen(signature, tables, b"", tables.get(DEFAULT, {}))
        elif not journal.startswith(seen.journal):
            seen = seen._replace(journal=b"", runs=seen.tables.get(DEFAULT, {}))
        if new := journal[len(seen.journal) :]:
            seen = seen._replace(journal=journal, runs={**seen.runs, **_entries(new, self.journal)})
        self._seen = seen
        return seen

    def _rewrite(self, tables: Tables) -> None:
        for temporary in atomic.leftovers(self.path):  # of killed writers: we hold the lock
            temporary.unlink(missing_ok=True)
        atomic.write_bytes(self.path, json.dumps(tables, allow_nan=False).encode())
        self._seen = _Seen(_content(self.path, peek=True)[0], tables, b"", tables[DEFAULT])

    def _append(self, changed: Mapping[str, Record]) -> None:
        seen = self._seen
        entries = ({"doc_id": int(i), "record": record} for i, record in changed.items())
        lines = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        atomic.append(self.journal, lines, keep=len(seen.journal))  # cuts off what a kill left
        self._seen = seen._replace(journal=seen.journal + lines, runs={**seen.runs, **changed})


def _lines(seen: _Seen) -> int:
    return seen.journal.count(b"\n")


def _content(path: Path, known: Signature = (), *, peek: bool = False) -> tuple[Signature, bytes]:
    """Signature and bytes of a file; no bytes where it has the ``known`` signature, is missing, or on ``peek``."""
    try:
        with path.open("rb") as file:  # opened even to peek: network file systems check their cache on open
            status = os.fstat(file.fileno())
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            return signature, b"" if peek or signature == known else file.read()
    except FileNotFoundError:
        return None, b""


def _tables(content: bytes, path: Path) -> Tables:
    """The tables of a TinyDB file; an empty file has none, as in TinyDB."""
    if not content:
        return {}
    tables = _json(content, path, path, "it is not JSON, so it was cut off, damaged or never a database")
    if not isinstance(tables, dict) or (tables and DEFAULT not in tables):
        raise _unreadable(path, path, f"it is JSON but has no table {DEFAULT!r}")
    for name, table in tables.items():
        if not isinstance(table, dict) or not all(
            DOC_ID.fullmatch(i) and isinstance(r, dict) for i, r in table.items()
        ):
            raise _unreadable(path, path, f"its table {name!r} is not records by number")
    return tables


def _entries(content: bytes, path: Path) -> dict[str, Record]:
    """The records of a journal by id, the last line of each."""
    runs: dict[str, Record] = {}
    database = path.with_suffix("")
    for line in content.split(b"\n")[:-1]:  # what follows the last line end was never acknowledged
        entry = _json(line, path, database, f"the line {line[:40]!r}... is not JSON")
        if (
            not isinstance(entry, dict)
            or type(entry.get("doc_id")) is not int
            or not isinstance(entry.get("record"), dict)
        ):
            raise _unreadable(path, database, f"the line {line[:40]!r}... is no record")
        runs[str(entry["doc_id"])] = entry["record"]
    return runs


def _json(content: bytes, path: Path, database: Path, otherwise: str) -> Any:
    try:
        return json.loads(content, parse_constant=lambda _: None)  # other writers let NaN through
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, database, otherwise) from error


def _unreadable(path: Path, database: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} cannot be read: {what}. It was left as it is; `python -m evals.database rebuild "
        f"dataset={database.stem}` moves it aside and builds the database anew from the record.json of each run"
    )


# --- the store -------------------------------------------------------------------------------------------------


class _Runs(Table):
    """TinyDB's table, made afresh for each use: it has cached neither ids nor queries."""

    def put(self, records: Mapping[int, Record]) -> None:
        """Insert or replace by id, in one write. TinyDB's own update merges keys and takes one record at a time."""
        self._update_table(lambda table: table.update(records))


class RunStore:
    """The records of one data set, by ``doc_id``. See the module for the file format.

    ``journal_after``: number of records from which on writes go to the journal. ``timeout``: seconds to wait for
    another process. Every method raises StoreError where the file is no database, OSError naming the file where it
    cannot be read or written, and every writing one TimeoutError where the lock stays taken.
    """

    def __init__(self, path: str | Path, *, journal_after: int = 1000, timeout: float = 60.0):
        self.path = Path(path).resolve()
        self._storage = _Storage(self.path, journal_after)
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), timeout=timeout)

    def add(self, record: Mapping[str, Any], *, replace: bool = False) -> int:
        """Store one record durably; its doc_id. See ``add_many``."""
        return self.add_many([record], replace=replace)[0]

    def add_many(self, records: Iterable[Mapping[str, Any]], *, replace: bool = False) -> list[int]:
        """Store records in one write; their doc_ids.

        There is one record per ``run_id``: a failed one gives way to any newer one, and a finished one stays,
        unless ``replace``, when a newer finished record takes its place and doc_id, and its evaluations go.

        Raises:
            ValueError: a record without ``run_id``, of a status other than finished or failed, or with values that
                JSON cannot hold.
        """
        plain = [_checked(record) for record in records]
        with self._locked() as runs:
            stored = self._storage.read()[DEFAULT]
            known = _by_run_id(stored)
            following = max(map(int, stored), default=0) + 1
            changed: dict[int, Record] = {}
            ids = []
            for record in plain:
                doc_id, status = known.get(record["run_id"], (following, None))
                following = max(following, doc_id + 1)
                ids.append(doc_id)
                if status != "finished" or (replace and record["status"] == "finished"):
                    changed[doc_id] = record
                    known[record["run_id"]] = doc_id, record["status"]
            if changed:
                runs.put(changed)
        return ids

    def add_result(self, doc_id: int, name: str, metrics: Mapping[str, Any], *, replace: bool = False) -> None:
        """Store a later evaluation as ``record["evaluations"][name]``.

        Raises:
            ValueError: no such record, or it has an evaluation of that name and ``replace`` is False.
        """
        if not name or not isinstance(name, str):
            raise ValueError(f"an evaluation needs a name, not {name!r}")
        result = to_plain(metrics)
        with self._locked() as runs:
            record = self._record(doc_id)
            evaluations = record.get("evaluations") or {}
            if name in evaluations and not replace:
                raise ValueError(
                    f"record {doc_id} of {self.path} already has an evaluation {name!r}; give another name, "
                    "or replace it explicitly (replace=true)"
                )
            runs.put({doc_id: {**record, "evaluations": {**evaluations, name: result}}})

    def replace(self, doc_id: int, record: Mapping[str, Any]) -> None:
        """Put another record in the place of one.

        Raises:
            ValueError: no such record, one that ``add_many`` would refuse, or a finished run that another has.
        """
        plain = _checked(record)
        with self._locked() as runs:
            self._record(doc_id)
            other, status = _by_run_id(self._storage.read()[DEFAULT]).get(plain["run_id"], (doc_id, None))
            if other != doc_id and status == plain["status"] == "finished":
                raise ValueError(f"run {plain['run_id']} is record {other} of {self.path}; replace that one instead")
            runs.put({doc_id: plain})

    def get(self, doc_id: int) -> Record:
        """A copy of one record, with its ``doc_id``. Raises ValueError naming the ids that exist."""
        return _handed_out(str(doc_id), self._record(doc_id))

    def all(self) -> list[Record]:
        """Copies of all records by ascending id, each with its ``doc_id``."""
        runs = self._storage.read()[DEFAULT]
        return [_handed_out(i, runs[i]) for i in sorted(runs, key=int)]

    def search(self, query: QueryLike) -> list[Record]:
        """Copies of the records that meet a TinyDB query, each with its ``doc_id``."""
        return [_handed_out(str(found.doc_id), found) for found in self._table().search(query)]

    def find(self, run_id: str, status: str | None = "finished") -> Record | None:
        """The record of a run, or None; ``status=None`` for any status."""
        for i, record in self._storage.read()[DEFAULT].items():
            if record.get("run_id") == run_id and status in (None, record.get("status")):
                return _handed_out(i, record)
        return None

    def fold(self) -> int:
        """Write the journal into the file, so that any TinyDB sees every record; the number of lines folded."""
        with self._locked():
            return self._storage.fold()

    def set_aside(self) -> list[Path]:
        """Rename a damaged file or journal to ``<name>.damaged-<n>``; the new names. What is whole stays."""
        with self._locked():
            return [_renamed(path) for path in reversed(self._storage.damaged())]

    def __len__(self) -> int:
        return len(self._storage.read()[DEFAULT])

    def _table(self) -> _Runs:
        return _Runs(self._storage, DEFAULT)

    @contextmanager
    def _locked(self) -> Iterator[_Runs]:
        """The only way to write: lock, read, yield, replace."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(poll_interval=0.01)
        except Timeout as error:
            raise TimeoutError(
                f"{self.path} is in use: another process has held {self._lock.lock_file} for {self._lock.timeout:g} s. "
                f"Try again, or end that process (`fuser {self._lock.lock_file}` names it)"
            ) from error
        try:
            yield self._table()
        finally:
            self._lock.release()

    def _record(self, doc_id: int) -> Record:
        runs = self._storage.read()[DEFAULT]
        if type(doc_id) is int and str(doc_id) in runs:
            return runs[str(doc_id)]
        ids = sorted(map(int, runs))
        there = f"its ids run from {ids[0]} to {ids[-1]}" if ids else "it is empty; train a model first"
        raise ValueError(f"{self.path} has no record {doc_id!r}: {there}")


def _checked(record: Mapping[str, Any]) -> Record:
    plain = {key: value for key, value in to_plain(record).items() if key != "doc_id"}
    if not plain.get("run_id") or not isinstance(plain["run_id"], str):
        raise ValueError(f"a record needs a run_id, not {plain.get('run_id')!r}; compute it by run_id(params)")
    if plain.get("status") not in STATUS:
        raise ValueError(
            f"run {plain['run_id']}: status {plain.get('status')!r} cannot be stored; only runs that are "
            f"{' or '.join(STATUS)}"
        )
    return plain


def _by_run_id(runs: Mapping[str, Record]) -> dict[str, tuple[int, str | None]]:
    """Id and status of each run, the finished record where a foreign writer stored several."""
    known: dict[str, tuple[int, str | None]] = {}
    for i, record in runs.items():
        run, status = record.get("run_id"), record.get("status")
        if isinstance(run, str) and (run not in known or status == "finished" != known[run][1]):
            known[run] = int(i), status
    return known


def _handed_out(doc_id: str, record: Mapping[str, Any]) -> Record:
    return {**_copy(record), "doc_id": int(doc_id)}


def _copy(value: Any) -> Any:
    """A deep copy of plain JSON values, some five times as fast as ``copy.deepcopy``."""
    if isinstance(value, dict):
        return {key: _copy(v) for key, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _renamed(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
