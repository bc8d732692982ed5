"""The C library's store of memory."""

import ctypes
from contextlib import suppress
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h
MOST = 1 << 25  # bytes; larger pieces come from the system and go back to it, and glibc knows no larger limit


@cache
def keep_freed_memory() -> None:
    """Lets glibc keep what this process frees for what it asks for next; other C libraries are left as they are.

    Otherwise the tensors of every step are given back to the system and come from it again as pages of zeros: in a
    stack of 64 models 5,000 pages a step, a tenth of its CPU time.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function; no library by that name
        set_limit = ctypes.CDLL(None).mallopt
        set_limit(TRIM_THRESHOLD, (1 << 31) - 1)
        set_limit(MMAP_THRESHOLD, MOST)
