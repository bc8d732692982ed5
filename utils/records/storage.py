"""The file of a database and its journal, taken apart into the lines of its records and put together again.

The file is one that any TinyDB reads and writes, table ``_default``. As we write it, a record is a line with a tab
before each of its keys, so that records are found, added and rewritten as bytes and only those handed out are
decoded. A file that another program wrote is parsed whole, and laid out so by our next write to it.

Up to ``journal_after`` records each write replaces the file atomically; above that, it adds the lines of the records
to ``<path>.journal``, which is folded into the file once it holds more than a tenth as many lines as the file holds
records. A fold writes nothing that is not in the journal, so one that is killed halfway is simply repeated.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.records import checksum
from utils.records.encoded import (
    FlawError,
    StoreError,
    encode,
    examine,
    pause_collection,
    read_json,
    run_of,
    seal,
    unreadable,
)
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

Index = dict[str, tuple[int, Any]]  # by run_id: doc_id and status
Signature = tuple[int, ...] | None


class Content(NamedTuple):
    """The content of a file or of a journal."""

    records: dict[int, bytes]
    rest: bytes  # of a file, from the end of its default table: other tables and the closing brace
    ours: bool  # laid out as we do
    sealed: bool  # every record has its checksum


class Seen(NamedTuple):
    """The content read last; it holds while the file has its signature and the journal has only grown."""

    signature: Signature  # of the file; None where there is none, () before the first reading
    file: Content
    journal: int  # bytes of its complete lines
    last: bytes  # of these lines
    lines: int  # how many they are
    records: dict[int, bytes]  # of the file, with the journal applied
    known: Index


EMPTY = Content({}, b"}}", True, False)
NOTHING = Seen((), EMPTY, 0, b"", 0, {}, {})


class Storage:
    """A file and its journal. ``write`` and ``fold`` need the lock, ``read`` does not.

    ``require_lock`` is called before what is written takes effect, and raises where the lock was lost meanwhile.
    """

    def __init__(self, path: Path, journal_after: int, require_lock: Callable[[], None]):
        self.path = path
        self.journal = path.with_name(path.name + ".journal")
        self._journal_after = journal_after
        self._require_lock = require_lock
        self._seen = NOTHING

    def read(self) -> Seen:
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
            seen = NOTHING._replace(signature=signature, file=file, records=file.records)
            seen = seen._replace(known=self._index(file.records, {}))
        new = journal[len(seen.last) : journal.rfind(b"\n") + 1]  # a line without an end was never acknowledged
        _require_torn(journal[journal.rfind(b"\n") + 1 :], self.journal)
        self._seen = self._with_lines(seen, new) if new else seen
        return self._seen

    def write(self, seen: Seen, changed: Mapping[int, bytes]) -> None:
        """Adds sealed records to those ``seen`` under this lock, or replaces some, durably."""
        records = {**seen.records, **changed}
        small = len(records) <= self._journal_after
        if seen.lines and (small or not seen.file.ours or seen.lines > len(seen.file.records) / 10):
            seen = self.fold()  # before the write: if the disk is full, nothing has been accepted
        if small or not seen.file.ours:
            self._rewrite(seen, records)
        else:
            self._append(seen, changed)

    def fold(self) -> Seen:
        """Writes the journal's records into the file and removes it."""
        seen = self.read()
        if seen.lines:
            seen = self._rewrite(seen, seen.records)
        if self.journal.exists():
            self._require_lock()
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

    def _rewrite(self, seen: Seen, records: dict[int, bytes]) -> Seen:
        for temporary in atomic.leftovers(self.path):  # of killed writers: we hold the lock
            temporary.unlink(missing_ok=True)
        if not (seen.file.ours and seen.file.sealed):
            records = {i: self._with_seal(i, record, seen.file) for i, record in records.items()}
        file = Content(records, seen.file.rest, True, True)
        atomic.write_chunks(self.path, self._lay_out(file))
        signature, _ = _content(self.path, peek=True)
        self._seen = NOTHING._replace(signature=signature, file=file, records=records, known=self._index(records, {}))
        return self._seen

    def _lay_out(self, file: Content) -> Iterator[bytes]:
        yield HEAD
        last = next(reversed(file.records), None)
        for i, record in file.records.items():
            yield _line(i, record) + (b"\n" if i == last else b",\n")
        yield file.rest
        self._require_lock()

    def _with_seal(self, doc_id: int, record: bytes, file: Content) -> bytes:
        """A record that another program or an older version wrote, sealed unless something is wrong with it."""
        if checksum.unaltered(doc_id, record):
            return record
        try:
            return seal(doc_id, examine(doc_id, record, self.path, needs_checksum=file.sealed))
        except FlawError:  # it stays as it is, and stays left out
            return record

    def _append(self, seen: Seen, records: Mapping[int, bytes]) -> None:
        lines = b"".join(_line(*pair) + b"\n" for pair in records.items())
        self._require_lock()
        atomic.append(self.journal, lines, keep=seen.journal)  # cuts off what a kill left
        self._seen = self._with_lines(seen, lines)

    def _with_lines(self, seen: Seen, lines: bytes) -> Seen:
        """Returns what was seen, with more lines of the journal."""
        return self.overlay(seen, _read_journal(lines, self.journal, seen.file).records)._replace(
            journal=seen.journal + len(lines),
            last=lines[lines.rfind(b"\n", 0, -1) + 1 :],
            lines=seen.lines + lines.count(b"\n"),
        )

    def overlay(self, seen: Seen, changed: Mapping[int, bytes]) -> Seen:
        """Returns what was seen, with these records in addition, or in the place of others."""
        records = {**seen.records, **changed}
        grown = len(records) == len(seen.records) + len(changed)
        return seen._replace(
            records=records, known=self._index(changed, seen.known) if grown else self._index(records, {})
        )

    def _index(self, records: Mapping[int, bytes], known: Index) -> Index:
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


