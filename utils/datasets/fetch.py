"""Raw data files: found in the data folder or downloaded there with a checksum, and read as text.

Rows are counted from 0, lines of a file from 1.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import paths_config
from utils.datasets.tabular import Floats, unknown_name
from utils.system.console import count, harmless, notice
from utils.system.sources import note

if TYPE_CHECKING:
    from pandas import DataFrame


def locate(relative: str, *, url: str, sha256: str) -> Path:
    """Path of a raw file, ``relative`` to the data folder; downloaded from ``url`` where it is not there yet.

    A download is written under a temporary name, checked against ``sha256`` (hex) and renamed. A file that is
    already there is taken as it is: its content goes into the data set's fingerprint.

    Raises ValueError where there is no network, the checksum differs, or the folder cannot be written.
    """
    path = paths_config.data() / relative
    if not path.is_file():
        _download(path, url, sha256)
    return note(path)


def _download(path: Path, url: str, sha256: str) -> None:
    import pooch  # late: most runs find their files, and need neither this nor requests
    import requests

    pooch.get_logger().setLevel("WARNING")  # we say ourselves what is downloaded
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _progress(url, path) as bar:
            fetch = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=30)
            pooch.retrieve(url, f"sha256:{sha256}", path.name, path.parent, downloader=fetch)
        path.chmod(0o644)  # a temporary file is born private; data folders are often shared
    except requests.RequestException as error:
        reason = _reason(error)
        raise ValueError(
            f"cannot download {url} ({reason}): without network, put the file at {path}, or set TRILEMMA_DATA to the "
            "folder that holds your data."
        ) from error
    except OSError as error:
        raise ValueError(
            f"cannot write {path} ({error}): make the folder writable, or set TRILEMMA_DATA to another."
        ) from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise ValueError(
            f"the file at {url} has not the SHA-256 {sha256}: the transfer was damaged or the publisher changed the "
            f"file. Nothing was kept; try again, or put a copy that you trust at {path}."
        ) from error


def _reason(error: Exception) -> str:
    """Returns the error in a few words: the status line, or its kind."""
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP {response.status_code} {response.reason}"


@contextmanager
def _progress(url: str, path: Path) -> Iterator[Any]:
    """A bar on a terminal; one plain line, and False, elsewhere."""
    if not sys.stderr.isatty():
        notice(f"Downloading {url} to {path}")
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    parts = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True)) as shown:
        yield _Bar(shown, harmless(f"Downloading {path.name}"))


class _Bar:
    """A progress bar as pooch asks for it, drawn by rich."""

    def __init__(self, shown: Any, title: str) -> None:
        self.total = 0  # bytes; pooch sets it
        self._shown = shown
        self._task = shown.add_task(title, total=None)

    def update(self, count: int) -> None:
        self._shown.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self._shown.reset(self._task)

    def close(self) -> None:
        self._shown.refresh()


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Raises ValueError where it is no UTF-8 text or holds nothing."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: it splits at form feeds too
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (byte {error.start}); save it as UTF-8.") from None
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} is empty.")
    return lines


def read_fields(path: Path, header: Sequence[str], *, separator: str | None, comment: str) -> dict[str, list[str]]:
    """Columns of a text file without header, as text: fields split at ``separator`` (None: blanks), stripped.

    Blank lines and lines that begin with ``comment`` are skipped. Raises ValueError, naming file and line, for a
    line whose number of fields is not that of ``header``.
    """
    rows, stripped = [], _Stripped()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith(comment):
            continue
        fields = list(map(stripped.__getitem__, line.split(separator)))
        if len(fields) != len(header):
            raise ValueError(f"{path}, line {number}: {count(len(fields), 'field')}, but {len(header)} are expected.")
        rows.append(fields)
    if not rows:
        raise ValueError(f"{path} holds no rows.")
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


class _Stripped(dict[str, str]):
    """Texts without the blanks around them, each stripped once."""

    def __missing__(self, text: str) -> str:
        self[text] = text.strip()
        return self[text]


def parse_numbers(raw: "DataFrame", column: str, source: str | Path) -> Floats:
    """A text column as numbers (n,). Raises ValueError naming source, column, row and value."""
    codes, values = _present(raw, column, source)
    return np.array([_number(value, column, codes, i, source) for i, value in enumerate(values)])[codes]


def indicator(
    raw: "DataFrame", column: str, source: str | Path, *, ones: Sequence[str], zeros: Sequence[str]
) -> Floats:
    """1. where a text column is one of ``ones``, 0. where it is one of ``zeros``, (n,).

    Raises ValueError naming source, column, row and value for any other.
    """
    return one_of(raw, column, source, (*ones, *zeros), lambda value: value in ones)


def one_of(
    raw: "DataFrame", column: str, source: str | Path, known: Sequence[str], test: Callable[[str], bool]
) -> Floats:
    """1. where ``test`` holds of a text column (n,), 0. elsewhere; every value must be one of ``known``."""
    codes, values = _present(raw, column, source)
    for i, value in enumerate(values):
        if value not in known:
            raise ValueError(
                f"{source}: column {column!r} holds {value!r} in row {_first(codes, i)}; "
                f"known are {', '.join(map(repr, known))}."
            )
    return np.array([test(value) for value in values], dtype=np.float64)[codes]


def _present(raw: "DataFrame", column: str, source: str | Path) -> tuple[NDArray[np.intp], list[str]]:
    """Returns the number (n,) of each row's text, and the texts in the order of the rows that hold them first."""
    import pandas as pd  # which who only locates files need not wait for

    if column not in raw:
        raise unknown_name(str(source), column, [str(c) for c in raw.columns])
    codes, values = pd.factorize(np.array(list(map(str, raw[column].to_numpy(object))), dtype=object))
    return codes, list(values)


def _number(value: str, column: str, codes: NDArray[np.intp], i: int, source: str | Path) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(
            f"{source}: column {column!r} holds {value!r} in row {_first(codes, i)}, not a number."
        ) from None


def _first(codes: NDArray[np.intp], i: int) -> int:
    return int((codes == i).argmax())
