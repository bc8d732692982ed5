"""Files that are there whole or not at all, and stay after a crash. Standard library only.

What is there already and is no regular file, such as a pipe or /dev/stdout, is written to as it is.

Every function that writes raises OSError naming the file when the disk is full or the folder is read-only.
"""

import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replaces the content of ``path`` in one step. Raises OSError as ``write_chunks``."""
    write_chunks(path, [data])


def write_text(path: str | Path, text: str) -> None:
    """Replaces the content of ``path`` by ``text`` in UTF-8, in one step. Raises OSError as ``write_chunks``."""
    write_bytes(path, text.encode())


def write_soon(path: str | Path, text: str) -> None:
    """Does the same without waiting for the disk: word for other processes, which a power loss may take back."""
    _write(Path(path), [text.encode()], durable=False)


def write_chunks(path: str | Path, chunks: Iterable[bytes]) -> None:
    """Replaces the content of ``path`` in one step; a reader sees the old bytes or the new ones, never a part.

    Missing folders are created; a symbolic link is followed; an existing file keeps its permissions. A pipe, a
    device and this process's own output are no files that could be replaced: the chunks are written to them.

    Raises:
        OSError: the disk is full or the folder read-only; the old file is then unchanged.
    """
    _write(Path(path), chunks, durable=True)


def _write(path: Path, chunks: Iterable[bytes], *, durable: bool) -> None:
    if is_stream(path):
        with _name_target(path):
            _write_through(path, chunks)
        return
    target = path.resolve() if path.is_symlink() else path
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    with _name_target(target):
        try:
            with _open_new(temporary) as file:
                file.writelines(chunks)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
        except BaseException:  # also KeyboardInterrupt
            _remove(temporary)
            raise
        if durable:
            sync_folder(target.parent)


def _open_new(path: Path) -> BinaryIO:
    """Opens a file that is not there yet, in a folder that may not be there either."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _remove(temporary: Path) -> None:
    """Removes a temporary file; where that takes room that a full disk lacks, as copy-on-write does, empties it."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        os.truncate(temporary, 0)
        temporary.unlink(missing_ok=True)


def is_stream(path: str | Path) -> bool:
    """Returns whether ``path`` exists but cannot be replaced: a pipe, device, socket or our own output."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of /dev/fd/63 too, which leads to no path
    except OSError:
        return False
    kinds = (stat.S_ISREG(found.st_mode), stat.S_ISDIR(found.st_mode))
    return not any(kinds) or _own_output(found) is not None


def _own_output(found: os.stat_result) -> int | None:
    """The number of the standard output or error that is this very file, or None."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and os.path.samestat(found, os.fstat(stream.fileno())):
            return stream.fileno()
    return None


def _write_through(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes to what is there. Our own output goes on where it is: opened again, a file would begin anew."""
    own = _own_output(path.stat())
    handle = os.open(path, os.O_WRONLY) if own is None else own
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(handle, rest) :]
    finally:
        if own is None:
            os.close(handle)


def append(path: str | Path, data: bytes, *, keep: int) -> None:
    """Keeps the first ``keep`` bytes of ``path``, adds ``data`` behind them and returns when both are on the disk.

    For one writer at a time. A kill may leave a part of ``data`` at the end of the file.

    Raises:
        OSError: the disk is full or the folder read-only; the file then ends after ``keep`` bytes.
    """
    target = Path(path)
    created = not target.exists()
    with _name_target(target):
        with target.open("ab", buffering=0) as file:  # unbuffered: nothing may be written after a failure
            file.truncate(keep)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(keep)
                raise
        if created:
            sync_folder(target.parent)


def leftovers(*paths: str | Path) -> list[Path]:
    """Temporary files that killed writers of files of one folder left; to be removed where no other writer can be."""
    targets = [Path(path).resolve() for path in paths]
    starts = {f".{target.name}" for target in targets}
    found: list[Path] = []
    for folder in {target.parent for target in targets}:
        with os.scandir(folder) as entries:  # a glob looks ten times as long
            found += [
                Path(of.path) for of in entries if of.name.endswith(".tmp") and of.name.rsplit(".", 2)[0] in starts
            ]
    return found


def sync_folder(folder: Path) -> None:
    """Makes renamed, new and removed files of a folder survive a power loss."""
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot; the rename holds
            raise
    finally:
        os.close(handle)


@contextmanager
def _name_target(path: Path) -> Iterator[None]:
    """Lets errors name the file the caller asked for, not the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
