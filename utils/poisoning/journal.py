"""The evaluations of a search as they are made: an append-only file of JSON lines, the only state of a search.

The first line says what search it is; every other is one evaluation, on the disk before the search goes on.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.system.atomic import append
from utils.types import Batch

KIND = "trilemma poison search"

Entry = dict[str, Any]


class Journal:
    """The evaluations of a search, from its file where there is one. One process at a time writes it.

    A last line without its end, which a kill leaves, is dropped.

    Raises:
        ValueError: the file is of another search, or cannot be read; it is left as it is.
    """

    def __init__(self, path: Path, definition: Mapping[str, Any]):
        self.path = path
        self.entries: list[Entry] = []
        self._size = 0
        whole = path.read_bytes() if path.exists() else b""
        if b"\n" in whole:
            first, *self.entries = _parsed(path, whole)
            self._compare(first, _plain(definition))
            self._size = whole.rfind(b"\n") + 1
        elif whole and not f'{{"kind": "{KIND}"'.encode().startswith(whole[: len(KIND) + 11]):
            raise ValueError(f"{path} is no journal of a search for poison; move it away to search anew")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write([{"kind": KIND} | dict(definition)])

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Appends evaluations, one a line, and returns when they are on the disk. Raises OSError as ``append``."""
        made = [dict(entry) for entry in entries]
        self._write(made)
        self.entries += made

    def _write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        append(self.path, data, keep=self._size)
        self._size += len(data)

    def _compare(self, there: Entry, wanted: Entry) -> None:
        known = {key: value for key, value in there.items() if key != "kind"}
        if known == wanted:
            return
        changes = [
            f"{key}={known.get(key)}, now {wanted.get(key)}"
            for key in dict.fromkeys([*known, *wanted])
            if known.get(key) != wanted.get(key)
        ]
        raise ValueError(
            f"the journal {self.path} is of another search: {'; '.join(changes)}. Move it away to search anew"
        )


def of_other_budgets(paths: Iterable[Path], definition: Mapping[str, Any]) -> Iterator[list[Entry]]:
    """Yields what journals of the same search with another budget hold; unreadable ones are passed."""
    wanted = {"kind": KIND} | _plain(definition)
    for path in paths:
        with suppress(OSError, ValueError):
            with path.open("rb") as file:
                first = _parsed(path, file.readline())
            if [entry | {"budget": wanted["budget"]} for entry in first] == [wanted]:
                yield _parsed(path, path.read_bytes())[1:]


def _parsed(path: Path, content: bytes) -> list[Entry]:
    """The lines that have an end. Raises ValueError naming the first that is none of a journal."""
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [_read(path, number, line) for number, line in enumerate(lines)]


def _read(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry: Any = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or (entry.get("kind") == KIND) != (number == 0):
        raise ValueError(
            f"line {number + 1} of the journal {path} cannot be read; the file is left as it is: move it away to "
            "search anew"
        )
    return entry


def _plain(definition: Mapping[str, Any]) -> Entry:
    """Returns a definition as it comes back from a file."""
    plain: Entry = json.loads(json.dumps(definition))
    return plain


def fingerprint(*splits: Batch) -> str:
    """Returns 16 hex digits that tell the rows of one search from another's."""
    digest = hashlib.sha256()
    for split in splits:
        for column in split:
            digest.update(column.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
