"""Processes that work for this one and end with it, however it ends."""

import os
import signal
import time
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
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

from utils.system.console import join_said, share_said, show_everything
from utils.system.garbage import collect_seldom

GRACE = 1.0  # seconds that a process has to clean up


@contextmanager
def pool(workers: int, begin: Callable[..., None] | None = None, *given: Any) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave interrupts to this one, and say together once what each would; each begins by ``begin``."""
    if get_start_method() not in get_all_start_methods():  # in a job of joblib, whose own a new process does not know
        set_start_method("spawn", force=True)
    processes = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_as_child, initargs=(share_said(), begin, *given)
    )
    try:
        yield processes
    except BaseException:
        processes.shutdown(wait=False, cancel_futures=True)
        ending = active_children()
        for child in ending:
            child.terminate()
        for child in ending:  # so that nothing is written once this process has tidied up
            child.join(2 * GRACE)
        raise
    processes.shutdown()


def _as_child(said: Path, begin: Callable[..., None] | None, *given: Any) -> None:
    """Leaves interrupts to the parent, and ends with it, however it ends."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal tells all processes of a command
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    show_everything()
    join_said(said)
    collect_seldom()
    Thread(target=_end_with_the_parent, daemon=True).start()
    if begin is not None:
        begin(*given)
    signal.signal(signal.SIGTERM, _end)  # from here on: before, there is nothing to clean up, and who ends says nothing


def _end(number: int, frame: FrameType | None) -> None:
    """Lets what is being done clean up behind it, then ends."""
    Thread(target=_gone, daemon=True).start()
    raise SystemExit(1)


def _gone() -> None:
    time.sleep(GRACE)
    os._exit(1)


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
