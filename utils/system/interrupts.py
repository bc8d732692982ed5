"""Signals that ask a command to end: it does so at once, with a line in place of a traceback."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # as far as the system has them
NOTICE = ("SIGUSR1", "SIGUSR2")  # by which a cluster tells a job that its time will soon be over

_interrupts: list[int] = []  # signals since the start of the command that asked it to end
_notices: list[int] = []  # those that asked it to end soon

Handler = Callable[[int, FrameType | None], None]


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

    with _handled(_numbers(SIGNALS, interrupted) | _numbers(NOTICE, _note)):
        yield


@contextmanager
def gently() -> Iterator[None]:
    """A signal ends the work where nothing is lost: once an epoch is over and its checkpoint is written."""
    with _handled(_numbers(("SIGTERM", *NOTICE), _note), always=True):
        yield


def _numbers(names: Iterable[str], handler: Handler) -> dict[int, Handler]:
    return {getattr(signal, name): handler for name in names if hasattr(signal, name)}


def _note(number: int, frame: FrameType | None) -> None:
    _notices.append(number)


@contextmanager
def _handled(handlers: Mapping[int, Handler], *, always: bool = False) -> Iterator[None]:
    """Handles signals so, unless they are ignored, as in a job in the background or under nohup, or else ``always``."""
    previous = {number: signal.getsignal(number) for number in handlers}
    for number, handler in previous.items():
        if always or handler is not signal.SIG_IGN:
            signal.signal(number, handlers[number])
    try:
        yield
    finally:
        _interrupts.clear()
        _notices.clear()
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_if_interrupted() -> None:
    """Raises the interrupt that a destructor swallowed, or that a library made an error of its own of."""
    if _interrupts:
        raise Stopped(_interrupts[-1])


def asked_to_end() -> bool:
    """Returns whether a signal asked to end soon, so that what would be lost is to be written now."""
    return bool(_notices)


def end_if_asked() -> None:
    """Raises Stopped where a signal asked to end soon; called where nothing is lost."""
    if _notices:
        raise Stopped(_notices[-1])
