"""The evaluations of a search as they are made: an append-only file of JSON lines, the only state of a search.

The first line says what search it is; every other is one evaluation, on the disk before the search goes on.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from utils.atomic import append
from utils.types import Batch

KIND = "trilemma poison search"


class Journal:
    """What a search has evaluated, from its file where there is one. One process at a time writes it.

    A last line without its end, which a kill leaves, is dropped.

    Raises:
        ValueError: the file is of another search, or cannot be read; it is left as it is.
    """

    def __init__(self, path: Path, definition: Mapping[str, Any]):
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._size = 0
        whole = path.read_bytes() if path.exists() else b""
        lines = whole[: whole.rfind(b"\n") + 1].splitlines()
        if lines:
            self._compare(self._read(0, lines[0]), json.loads(json.dumps(definition)))
            self.entries = [self._read(number, line) for number, line in enumerate(lines[1:], 1)]
            self._size = whole.rfind(b"\n") + 1
        elif whole and not f'{{"kind": "{KIND}"'.encode().startswith(whole[: len(KIND) + 11]):
            raise ValueError(f"{path} is no journal of a search for poison; move it away to search anew")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write([{"kind": KIND} | dict(definition)])

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Append evaluations, one a line, and return when they are on the disk. Raises OSError as ``append``."""
        for entry in entries:
            self._write([entry])
            self.entries.append(dict(entry))

    def _write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        append(self.path, data, keep=self._size)
        self._size += len(data)

    def _read(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        expected = isinstance(entry, dict) and (entry.get("kind") == KIND if not number else "kind" not in entry)
        if not expected:
            raise ValueError(
                f"line {number + 1} of the journal {self.path} cannot be read; the file is left as it is: move it away "
                "to search anew"
            )
        return entry

    def _compare(self, there: dict[str, Any], wanted: Mapping[str, Any]) -> None:
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


def fingerprint(*splits: Batch) -> str:
    """Of rows, to tell one search's data from another's."""
    digest = hashlib.sha256()
    for split in splits:
        for column in split:
            digest.update(column.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
