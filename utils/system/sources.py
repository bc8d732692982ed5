"""The files that this process has read data from, by which a later one tells that nothing has changed."""

from pathlib import Path

Stat = tuple[str, int, int]  # absolute path, bytes, time of the last change in ns

_read: set[Path] = set()
_untold: set[str] = set()


def note(path: Path) -> Path:
    """Notes a file whose content makes up a data set; returns it."""
    _read.add(path.absolute())
    return path


def note_unseen(what: str) -> None:
    """Notes data that a later process cannot look at again: rows in memory, a folder of too many files."""
    _untold.add(what)


def describe_read() -> list[Stat] | None:
    """Returns what the files noted so far look like; None where data were unseen, or one of them is gone."""
    try:
        return None if _untold else [stat(path) for path in sorted(_read)]
    except OSError:
        return None


def stat(path: Path | str) -> Stat:
    """Size and time of the last change of a file. Raises OSError where there is none."""
    found = Path(path).stat()
    return str(path), found.st_size, found.st_mtime_ns
