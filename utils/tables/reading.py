"""The cells of a table, each column as numbers or as texts: nothing is interpreted beyond the format of the file."""

import io
import warnings
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import paths_config
from utils.system.console import count
from utils.system.missing import describe_missing
from utils.system.sources import note
from utils.tables.remarks import Remark, some
from utils.tables.sniffing import BLANKS, Sniffed, number_pattern, open_bytes, sniff, without_comments
from utils.tables.table_schema import FileFormat

PARQUET = (".parquet", ".pq")
ROWS = 65_536  # that are read at a time


@dataclass
class RawTable:
    """A table as read, and what had to be guessed.

    A column of ``cells`` is of numbers, nan where missing, or a category of texts, as they stand but for blanks
    around them; ``""`` and the like are texts.
    """

    path: Path
    format: FileFormat
    cells: pd.DataFrame
    remarks: list[Remark]


def find_table(path: str, folder: Path | None = None) -> Path:
    """The file, looked for from the working directory (or ``folder``), then from the data folder."""
    tried = [(folder or Path()).joinpath(Path(path).expanduser()).resolve(), paths_config.data() / path]
    for file in tried:
        if note(file).is_file():
            return file
    raise ValueError(f"{describe_missing(path if folder is None else tried[0], f'nor is there {tried[1]}')}")


def read_table(path: Path, given: FileFormat | None = None, texts: Collection[str] = ()) -> RawTable:
    """All cells of a file.

    Args:
        path: of text, also compressed (.gz), or Parquet.
        given: what is known of its format; the rest is found out.
        texts: columns whose cells are texts, whatever they look like.

    Raises:
        ValueError: naming the file, where it is no proper table.
    """
    if path.suffix in PARQUET:
        frame = _read_parquet(path)
        return RawTable(path, FileFormat(path=str(path)), tidy(frame, texts), [])
    sniffed = sniff(path, given)
    names = _names(path, sniffed)
    frame = _read_csv(path, sniffed, names, texts)
    _tell_blanks(sniffed, frame)
    return RawTable(path, sniffed.format, frame, sniffed.remarks)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise ValueError(f"{path} is Parquet, which needs: pip install -r requirements/parquet.txt") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from None
    named = [name for name in frame.index.names if name is not None]  # columns that pandas saved as the index
    return frame.reset_index(named) if named else frame


def tidy(frame: pd.DataFrame, texts: Collection[str] = (), remarks: list[Remark] | None = None) -> pd.DataFrame:
    """A frame of anybody's as cells: columns of numbers as they are, all others as categories of texts.

    Whole numbers that are texts by the schema are written without a point, and what is missing is ``""``.
    """
    own: list[Remark] = [] if remarks is None else remarks
    return pd.DataFrame(
        {str(name): _tidy_column(frame.iloc[:, i], str(name) in texts, own) for i, name in enumerate(frame.columns)},
        index=frame.index,
    )


def _tidy_column(values: "pd.Series[Any]", as_text: bool, remarks: list[Remark]) -> "pd.Series[Any]":
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and not as_text:
        return values if values.dtype.kind in "iuf" else values.astype("float64")  # such as nullable whole numbers
    if values.dtype == object and not as_text and pd.api.types.infer_dtype(values) == "decimal":
        return values.astype("float64")
    try:
        held = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    except TypeError:
        raise ValueError(
            f"column {values.name!r} holds lists or the like; expected one text or number a cell"
        ) from None
    written = [write_cell(level) for level in held.cat.categories]
    spaced = [v for v, text in zip(held.cat.categories, written, strict=True) if isinstance(v, str) and v != text]
    if spaced:
        remarks.append(Remark(str(values.name), f"blanks around texts were removed: {some(spaced)}", read_as=True))
    return _categories(held.cat.codes.to_numpy(), written, values)


