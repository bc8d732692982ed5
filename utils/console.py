"""What every command says, and how: one line at a time, errors as one reads them, a pipe that may close."""

import os
import sys

from omegaconf.errors import OmegaConfBaseException

PIPE_CLOSED = 141


def say(text: str = "") -> None:
    """One line to the reader."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


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
