"""Data sets that come as one archive: downloaded once and unpacked whole or not at all; and pickles, read safely."""

import gzip
import io
import math
import pickle
import shutil
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

import paths_config
from utils.datasets.fetch import locate
from utils.system.console import notice
from utils.system.locks import hold
from utils.system.sources import note

DAMAGED = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)
# what garbage makes an unpickler raise, beside UnpicklingError
MALFORMED = (EOFError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError, MemoryError, struct.error)


def unpack(folder: str, files: Sequence[str], *, url: str, sha256: str) -> Path:
    """The folder of the data folder that holds ``files``; downloaded as a .tar.gz and unpacked where it is not there.

    An archive that already lies in the data folder is unpacked unchecked and kept; a downloaded one is checked
    against ``sha256`` (hex) and removed when it is unpacked. Only ``files`` are taken out of it.

    Raises ValueError where there is no network, the checksum differs, the archive is damaged, a file is missing, or
    the data folder cannot be written.
    """
    path = paths_config.data() / folder
    if not path.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with hold(path.with_name(f".{folder}.lock"), f"another process downloads {path}"):
                if not path.is_dir():
                    _make(path, files, url, sha256)
        except OSError as error:
            raise ValueError(
                f"cannot write {path} ({error}): make the folder writable, or set TRILEMMA_DATA to another."
            ) from error
    missing = [file for file in files if not (path / file).is_file()]
    if missing:
        raise ValueError(
            f"{path} has no {', '.join(missing)}: put the publisher's files there, or remove the folder to have it "
            f"made from {url}, or set TRILEMMA_DATA to the folder that holds {folder}."
        )
    for file in files:
        note(path / file)
    return path


def _make(path: Path, files: Sequence[str], url: str, sha256: str) -> None:
    archive = path.parent / PurePosixPath(url).name
    own = archive.is_file()
    try:
        locate(archive.name, url=url, sha256=sha256)
    except ValueError as error:
        raise ValueError(f"there is no folder {path}, and {error}") from error
    temporary = path.with_name(f".{path.name}.unpacking")  # only the holder of the lock has it
    shutil.rmtree(temporary, ignore_errors=True)  # what a kill left
    notice(f"Unpacking {archive} to {path}")
    try:
        _extract(archive, temporary, [f"{path.name}/{file}" for file in files])
        (temporary / path.name).rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if not own:
        archive.unlink()


def _extract(archive: Path, target: Path, names: Sequence[str]) -> None:
    """Takes the named files out of a .tar.gz; the rest of it, once they are found, is not even read."""
    left = set(names)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            while left and (member := tar.next()):
                name = str(PurePosixPath(member.name))
                if name in left and member.isfile():
                    tar.extract(member, target, filter="data")  # no path may lead out of the target
                    left.remove(name)
    except DAMAGED as error:
        raise ValueError(f"{archive} is no whole .tar.gz ({error}); remove it to have it downloaded anew.") from error
    if left:
        raise ValueError(f"{archive} holds no {', '.join(sorted(left))}; is it the publisher's archive?")


class _Kind:
    """Stands for a dtype: the name alone, such as u1."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like say nothing of single bytes."""


class _Array:
    """Stands for an array: what its pickle says, yet to be checked."""

    shape: Any = None
    kind: Any = None
    fortran: Any = None
    content: Any = None

    def __init__(self, *_: Any) -> None:
        """Makes an empty array, which the state fills."""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.kind, self.fortran, self.content = state

    def checked(self) -> NDArray[np.uint8]:
        """The array, row by row. Raises ValueError unless it is a whole one of uint8."""
        sound = (
            isinstance(self.shape, tuple)
            and all(type(size) is int and size >= 0 for size in self.shape)
            and isinstance(self.kind, _Kind)
            and self.kind.name in ("u1", b"u1")
            and isinstance(self.fortran, bool)
            and isinstance(self.content, bytes)
        )
        if not sound or len(self.content) != math.prod(self.shape):
            raise ValueError("an array in it is not of uint8, or not whole")
        values = np.frombuffer(bytearray(self.content), np.uint8)
        return np.ascontiguousarray(values.reshape(self.shape, order="F" if self.fortran else "C"))


def _encode(text: str, encoding: str) -> bytes:
    """Returns bytes as Python 3 writes them for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode(encoding)


# all that a pickle of arrays, lists and texts may ask for. A pickle can call any function there is, and NumPy's own
# build arrays that corrupt the memory from a damaged state, so none of them is called.
STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,  # its name up to NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encode,
}


# Python's own, not the one in C: that one takes memory for whatever number a damaged file says
class _Harmless(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return STAND_INS[module, name]


def unpickle(path: Path) -> dict[str, Any]:
    """The entries of a pickled dictionary whose keys are texts, of Python 2 or 3; its other texts may be bytes.

    Raises ValueError, naming the file, for anything but a whole pickle of arrays of uint8, lists, numbers and texts.
    """
    try:
        content = _Harmless(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        entries = {_text(key): content[key] for key in content}
        return {key: value.checked() if isinstance(value, _Array) else value for key, value in entries.items()}
    except (pickle.UnpicklingError, *MALFORMED) as error:
        raise ValueError(
            f"{path} is no whole pickle of images ({error}); get the publisher's file, or remove its folder to have "
            "it downloaded anew."
        ) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def entry(path: Path, content: dict[str, Any], key: str) -> Any:
    """One entry of an unpickled file. Raises ValueError, naming file and entries, where it is missing."""
    if key not in content:
        raise ValueError(f"{path} has no entry {key!r}; it has {', '.join(content) or 'none'}.")
    return content[key]


def integers(path: Path, content: dict[str, Any], key: str) -> NDArray[np.int64]:
    """An entry that is a list of whole numbers, (n,). Raises ValueError, naming file and entry, for another."""
    values = entry(path, content, key)
    if not isinstance(values, list) or not all(type(value) is int and abs(value) < 2**31 for value in values):
        raise ValueError(f"{path}: the entry {key!r} is no list of whole numbers.")
    return np.array(values, dtype=np.int64)


def texts(path: Path, content: dict[str, Any], key: str) -> list[str]:
    """An entry that is a list of texts. Raises ValueError, naming file and entry, for another."""
    values = entry(path, content, key)
    if not isinstance(values, list) or not all(isinstance(value, bytes | str) for value in values):
        raise ValueError(f"{path}: the entry {key!r} is no list of texts.")
    return [_text(value) for value in values]
