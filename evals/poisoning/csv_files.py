"""The files beside a database: the rows that were added to a training, and the trace of the search for them.

They lie below ``poison/`` in the folder of the databases; records hold their paths there and their SHA-256.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import paths_config
from utils.records.typed import Record
from utils.system import atomic
from utils.system.atomic import digest

WORDS = {"csv": "added rows", "changes": "list of changed rows", "trace": "trace of the search for rows"}


def _list_files(record: Record) -> dict[str, Mapping[str, str]]:
    """The files that a record names, by kind."""
    poison = record.get("poison") or {}
    return {kind: poison[kind] for kind in WORDS if poison.get(kind)}


def check_paths(record: Record) -> None:
    """Raises ValueError where a record names a file outside the folder."""
    for stated in _list_files(record).values():
        paths_config.poison_file(stated["path"])


def wrong(record: Record) -> Iterator[str]:
    """Yields what is wrong with each file that a record names."""
    for kind, stated in _list_files(record).items():
        try:
            path = paths_config.poison_file(str(stated["path"]))
        except ValueError as error:
            yield str(error)
            continue
        if not path.is_file():
            yield f"its {WORDS[kind]}, {path}: there is no such file"
        elif digest(path) != stated["sha256"]:
            yield f"its {WORDS[kind]}, {path}: another checksum than when stored"


def find_missing(record: Record) -> list[str]:
    """The kinds of files that a record names and that are not here."""
    return [
        kind
        for kind, stated in _list_files(record).items()
        if not _holds(paths_config.poison_file(stated["path"]), stated)
    ]


def copy_missing(record: Record, folders: Sequence[Path]) -> tuple[Record, int]:
    """The record with the files that it lacks copied here from the folders that have them, and how many.

    A file gets a name of its own where another one has its name; the record is the same object where none was renamed.
    """
    count = 0
    for kind in find_missing(record):
        stated = record["poison"][kind]
        source = next((path for folder in folders if _holds(path := folder / stated["path"], stated)), None)
        if source is None:
            continue
        path = Path(stated["path"])
        if paths_config.poison_file(stated["path"]).exists():
            path = path.with_name(f"{path.stem}.{stated['sha256'][:8]}{path.suffix}")
            renamed = {**record["poison"], kind: {**stated, "path": path.as_posix()}}
            record = {**record, "poison": renamed}
        atomic.write_bytes(paths_config.poison_file(path.as_posix()), source.read_bytes())
        count += 1
    return record, count


def _holds(path: Path, stated: Mapping[str, str]) -> bool:
    """Returns whether there is a file of the stated content."""
    return path.is_file() and digest(path) == stated["sha256"]
