"""Rows as a CSV file in the units of the data set, to be shipped, read back to the bit, and trained on.

The header is the columns of the data set and the label's (behind an apostrophe where a spreadsheet would calculate a
name); a row that is added several times is as many lines. Levels with texts are written by these, and indicators with
texts as one column, their attribute; their own columns of 0 and 1 are read too.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from utils.datasets import column_rules
from utils.datasets.fetch import read_lines
from utils.datasets.tabular import unknown_name
from utils.poisoning.features import Rows, to_batch
from utils.system.atomic import digest
from utils.system.console import count, escape_formulas
from utils.system.missing import describe_missing
from utils.tables.new_rows import encode_labelled, read_like, rows_meant
from utils.tables.table_schema import TableSchema, from_plain
from utils.types import Batch, Column, Dataset
from utils.words.near import near

Texts = dict[str, dict[str, float]]  # each text of a column or attribute -> what the columns then hold


def to_csv(columns: Sequence[Column], natural: Tensor, labels: Tensor, label_name: str) -> str:
    """Rows (m, d), natural units, and classes (m,) as the text of a file: whole numbers without decimals.

    Raises ValueError for a ``label_name`` that a column has.
    """
    by_text = _texts(columns)
    headings = list(dict.fromkeys(c.attribute if c.attribute in by_text else c.name for c in columns))
    if label_name in headings:
        raise ValueError(f"the label cannot be named {label_name!r}, as a column is; choose another name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escape_formulas, (*headings, label_name)))
    for row, label in zip(natural.double().tolist(), labels.tolist(), strict=True):
        held = {c.name: value for c, value in zip(columns, row, strict=True)}
        numbers = {c.name: _written(c, held[c.name]) for c in columns}
        words = {name: _find_text(held, texts) for name, texts in by_text.items()}
        writer.writerow(
            [*(escape_formulas(words[name]) if name in words else numbers[name] for name in headings), label]
        )
    return text.getvalue()


def _texts(columns: Sequence[Column]) -> dict[str, Texts]:
    """The columns that a file holds in words, and the attributes that it holds in place of their indicators."""
    found: dict[str, Texts] = {}
    for attribute, places in column_rules.attributes(columns).items():
        own = [columns[i] for i in places]
        if all(c.texts for c in own):
            found[attribute] = {c.texts[1]: {other.name: float(other is c) for other in own} for c in own}
    for c in columns:
        if c.texts and not c.attribute and not any(map(_is_number, c.texts)):  # which would be taken for levels
            found[c.name] = {text: {c.name: level} for text, level in zip(c.texts, c.levels, strict=True)}
    return found


def _find_text(held: Mapping[str, float], texts: Texts) -> str:
    """The text of what a row holds."""
    return next(text for text, levels in texts.items() if levels.items() <= held.items())


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
    names, by_text = [c.name for c in columns], _texts(columns)
    plain = {escape_formulas(name): name for name in (*names, *by_text)}
    given = [plain.get(name, name) for name in header]
    header = [part for name in given for part in (next(iter(by_text[name].values())) if name in by_text else [name])]
    for c in columns:
        if c.name not in header:
            alone = c.attribute in by_text and not {o.name for o in columns if o.attribute == c.attribute} & {*header}
            raise unknown_name(str(path), c.attribute if alone else c.name, given)
    others = [name for name in header if name not in names]
    if len(others) != 1 or len(header) != len(names) + 1:
        raise ValueError(
            f"{path}: expected the {count(len(names), 'column')} of the data set, once each, and one more, the "
            f"label; it has {count(len(header), 'column')}, of other names {', '.join(map(repr, others)) or 'none'}"
        )
    numbers = [_numbers(path, given, row, line, by_text) for row, line in enumerate(lines)]
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
        raise ValueError(describe_missing(path))
    return [fields for fields in csv.reader(read_lines(path)) if fields]


def _levels(what: str, name: str, field: str, texts: Texts) -> list[float]:
    """The numbers that a field stands for. Raises ValueError for one that is none of the texts and no level."""
    plain = {escape_formulas(text): text for text in texts}
    if plain.get(field, field) in texts:
        return list(texts[plain.get(field, field)].values())
    levels = {level for held in texts.values() for level in held.values()}
    if name in texts[next(iter(texts))] and _is_number(field) and float(field) in levels:
        return [float(field)]
    raise ValueError(f"{what}; expected one of {', '.join(texts)}{near(field, list(texts), '')}")


def _numbers(
    path: Path, header: Sequence[str], row: int, fields: Sequence[str], by_text: Mapping[str, Texts]
) -> list[float]:
    """The numbers of a row, of an attribute those of all its indicators. Raises ValueError for fields that are none."""
    if len(fields) != len(header):
        raise ValueError(f"{path}, row {row}: {count(len(fields), 'field')}, but its header has {len(header)}")
    found: list[float] = []
    for name, field in zip(header, fields, strict=True):
        what = f"{path}, row {row}: column {name!r} holds {field!r}"
        if name in by_text:
            found += _levels(what, name, field, by_text[name])
        elif _is_number(field):
            found.append(float(field))
        else:
            raise ValueError(f"{what}, not a finite number")
    return found


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

    The file is one that a search wrote or, of a user's own table, one like that of the table, read by its schema.

    Raises ValueError for images, and as ``read``, or for cells that the schema does not admit.
    """
    if not dataset.columns:
        raise ValueError(f"added={path}: rows are added to tables, and dataset={dataset.name} holds images")
    schema = None if dataset.schema is None else from_plain(dataset.schema, str(path))
    if schema is not None and _is_like_the_table(schema, path, dataset.columns):
        rows = _read_by_schema(schema, path)
    else:
        rows = read(path, dataset.columns, dataset.classes)
    return with_rows(dataset.train, to_batch(dataset.columns, dataset.loc, dataset.scale, rows, dataset.train.x))


def _is_like_the_table(schema: TableSchema, path: Path, columns: Sequence[Column]) -> bool:
    """Returns whether a file is one like that of the table: its labels as texts, or without what the table implies."""
    header, *lines = _fields(path)
    names, label = [name.strip() for name in header], schema.label.column
    if label not in names or any(c.name in names for c in columns if c.name not in schema.columns):
        return False
    place, implied = names.index(label), any(c.tells for c in columns)
    return implied or not all(len(line) > place and line[place].strip().isdigit() for line in lines)


def _read_by_schema(schema: TableSchema, path: Path) -> Rows:
    cells = read_like(schema, path).rename_axis(index="row of the file")
    cells = cells[rows_meant(schema, cells)]
    try:
        encoded, y = encode_labelled(schema, cells)
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).partition(', or answer the other rows')[0]}") from None
    return Rows(torch.from_numpy(encoded.values).double(), torch.from_numpy(y).long())


def checksum(path: Path) -> str:
    """SHA-256 of a file, hex. Raises ValueError where there is none."""
    if not path.is_file():
        raise ValueError(describe_missing(path))
    return digest(path)
