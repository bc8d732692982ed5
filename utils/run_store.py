"""The run database: one TinyDB file per data set, safe under many processes, kills and full disks.

The file is one that any TinyDB reads and writes, table ``_default``. As we write it, a record is a line with a tab
before each of its keys, so that records are found, added and rewritten as bytes and only those handed out are
decoded. A file that another program wrote is parsed whole, and laid out so by our next write to it.

Each record has a checksum (``utils.records.checksum``), is checked against ``utils.records.schema`` when it is written,
and again when it is read unless its line is as we wrote it. A record that was altered, or that commands could not read,
is left out, with a warning; it stays in the file until it is filed again or removed. To change one on purpose with
another program, take its checksum out.

Writers hold the lock ``<path>.lock``, readers need none. Up to ``journal_after`` records each write replaces the
file atomically; above that, it adds the lines of the records to ``<path>.journal``, which is folded into the file
once it holds more than a tenth as many lines as the file holds records. A fold writes nothing that is not in the
journal, so one that is killed halfway is simply repeated.
"""

import json
import os
import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from tinydb.queries import QueryLike

from utils.records import checksum
from utils.records.encoded import (
    Fields,
    FlawError,
    StoreError,
    bare,
    decode,
    encode,
    examine,
    pause_collection,
    read_json,
    run_of,
    seal,
    unreadable,
)
from utils.records.plain import to_plain
from utils.records.schema import STATUS, flaw
from utils.records.typed import Record
from utils.system import atomic

DEFAULT = "_default"  # TinyDB's name of its first table

DOC_ID = re.compile(r"0|[1-9][0-9]{0,17}")
OLD_HEAD = f'{{"{DEFAULT}": {{\n'.encode()  # of files from before there were checksums
HEAD = OLD_HEAD + b"\n"  # the empty line says that every record has one
LINE = rb'"(0|[1-9][0-9]{0,17})": (\{\t.*\})'
IN_FILE = re.compile(LINE + rb'(?:,\n(?=")|\n(?=\}))')
IN_JOURNAL = re.compile(LINE + rb"\n")
TORN = re.compile(rb'"(0|[1-9][0-9]{0,17})": (\{\t.*\})(?s:.)')
SEALED = b'{\t"checksum": '
NAMED = 3  # records in a warning

Index = dict[str, tuple[int, Any]]  # by run_id: doc_id and status
Signature = tuple[int, ...] | None


# --- the file and its journal ----------------------------------------------------------------------------------


class _Content(NamedTuple):
    """The content of a file or of a journal."""

    records: dict[int, bytes]
    rest: bytes  # of a file, from the end of its default table: other tables and the closing brace
    ours: bool  # laid out as we do
    sealed: bool  # every record has its checksum


class _Seen(NamedTuple):
    """The content read last; it holds while the file has its signature and the journal has only grown."""

    signature: Signature  # of the file; None where there is none, () before the first reading
    file: _Content
    journal: int  # bytes of its complete lines
    last: bytes  # of these lines
    lines: int  # how many they are
    records: dict[int, bytes]  # of the file, with the journal applied
    known: Index


EMPTY = _Content({}, b"}}", True, False)
NOTHING = _Seen((), EMPTY, 0, b"", 0, {}, {})


