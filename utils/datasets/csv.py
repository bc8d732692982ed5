"""A user's own table: a CSV file with a header, encoded by simple rules that are stated here.

- A numeric column of 0 and 1 is binary; any other is continuous.
- A text column of two values is binary, the second in sorted order 1; of more values, one binary column
  ``column=value`` each, the indicators of the attribute ``column``.
- A sensitive column of whole numbers (at most ten different ones) stays one column of these numbers.
- The label has two values; ``positive`` names the one that is class 1.

The texts of the file name levels, groups and classes wherever they are printed.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import paths_config
from utils.datasets.tabular import (
    Floats,
    assemble,
    binary,
    continuous,
    indicators,
    mark,
    names,
    refuse_missing,
    unknown_name,
)
from utils.types import Column, Dataset
from utils.words.quoting import write_word

MOST_TEXTS = 50  # more different texts than this are names or dates, not categories
MOST_NUMBERS = 10  # the same for whole numbers of a sensitive column

Encoded = dict[Column, Floats]


def csv(
    *,
    name: str,
    path: str,
    label: str,
    positive: Any,
    sensitive: str | Sequence[str],
    actionable: str | Sequence[str] | None,
    graph: Mapping[str, Sequence[str]] | None,
    ignore: str | Sequence[str] | None,
    seed: int,
    split: Sequence[float],
) -> Dataset:
    """A data set from the CSV file at ``path``, relative to the working directory or to the data folder.

    ``sensitive``, ``actionable`` (null: all that are not sensitive) and ``graph`` (child: its parents, or null)
    name columns of the file; one that is encoded as several columns stands for all of them. ``ignore`` lists
    columns to leave out. ``positive`` null: the last label in sorted order.

    Raises ValueError, naming file or data set and column, for anything missing, unknown or unusable.
    """
    file = find(path)
    raw = read(file, names(ignore))
    for column in (label, *names(sensitive)):
        if column not in raw:
            raise unknown_name(str(file), column, list(raw.columns))
    features = raw.drop(columns=label)
    for column in raw:
        refuse_missing(name, str(column), raw[column].isna().to_numpy())
    y = classes(name, raw[label], positive)
    encoded = {c: encode(name, features[c], sensitive=c in names(sensitive)) for c in map(str, features)}
    expansion = {c: [column.name for column in parts] for c, parts in encoded.items()}
    values = {column: numbers for parts in encoded.values() for column, numbers in parts.items()}
    if actionable is None:
        actionable = [c for c in expansion if c not in names(sensitive)]
    columns = mark(list(values), expand(sensitive, expansion), expand(actionable, expansion))
    parents = None if graph is None else expand_graph(graph, expansion)
    frame = {column.name: numbers for column, numbers in values.items()}
    texts = class_texts(raw[label], y)
    return assemble(name, frame, y, columns=columns, split=split, seed=seed, parents=parents, class_names=texts)


def find(path: str) -> Path:
    """The file, looked for from the working directory, then from the data folder."""
    tried = [Path(path).expanduser().resolve(), paths_config.data() / path]
    for file in tried:
        if file.is_file():
            return file
    raise ValueError(f"there is no file {path!r}: neither {tried[0]} nor {tried[1]}.")


def read(file: Path, ignore: Sequence[str]) -> pd.DataFrame:
    """The table without the columns to ignore. Raises ValueError, naming the file, where it is no proper table."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # else surplus fields vanish with a warning
            header = pd.read_csv(file, header=None, nrows=1, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
            raw = pd.read_csv(file, index_col=False, low_memory=False, skipinitialspace=True, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise ValueError(f"{file} is empty.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not text in UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{file} is no proper table: {str(error).strip()}") from None
    given = header.iloc[0]
    if given.dropna().duplicated().any():
        raise ValueError(f"{file}: the column {given[given.duplicated()].iloc[0]!r} comes twice; rename one.")
    for column in ignore:
        if column not in raw:
            raise unknown_name(f"{file}, ignore", column, list(raw.columns))
    for place, column in enumerate(raw.columns):
        if pd.isna(given[place]) and column not in ignore:
            raise ValueError(
                f"{file}: column {place + 1} has no name, often a saved row number; name it, or leave it out by "
                f"{write_word('dataset.ignore', [*ignore, str(column)])}"
            )
    return raw.drop(columns=list(ignore))


def classes(name: str, labels: "pd.Series[Any]", positive: Any) -> NDArray[np.int64]:
    """1 where the label is ``positive`` (n,), of two values."""
    found = sorted(labels.unique().tolist())
    if len(found) > 2:
        some = ", ".join(map(repr, found[:5]))
        raise ValueError(
            f"data set {name}: the label {labels.name!r} has {len(found)} values ({some}{', ...' * (len(found) > 5)}), "
            "but two classes are needed; merge them or choose another label."
        )
    if len(found) < 2:
        raise ValueError(
            f"data set {name}: the label {labels.name!r} is {', '.join(map(repr, found)) or 'absent'} in every row; "
            "a classifier needs two classes."
        )
    one = found[-1]
    if positive is not None:
        matching = [value for value in found if value == positive or str(value) == str(positive)]
        if not matching:
            raise ValueError(
                f"data set {name}: positive={positive!r} is no value of the label {labels.name!r}; "
                f"it has {found[0]!r} and {found[1]!r}."
            )
        one = matching[0]
    return (labels == one).to_numpy(np.int64)


def class_texts(labels: "pd.Series[Any]", y: NDArray[np.int64]) -> tuple[str, ...]:
    """The texts of the label in rows of class 0 and of class 1, whole numbers without decimals."""
    values = (labels[y == label].iloc[0] for label in (0, 1))
    return tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def encode(name: str, values: "pd.Series[Any]", *, sensitive: bool) -> Encoded:
    """One column of the file as one or more columns of numbers (n,), by the rules above."""
    column = str(values.name)
    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
        return _encode_text(name, values.astype(str))
    numbers = values.to_numpy(np.float64)
    levels = np.unique(numbers)
    if pd.api.types.is_bool_dtype(values):
        return {replace(binary(column)[0], texts=("False", "True")): numbers}
    if levels.tolist() == [0.0, 1.0]:
        return {binary(column)[0]: numbers}
    if sensitive and len(levels) <= MOST_NUMBERS and (levels == np.round(levels)).all():
        return {Column(column, "categorical", levels=tuple(levels.tolist())): numbers}
    return {continuous(column)[0]: numbers}


def _encode_text(name: str, values: "pd.Series[Any]") -> Encoded:
    column, texts = str(values.name), sorted(values.unique())
    if len(texts) > 2:
        _refuse_spoilt_numbers(name, values)
    if len(texts) > MOST_TEXTS:
        raise ValueError(
            f"data set {name}: column {column!r} holds {len(texts)} different texts, too many for a category; "
            "put it into ignore or encode it yourself."
        )
    codes = values.map({text: i for i, text in enumerate(texts)}).to_numpy(np.float64)
    if len(texts) <= 2:
        return {replace(binary(column)[0], texts=tuple(texts) if len(texts) == 2 else ()): codes}
    return {indicator: (codes == i).astype(np.float64) for i, indicator in enumerate(indicators(column, texts))}


def _refuse_spoilt_numbers(name: str, values: "pd.Series[Any]") -> None:
    """A column of numbers with a few texts among them is a mistake in the file, not a category."""
    spoilt = pd.to_numeric(values, errors="coerce").isna().to_numpy()
    if 0 < spoilt.sum() < len(values) / 2:
        row = int(np.flatnonzero(spoilt)[0])
        raise ValueError(
            f"data set {name}: column {values.name!r} holds numbers, but {values.iloc[row]!r} in row {row} "
            f"(counting from 0) and {spoilt.sum()} such value(s) in all; correct them or leave those rows out."
        )


def expand(listed: str | Sequence[str], expansion: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of the file's columns, each replaced by those it is encoded as; other names stay, for later checks."""
    return [part for column in names(listed) for part in expansion.get(column, [column])]


def expand_graph(graph: Mapping[str, Sequence[str]], expansion: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same graph over the encoded columns."""
    return {child: expand(graph[given], expansion) for given in graph for child in expand(given, expansion)}
