"""The people whom the words of ``evals.explain`` ask about: rows of the data, a row typed, the rows of a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.datasets.column_rules import complaints
from utils.datasets.tabular import model_space, natural, unknown_name
from utils.explaining.person_words import attributes_of
from utils.system.console import count
from utils.tables.new_rows import encode_attributes, encode_rows, read_like
from utils.tables.reading import find_table
from utils.tables.table_schema import TableSchema
from utils.types import Batch, Column, Dataset
from utils.words.near import near

SPLITS = {"train": "training", "valid": "validation", "test": "test"}
TYPED = -1  # index of a row that no data hold
MOST = 1000  # rows of a file
FEW = 5  # rows that an error names


@dataclass(frozen=True)
class People:
    """Rows (n, d), model space, and how each is called."""

    x: Tensor
    index: Tensor  # (n,) in the data, negative for rows that are not from there
    names: tuple[str, ...]


def read_places(words: Any) -> list[int] | None:
    """The numbers of rows, by commas; None where the words are no numbers."""
    parts = [part.strip() for part in str(words).strip("[]").split(",")]
    return [int(part) for part in parts] if all(part.isdecimal() for part in parts) else None


def find_people(data: Dataset, places: Sequence[int], split: str | None) -> People:
    """Rows of the data by their numbers there, counted from 0.

    Raises:
        ValueError: there is no such row, or it is not in the split.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split={split}{near(split, SPLITS)} Expected train, valid or test")
    found = [_find_row(data, place, split) for place in places]
    x = torch.cat([batch.x[i].unsqueeze(0) for _, batch, i in found])
    names = tuple(f"{SPLITS[name]} row {place}" for (name, *_), place in zip(found, places, strict=True))
    return People(x, torch.tensor(places), names)


def _find_row(data: Dataset, place: int, split: str | None) -> tuple[str, Batch, int]:
    """The split that holds a row, and its place there. Raises ValueError."""
    batches = {"train": data.train, "valid": data.valid, "test": data.test}
    for name, batch in batches.items():
        here = (batch.index == place).nonzero()
        if len(here) and split in (None, name):
            return name, batch, int(here[0])
        if len(here):
            assert split is not None
            some = ", ".join(map(str, sorted(batches[split].index.tolist())[:FEW]))
            raise ValueError(
                f"row {place} is one of the {SPLITS[name]} rows, not in split={split}, which has {some}, ...; leave "
                "split out to explain any row"
            )
    last = max(int(batch.index.max()) for batch in batches.values() if len(batch.y))
    raise ValueError(
        f"there is no row {place} among those that {data.name} uses; they are counted from 0 and end with {last}"
    )


# --- rows typed ------------------------------------------------------------------------------------------------


def typed_person(data: Dataset, schema: TableSchema | None, values: Mapping[str, str], base: People | None) -> People:
    """A row of typed values, natural units and the owner's words; on top of another row where one is given.

    Raises:
        ValueError: a name that is no attribute, a value outside the schema, or an attribute that is missing.
    """
    known = attributes_of(data.columns)
    names = [*known, *(c.name for c in data.columns if c.name not in known)]
    for name in values:
        if name not in names:
            raise ValueError(f"values: there is no attribute {name!r}{near(name, names)} They are {', '.join(known)}")
    found = np.full(len(data.columns), np.nan) if base is None else natural(data, base.x[0]).numpy().copy()
    given = _encode(data, schema, values)
    for places, numbers in given:
        found[list(places)] = numbers
    absent = [name for name, places in known.items() if np.isnan(found[list(places)]).any()]
    if absent:
        raise ValueError(f"values: {', '.join(absent)} missing; give all attributes, or row=... for the others")
    whole = np.array([c.integer or c.kind != "continuous" for c in data.columns])
    found = np.where(whole & (np.abs(found - found.round()) < 1e-3), found.round(), found)
    _require_allowed(data.columns, found[None], "values")
    name = "row typed" if base is None else f"{base.names[0]}, changed"
    return People(model_space(data, torch.from_numpy(found[None])), torch.tensor([TYPED]), (name,))


