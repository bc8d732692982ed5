"""One process at a time, as far as the file system has locks: some network folders have none."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from utils.system.console import say, warn_once

ABSENT = frozenset((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP))  # what says that there are no locks


class NoLockError(OSError):
    """There is no lock to rely on, or the one that was held is another process's by now."""


def make_lock(path: Path) -> FileLock:
    """Returns the lock of a file, without the stand-in of filelock's, which a killed process leaves for good."""
    return FileLock(path, fallback_to_soft=False)


@contextmanager
def holding(lock: FileLock, timeout: float = -1) -> Iterator[bool]:
    """Holds a lock; yields False, with a warning, where there are no locks, so that nothing is held.

    Args:
        lock: as ``make_lock`` makes it.
        timeout: seconds to wait for another process; below 0 without end.

    Raises:
        Timeout: another process holds it.
    """
    sure = True
    try:
        lock.acquire(timeout=timeout, poll_interval=0.01)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        sure = False
        warn_once(
            f"no file can be locked in {Path(lock.lock_file).parent} ({error.strerror}): a run may be trained twice, "
            "and records are delivered beside the database, which counts each once"
        )
    try:
        yield sure
    finally:
        if sure:
            lock.release()


@contextmanager
def hold(path: Path, busy: str) -> Iterator[None]:
    """Holds the lock of a file as ``holding``; where another process holds it, says that it is ``busy`` and waits."""
    lock = make_lock(path)
    with ExitStack() as held:
        try:
            held.enter_context(holding(lock, 0))
        except Timeout:
            say(f"{busy}; waiting for it")
            held.enter_context(holding(lock))
        yield