class _Storage:
    """A file and its journal. ``write`` and ``fold`` need the lock, ``read`` does not."""

    def __init__(self, path: Path, journal_after: int):
        self.path = path
        self.journal = path.with_name(path.name + ".journal")
        self._journal_after = journal_after
        self._seen = NOTHING

    def read(self) -> _Seen:
        """Returns the content of file and journal, reading only what is new."""
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
            file = _open(content, self.path)
            seen = NOTHING._replace(
                signature=signature, file=file, records=file.records, known=self._index(file.records, {})
            )
        new = journal[len(seen.last) : journal.rfind(b"\n") + 1]  # a line without an end was never acknowledged
        _require_torn(journal[journal.rfind(b"\n") + 1 :], self.journal)
        self._seen = self._with_lines(seen, new) if new else seen
        return self._seen

    def write(self, seen: _Seen, changed: Mapping[int, Record]) -> None:
        """Adds records to those ``seen`` under this lock, or replaces some, durably."""
        encoded = {i: seal(i, record) for i, record in changed.items()}
        records = {**seen.records, **encoded}
        small = len(records) <= self._journal_after
        if seen.lines and (small or not seen.file.ours or seen.lines > len(seen.file.records) / 10):
            seen = self.fold()  # before the write: if the disk is full, nothing has been accepted
        if small or not seen.file.ours:
            self._rewrite(seen, records)
        else:
            self._append(seen, encoded)

    def fold(self) -> _Seen:
        """Writes the journal's records into the file and removes it."""
        seen = self.read()
        if seen.lines:
            seen = self._rewrite(seen, seen.records)
        if self.journal.exists():
            self.journal.unlink()
            atomic.sync_folder(self.journal.parent)
        return seen

    def remove(self, ids: Iterable[int]) -> None:
        """Takes records out of the file, in one step."""
        seen = self.fold()  # a journal that is still there would bring them back
        gone = set(ids)
        self._rewrite(seen, {i: record for i, record in seen.records.items() if i not in gone})

    def find_damaged(self) -> list[Path]:
        """Returns those of file and journal that cannot be taken apart into records."""
        broken, file = [], EMPTY
        try:
            file = _open(_content(self.path)[1], self.path)
        except StoreError:
            broken.append(self.path)
        try:
            _read_journal(_content(self.journal)[1], self.journal, file)
        except StoreError:
            broken.append(self.journal)
        return broken

    def _rewrite(self, seen: _Seen, records: dict[int, bytes]) -> _Seen:
        for temporary in atomic.leftovers(self.path):  # of killed writers: we hold the lock
            temporary.unlink(missing_ok=True)
        if not (seen.file.ours and seen.file.sealed):
            records = {i: self._with_seal(i, record, seen.file) for i, record in records.items()}
        file = _Content(records, seen.file.rest, True, True)
        atomic.write_chunks(self.path, _lay_out(file))
        signature, _ = _content(self.path, peek=True)
        self._seen = NOTHING._replace(signature=signature, file=file, records=records, known=self._index(records, {}))
        return self._seen

    def _with_seal(self, doc_id: int, record: bytes, file: _Content) -> bytes:
        """A record that another program or an older version wrote, sealed unless something is wrong with it."""
        if checksum.unaltered(doc_id, record):
            return record
        try:
            return seal(doc_id, examine(doc_id, record, self.path, needs_checksum=file.sealed))
        except FlawError:  # it stays as it is, and stays left out
            return record

    def _append(self, seen: _Seen, records: dict[int, bytes]) -> None:
        lines = b"".join(_line(*pair) + b"\n" for pair in records.items())
        atomic.append(self.journal, lines, keep=seen.journal)  # cuts off what a kill left
        self._seen = self._with_lines(seen, lines)

    def _with_lines(self, seen: _Seen, lines: bytes) -> _Seen:
        """Returns what was seen, with more lines of the journal."""
        new = _read_journal(lines, self.journal, seen.file).records
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
            run, status = run_of(record, self.path)
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


def _lay_out(file: _Content) -> Iterator[bytes]:
    yield HEAD
    last = next(reversed(file.records), None)
    for i, record in file.records.items():
        yield _line(i, record) + (b"\n" if i == last else b",\n")
    yield file.rest


def _take(line: re.Pattern[bytes], content: bytes, start: int = 0) -> tuple[list[tuple[int, bytes]], int]:
    """Returns the records of the lines from ``start`` on, and the beginning of the first line that is not ours."""
    records = []
    while match := line.match(content, start):
        records.append((int(match[1]), match[2]))
        start = match.end()
    return records, start


