"""Records that were delivered beside a database by writers that have no lock to rely on, as into a maildir.

A delivery is a file of its own in the folder ``<database>.inbox``: written under another name, renamed when it is
whole, and never changed, so that a reader sees all of it or nothing, and whoever has filed its records may remove it.
Its first line says how many records it holds; each other line is one, sealed, under the number 1 where it takes the
place of a finished record of its run, else 0.

Deliveries count by the order of their names, which begin with a number above those that their writer has seen: what
takes the place of a record counts after it, on whichever machine, and no clock has a part in it (Lamport 1978).
"""

import errno
import json
import os
import platform
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils.records import checksum
from utils.records.encoded import FlawError, examine, seal
from utils.records.typed import Record
from utils.system import atomic
from utils.system.console import warn_once

DAMAGED = ".damaged"  # behind the name of a delivery that was set aside
NAME = re.compile(r"(\d{9})-.+\.jsonl")
LINE = re.compile(rb'"([01])": (\{\t.*\})')
_latest = [0]  # number of the deliveries that this process has made or seen


class Entry(NamedTuple):
    """A delivered record."""

    line: bytes
    replace: bool  # it takes the place of a finished record of its run


class Delivery(NamedTuple):
    """The sound records of a delivery, and what is wrong with the others, or nothing."""

    entries: tuple[Entry, ...]
    wrong: str


class Inbox:
    """The deliveries to a database. ``remove`` needs the lock, the others do not."""

    def __init__(self, database: Path):
        self.folder = database.with_name(f"{database.name}.inbox")
        self._read: dict[str, Delivery] | None = None

    def exists(self) -> bool:
        """Returns whether anything was ever delivered."""
        return self.folder.is_dir()

    def deliver(self, records: Sequence[Record], *, replace: bool) -> None:
        """Delivers records durably, all or none. Raises OSError where the disk is full or the folder read-only."""
        if not self.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.sync_folder(self.folder.parent)
        if self._read is None:
            self._list()
        _latest[0] += 1
        host = re.sub(r"[^A-Za-z0-9.]", "_", platform.node())[:64]
        name = f"{_latest[0]:09}-{host}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        lines = [b'"%d": %s\n' % (replace, seal(int(replace), record)) for record in records]
        atomic.write_chunks(self.folder / name, [json.dumps({"records": len(lines)}).encode() + b"\n", *lines])

    def read(self) -> dict[str, Delivery]:
        """Returns the deliveries that are there by name, in order; the same object while they are the same."""
        names, known = self._list(), self._read or {}
        if self._read is None or names != list(known):
            found = {name: known.get(name) or self._open(name) for name in names}
            self._read = {name: delivery for name, delivery in found.items() if delivery is not None}
        return self._read

    def remove(self, deliveries: dict[str, Delivery]) -> None:
        """Removes deliveries whose records are filed, in order; those with something wrong are kept under another name.

        Where one stays, as another user's may, so do those behind it: they count after it again.
        """
        for name, delivery in deliveries.items():
            path = self.folder / name
            try:
                path.rename(f"{path}{DAMAGED}") if delivery.wrong else path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                warn_once(f"{path} cannot be removed ({error.strerror}); it was filed, and is read again every time")
                break
        atomic.sync_folder(self.folder)

    def list_damaged(self) -> list[Path]:
        """Returns the deliveries that were set aside."""
        return sorted(self.folder.glob(f"*.jsonl{DAMAGED}"))

    def _list(self) -> list[str]:
        """Returns the names of the deliveries, in order."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if NAME.fullmatch(name))  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return []
        if names:
            _latest[0] = max(_latest[0], int(names[-1].partition("-")[0]))
        return names

    def _open(self, name: str) -> Delivery | None:
        """Reads a delivery; None where it was filed meanwhile, or cannot be read, with a warning."""
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                warn_once(f"{path} cannot be read ({error.strerror}); its records are left out")
            return None
        head, *lines = content.split(b"\n")
        entries = tuple(entry for line in lines if (entry := _entry(line, path)))
        if head == json.dumps({"records": len(entries)}).encode() and len(lines) == len(entries) + 1:
            return Delivery(entries, "")
        wrong = f"{path} was altered or cut off after it was delivered, and holds {len(entries)} sound records"
        return Delivery(entries, wrong)


def _entry(line: bytes, path: Path) -> Entry | None:
    """Returns the record of a line, None where it is not what was delivered."""
    if not (found := LINE.fullmatch(line)):
        return None
    number, record = int(found[1]), found[2]
    if not checksum.unaltered(number, record):
        try:
            examine(number, record, path, needs_checksum=True)  # of another version
        except FlawError:
            return None
    return Entry(record, bool(number))
