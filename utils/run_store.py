"""The run database: one TinyDB file per data set, safe under many processes, kills and full disks.

The file is one that any TinyDB reads and writes, table ``_default``. As we write it, a record is a line with a tab
before each of its keys, so that records are found, added and rewritten as bytes and only those handed out are
decoded. A file that another program wrote is parsed whole, and laid out so by our next write to it.

Writers hold the lock ``<path>.lock``, readers need none. Up to ``journal_after`` records each write replaces the
file atomically; above that, it adds the lines of the records to ``<path>.journal``, which is folded into the file
once it holds more than a tenth as many lines as the file holds records. A fold writes nothing that is not in the
journal, so one that is killed halfway is simply repeated.
"""

import gc
import hashlib
import json
import math
import os
import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import orjson
from filelock import FileLock, Timeout
from tinydb.queries import QueryLike

from utils import atomic

SCHEMA = 1  # of the records; a new number gives every run a new id
STATUS = ("finished", "failed")
DEFAULT = "_default"  # TinyDB's name of its first table

FRACTION = re.compile(r"\s*\d+(\.\d+)?\s*/\s*\d+(\.\d+)?\s*")
DOC_ID = re.compile(r"0|[1-9][0-9]{0,17}")
HEAD = f'{{"{DEFAULT}": {{\n'.encode()
LINE = rb'"(0|[1-9][0-9]{0,17})": (\{\t.*\})'
IN_FILE = re.compile(LINE + rb'(?:,\n(?=")|\n(?=\}))')
IN_JOURNAL = re.compile(LINE + rb"\n")
RUN = re.compile(rb'\{\t"run_id": "([^"\\]+)",\t"status": "([^"\\]+)"[,}]')
DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # other writers let NaN through
SIGNS = bytes.maketrans(b"123456789-[:,\n\r\t", b"0000000000      ")
WIDE = b" " + b"0" * 19  # an integer that may need more than 64 bits, after SIGNS
CHUNK = 100  # records decoded at once

Record = dict[str, Any]
Index = dict[str, tuple[int, Any]]  # by run_id: doc_id and status
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


# --- records as bytes ------------------------------------------------------------------------------------------


def _encoded(record: Record) -> bytes:
    """A record on one line: a tab before each of its keys and nowhere else, ``run_id`` and ``status`` first."""
    first = {key: record[key] for key in ("run_id", "status") if key in record}
    fields = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in (first | record).items())
    return ("{\t" + ",\t".join(fields) + "}").encode()


def _decoded(records: Sequence[bytes], path: Path) -> Iterator[Record]:
    for start in range(0, len(records), CHUNK):  # one call for many, which share their keys then
        yield from _json(b"[" + b",".join(records[start : start + CHUNK]) + b"]", path)


class _Fields(Mapping[str, Any]):
    """An encoded record that decodes a field when asked for it: what a query looks at."""

    def __init__(self, record: bytes, path: Path):
        self._record, self._path = record, path

    def __getitem__(self, key: str) -> Any:
        name = f"\t{json.dumps(key)}: ".encode()
        start = self._record.find(name) + len(name)
        if start < len(name):
            raise KeyError(key)
        end = self._record.find(b",\t", start)
        return _json(self._record[start:end], self._path)  # an end of -1 leaves out the closing brace

    def __iter__(self) -> Iterator[str]:
        return iter(_json(self._record, self._path))

    def __len__(self) -> int:
        return len(_json(self._record, self._path))


def _run(record: bytes, path: Path) -> tuple[Any, Any]:
    """``run_id`` and ``status`` of an encoded record."""
    if match := RUN.match(record):
        return match[1].decode(), match[2].decode()
    fields = _Fields(record, path)
    return fields.get("run_id"), fields.get("status")


def _json(content: bytes, path: Path) -> Any:
    """What the standard library reads, by orjson where that reads the same."""
    if WIDE not in content.translate(SIGNS):  # orjson makes floats of wide integers, and
        with suppress(orjson.JSONDecodeError):  # refuses NaN and lone surrogates
            return orjson.loads(content)
    try:
        return DECODER.decode(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "it is not JSON, so it was cut off, damaged or never a database") from error


