"""One process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from utils.system.console import say


@contextmanager
def held(lock: FileLock, busy: str) -> Iterator[None]:
    """Hold a lock; where another process holds it, say that it is ``busy`` and wait."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{busy}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
