"""Rows as a CSV file in the units of the data set, to be shipped, read back to the bit, and trained on.

The header is the columns of the data set and the label's (behind an apostrophe where a spreadsheet would calculate a
name); a row that is added several times is as many lines.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from utils.datasets import column_rules
from utils.datasets.fetch import read_lines
from utils.datasets.tabular import unknown_name
from utils.poisoning.features import Rows, to_batch
from utils.system.atomic import digest
from utils.system.console import count, escape_formulas
from utils.types import Batch, Column, Dataset


def to_csv(columns: Sequence[Column], natural: Tensor, labels: Tensor, label_name: str) -> str:
    """Rows (m, d), natural units, and classes (m,) as the text of a file: whole numbers without decimals.

    Raises ValueError for a ``label_name`` that a column has.
    """
    names = [c.name for c in columns]
    if label_name in names:
        raise ValueError(f"the label cannot be named {label_name!r}, as a column is; choose another name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escape_formulas, (*names, label_name)))
    for row, label in zip(natural.double().tolist(), labels.tolist(), strict=True):
        writer.writerow([*map(_written, columns, row), label])
    return text.getvalue()


def _written(column: Column, value: float) -> str:
    whole = column.kind != "continuous" or column.integer
    return str(int(value)) if whole and value.is_integer() else repr(value)


def read(path: Path, columns: Sequence[Column], classes: int) -> Rows:
    """The rows of such a file, whatever the order of its columns; the label is the one column of another name.

    Bounds are not asked for, since settings may have widened them. Rows are counted from 0, below the header.

    Raises:
        ValueError: no such file, a missing column, none or several left for the label, a row of another length, what
            is no number or no class, or a row that the schema does not allow, naming file, row and column.
    """
    header, *lines = _fields(path)
    names = [c.name for c in columns]
    plain = {escape_formulas(name): name for name in names}
    header = [plain.get(name, name) for name in header]
    for name in names:
        if name not in header:
            raise unknown_name(str(path), name, header)
    others = [name for name in header if name not in names]
    if len(others) != 1 or len(header) != len(names) + 1:
        raise ValueError(
            f"{path}: expected the {count(len(names), 'column')} of the data set, once each, and one more, the "
            f"label; it has {count(len(header), 'column')}, of other names {', '.join(map(repr, others)) or 'none'}"
        )
    numbers = [_numbers(path, header, row, line) for row, line in enumerate(lines)]
    table = torch.tensor(numbers, dtype=torch.float64).reshape(len(lines), len(header))
    natural = table[:, [header.index(name) for name in names]]
    labels = table[:, header.index(others[0])]
    for row, label in enumerate(labels.tolist()):
        if label not in range(classes):
            raise ValueError(
                f"{path}, row {row}: {others[0]!r} is {label:g}; expected a class, a whole number from 0 to "
                f"{classes - 1}"
            )
    for complaint in column_rules.complaints(columns, natural.numpy(), bounded=False):
        raise ValueError(f"{path}, {complaint}")
    return Rows(natural, labels.long())


def _fields(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return [fields for fields in csv.reader(read_lines(path)) if fields]


def _numbers(path: Path, header: Sequence[str], row: int, fields: Sequence[str]) -> list[float]:
    if len(fields) != len(header):
        raise ValueError(f"{path}, row {row}: {count(len(fields), 'field')}, but its header has {len(header)}")
    for name, field in zip(header, fields, strict=True):
        if not _is_number(field):
            raise ValueError(f"{path}, row {row}: column {name!r} holds {field!r}, not a finite number")
    return [float(field) for field in fields]


def _is_number(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


# --- training on them ------------------------------------------------------------------------------------------


def with_rows(train: Batch, rows: Batch) -> Batch:
    """The training rows, then the others."""
    return Batch(*(torch.cat(both) for both in zip(train, rows.to(train.y.device), strict=True)))


def with_file(dataset: Dataset, path: Path) -> Batch:
    """The training rows of a data set, then those of a file, of weight 1.

    Raises ValueError for images, and as ``read``.
    """
    if not dataset.columns:
        raise ValueError(f"added={path}: rows are added to tables, and dataset={dataset.name} holds images")
    rows = read(path, dataset.columns, dataset.classes)
    return with_rows(dataset.train, to_batch(dataset.columns, dataset.loc, dataset.scale, rows, dataset.train.x))


def checksum(path: Path) -> str:
    """SHA-256 of a file, hex. Raises ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return digest(path)
