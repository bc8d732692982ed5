"""Processes that work for this one and end with it, however it ends."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import (
    active_children,
    get_all_start_methods,
    get_context,
    get_start_method,
    parent_process,
    set_start_method,
)
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Any


@contextmanager
def pool(workers: int, begin: Callable[..., None] | None = None, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave interrupts to this one; each calls ``begin(*given)`` first."""
    if get_start_method() not in get_all_start_methods():  # in a job of joblib, whose own a new process does not know
        set_start_method("spawn", force=True)
    processes = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_as_child, initargs=(begin, *given)
    )
    try:
        yield processes
    except BaseException:
        processes.shutdown(wait=False, cancel_futures=True)
        for child in active_children():
            child.terminate()
        raise
    processes.shutdown()


def _as_child(begin: Callable[..., None] | None, *given: Any) -> None:
    """Leave interrupts to the parent, and end with it, however it ends."""
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with_the_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