def _unreadable(path: Path, what: str) -> StoreError:
    database = path.with_suffix("") if path.suffix == ".journal" else path
    return StoreError(
        f"{path} cannot be read: {what}. It was left as it is; `python -m evals.database rebuild "
        f"dataset={database.stem}` moves it aside and builds the database anew from the record.json of each run"
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection, which would visit all that was decoded again and again; JSON has no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# --- the file and its journal ----------------------------------------------------------------------------------


class _Content(NamedTuple):
    """The content of a file or of a journal."""

    records: dict[int, bytes]
    rest: bytes  # of a file, from the end of its default table: other tables and the closing brace
    ours: bool  # laid out as we do


class _Seen(NamedTuple):
    """What was read last; it holds while the file has its signature and the journal has only grown."""

    signature: Signature  # of the file; None where there is none, () before the first reading
    file: _Content
    journal: int  # bytes of its complete lines
    last: bytes  # of these lines
    lines: int  # how many they are
    records: dict[int, bytes]  # of the file, with the journal applied
    known: Index


EMPTY = _Content({}, b"}}", True)
NOTHING = _Seen((), EMPTY, 0, b"", 0, {}, {})


class _Storage:
    """A file and its journal. ``write`` and ``fold`` need the lock, ``read`` does not."""

    def __init__(self, path: Path, journal_after: int):
        self.path = path
        self.journal = path.with_name(path.name + ".journal")
        self._journal_after = journal_after
        self._seen = NOTHING

    def read(self) -> _Seen:
        """What file and journal hold; only what is new is read."""
        seen = self._seen
        while True:  # the journal belongs to the file that was there before and after it was read
            before, _ = _content(self.path, peek=True)
            seen = seen if seen.signature == before else NOTHING
            _, journal = _content(self.journal, start=seen.journal - len(seen.last))
            if not journal.startswith(seen.last):  # another journal, as after a rebuild
                seen = NOTHING
                continue
            signature, content = _content(self.path, seen.signature)
            if before == signature:
                break
        if signature != seen.signature:
            file = _opened(content, self.path)
            seen = NOTHING._replace(
                signature=signature, file=file, records=file.records, known=self._index(file.records, {})
            )
        new = journal[len(seen.last) : journal.rfind(b"\n") + 1]  # a line without an end was never acknowledged
        self._seen = self._with_lines(seen, new) if new else seen
        return self._seen

    def write(self, seen: _Seen, changed: Mapping[int, Record]) -> None:
        """Add records to those ``seen`` under this lock, or replace some, durably."""
        encoded = {i: _encoded(record) for i, record in changed.items()}
        records = {**seen.records, **encoded}
        small = len(records) <= self._journal_after
        if seen.lines and (small or not seen.file.ours or seen.lines > len(seen.file.records) / 10):
            seen = self.fold()  # before the write: if the disk is full, nothing has been accepted
        if small or not seen.file.ours:
            self._rewrite(seen, records)
        else:
            self._append(seen, encoded)

    def fold(self) -> _Seen:
        """Write the journal's records into the file and remove it."""
        seen = self.read()
        if seen.lines:
            seen = self._rewrite(seen, seen.records)
        if self.journal.exists():
            self.journal.unlink()
            atomic.sync_folder(self.journal.parent)
        return seen

    def damaged(self) -> list[Path]:
        """Those of file and journal that cannot be read."""
        broken = []
        for path, parse in ((self.path, _opened), (self.journal, _journalled)):
            try:
                for _ in _decoded(list(parse(_content(path)[1], path).records.values()), path):
                    pass
            except StoreError:
                broken.append(path)
        return broken

    def _rewrite(self, seen: _Seen, records: dict[int, bytes]) -> _Seen:
        for temporary in atomic.leftovers(self.path):  # of killed writers: we hold the lock
            temporary.unlink(missing_ok=True)
        file = _Content(records, seen.file.rest, True)
        atomic.write_chunks(self.path, _laid_out(file))
        signature, _ = _content(self.path, peek=True)
        self._seen = NOTHING._replace(signature=signature, file=file, records=records, known=self._index(records, {}))
        return self._seen

    def _append(self, seen: _Seen, records: dict[int, bytes]) -> None:
        lines = b"".join(_line(*pair) + b"\n" for pair in records.items())
        atomic.append(self.journal, lines, keep=seen.journal)  # cuts off what a kill left
        self._seen = self._with_lines(seen, lines)

    def _with_lines(self, seen: _Seen, lines: bytes) -> _Seen:
        """What was seen, with more lines of the journal."""
        new = _journalled(lines, self.journal).records
        records = {**seen.records, **new}
        grown = len(records) == len(seen.records) + len(new)
        return seen._replace(
            journal=seen.journal + len(lines),
            last=lines[lines.rfind(b"\n", 0, -1) + 1 :],
            lines=seen.lines + lines.count(b"\n"),
            records=records,
            known=self._index(new, seen.known) if grown else self._index(records, {}),
        )

    def _index(self, records: dict[int, bytes], known: Index) -> Index:
        """``known`` with these records, the finished one where a foreign writer stored several of a run."""
        index = dict(known)
        for i, record in records.items():
            run, status = _run(record, self.path)
            if isinstance(run, str) and (run not in index or status == "finished" != index[run][1]):
                index[run] = i, status
        return index


def _content(path: Path, known: Signature = (), *, peek: bool = False, start: int = 0) -> tuple[Signature, bytes]:
    """Signature and bytes of a file; no bytes where it has the ``known`` signature, is missing, or on ``peek``."""
    try:
        with path.open("rb") as file:  # opened even to peek: network file systems check their cache on open
            status = os.fstat(file.fileno())
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if peek or signature == known:
                return signature, b""
            file.seek(start)
            return signature, file.read()
    except FileNotFoundError:
        return None, b""


def _line(doc_id: int, record: bytes) -> bytes:
    return b'"%d": %s' % (doc_id, record)


def _laid_out(file: _Content) -> Iterator[bytes]:
    yield HEAD
    last = next(reversed(file.records))
    for i, record in file.records.items():
        yield _line(i, record) + (b"\n" if i == last else b",\n")
    yield file.rest


def _taken(line: re.Pattern[bytes], content: bytes, start: int = 0) -> tuple[dict[int, bytes], int]:
    """The records of the lines from ``start`` on, and where the first line begins that is none of ours."""
    records = {}
    while match := line.match(content, start):
        records[int(match[1])] = match[2]
        start = match.end()
    return records, start


def _journalled(content: bytes, path: Path) -> _Content:
    """The records of a journal by id, the last line of each."""
    records, end = _taken(IN_JOURNAL, content)
    rest = content[end:]
    if b"\n" in rest:  # what follows the last line end was never acknowledged
        raise _unreadable(path, f"the line {rest[:40]!r}... is no record")
    return _Content(records, b"", True)


def _opened(content: bytes, path: Path) -> _Content:
    """A TinyDB file, whoever wrote it; an empty one has no records, as in TinyDB."""
    if not content:
        return EMPTY
    if content.startswith(HEAD):
        records, end = _taken(IN_FILE, content, len(HEAD))
        rest = content[end:]
        if rest.startswith(b"}"):
            _tables(HEAD + rest, path)
            return _Content(records, rest, True)
    with _uncollected():
        tables = _tables(content, path)
        default = tables.pop(DEFAULT, {})
        records = {int(i): _encoded(record) for i, record in default.items()}
    others = "".join(f", {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    return _Content(records, f"}}{others}}}".encode(), False)


