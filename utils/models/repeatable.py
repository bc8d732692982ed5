"""Files of skops that are equal for equal estimators."""

import io
import json
import zipfile
from typing import Any

SCHEMA = "schema.json"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a ZIP knows


def repeatable(data: bytes) -> bytes:
    """A skops file, compressed, without what two trainings of one model differ in: addresses in memory and the time.

    By their addresses a file tells objects apart and names its arrays: here they are numbered as they occur.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    numbers: dict[int, int] = {}

    def numbered(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: number(value) if key == "__id__" else numbered(value) for key, value in node.items()}
        if isinstance(node, list):
            return [numbered(value) for value in node]
        return renamed(node) if isinstance(node, str) and node in files else node

    def number(address: int) -> int:
        return numbers.setdefault(address, len(numbers))

    def renamed(name: str) -> str:
        address, dot, suffix = name.partition(".")
        return f"{number(int(address))}{dot}{suffix}"

    schema = json.dumps(numbered(json.loads(files.pop(SCHEMA))))
    parts = {SCHEMA: schema.encode()} | {renamed(name): content for name, content in files.items()}
    packing = io.BytesIO()
    with zipfile.ZipFile(packing, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(parts):
            packed.writestr(_entry(name), parts[name])
    return packing.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.create_system, entry.compress_type = 3, zipfile.ZIP_DEFLATED  # whatever system writes it
    return entry