def _read_journal(content: bytes, path: Path, file: _Content) -> _Content:
    """The records of a journal by id, the last line of each.

    A line has its seal, or is from before there were any: then the file is too, or holds the same record by a fold
    that was killed.
    """
    lines, end = _take(IN_JOURNAL, content)
    rest = content[end:]
    if b"\n" in rest:  # what follows the last line end was never acknowledged
        raise unreadable(path, f"the line {rest[:40]!r}... is no record")
    records = {}
    for i, record in lines:
        known = file.records.get(i, b"")
        unsealed = file.sealed and not record.startswith(SEALED)
        if unsealed and known and read_json(checksum.unsealed(known), path) == read_json(record, path):
            record = known
        elif (file.sealed or record.startswith(SEALED)) and not checksum.unaltered(i, record):
            raise unreadable(path, f"its line of record {i} was altered")
        records[i] = record
    return _Content(records, b"", True, file.sealed)


def _require_torn(rest: bytes, path: Path) -> None:
    """Refuses what follows the last line end where it is a whole line and more, which no killed writer leaves."""
    found = TORN.match(rest)
    if found and checksum.unaltered(int(found[1]), found[2]):
        raise unreadable(path, f"the end of its line of record {found[1].decode()} was altered")


def _open(content: bytes, path: Path) -> _Content:
    """A TinyDB file, whoever wrote it; an empty one has no records, as in TinyDB."""
    if not content:
        return EMPTY
    sealed = content.startswith(HEAD)
    if content.startswith(OLD_HEAD):
        lines, end = _take(IN_FILE, content, len(HEAD if sealed else OLD_HEAD))
        rest = content[end:]
        if rest.startswith(b"}"):
            _tables(HEAD + rest, path)
            return _Content(_apart(lines, path), rest, sealed, sealed)
    with pause_collection():
        tables = _tables(content, path)
        default = tables.pop(DEFAULT, {})
        records = {int(i): encode(record) for i, record in default.items()}
    others = "".join(f", {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    return _Content(records, f"}}{others}}}".encode(), False, sealed)


def _apart(lines: Sequence[tuple[int, bytes]], path: Path) -> dict[int, bytes]:
    """The records by id. Raises StoreError where two have one id, of which a reader would see only the last."""
    records = dict(lines)
    if len(records) < len(lines):
        numbers = [i for i, _ in lines]
        twice = next(i for i in records if numbers.count(i) > 1)
        raise unreadable(path, f"two of its lines have the number {twice}, so one was altered")
    return records