def take_lines(line: re.Pattern[bytes], content: bytes, start: int = 0) -> tuple[list[tuple[int, bytes]], int]:
    """Returns the records of the lines from ``start`` on, and the beginning of the first line that is not ours."""
    records = []
    while match := line.match(content, start):
        records.append((int(match[1]), match[2]))
        start = match.end()
    return records, start


def _read_journal(content: bytes, path: Path, file: Content) -> Content:
    """The records of a journal by id, the last line of each.

    A line has its seal, or is from before there were any: then the file is too, or holds the same record by a fold
    that was killed.
    """
    lines, end = take_lines(IN_JOURNAL, content)
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
    return Content(records, b"", True, file.sealed)


def _require_torn(rest: bytes, path: Path) -> None:
    """Refuses what follows the last line end where it is a whole line and more, which no killed writer leaves."""
    found = TORN.match(rest)
    if found and checksum.unaltered(int(found[1]), found[2]):
        raise unreadable(path, f"the end of its line of record {found[1].decode()} was altered")


def _open(content: bytes, path: Path) -> Content:
    """A TinyDB file, whoever wrote it; an empty one has no records, as in TinyDB."""
    if not content:
        return EMPTY
    sealed = content.startswith(HEAD)
    if content.startswith(OLD_HEAD):
        lines, end = take_lines(IN_FILE, content, len(HEAD if sealed else OLD_HEAD))
        rest = content[end:]
        if rest.startswith(b"}"):
            _tables(HEAD + rest, path)
            return Content(_apart(lines, path), rest, sealed, sealed)
    with pause_collection():
        tables = _tables(content, path)
        default = tables.pop(DEFAULT, {})
        records = {int(i): encode(record) for i, record in default.items()}
    others = "".join(f", {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    return Content(records, f"}}{others}}}".encode(), False, sealed)


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
