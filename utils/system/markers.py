"""A lock that is a file: it holds between machines too, and where no file can be locked.

Whoever makes the file holds the lock. Its content says who that is, and the owner touches it every ``BEAT`` seconds.
It is taken over from an owner that is gone: one of this machine whose process has ended, or one that has not touched
it for ``SILENCE`` seconds by the clock of the file server, which is that of a file touched now; clocks of machines are
never compared. An owner that was only asleep finds out by ``require``, which it asks before what it does takes effect.
"""

import json
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import NamedTuple

from filelock import Timeout

from utils.system.locks import NoLockError

BEAT, SILENCE = 20.0, 120.0
LONGEST_PAUSE = 0.5  # seconds between two looks at a lock that another process holds


class _Owner(NamedTuple):
    """The content of a lock, and when it was touched by the file server's clock, in seconds."""

    token: str
    machine: str
    pid: int
    touched: float


class Marker:
    """The lock that the file ``path`` is while it is there."""

    def __init__(self, path: Path):
        self.path = path
        self.token = ""  # while it is held here

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Holds the lock, waiting for others up to ``timeout`` seconds. Raises Timeout."""
        ends, pause = monotonic() + timeout, 0.01
        while not self._take():
            if monotonic() >= ends:
                raise Timeout(str(self.path))
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        stop = Event()
        Thread(target=self._beat, args=(stop, self.token), daemon=True).start()
        try:
            yield
        finally:
            stop.set()
            self._release()

    def require(self) -> None:
        """Raises NoLockError where another process has taken the lock over."""
        found = _look(self.path)
        if found is None or found.token != self.token:
            raise NoLockError(None, f"another process took it over after {SILENCE:g} s without a sign", str(self.path))

    def _take(self) -> bool:
        """Takes the lock where nobody has it, or its owner is gone."""
        token = secrets.token_hex(6)
        content = json.dumps({"token": token, "machine": machine(), "pid": os.getpid()}).encode()
        own_file = self.path.with_name(f".{self.path.name}.{token}.tmp")
        own_file.write_bytes(content)
        try:
            taken = _link(own_file, self.path)
            if not taken and (found := _look(self.path)) is not None:  # else it was released meanwhile
                taken = found.token == token or (self._is_gone(found, own_file) and self._replace(found, own_file))
        finally:
            own_file.unlink(missing_ok=True)
        if taken:
            self.token = token
        return taken

    def _is_gone(self, owner: _Owner, own_file: Path) -> bool:
        """Returns whether an owner has ended or gives no sign of life; ``own_file`` is there to be touched."""
        if owner.machine == machine() and not _runs(owner.pid):
            return True
        os.utime(own_file)  # without a time: the server's
        return abs(own_file.stat().st_mtime - owner.touched) > SILENCE

    def _replace(self, gone: _Owner, own_file: Path) -> bool:
        """Puts a file of one's own in the place of that of an owner that is gone, unless another process has.

        There is one lock for taking over from each owner, so that of several takers one replaces the file, once.
        """
        taking_over = Marker(self.path.with_name(f"{self.path.name}.{gone.token}"))
        if not taking_over._take():
            return False
        try:
            found = _look(self.path)
            if found is None or found.token != gone.token:
                return False
            own_file.replace(self.path)
            return True
        finally:
            taking_over._release()

    def _release(self) -> None:
        found, token, self.token = _look(self.path), self.token, ""
        if found is not None and found.token == token:
            self.path.unlink(missing_ok=True)

    def _beat(self, stop: Event, token: str) -> None:
        """Touches the lock from time to time while it is held."""
        while not stop.wait(BEAT):
            with suppress(OSError):
                if (found := _look(self.path)) and found.token == token:
                    os.utime(self.path)


def _link(own_file: Path, path: Path) -> bool:
    """Gives a file a second name; returns False where there is one of that name.

    Where files have one name each, the file is made anew, and written when it is there.
    """
    try:
        path.hardlink_to(own_file)
    except FileExistsError:
        return False
    except OSError:
        try:
            with path.open("xb") as file:
                file.write(own_file.read_bytes())
        except FileExistsError:
            return False
    return True


def _look(path: Path) -> _Owner | None:
    """Returns the owner of a lock, an unknown one where it did not come to say who it is; None of no lock."""
    try:
        with path.open("rb") as file:  # network file systems ask the server on open
            status, content = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return None
    try:
        said = json.loads(content)
        return _Owner(str(said["token"]), str(said["machine"]), int(said["pid"]), status.st_mtime)
    except (ValueError, LookupError, TypeError):
        return _Owner(f"{status.st_ino:x}", "", 0, status.st_mtime)


@cache
def machine() -> str:
    """Returns what tells apart the machines, and containers, whose numbers of processes mean the same."""
    boot, space = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()} {boot} {space}"


def _runs(pid: int) -> bool:
    """Returns whether a process of this machine runs; True where that cannot be told."""
    if os.name == "nt":  # where asking would end it
        return True
    with suppress(OSError):  # a process that was killed is there until its parent has heard of it
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