def _encode(
    data: Dataset, schema: TableSchema | None, values: Mapping[str, str]
) -> list[tuple[Sequence[int], NDArray[np.float64]]]:
    """The columns of each typed attribute and what they hold. Raises ValueError."""
    known = attributes_of(data.columns)
    if schema is not None:
        try:
            return [(known[name], of) for name, of in _by_schema(schema, values, known, data.columns).items()]
        except ValueError as error:
            raise ValueError(f"values: {error}") from None
    return [_of_built_in(data.columns, known, name, text) for name, text in values.items()]


def _by_schema(
    schema: TableSchema, values: Mapping[str, str], known: Mapping[str, Sequence[int]], columns: Sequence[Column]
) -> dict[str, NDArray[np.float64]]:
    """The columns of attributes by a schema, a flag of missing numbers as an attribute of its own."""
    found = {}
    for name, of in encode_attributes(schema, values).items():
        found[name] = of[: len(known[name])]
        flags = [c.name for c in columns if c.tells == name]
        found |= dict(zip(flags, of[len(known[name]) :, None], strict=True))
    return found


def _of_built_in(
    columns: Sequence[Column], known: Mapping[str, Sequence[int]], name: str, text: str
) -> tuple[Sequence[int], NDArray[np.float64]]:
    """A column of a built-in data set by its number, or by the text of a level. Raises ValueError."""
    places = known.get(name) or [i for i, c in enumerate(columns) if c.name == name]
    if len(places) > 1:
        texts = [columns[i].texts[1] if columns[i].texts else columns[i].name for i in places]
        if text not in texts:
            raise ValueError(f"values: {name} holds {text!r}{near(text, texts)} Its levels are {', '.join(texts)}")
        return places, np.array([float(text == own) for own in texts])
    own = columns[places[0]]
    if text in own.texts:
        return places, np.array([own.levels[own.texts.index(text)]])
    try:
        return places, np.array([float(text)])
    except ValueError:
        raise ValueError(f"values: {name} holds {text!r}, not a number; data={name} is in natural units") from None


def _require_allowed(columns: Sequence[Column], values: NDArray[np.float64], what: str) -> None:
    """Refuses rows (n, d) that the columns do not allow. Raises ValueError."""
    for complaint in complaints(columns, values, bounded=False):
        raise ValueError(f"{what}, {complaint}" if len(values) > 1 else f"{what}: {complaint.partition(': ')[2]}")


# --- rows of a file --------------------------------------------------------------------------------------------


def read_people(data: Dataset, schema: TableSchema | None, path: str) -> People:
    """The rows of a CSV file, by the schema of the table or by the columns of the data set, natural units.

    Raises:
        ValueError: no such file, no row or too many, or a row that is none of the data.
    """
    file = find_table(path)
    values = _read_by_columns(data, file) if schema is None else _read_by_schema(schema, file)
    if not len(values):
        raise ValueError(f"{file}: it has no row")
    if len(values) > MOST:
        raise ValueError(f"{file}: {count(len(values), 'row')}; at most {MOST:,} are explained at a time")
    _require_allowed(data.columns, values, str(file))
    names = tuple(f"row {i} of {file.name}" for i in range(len(values)))
    return People(model_space(data, torch.from_numpy(values)), TYPED - torch.arange(len(values)), names)


def _read_by_schema(schema: TableSchema, file: Path) -> NDArray[np.float64]:
    try:
        return encode_rows(schema, read_like(schema, file), offer=False).values
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _read_by_columns(data: Dataset, file: Path) -> NDArray[np.float64]:
    frame = pd.read_csv(file)
    for c in data.columns:
        if c.name not in frame:
            raise unknown_name(str(file), c.name, [str(name) for name in frame])
    values = frame[[c.name for c in data.columns]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    return np.array(values)  # a copy, as pandas keeps its own read-only
