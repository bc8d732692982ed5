"""The files that this process has read data from, by which a later one tells that nothing has changed."""

from pathlib import Path

Look = tuple[
    str, int, int
]  # absolute path, bytes, time of the last change in ns; -1 and -1 of a file that is not there

_read: dict[Path, Look] = {}  # as they were before they were read
_untold: set[str] = set()


def note(path: Path) -> Path:
    """Notes a file before its content becomes part of a data set, or that it is not there; returns it."""
    _read.setdefault(path.absolute(), look(path.absolute()))
    return path


def note_unseen(what: str) -> None:
    """Notes data that a later process cannot look at again: rows in memory, a folder of too many files."""
    _untold.add(what)


def describe_read() -> list[Look] | None:
    """Returns the files noted so far; None where data were unseen, or a file is no longer what was read."""
    unchanged = not _untold and all(look(path) == before for path, before in _read.items())
    return [_read[path] for path in sorted(_read)] if unchanged else None


def look(path: Path | str) -> Look:
    """Returns size and time of the last change of a file."""
    try:
        found = Path(path).stat()
    except OSError:
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns
