"""The run database: one TinyDB file per data set, safe under many processes, kills and full disks.

``utils.records.storage`` says how the file and its journal are laid out.

Each record has a checksum (``utils.records.checksum``), is checked against ``utils.records.schema`` when it is written,
and again when it is read unless its line is as we wrote it. A record that was altered, or that commands could not read,
is left out, with a warning; it stays in the file until it is filed again or removed. To change one on purpose with
another program, take its checksum out.

Writers hold the lock ``<path>.lock``, readers need none. Where locks cannot be relied on, as on a network folder that
many machines write to (``TRILEMMA_DELIVER=1``, or a folder that has no locks), records are delivered to an inbox
(``utils.records.deliveries``), and filed by the next process that writes, or that reads and can write. Where there is
an inbox, writers also hold ``<path>.folding``, a lock that holds between machines. A process that is killed after it
filed what was delivered and before it removed the deliveries leaves them to be filed again, which changes nothing.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from filelock import Timeout
from tinydb.queries import QueryLike

import paths_config
from utils.records import checksum
from utils.records.deliveries import Delivery, Entry, Inbox
from utils.records.encoded import (
    Fields,
    FlawError,
    StoreError,
    bare,
    decode,
    examine,
    pause_collection,
    run_of,
    same_record,
    seal,
)
from utils.records.plain import to_plain
from utils.records.schema import STATUS, flaw
from utils.records.storage import Seen, Storage
from utils.records.typed import Record
from utils.system.console import count, warn_once
from utils.system.locks import NoLockError, holding, make_lock
from utils.system.markers import SILENCE, Marker

NAMED = 3  # records in a warning


class _Overlay(NamedTuple):
    """The file and the inbox as they were read last, and both together."""

    seen: Seen
    delivered: Mapping[str, Delivery]
    both: Seen


class RunStore:
    """The records of one data set, by ``doc_id``. See the module for the file format.

    ``journal_after``: number of records from which on writes go to the journal. ``timeout``: seconds to wait for
    another process. Every method raises StoreError where the file is no database, OSError naming the file where it
    cannot be read or written, and every writing one TimeoutError where the lock stays taken. What was delivered counts
    everywhere, filed or not. All that writes but ``add`` and ``add_many`` raises ValueError in a process that delivers.
    """

    def __init__(self, path: str | Path, *, journal_after: int = 1000, timeout: float = 60.0):
        self.path = Path(path).resolve()
        self._inbox = Inbox(self.path)
        self._storage = Storage(self.path, journal_after, self._require_lock)
        self._timeout = timeout
        self._lock = make_lock(self.path.with_name(self.path.name + ".lock"))
        self._marker = Marker(self.path.with_name(self.path.name + ".folding"))
        self._overlay: _Overlay | None = None

    def add(self, record: Mapping[str, Any], *, replace: bool = False) -> int:
        """Stores one record durably; returns its doc_id, 0 where it was delivered. See ``add_many``."""
        return self.add_many([record], replace=replace)[0]

    def add_many(self, records: Iterable[Mapping[str, Any]], *, replace: bool = False) -> list[int]:
        """Stores records in one write; returns their doc_ids, or zeros where they were delivered and have none yet.

        There is one record per ``run_id``: a failed one gives way to any newer one, and a finished one stays,
        unless ``replace`` or something is wrong with it, when a newer finished record takes its place and doc_id, and
        its evaluations go.

        Raises:
            ValueError: a record that the schema of records refuses, or with values that JSON cannot hold.
        """
        plain = [_check(record) for record in records]
        if not paths_config.delivers():
            with suppress(NoLockError), self._locked(by_marker=False):
                seen = self._settled()
                ids, chosen = self._settle(seen, [(of["run_id"], of["status"], replace) for of in plain])
                if chosen:
                    self._storage.write(seen, {i: seal(i, plain[place]) for i, place in chosen.items()})
                return ids
        self._inbox.deliver(plain, replace=replace)
        return [0] * len(plain)

    def add_result(self, doc_id: int, name: str, metrics: Mapping[str, Any], *, replace: bool = False) -> None:
        """Stores a later evaluation as ``record["evaluations"][name]``.

        Raises:
            ValueError: no such record, or it has an evaluation of that name and ``replace`` is False.
        """
        if not name or not isinstance(name, str):
            raise ValueError(f"an evaluation needs a name, not {name!r}")
        result = to_plain(metrics)
        with self._locked():
            seen = self._settled()
            record = self._sound(seen, doc_id)
            evaluations = record.get("evaluations") or {}
            if name in evaluations and not replace:
                raise ValueError(
                    f"record {doc_id} of {self.path} already has an evaluation {name!r}; give another name, "
                    "or replace it explicitly (replace=true)"
                )
            evaluated = _check({**record, "evaluations": {**evaluations, name: result}})
            self._storage.write(seen, {doc_id: seal(doc_id, evaluated)})

    def replace(self, doc_id: int, record: Mapping[str, Any]) -> None:
        """Puts another record in the place of one.

        Raises:
            ValueError: no such record, one that ``add_many`` would refuse, or a finished run that another has.
        """
        plain = _check(record)
        with self._locked():
            seen = self._settled()
            self._require(seen, doc_id)
            other, status = seen.known.get(plain["run_id"], (doc_id, None))
            if other != doc_id and status == plain["status"] == "finished":
                raise ValueError(f"run {plain['run_id']} is record {other} of {self.path}; replace that one instead")
            self._storage.write(seen, {doc_id: seal(doc_id, plain)})

    def remove(self, doc_ids: Iterable[int]) -> None:
        """Takes records out in one step, flawed ones too. Raises ValueError naming the ids that exist."""
        ids = list(doc_ids)
        with self._locked():
            seen = self._settled()
            self._storage.remove([self._require(seen, doc_id) for doc_id in ids])

    def get(self, doc_id: int) -> Record:
        """A record of one's own, with its ``doc_id``.

        Raises:
            ValueError: no such record, or something is wrong with it.
        """
        return {**self._sound(self._view(), doc_id), "doc_id": doc_id}

    def all(self) -> list[Record]:
        """Returns all sound records by ascending id, each with its ``doc_id``."""
        seen = self._view()
        return self._hand_out(seen, sorted(seen.records))

    def examined(self) -> tuple[list[Record], dict[int, str]]:
        """Returns every record as ``all``, and the flaws of the others by id: ``was altered since it was filed``.

        Nothing is taken on trust, as lines that we wrote are elsewhere; no warning is given.
        """
        seen = self._view()
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
        seen = self._view()
        with pause_collection():
            sure = {i: Fields(record, self.path) for i, record in seen.records.items() if checksum.unaltered(i, record)}
            others = self._records(seen, [i for i in seen.records if i not in sure])
            found = [i for i in seen.records if (i in sure or i in others) and query(sure.get(i) or others[i])]
            return self._hand_out(seen, found)

    def find(self, run_id: str, status: str | None = "finished") -> Record | None:
        """The record of a run, or None; ``status=None`` for any status."""
        return self.find_many([run_id], status).get(run_id)

    def newest(self) -> Record | None:
        """The sound record of the highest number; None where there is none."""
        seen = self._view()
        return next(iter(self._hand_out(seen, sorted(seen.records)[-1:])), None)

    def find_many(self, run_ids: Iterable[str], status: str | None = "finished") -> dict[str, Record]:
        """The records of those runs that have one, by ``run_id``; ``status=None`` for any status."""
        seen = self._view()
        there = {run: seen.known[run] for run in dict.fromkeys(run_ids) if run in seen.known}
        ids = [i for i, stored in there.values() if status in (None, stored)]
        return {record["run_id"]: record for record in self._hand_out(seen, ids)}

    def number(self, run_ids: Iterable[str]) -> dict[str, int]:
        """Returns the doc_ids of those runs that have a record, by ``run_id``; no record is decoded."""
        known = self._view().known
        return {run: known[run][0] for run in run_ids if run in known}

    def fold(self) -> int:
        """Files what was delivered and writes the journal into the file, so that any TinyDB sees every record.

        Returns:
            The number of lines and of delivered records.
        """
        with self._locked():
            delivered = sum(len(delivery.entries) for delivery in self._inbox.read().values())
            lines = self._storage.read().lines + delivered
            self._settled()
            self._storage.fold()
        return lines

    def list_damaged(self) -> list[Path]:
        """Returns the deliveries that were altered or cut off, and set aside."""
        return self._inbox.list_damaged()

    def set_aside(self) -> list[Path]:
        """Renames a damaged file or journal to ``<name>.damaged-<n>``; returns the new names."""
        with self._locked():
            return [_rename(path) for path in reversed(self._storage.find_damaged())]

    def __len__(self) -> int:
        return len(self._view().records)

    @contextmanager
    def _locked(self, timeout: float | None = None, *, by_marker: bool = True) -> Iterator[None]:
        """The only way to write: lock, read, replace. Without ``by_marker`` NoLockError where there are no locks."""
        if paths_config.delivers():
            raise ValueError(
                f"this process delivers its records (TRILEMMA_DELIVER=1) and changes nothing in {self.path}; unset it"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        timeout = self._timeout if timeout is None else timeout
        with ExitStack() as locks:
            try:
                sure = locks.enter_context(holding(self._lock, timeout))
                if not (sure or by_marker):
                    raise NoLockError(None, "no file can be locked there", str(self.path.parent))
                if not sure or self._inbox.exists():  # which other machines write to, whose locks may be their own
                    locks.enter_context(self._marker.hold(timeout and timeout + SILENCE))
            except Timeout as error:
                tool = "cat" if error.lock_file == str(self._marker.path) else "fuser"
                raise TimeoutError(
                    f"{self.path} is in use: another process has held {error.lock_file} for {timeout:g} s. Try again, "
                    f"or end that process (`{tool} {error.lock_file}` names it)"
                ) from error
            yield

    def _require_lock(self) -> None:
        """Raises NoLockError where another machine may write too."""
        if self._marker.token:
            self._marker.require()
        elif self._inbox.exists():
            raise NoLockError(None, "other machines began to write to it meanwhile; try again", str(self.path))

    def _view(self) -> Seen:
        """Returns what is there with what was delivered, which is filed where that can be done at once."""
        delivered = self._inbox.read()  # before the file, into which it may come meanwhile
        if delivered and not paths_config.delivers():
            with suppress(OSError), self._locked(0):
                return self._settled()
        seen = self._storage.read()
        if not delivered:
            return seen
        if (last := self._overlay) is None or last.seen is not seen or last.delivered is not delivered:
            self._overlay = last = _Overlay(seen, delivered, self._storage.overlay(seen, self._file(seen, delivered)))
        return last.both

    def _settled(self) -> Seen:
        """Files what was delivered, under the lock; returns what is there then."""
        seen, delivered = self._storage.read(), self._inbox.read()
        if not delivered:
            return seen
        if changed := self._file(seen, delivered):
            self._storage.write(seen, changed)
        self._inbox.remove(delivered)
        return self._storage.read()

    def _file(self, seen: Seen, delivered: Mapping[str, Delivery]) -> dict[int, bytes]:
        """Returns the sealed records that deliveries add to those seen, or put in the place of others.

        Judged by what becomes of all of them, so that deliveries that were filed before change nothing.
        """
        entries: list[Entry] = [entry for delivery in delivered.values() for entry in delivery.entries]
        _, chosen = self._settle(seen, [(*run_of(entry.line, self.path), entry.replace) for entry in entries])
        for wrong in [delivery.wrong for delivery in delivered.values() if delivery.wrong]:
            warn_once(wrong)
        with pause_collection():
            return {
                i: seal(i, record)
                for i, place in chosen.items()
                for record in decode([entries[place].line], self.path)
                if i not in seen.records or not same_record(record, seen.records[i], self.path)
            }

    def _settle(self, seen: Seen, filed: Iterable[tuple[str, Any, bool]]) -> tuple[list[int], dict[int, int]]:
        """Decides what becomes of records, given as run, status and whether they replace a finished one.

        Returns:
            Their doc_ids; and by doc_id the place in ``filed`` of the record that is there in the end, if it changes.
        """
        known = ChainMap({}, seen.known)  # those of this call over those stored
        following = max(seen.records, default=0) + 1
        chosen: dict[int, int] = {}
        ids = []
        for place, (run, status, replace) in enumerate(filed):
            doc_id, there = known.get(run, (following, None))
            following = max(following, doc_id + 1)
            ids.append(doc_id)
            finished = status == "finished"
            if there != "finished" or (finished and (replace or self._is_flawed(seen, chosen, doc_id))):
                chosen[doc_id] = place
                known[run] = doc_id, status
        return ids, chosen

    def _require(self, seen: Seen, doc_id: int) -> int:
        """The id, where there is such a record."""
        if type(doc_id) is int and doc_id in seen.records:
            return doc_id
        ids = sorted(seen.records)
        there = f"its ids run from {ids[0]} to {ids[-1]}" if ids else "it is empty; train a model first"
        raise ValueError(f"{self.path} has no record {doc_id!r}: {there}")

    def _sound(self, seen: Seen, doc_id: int) -> Record:
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

    def _is_flawed(self, seen: Seen, changed: Mapping[int, Any], doc_id: int) -> bool:
        return doc_id not in changed and doc_id in seen.records and not self._records(seen, [doc_id])

    def _records(self, seen: Seen, ids: Sequence[int]) -> dict[int, Record]:
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

    def _hand_out(self, seen: Seen, ids: Sequence[int]) -> list[Record]:
        records = self._records(seen, ids)
        return [{**records[i], "doc_id": i} for i in ids if i in records]


@cache
def _store(path: Path) -> RunStore:
    return RunStore(path)


def store_of(dataset: str) -> RunStore:
    """Returns the store of a data set, the same for all of a process, which reads what is new alone."""
    return _store(paths_config.database(dataset))


def _warn(path: Path, flaws: Mapping[int, str]) -> None:
    """Names the records that are left out, once a command."""
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
