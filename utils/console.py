"""What every command says, and how: one line at a time, errors as one reads them, a pipe that may close."""

import codecs
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from omegaconf.errors import OmegaConfBaseException

from utils import atomic

PIPE_CLOSED = 141
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # that ask a command to end, as far as the system has them
ASCII = str.maketrans({"±": "+-", "–": "-", "—": "-", "…": "...", "’": "'", "“": '"', "”": '"', "×": "x", "→": "->"})

_warned: set[str] = set()  # since the start of the command
_interrupts: list[int] = []  # signals since the start of the command that asked it to end


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
    """Raise the interrupt that a destructor swallowed, or that a library made an error of its own of."""
    if _interrupts:
        raise Stopped(_interrupts[-1])


def _readable(error: UnicodeError) -> tuple[str, int]:
    """What stands in for characters that a terminal cannot show."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return text.encode("ascii", "replace").decode(), error.end


codecs.register_error("readable", _readable)


def show_everything() -> None:
    """Let stdout and stderr show what their encoding lacks by something like it, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="readable")


def say(text: str = "") -> None:
    """One line to the reader."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_of(path: str | Path, text: str) -> None:
    """One line about what was written to a file; on stderr where that is a pipe or a device, as our own output is."""
    stream = sys.stderr if atomic.is_stream(path) else sys.stdout
    stream.write(f"{path}: {text}\n")
    stream.flush()


def warn(text: str) -> None:
    """One line of warning, which stops nothing."""
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()


def warn_once(text: str) -> None:
    """The same, unless this command has said it."""
    if text not in _warned:
        _warned.add(text)
        warn(text)


def begin() -> None:
    """A command begins: nothing was said yet."""
    _warned.clear()


def complain(text: str) -> None:
    """One line of error."""
    sys.stderr.write(f"error: {text}\n")
    sys.stderr.flush()


def said(error: Exception) -> str:
    """An error as one reads it: of the operating system's, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error).splitlines()[0] if isinstance(error, OmegaConfBaseException) else str(error)


def unread() -> int:
    """The reader of a pipe, such as head, has seen enough: write nowhere from now on; the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED
