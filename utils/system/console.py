"""The output of every command: one line at a time, errors as one reads them, a pipe that may close.

Names of files, columns, levels and records come from anybody. All that is said passes ``harmless``, so that none of
them moves the cursor, retitles or recolours a terminal, or turns the direction of what follows; what goes to a
spreadsheet passes ``escape_formulas``, so that none of them is calculated, nor reaches a terminal that shows the file.
"""

import atexit
import codecs
import hashlib
import io
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TextIO
from unicodedata import combining, normalize

from utils.system import atomic
from utils.words.wrapping import fit, room

PIPE_CLOSED = 141
ASCII = str.maketrans({"±": "+-", "–": "-", "—": "-", "…": "...", "’": "'", "“": '"', "”": '"', "×": "x", "→": "->"})
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")  # what Python sets LC_CTYPE to where it finds the locale C

# controls but for tab and the end of a line, what ends lines in other ways, turns of direction, lone surrogates
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

# what a spreadsheet takes for a formula, with the full-width forms of its signs, and what it does not
FORMULA = re.compile("((?:^|[;\t\r\n])\\s*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE | re.ASCII)

_warned: set[str] = set()  # since the start of the command
_shared: list[Path] = []  # the folder of what the processes of this command have said


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Returns a substitute for characters that a terminal cannot show: other signs, letters without accents, ?."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = normalize("NFKD", error.object[error.start : error.end].translate(ASCII))
    return "".join(sign for sign in text if not combining(sign)).encode("ascii", "replace").decode(), error.end


codecs.register_error("readable", _readable)


def show_everything() -> None:
    """Lets stdout and stderr show what their encoding lacks by something like it, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = stream.isatty() and _is_of_ascii(os.environ)
            stream.reconfigure(encoding="ascii" if ascii_only else None, errors="readable")


def _is_of_ascii(environment: Mapping[str, str]) -> bool:
    """Returns whether the locale is named C or POSIX, of whose terminals Python would ask for UTF-8 all the same."""
    if environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8"):
        return False
    signs = environment.get("LC_CTYPE")
    own = None if signs in COERCED else signs
    return (environment.get("LC_ALL") or own or environment.get("LANG")) in ("C", "POSIX")


def as_shown(text: str) -> str:
    """The text as stdout shows it: harmless, and of the characters that its encoding has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return harmless(text).encode(encoding, "readable").decode(encoding)


def can_redraw() -> bool:
    """Returns whether output goes to a terminal on which a line can be drawn over, as bars of progress do."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def harmless(text: str) -> str:
    """The text with every control character as the escape that Python writes for it, such as ``\\x1b``."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def escape_formulas(cell: Any) -> Any:
    """A cell of a CSV file, a text that a spreadsheet would calculate behind an apostrophe, which keeps it a text.

    That is one that begins with a sign of a formula, as a whole or behind a semicolon or tab, at which a spreadsheet
    may cut it too (OWASP, CSV Injection). Control characters are escaped, for who shows the file in a terminal.
    Numbers stay as they are, negative ones and those in a text too.
    """
    return harmless(FORMULA.sub(r"\1'", cell)) if isinstance(cell, str) and not NUMBER.fullmatch(cell) else cell


def write(text: str) -> None:
    """Text to the reader as it is, but for its control characters."""
    sys.stdout.write(harmless(text))
    sys.stdout.flush()


def say(text: str = "") -> None:
    """One line to the reader, or several; on a terminal in as many as keep words and commands whole."""
    write(_in_lines(text, sys.stdout) + "\n")


def _in_lines(text: str, stream: TextIO) -> str:
    wide = room(stream)
    return text if wide is None else fit(harmless(text), wide)


def say_of(path: str | Path, text: str) -> None:
    """One line about what was written to a file; on stderr where that is a pipe or a device, as our own output is."""
    stream = sys.stderr if atomic.is_stream(path) else sys.stdout
    stream.write(harmless(f"{_in_lines(f'{path}: {text}', stream)}\n"))
    stream.flush()


def warn(text: str) -> None:
    """One line of warning, which stops nothing."""
    _to_stderr(f"warning: {text}")


def warn_once(text: str) -> None:
    """The same, unless this command has said it."""
    if _is_news(text):
        warn(text)


def _is_news(text: str) -> bool:
    """Returns whether this command, whichever of its processes, has not said a text, which it says now."""
    if text in _warned:
        return False
    _warned.add(text)
    if _shared:
        try:
            _note_said(text)
        except FileExistsError:
            return False
        except OSError:  # rather twice than never
            pass
    return True


def share_said() -> Path:
    """Returns a folder in which this process and those that work for it note what they have said once."""
    if not _shared:
        _shared.append(Path(mkdtemp(prefix="trilemma-")))
        atexit.register(shutil.rmtree, _shared[0], ignore_errors=True)
        for text in _warned:
            _note_said(text)
    return _shared[0]


def join_said(folder: Path) -> None:
    """Begins in a process that works for the one whose folder this is."""
    _shared[:] = [folder]


def _note_said(text: str) -> None:
    """Raises FileExistsError where a text is noted already."""
    (_shared[0] / hashlib.sha256(text.encode()).hexdigest()).touch(exist_ok=False)


def count(n: float, noun: str, several: str | None = None) -> str:
    """Returns a whole number of things in words: ``1 run``, ``2,000 runs``; ``several`` is a plural without s."""
    return f"{n:,.0f} {noun if n == 1 else several or f'{noun}s'}"


def begin() -> None:
    """A command begins: nothing was said yet."""
    _warned.clear()
    _shared.clear()


def complain(text: str) -> None:
    """One line of error."""
    _to_stderr(f"error: {text}")


def complain_once(text: str) -> None:
    """The same, unless this command has said it, as of jobs that share a mistake."""
    if _is_news(text):
        complain(text)


def notice(text: str) -> None:
    """One line on what takes long, beside the answer."""
    _to_stderr(text)


def notice_once(text: str) -> None:
    """The same, unless this command has said it."""
    if _is_news(text):
        notice(text)


def _to_stderr(text: str) -> None:
    """One line, whatever ends of lines a name in it has."""
    sys.stderr.write(_in_lines(harmless(text).replace("\n", "\\n"), sys.stderr) + "\n")
    sys.stderr.flush()


def format_error(error: Exception) -> str:
    """An error as one reads it: of the operating system's, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    of_config = type(error).__module__.startswith("omegaconf.")  # which need not be imported for it; keys follow below
    return str(error).splitlines()[0] if of_config else str(error)


def unread() -> int:
    """The reader of a pipe, such as head, has seen enough: write nowhere from now on; the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED
