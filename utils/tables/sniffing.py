"""The format of a text file that nobody described: encoding, separator, header, decimal and thousands marks.

Every guess is a remark; what could change the meaning of a number and cannot be told apart is refused.
"""

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from utils.system.console import count
from utils.tables.remarks import Remark, flow, some
from utils.tables.table_schema import MISSING, FileFormat

HEAD = 1 << 20  # bytes that are looked at for marks
LINES = 1000  # the same in lines
ALIKE = 0.95  # share of the lines that blanks have to cut into as many cells as the first
PART = 1 << 18  # bytes that are read at a time
APART = {" ": "blanks", "'": "apostrophes", "\u2019": "apostrophes", "\u00a0": "blanks"}  # of thousands
MARKED = re.compile("[ ,'\u2019\u00a0]")  # what may set thousands or decimals apart
SEPARATORS = (",", ";", "\t", "|")
BLANKS = " "  # runs of them, where no other sign cuts the lines
NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", BLANKS: "blanks"}
MARKS = {"utf-8-sig": b"\xef\xbb\xbf", "utf-32": b"\xff\xfe\x00\x00", "utf-16": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
NUMBER = r"[+-]?(?:\d+(?:{d}\d*)?|{d}\d+)(?:[eE][+-]?\d+)?"
UNITS = r"[$€£¥%]"  # that stand beside a number
BESIDE = re.compile(r"[$€£¥%()]")  # a number, with the brackets of negative ones
SIGNED_UNIT = re.compile(rf"^([+-])({UNITS})\s*")  # -$5
BRACKETED = re.compile(rf"^({UNITS}?)\s*\(\s*({UNITS}?)\s*([^()+-]+?)\s*\)$")  # ($5), which bookkeepers write for -$5
GROUPED = r"[+-]?\d{{1,3}}(?:{t}\d{{3}})+"  # 1,000


@dataclass
class Sniffed:
    """A format, its header and first rows, and what was guessed."""

    format: FileFormat
    header: list[str]
    rows: list[list[str]]  # the first ones, blanks stripped
    remarks: list[Remark] = field(default_factory=list)
    zeros: bool = False  # some number in the file begins with a 0 that counts, as in 01004
    lines: int = 0  # of the file, at most


def open_bytes(path: Path) -> BinaryIO:
    """The file, decompressed where its name ends in .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def sniff(path: Path, given: FileFormat | None = None) -> Sniffed:
    """The format of a file; what is ``given`` of it is kept.

    Raises:
        ValueError: naming the file and the line of the schema that settles it, where it is no table that can be read.
    """
    fixed = {} if given is None else given.model_dump(exclude_unset=True)
    remarks: list[Remark] = []
    encoding = fixed.get("encoding") or _find_encoding(path, remarks)
    lines = _first_lines(path, encoding)
    if not lines:
        raise ValueError(f"{path} is empty.")
    comment = fixed["comment"] if "comment" in fixed else _find_comment(lines, remarks)
    if comment:
        lines = list(without_comments(lines, comment))
    separator = fixed.get("separator") or _find_separator(lines, remarks)
    table = [[cell.strip() for cell in row] for row in _rows(lines, separator)]
    names = list(fixed.get("names") or ())
    header, rows = (names, table) if names else (table[0], table[1:])
    if names and table and len(names) != len(table[0]):
        raise ValueError(f"{path}: file.names are {count(len(names), 'name')}, but a row has {len(table[0])} cells")
    written = next(_rows(lines, separator))
    if spaced := [name for name in written if name != name.strip() and not names]:
        remarks.append(Remark("", f"blanks around names of columns were removed: {some(spaced)}", read_as=True))
    decimal, thousands = _find_marks(path, separator, rows, fixed, remarks)
    found = FileFormat.model_validate(
        {
            "path": str(path),
            "na": MISSING,
            **fixed,
            "encoding": encoding,
            "comment": comment,
            "separator": separator,
            "decimal": decimal,
            "thousands": thousands,
        }
    )
    zeros, most = _scan(path, separator)
    wide = encoding.startswith(("utf-16", "utf-32"))  # whose bytes do not tell: every number is then looked at
    sniffed = Sniffed(found, header, rows, remarks, zeros or wide, most)
    if not names:
        _require_header(path, sniffed)
    return sniffed


def _find_encoding(path: Path, remarks: list[Remark]) -> str:
    """UTF-8 where every byte of the file is; else by its mark or by what its letters look like."""
    with open_bytes(path) as file:
        start = file.read(4)
        for name, mark in MARKS.items():
            if start.startswith(mark):
                if name != "utf-8-sig":
                    remarks.append(
                        Remark("", f"the file is {name.upper()}", f"file: {{encoding: {name}}}", read_as=True)
                    )
                return name
        if encoding := _by_zeros(start):
            said = f"the file is {encoding.upper()} without a mark that says so"
            remarks.append(Remark("", said, f"file: {{encoding: {encoding}}}", read_as=True))
            return encoding
        if b"\0" in start:
            raise ValueError(f"{path} is no text: it holds zero bytes.")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for part in _parts(path):
            if not part.isascii() or decoder.getstate()[0]:
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _guess_encoding(path, remarks)
    return "utf-8"


def _by_zeros(start: bytes) -> str | None:
    """UTF-16 by the zero bytes that its letters of ASCII have; None of other bytes."""
    zeros = [byte == 0 for byte in start]
    return "utf-16-be" if zeros == [True, False] * 2 else "utf-16-le" if zeros == [False, True] * 2 else None


def _guess_encoding(path: Path, remarks: list[Remark]) -> str:
    from charset_normalizer import from_bytes

    with open_bytes(path) as file:
        strange = b"\n".join(line for line in file if not line.isascii())[:HEAD]
    western = strange.decode("cp1252", errors="replace")
    odd = [c for c in western if not c.isascii() and not c.isalpha() and c not in "€£°§«»–—‘’“”…×±²³½¼ß "]
    match = None if not odd else from_bytes(strange).best()
    if odd and match is None:
        raise ValueError(f"{path} is not text in UTF-8; say its encoding in the schema, file: {{encoding: ...}}")
    encoding = "cp1252" if match is None else match.encoding
    words = re.findall(r"\w*[^\W\d_a-zA-Z]\w*", strange.decode(encoding, errors="replace"))
    remarks.append(
        Remark(
            "",
            f"the file is not UTF-8; it was read as {encoding}, so that it holds {some(dict.fromkeys(words), 3)}",
            f"file: {{encoding: {encoding}}}",
            read_as=True,
        )
    )
    return encoding


def _first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines, the last one whole."""
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
            text = file.read(HEAD)
            if len(text) == HEAD:
                text = text[: text.rfind("\n") + 1] or text
    except (UnicodeError, LookupError) as error:
        raise ValueError(f"{path} cannot be read as file.encoding={encoding}: {error}") from None
    if "\0" in text:
        raise ValueError(f"{path} is no text: it holds zero bytes.")
    return [line for line in text.lstrip("\ufeff").splitlines(keepends=True) if line.strip()][:LINES]


def _find_comment(lines: Sequence[str], remarks: list[Remark]) -> str | None:
    """``#`` where the first lines begin with it and look unlike the rest."""
    marked = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if not 0 < marked < len(lines):
        return None
    separators = [lines[marked - 1].count(s) for s in SEPARATORS]
    if separators == [lines[marked].count(s) for s in SEPARATORS] and any(separators):
        return None  # a header whose first name begins so
    remarks.append(
        Remark("", f"lines that begin with # are comments, {marked} at the top", "file: {comment: '#'}", read_as=True)
    )
    return "#"


def without_comments(lines: Iterable[str], mark: str) -> Iterator[str]:
    """Yields the lines that do not begin with a mark; one that goes on inside a quoted cell begins nothing."""
    quoted = False
    for line in lines:
        if quoted or not line.startswith(mark):
            quoted ^= line.count('"') % 2 == 1
            yield line


def _rows(lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """Yields the cells of every line that is not empty."""
    cut = [line.strip() for line in lines] if separator == BLANKS else lines
    yield from (row for row in csv.reader(cut, delimiter=separator, skipinitialspace=True) if row)


def _find_separator(lines: Sequence[str], remarks: list[Remark]) -> str:
    """The sign that cuts most lines into as many cells as the first, more than one; a comma where none does."""

    def likeness(separator: str) -> tuple[float, int]:
        try:
            widths = [len(row) for row in _rows(lines, separator)]
        except csv.Error:
            return 0.0, 0
        same = Counter(widths)[widths[0]] / len(widths)
        return (same, widths[0]) if widths[0] > 1 else (0.0, 0)

    scores = {separator: likeness(separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda s: (round(scores[s][0], 1), scores[s][1]))
    if scores[best] == (0.0, 0):
        best = BLANKS if likeness(BLANKS)[0] > ALIKE else ","
    if best != ",":
        remarks.append(
            Remark("", f"cells are separated by {NAMES[best]}", f"file: {{separator: {flow(best)}}}", read_as=True)
        )
    return best


def number_pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    """The pattern of a number, maybe with the sign of a unit before or behind it: groups unit, number, unit."""
    plain = NUMBER.format(d=re.escape(decimal))
    if thousands:
        grouped = GROUPED.format(t=re.escape(thousands)) + rf"(?:{re.escape(decimal)}\d*)?"
        plain = f"{grouped}|{plain}"
    return re.compile(rf"({UNITS})?\s*({plain})\s*({UNITS})?")


def match_number(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The match of a text with the pattern of a number, maybe with its sign before that of its unit: -$5, ($5)."""
    return pattern.fullmatch(SIGNED_UNIT.sub(r"\2\1", BRACKETED.sub(r"\1\2-\3", text)))


def _find_marks(
    path: Path, separator: str, rows: Sequence[Sequence[str]], fixed: dict[str, object], remarks: list[Remark]
) -> tuple[str, str | None]:
    """The decimal and the thousands mark of the cells.

    Raises:
        ValueError: a comma may be either.
    """
    if "decimal" in fixed or "thousands" in fixed:
        decimal = str(fixed.get("decimal") or ".")
        thousands = fixed.get("thousands")
        return decimal, None if thousands is None else str(thousands)
    cells = [re.sub(BESIDE, "", cell).strip() for row in rows for cell in row if cell[:1] in "(+-$€£¥%0123456789"]
    cells = [cell for cell in cells if MARKED.search(cell) or "." in cell]
    commas = [cell for cell in cells if "," in cell and re.fullmatch(r"[+-]?[\d.,]*,[\d.,]*", cell)]
    as_decimal = [c for c in commas if re.fullmatch(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d*", c) and not _ambiguous(c)]
    for mark, name in [found for found in APART.items() if found[0] != separator]:
        grouped = [
            cell
            for cell in cells
            if mark in cell and re.fullmatch(rf"[+-]?\d{{1,3}}(?:{mark}\d{{3}})+(?:[.,]\d+)?", cell)
        ]
        if grouped:
            decimal = "," if any("," in cell for cell in (*grouped, *as_decimal)) else "."
            remarks.append(_of_marks(grouped[0], f"thousands are set apart by {name}", thousands=mark))
            return decimal, mark
    if not commas:
        return ".", None
    as_thousands = [c for c in commas if c.count(",") > 1 or re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+\.\d*", c)]
    if as_decimal and not as_thousands:
        points = [cell for cell in cells if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?", cell)]
        plain = [cell for cell in cells if re.fullmatch(r"[+-]?\d*\.\d*", cell) and cell not in points]
        if plain:  # 1,5 beside 1.5
            raise ValueError(
                f"{path} holds {as_decimal[0]!r} and {plain[0]!r}: say which mark is decimal in the schema, "
                "file: {decimal: ','} or file: {decimal: .}"
            )
        remarks.append(_of_marks(as_decimal[0], "the decimal mark is a comma", decimal=","))
        return ",", "." if points else None
    if as_thousands or separator == ",":
        first = (as_thousands or commas)[0]
        remarks.append(_of_marks(first, "thousands are set apart by commas", thousands=","))
        return ".", ","
    raise ValueError(
        f"{path} holds {commas[0]!r}, which may be {commas[0].replace(',', '')} or {commas[0].replace(',', '.')}: say "
        "which in the schema, file: {thousands: ','} or file: {decimal: ','}"
    )


def _of_marks(cell: str, text: str, **line: str) -> Remark:
    return Remark("", f"{text}, as in {cell!r}", f"file: {flow(line)}", read_as=True)


def _ambiguous(cell: str) -> bool:
    """Returns whether a number with one comma may have it as a thousands mark, as 1,234."""
    return bool(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell))


def _scan(path: Path, separator: str) -> tuple[bool, int]:
    """Returns whether a cell begins with a zero before another digit, anywhere in the file, and its lines at most."""
    before = np.zeros(256, dtype=bool)
    before[list(b'\n\r\t" ' + separator.encode())] = True
    inside = ord("0" if separator in "./" else ".")  # it, and what follows up to 9, begins no cell
    zeros, lines, end = False, 1, b"\n"  # before the first cell
    for part in _parts(path):
        lines += int(np.count_nonzero(np.frombuffer(part, dtype=np.uint8) == ord("\n")))
        if b"\r" in part:
            lines += part.count(b"\r") - part.count(b"\r\n")
        if zeros:
            continue
        text = (end + part).replace(b"\0", b"")  # of UTF-16 and UTF-32
        end = text[-2:]
        found = np.frombuffer(text, dtype=np.uint8)
        pairs = (found[1:-1] == ord("0")) & (found[2:] - ord("0") <= 9)  # below "0" it is 208 and more
        pairs &= found[:-2] - inside > ord("9") - inside  # few are left
        zeros = bool(pairs.any() and before[found[:-2][pairs]].any())
    return zeros, lines


def _parts(path: Path) -> Iterator[bytes]:
    """Yields the bytes of a file, some at a time."""
    with open_bytes(path) as file:
        yield from iter(lambda: file.read(PART), b"")


def _cells_below(sniffed: Sniffed, place: int) -> Iterator[str]:
    for row in sniffed.rows:
        if place < len(row) and row[place] not in sniffed.format.na:
            yield row[place]


def _require_header(path: Path, sniffed: Sniffed) -> None:
    """Refuses a file whose first row is data: a number stands above every column of numbers. Raises ValueError."""
    number = number_pattern(sniffed.format.decimal, sniffed.format.thousands)
    numeric = [
        i
        for i in range(len(sniffed.header))
        if (cells := list(_cells_below(sniffed, i))) and all(number.fullmatch(cell) for cell in cells)
    ]
    if numeric and all(number.fullmatch(sniffed.header[i]) for i in numeric):
        names = [f"column_{i + 1}" for i in range(len(sniffed.header))]
        raise ValueError(
            f"{path}: the first row reads as data ({', '.join(sniffed.header[:5])}), so the file has no header; add a "
            f"row of names at its top, or give them, to python -m evals.look as names={','.join(names)}, in the schema "
            f"as file: {{names: {flow(names)}}}"
        )
