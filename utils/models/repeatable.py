"""Files of skops: equal for equal estimators, and no larger unpacked than a trained one can be."""

import io
import json
import math
import zipfile
from typing import Any

from numpy.lib import format as npy

SCHEMA = "schema.json"
SHRUNK = 64  # times that a trained estimator is packed smaller at the most: forests 6, an array of them 40
LEAST = 2**20  # bytes that any file may unpack to
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


def require_bounded(data: bytes) -> None:
    """Refuses a skops file that would unpack to more than a trained estimator of its size, or of arrays that lie.

    Nothing is unpacked but the headers of arrays.

    Raises:
        ValueError: no archive, one that unpacks to more than ``SHRUNK`` times its size, a part that is neither the
            description nor an array, or an array whose header claims more than there is.
    """
    try:
        packed = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None
    whole, most = sum(entry.file_size for entry in packed.infolist()), max(LEAST, SHRUNK * len(data))
    if whole > most:
        raise ValueError(f"{len(data)} bytes unpack to {whole}, and a trained estimator to {most} at the most")
    for entry in packed.infolist():
        if entry.filename != SCHEMA:
            _require_whole(packed, entry)


def _require_whole(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Refuses what is no array of numbers, or one that is not as large as its header says. Raises ValueError."""
    with packed.open(entry) as file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"{entry.filename} is an array of the unknown version {version}")
        shape, _, dtype = read(file)
        claimed = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or claimed != entry.file_size - file.tell():
            raise ValueError(f"{entry.filename} claims {claimed} bytes of {dtype} and has {entry.file_size}")
