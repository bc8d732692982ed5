"""A study in a journal, a file on a folder that machines share, and the lock of those that write to it.

No lock of the operating system is relied on, since network folders lack them or keep them to one machine. Nor are the
clocks of machines: ages are by the file server's own.
"""

import json
import os
import random
import secrets
import socket
import time
from pathlib import Path
from tempfile import TemporaryFile
from threading import RLock
from typing import TYPE_CHECKING, Any

import paths_config

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

DEAD = 120.0  # seconds without a sign of life, which network folders may show a minute late
LOOK = 2.0  # seconds between two looks at whether whoever holds a lock is alive
TAIL = 1 << 20  # bytes; more than a line of a journal has


def journal_file(storage: str | None, study: str) -> Path | None:
    """The file that ``journal`` or ``journal:PATH`` means; None for another storage.

    Raises:
        ValueError: a file that is no journal, or in no folder that can be written to.
    """
    kind, _, given = str(storage).partition(":")
    if storage is None or kind != "journal":
        return None
    path = Path(given).expanduser().absolute() if given else paths_config.evals() / "studies" / f"{study}.log"
    what = f"hydra.sweeper.storage={storage}"
    try:
        if not given:
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(0)
            first = file.readline(TAIL)
        with TemporaryFile(dir=path.parent, prefix=".now-"):
            pass  # locks and signs of life are files beside it
    except OSError as error:
        raise ValueError(f"{what}: cannot write to {path} ({error.strerror})") from None
    if first.endswith(b"\n") and not _is_entry(first):
        raise ValueError(f"{what}: {path} is no journal of Optuna's; name a file of its own, which need not be there")
    return path


def _is_entry(line: bytes) -> bool:
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def open_journal(path: Path, lock: "StudyLock") -> "JournalStorage":
    """Optuna's storage in a journal. A line that a kill or a full disk has cut off goes before the next is written."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            lock.acquire()
            try:
                _drop_cut_line(path)
                super().append_logs(logs)
            finally:
                lock.release()

    like_theirs: Any = lock
    return JournalStorage(Backend(str(path), like_theirs))


def _drop_cut_line(path: Path) -> None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)


# --- who is alive ----------------------------------------------------------------------------------------------


def name_process() -> str:
    """A name of this process that no other has, on any machine."""
    return f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"


def _machine() -> str:
    """The machine, and the container where processes are numbered anew."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}-{space}".replace(".", "-").replace("/", "-")


def is_gone(process: str) -> bool:
    """Returns whether a process of this machine has ended; of another machine that is not known."""
    machine, _, rest = process.partition(".")
    number = rest.partition(".")[0]
    if machine != _machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def is_silent(path: Path) -> bool:
    """Returns whether a file was not touched for ``DEAD`` seconds, by the clock of the file server; or is gone."""
    try:
        with (
            path.open("rb") as file,
            TemporaryFile(dir=path.parent, prefix=".now-") as now,
        ):  # opened, so that no cache answers
            return os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime > DEAD
    except FileNotFoundError:
        return True


class StudyLock:
    """One process at a time writes; who has it may take it again, and gives it back as often. Optuna's interface.

    A lock whose holder was killed is taken over: at once on its machine, elsewhere after ``DEAD`` seconds.
    """

    def __init__(self, journal: Path):
        self._path = journal.with_name(f"{journal.name}.lock")
        self._own = name_process()
        self._held = 0
        self._threads = RLock()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> bool:
        """Waits until no other process has it."""
        self._threads.acquire()
        try:
            if not self._held:
                self._wait()
        except BaseException:
            self._threads.release()
            raise
        self._held += 1
        return True

    def release(self) -> None:
        """Gives it back."""
        self._held -= 1
        try:
            if not self._held and self._holder() == self._own:  # else it was taken over, from a process that slept
                self._path.unlink(missing_ok=True)
        finally:
            self._threads.release()

    def touch(self) -> None:
        """Shows, where this process has it, that it is still at it."""
        if self._held:
            os.utime(self._path)

    def _wait(self) -> None:
        pause, looked = 0.001, 0.0
        while True:
            made = False
            try:
                number = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                made = True
                with os.fdopen(number, "w") as file:
                    file.write(self._own)
                return
            except FileExistsError:
                if time.monotonic() - looked > LOOK:
                    looked = time.monotonic()
                    self._take_over()
                time.sleep(pause * random.uniform(0.5, 1))  # two that wait do not wait in step
                pause = min(2 * pause, 0.1)
            except BaseException:
                if made:
                    self._path.unlink(missing_ok=True)
                raise

    def _holder(self) -> str:
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def _take_over(self) -> None:
        """Removes the lock of a dead process, which another may be removing too."""
        holder = self._holder()
        if not (is_gone(holder) or (self._path.exists() and is_silent(self._path))):
            return
        aside = self._path.with_name(f"{self._path.name}.{self._own}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        if aside.read_text() != holder:  # the next holder's: it came in between
            os.link(aside, self._path)
        aside.unlink()
