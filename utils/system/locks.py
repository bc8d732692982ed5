"""One process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from utils.system.console import say


@contextmanager
def hold(lock: FileLock, busy: str) -> Iterator[None]:
    """Holds a lock; where another process holds it, says that it is ``busy`` and waits."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{busy}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