def _tables(content: bytes, path: Path) -> dict[str, dict[str, Record]]:
    tables = read_json(content, path)
    if not isinstance(tables, dict) or (tables and DEFAULT not in tables):
        raise unreadable(path, f"it is JSON but has no table {DEFAULT!r}")
    for name, table in tables.items():
        if not isinstance(table, dict) or not all(
            DOC_ID.fullmatch(i) and isinstance(r, dict) for i, r in table.items()
        ):
            raise unreadable(path, f"its table {name!r} is not records by number")
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
        """Stores one record durably; returns its doc_id. See ``add_many``."""
        return self.add_many([record], replace=replace)[0]

    def add_many(self, records: Iterable[Mapping[str, Any]], *, replace: bool = False) -> list[int]:
        """Stores records in one write; returns their doc_ids.

        There is one record per ``run_id``: a failed one gives way to any newer one, and a finished one stays,
        unless ``replace`` or something is wrong with it, when a newer finished record takes its place and doc_id, and
        its evaluations go.

        Raises:
            ValueError: a record that the schema of records refuses, or with values that JSON cannot hold.
        """
        plain = [_check(record) for record in records]
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
                finished = record["status"] == "finished"
                if status != "finished" or (finished and (replace or self._is_flawed(seen, changed, doc_id))):
                    changed[doc_id] = record
                    known[record["run_id"]] = doc_id, record["status"]
            if changed:
                self._storage.write(seen, changed)
        return ids

    def add_result(self, doc_id: int, name: str, metrics: Mapping[str, Any], *, replace: bool = False) -> None:
        """Stores a later evaluation as ``record["evaluations"][name]``.

        Raises:
            ValueError: no such record, or it has an evaluation of that name and ``replace`` is False.
        """
        if not name or not isinstance(name, str):
            raise ValueError(f"an evaluation needs a name, not {name!r}")
        result = to_plain(metrics)
        with self._locked():
            seen = self._storage.read()
            record = self._sound(seen, doc_id)
            evaluations = record.get("evaluations") or {}
            if name in evaluations and not replace:
                raise ValueError(
                    f"record {doc_id} of {self.path} already has an evaluation {name!r}; give another name, "
                    "or replace it explicitly (replace=true)"
                )
            evaluated = _check({**record, "evaluations": {**evaluations, name: result}})
            self._storage.write(seen, {doc_id: evaluated})

    def replace(self, doc_id: int, record: Mapping[str, Any]) -> None:
        """Puts another record in the place of one.

        Raises:
            ValueError: no such record, one that ``add_many`` would refuse, or a finished run that another has.
        """
        plain = _check(record)
        with self._locked():
            seen = self._storage.read()
            self._require(seen, doc_id)
            other, status = seen.known.get(plain["run_id"], (doc_id, None))
            if other != doc_id and status == plain["status"] == "finished":
                raise ValueError(f"run {plain['run_id']} is record {other} of {self.path}; replace that one instead")
            self._storage.write(seen, {doc_id: plain})

    def remove(self, doc_ids: Iterable[int]) -> None:
        """Takes records out in one step, flawed ones too. Raises ValueError naming the ids that exist."""
        ids = list(doc_ids)
        with self._locked():
            seen = self._storage.read()
            self._storage.remove([self._require(seen, doc_id) for doc_id in ids])

    def get(self, doc_id: int) -> Record:
        """A record of one's own, with its ``doc_id``.

        Raises:
            ValueError: no such record, or something is wrong with it.
        """
        return {**self._sound(self._storage.read(), doc_id), "doc_id": doc_id}

    def all(self) -> list[Record]:
        """Returns all sound records by ascending id, each with its ``doc_id``."""
        seen = self._storage.read()
        return self._hand_out(seen, sorted(seen.records))

    def examined(self) -> tuple[list[Record], dict[int, str]]:
        """Returns every record as ``all``, and the flaws of the others by id: ``was altered since it was filed``.

        Nothing is taken on trust, as lines that we wrote are elsewhere; no warning is given.
        """
        seen = self._storage.read()
        sound: list[Record] = []
        flaws = {}
        for i, record in sorted(seen.records.items()):
            try:
                found = examine(i, record, self.path, needs_checksum=seen.file.sealed)
                sound.append({**found, "doc_id": i})
            except FlawError as error:
                flaws[i] = str(error)
        return sound, flaws

    def search(self, query: QueryLike) -> list[Record]:
        """The records that meet a TinyDB query, as ``all``. What the query asks for is decoded first."""
        seen = self._storage.read()
        with pause_collection():
            sure = {i: Fields(record, self.path) for i, record in seen.records.items() if checksum.unaltered(i, record)}
            others = self._records(seen, [i for i in seen.records if i not in sure])
            found = [i for i in seen.records if (i in sure or i in others) and query(sure.get(i) or others[i])]
            return self._hand_out(seen, found)

    def find(self, run_id: str, status: str | None = "finished") -> Record | None:
        """The record of a run, or None; ``status=None`` for any status."""
        return self.find_many([run_id], status).get(run_id)

    def find_many(self, run_ids: Iterable[str], status: str | None = "finished") -> dict[str, Record]:
        """The records of those runs that have one, by ``run_id``; ``status=None`` for any status."""
        seen = self._storage.read()
        there = {run: seen.known[run] for run in dict.fromkeys(run_ids) if run in seen.known}
        ids = [i for i, stored in there.values() if status in (None, stored)]
        return {record["run_id"]: record for record in self._hand_out(seen, ids)}

    def fold(self) -> int:
        """Writes the journal into the file, so that any TinyDB sees every record; returns the number of lines."""
        with self._locked():
            lines = self._storage.read().lines
            self._storage.fold()
        return lines

    def set_aside(self) -> list[Path]:
        """Renames a damaged file or journal to ``<name>.damaged-<n>``; returns the new names."""
        with self._locked():
            return [_rename(path) for path in reversed(self._storage.find_damaged())]

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

    def _require(self, seen: _Seen, doc_id: int) -> int:
        """The id, where there is such a record."""
        if type(doc_id) is int and doc_id in seen.records:
            return doc_id
        ids = sorted(seen.records)
        there = f"its ids run from {ids[0]} to {ids[-1]}" if ids else "it is empty; train a model first"
        raise ValueError(f"{self.path} has no record {doc_id!r}: {there}")

    def _sound(self, seen: _Seen, doc_id: int) -> Record:
        """A record, without its id. Raises ValueError where there is none, or something is wrong with it."""
        record = seen.records[self._require(seen, doc_id)]
        try:
            return examine(doc_id, record, self.path, needs_checksum=seen.file.sealed)
        except FlawError as error:
            raise StoreError(
                f"record {doc_id} of {self.path} {error}; `python -m evals.database rebuild dataset={self.path.stem}` "
                f"restores it from the record.json of its run, and `python -m evals.database remove "
                f"dataset={self.path.stem} id={doc_id}` takes it out"
            ) from None

    def _is_flawed(self, seen: _Seen, changed: Mapping[int, Record], doc_id: int) -> bool:
        return doc_id not in changed and doc_id in seen.records and not self._records(seen, [doc_id])

    def _records(self, seen: _Seen, ids: Sequence[int]) -> dict[int, Record]:
        """Returns the sound ones of the records by id; a warning names the others, once a command."""
        sure = [i for i in ids if checksum.unaltered(i, seen.records[i])]
        with pause_collection():
            decoded = decode([seen.records[i] for i in sure], self.path)
            found: dict[int, Record] = dict(zip(sure, decoded, strict=True))
            flaws = {}
            for i in ids:
                if i in found:
                    del found[i][checksum.KEY]
                    continue
                try:
                    found[i] = examine(i, seen.records[i], self.path, needs_checksum=seen.file.sealed)
                except FlawError as error:
                    flaws[i] = str(error)
        if flaws:
            _warn(self.path, flaws)
        return found

    def _hand_out(self, seen: _Seen, ids: Sequence[int]) -> list[Record]:
        records = self._records(seen, ids)
        return [{**records[i], "doc_id": i} for i in ids if i in records]


def _warn(path: Path, flaws: Mapping[int, str]) -> None:
    """Names the records that are left out, once a command."""
    from utils.system.console import count, warn_once  # which imports more than a store needs

    named = [f"record {i} {flaw}" for i, flaw in list(flaws.items())[:NAMED]]
    more = f"; and {len(flaws) - NAMED} more" if len(flaws) > NAMED else ""
    warn_once(
        f"{path}: {count(len(flaws), 'record')} left out: {'; '.join(named)}{more}. "
        f"`python -m evals.database check dataset={path.stem}` names all of them"
    )


def _check(record: Mapping[str, Any]) -> Record:
    plain: Any = bare(to_plain(record))
    if not plain.get("run_id") or not isinstance(plain["run_id"], str):
        raise ValueError(f"a record needs a run_id, not {plain.get('run_id')!r}; compute it by run_id(params)")
    if plain.get("status") not in STATUS:
        raise ValueError(
            f"run {plain['run_id']}: status {plain.get('status')!r} cannot be stored; only runs that are "
            f"{' or '.join(STATUS)}"
        )
    if wrong := flaw(dict(plain)):
        raise ValueError(f"run {plain['run_id']} cannot be stored: {wrong}")
    return plain


def _rename(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)
