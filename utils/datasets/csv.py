"""A user's own CSV file without a schema: what its columns mean is proposed from their cells, and told.

The rules are those of ``utils/tables/column_types.py``. ``python -m evals.look`` writes them into a schema, to be
edited and trained on as ``dataset=people.yaml``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.datasets.table import build_table
from utils.datasets.tabular import names, split_rows
from utils.system.console import notice_once
from utils.tables.encoding import describe
from utils.tables.reading import find_table, write_cell
from utils.tables.table_schema import from_plain
from utils.types import Dataset
from utils.words.quoting import quoted


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
    """The data set from the CSV file at ``path``, relative to the working directory or to the data folder.

    ``sensitive``, ``actionable`` (null: all that are not sensitive) and ``graph`` (child: its parents, or null)
    name columns of the file. ``ignore`` lists columns to leave out. ``positive`` null: the last label in sorted order.
    ``split`` is by chance, as of the generated data sets.

    Raises ValueError, naming file or data set and column, for anything missing, unknown or unusable.
    """
    if len(split) != 3:
        split_rows(name, len(split), split, seed)  # says what is wrong with them
    file = str(find_table(path))
    content = {
        "file": {"path": file},
        "columns": {column: {"type": "ignore"} for column in names(ignore)},
        "label": {"column": label, "positive": None if positive is None else write_cell(positive)},
        "sensitive": names(sensitive),
        "actionable": None if actionable is None else names(actionable),
        "graph": None if graph is None else {child: names(parents) for child, parents in graph.items()},
        "split": {"how": "random", "shares": tuple(split)},
    }
    dataset = build_table(from_plain(content, file), name=name, where=file, folder=None, seed=seed)
    assert dataset.schema is not None
    notice_once(f"{Path(file).name} read as {describe(from_plain(dataset.schema, file))}; to change it: {_look(file)}")
    return dataset


def _look(file: str) -> str:
    """Returns the command that writes a schema of the file; without its name where no shell can be told it."""
    try:
        return f"python -m evals.look {quoted(file)}"
    except ValueError:
        return "python -m evals.look FILE"
