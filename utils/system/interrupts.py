"""Signals that ask a command to end: it does so at once, with a line in place of a traceback."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # as far as the system has them

_interrupts: list[int] = []  # signals since the start of the command that asked it to end


def end_quietly() -> None:
    """Lets Ctrl-C end this process without a traceback from now on: while it imports, and where nothing else does."""

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("error: interrupted\n")
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = end


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end, Ctrl-C among them."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """A signal ends the command at once, or after the epoch where it meets a destructor, which would swallow it."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        _interrupts.append(number)
        while frame:
            if frame.f_code.co_name == "__del__":
                return
            frame = frame.f_back
        raise Stopped(number)

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    previous = {number: signal.getsignal(number) for number in numbers}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # as in a job in the background, or under nohup
            signal.signal(number, interrupted)
    try:
        yield
    finally:
        _interrupts.clear()
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_if_interrupted() -> None:
    """Raises the interrupt that a destructor swallowed, or that a library made an error of its own of."""
    if _interrupts:
        raise Stopped(_interrupts[-1])