def write_cell(value: Any) -> str:
    """A cell as a text: whole numbers without a point, blanks around it removed."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _categories(codes: "np.ndarray[Any, Any]", texts: list[str], like: "pd.Series[Any]") -> "pd.Series[Any]":
    """A categorical column of texts, equal ones merged; code -1 is ``""``."""
    unique = sorted({*texts, ""} if (codes < 0).any() else set(texts))
    place = {text: i for i, text in enumerate(unique)}
    table = np.array([*(place[text] for text in texts), place.get("", -1)], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(table[codes], categories=unique), index=like.index, name=like.name)


def _names(path: Path, sniffed: Sniffed) -> list[str]:
    """Names of the columns, blanks removed; those without one are numbered. Raises ValueError where one comes twice."""
    names = [name or f"Unnamed: {i}" for i, name in enumerate(sniffed.header)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: the column {twice[0]!r} comes twice; rename one.")
    return names


def _read_csv(path: Path, sniffed: Sniffed, names: list[str], texts: Collection[str]) -> pd.DataFrame:
    fmt = sniffed.format
    number = number_pattern(fmt.decimal, fmt.thousands)
    places = range(len(names))
    seen = {i: [c for row in sniffed.rows if i < len(row) and (c := row[i]) not in fmt.na] for i in places}
    numeric = [
        i
        for i in places
        if names[i] not in texts and seen[i] and all((m := number.fullmatch(c)) and not (m[1] or m[3]) for c in seen[i])
    ]
    textual: dict[str, Any] = {names[i]: "category" for i in places if i not in numeric}
    options: dict[str, Any] = {
        "sep": r"\s+" if fmt.separator == BLANKS else fmt.separator,
        "decimal": fmt.decimal,
        "thousands": fmt.thousands,
        "encoding": _encoding(fmt),
        "names": names,
        "header": None if fmt.names else 0,
        "skipinitialspace": True,
        "keep_default_na": False,
        "na_values": {names[i]: list(fmt.na) for i in numeric},
        "index_col": False,
        "low_memory": False,
    }
    if fmt.comment:
        _tell_comments(path, sniffed)
    if fmt.thousands:  # pandas takes the marks out wherever they stand, and makes 35 of 3,5
        textual |= dict.fromkeys((names[i] for i in numeric), str)
    frame, spoilt = _parse(path, options | {"dtype": textual}, sniffed)
    if fmt.thousands:
        spoilt += [names[i] for i in numeric if not _make_numbers(frame, names[i], fmt)]
    if sniffed.zeros:  # post codes, which are no numbers
        spoilt += [name for name in _with_leading_zeros(path, options, sniffed, numeric, names) if name not in spoilt]
    if spoilt:  # further down they are no numbers: read again as the texts that stand there
        again, _ = _parse(path, _as_texts(options, spoilt), sniffed)
        frame = frame.assign(**again)[names]
    return tidy(frame, remarks=sniffed.remarks)


def _make_numbers(frame: pd.DataFrame, name: str, fmt: FileFormat) -> bool:
    """Writes a column of texts, missing where nothing is, as the numbers they are; false where some text is none."""
    number, cells = number_pattern(fmt.decimal, fmt.thousands), frame[name]
    texts = cells.cat.categories.str.strip()
    found = [number.fullmatch(text) for text in texts]
    if not all(match and not (match[1] or match[3]) for match in found):
        return False
    plain = [text.replace(str(fmt.thousands), "").replace(fmt.decimal, ".") for text in texts]
    frame[name] = np.array([*map(float, plain), np.nan])[cells.cat.codes.to_numpy()]
    return True


class _Uncommented(io.TextIOBase):
    """The text of a file without its comments, as pandas reads it."""

    def __init__(self, path: Path, encoding: str, mark: str):
        self.file = io.TextIOWrapper(open_bytes(path), encoding=encoding, newline="")
        self.lines = without_comments(self.file, mark)

    def read(self, size: int | None = -1, /) -> str:
        """Returns the next lines, of about as many characters; all where the size is negative."""
        taken, length = [], 0
        for line in self.lines:
            taken.append(line)
            length += len(line)
            if size is not None and 0 <= size <= length:
                break
        return "".join(taken)

    def close(self) -> None:
        """Closes the file."""
        self.file.close()
        super().close()


def _tell_comments(path: Path, sniffed: Sniffed) -> None:
    """Remarks on comments that have as many cells as a row has."""
    fmt = sniffed.format
    with io.TextIOWrapper(open_bytes(path), encoding=_encoding(fmt), newline="") as file:
        cuts = [line.count(fmt.separator) for line in file if line.startswith(str(fmt.comment))]
    rows = cuts.count(len(sniffed.header) - 1)
    if rows and len(sniffed.header) > 1:
        lines = count(rows, "line")
        text = f"{lines} left out as comments, though with as many cells as a row; where they are rows"
        sniffed.remarks.append(Remark("", text, "file: {comment: null}"))


def _encoding(fmt: FileFormat) -> str:
    return "utf-8-sig" if fmt.encoding == "utf-8" else fmt.encoding


class _Gathered:
    """A column that is read part by part into one array, which is no larger than it has to be."""

    def __init__(self, rows: int, textual: bool):
        self.values: Any = np.empty(rows, dtype=np.int32 if textual else np.float64)
        self.place: dict[str, int] | None = {} if textual else None
        self.spoilt = False  # what was read is not what stands in the file

    def add(self, start: int, part: "pd.Series[Any]") -> None:
        """Takes the rows from a place on."""
        if self.place is None:
            self.spoilt |= not pd.api.types.is_numeric_dtype(part)
            values = None if self.spoilt else part.to_numpy(np.float64)
        else:
            held = part if isinstance(part.dtype, pd.CategoricalDtype) else part.astype("category")
            # pandas makes numbers of the levels of a category where all of them can be, such as 01004
            self.spoilt |= not pd.api.types.is_string_dtype(held.cat.categories) and len(held.cat.categories) > 0
            table = [self.place.setdefault(str(text), len(self.place)) for text in held.cat.categories]
            values = np.array([*table, -1])[held.cat.codes.to_numpy()]
        if values is not None:
            self.values[start : start + len(part)] = values

    def whole(self, rows: int) -> Any:
        """The column of that many rows."""
        if self.place is None:
            return self.values[:rows]
        return pd.Categorical.from_codes(self.values[:rows], categories=list(self.place))


def _parse(path: Path, options: dict[str, Any], sniffed: Sniffed) -> tuple[pd.DataFrame, list[str]]:
    """The cells, read some rows at a time, so that they stand in memory once, and the columns that were misread."""
    gathered: dict[str, _Gathered] = {}
    rows = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # else surplus fields vanish with a warning
            with _opened(path, sniffed.format) as source, pd.read_csv(source, **options, chunksize=ROWS) as reader:
                for part in reader:
                    for name in part:
                        if name not in gathered:
                            gathered[name] = _Gathered(sniffed.lines, name in options["dtype"])
                        gathered[name].add(rows, part[name])
                    rows += len(part)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in {options['encoding']} (byte {error.start}).") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} is no proper table: {str(error).strip()}") from None
    spoilt = [name for name, column in gathered.items() if column.spoilt]
    return pd.DataFrame({name: column.whole(rows) for name, column in gathered.items()}, copy=False), spoilt


def _as_texts(options: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    return options | {"dtype": dict.fromkeys(columns, str), "usecols": columns, "na_values": {}}


def _with_leading_zeros(
    path: Path, options: dict[str, Any], sniffed: Sniffed, numeric: list[int], names: list[str]
) -> list[str]:
    """Columns of whole numbers of which some begin with a zero, such as 01004."""
    columns = [names[i] for i in numeric]
    if not columns:
        return []
    cells, _ = _parse(path, _as_texts(options, columns), sniffed)

    def zeros(name: str) -> bool:
        found = [str(text).strip() for text in cells[name].cat.categories]
        return all(t in sniffed.format.na or t.isdecimal() for t in found) and any(
            len(t) > 1 and t[0] == "0" for t in found
        )

    return list(filter(zeros, columns))


def _opened(path: Path, fmt: FileFormat) -> AbstractContextManager[Any]:
    """The path, or the text without comments, for pandas to read."""
    return _Uncommented(path, _encoding(fmt), fmt.comment) if fmt.comment else nullcontext(path)


def _tell_blanks(sniffed: Sniffed, frame: pd.DataFrame) -> None:
    """Remarks on columns without a name that hold nothing, which are left out."""
    empty = [
        name
        for name in frame.columns
        if str(name).startswith("Unnamed: ") and not (frame[name].astype(str).str.strip() != "").any()
    ]
    for name in empty:
        del frame[name]
    if empty:
        ends = "the last column has no name and is empty: left out" if len(empty) == 1 else f"{some(empty)}: left out"
        sniffed.remarks.append(Remark("", ends))