def _tables(content: bytes, path: Path) -> dict[str, dict[str, Record]]:
    tables = _json(content, path)
    if not isinstance(tables, dict) or (tables and DEFAULT not in tables):
        raise _unreadable(path, f"it is JSON but has no table {DEFAULT!r}")
    for name, table in tables.items():
        if not isinstance(table, dict) or not all(
            DOC_ID.fullmatch(i) and isinstance(r, dict) for i, r in table.items()
        ):
            raise _unreadable(path, f"its table {name!r} is not records by number")
    return tables


# --- the store -------------------------------------------------------------------------------------------------


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
        with self._locked():
            seen = self._storage.read()
            known = ChainMap({}, seen.known)  # those of this call over those stored
            following = max(seen.records, default=0) + 1
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
                self._storage.write(seen, changed)
        return ids

    def add_result(self, doc_id: int, name: str, metrics: Mapping[str, Any], *, replace: bool = False) -> None:
        """Store a later evaluation as ``record["evaluations"][name]``.

        Raises:
            ValueError: no such record, or it has an evaluation of that name and ``replace`` is False.
        """
        if not name or not isinstance(name, str):
            raise ValueError(f"an evaluation needs a name, not {name!r}")
        result = to_plain(metrics)
        with self._locked():
            seen = self._storage.read()
            [record] = self._records(seen, [self._existing(seen, doc_id)])
            evaluations = record.get("evaluations") or {}
            if name in evaluations and not replace:
                raise ValueError(
                    f"record {doc_id} of {self.path} already has an evaluation {name!r}; give another name, "
                    "or replace it explicitly (replace=true)"
                )
            self._storage.write(seen, {doc_id: {**record, "evaluations": {**evaluations, name: result}}})

    def replace(self, doc_id: int, record: Mapping[str, Any]) -> None:
        """Put another record in the place of one.

        Raises:
            ValueError: no such record, one that ``add_many`` would refuse, or a finished run that another has.
        """
        plain = _checked(record)
        with self._locked():
            seen = self._storage.read()
            self._existing(seen, doc_id)
            other, status = seen.known.get(plain["run_id"], (doc_id, None))
            if other != doc_id and status == plain["status"] == "finished":
                raise ValueError(f"run {plain['run_id']} is record {other} of {self.path}; replace that one instead")
            self._storage.write(seen, {doc_id: plain})

    def get(self, doc_id: int) -> Record:
        """A record of one's own, with its ``doc_id``. Raises ValueError naming the ids that exist."""
        seen = self._storage.read()
        return self._handed_out(seen, [self._existing(seen, doc_id)])[0]

    def all(self) -> list[Record]:
        """All records by ascending id, each with its ``doc_id``."""
        seen = self._storage.read()
        return self._handed_out(seen, sorted(seen.records))

    def search(self, query: QueryLike) -> list[Record]:
        """The records that meet a TinyDB query, each with its ``doc_id``. What the query asks for is decoded first."""
        seen = self._storage.read()
        with _uncollected():
            found = [i for i, record in seen.records.items() if query(_Fields(record, self.path))]
            return self._handed_out(seen, found)

    def find(self, run_id: str, status: str | None = "finished") -> Record | None:
        """The record of a run, or None; ``status=None`` for any status."""
        return self.find_many([run_id], status).get(run_id)

    def find_many(self, run_ids: Iterable[str], status: str | None = "finished") -> dict[str, Record]:
        """The records of those runs that have one, by ``run_id``; ``status=None`` for any status."""
        seen = self._storage.read()
        there = {run: seen.known[run] for run in dict.fromkeys(run_ids) if run in seen.known}
        ids = {run: i for run, (i, stored) in there.items() if status in (None, stored)}
        return dict(zip(ids, self._handed_out(seen, list(ids.values())), strict=True))

    def fold(self) -> int:
        """Write the journal into the file, so that any TinyDB sees every record; the number of lines folded."""
        with self._locked():
            lines = self._storage.read().lines
            self._storage.fold()
        return lines

    def set_aside(self) -> list[Path]:
        """Rename a damaged file or journal to ``<name>.damaged-<n>``; the new names. What is whole stays."""
        with self._locked():
            return [_renamed(path) for path in reversed(self._storage.damaged())]

    def __len__(self) -> int:
        return len(self._storage.read().records)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The only way to write: lock, read, replace."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(poll_interval=0.01)
        except Timeout as error:
            raise TimeoutError(
                f"{self.path} is in use: another process has held {self._lock.lock_file} for {self._lock.timeout:g} s. "
                f"Try again, or end that process (`fuser {self._lock.lock_file}` names it)"
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    def _existing(self, seen: _Seen, doc_id: int) -> int:
        """The id, where there is such a record."""
        if type(doc_id) is int and doc_id in seen.records:
            return doc_id
        ids = sorted(seen.records)
        there = f"its ids run from {ids[0]} to {ids[-1]}" if ids else "it is empty; train a model first"
        raise ValueError(f"{self.path} has no record {doc_id!r}: {there}")

    def _records(self, seen: _Seen, ids: Sequence[int]) -> list[Record]:
        with _uncollected():
            return list(_decoded([seen.records[i] for i in ids], self.path))

    def _handed_out(self, seen: _Seen, ids: Sequence[int]) -> list[Record]:
        records = self._records(seen, ids)
        for i, record in zip(ids, records, strict=True):
            record["doc_id"] = i
        return records


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


def _renamed(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
