"""Image files as their publishers wrote them, byte by byte from the formats' descriptions."""

import gzip
import struct
from pathlib import Path

import numpy as np


def python2_pickle(entries: dict[str, object]) -> bytes:
    """A dictionary as Python 2 and its NumPy pickled it by protocol 2: texts are byte strings.

    Values: texts, whole numbers, lists of either, arrays of uint8. Opcodes of pickletools.
    """
    return b"\x80\x02}(" + b"".join(_text(key) + _value(value) for key, value in entries.items()) + b"u."


def _text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()  # SHORT_BINSTRING


def _value(value: object) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)  # BININT
    if isinstance(value, list):
        return b"](" + b"".join(map(_value, value)) + b"e"
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.uint8
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(map(_value, value.shape)) + b"t"
    content = b"T" + struct.pack("<i", value.nbytes) + value.tobytes()  # BINSTRING
    return empty + b"(K\x01" + shape + kind + b"\x89" + content + b"tb"


def idx(values: np.ndarray) -> bytes:
    """An array of bytes as a gzipped IDX file (LeCun, Cortes and Burges, the MNIST page)."""
    head = bytes((0, 0, 0x08, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(head + values.tobytes(), mtime=0)


def drawn(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random bytes (count, *shape)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Files of a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
