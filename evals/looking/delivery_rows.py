"""Reads delivered rows and trusted ones as rows of one table: by a schema, by a look, or as those of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, ListConfig

import paths_config
from utils.build import build_dataset
from utils.command_line.composing import compose_params
from utils.datasets.tabular import group_index, group_names
from utils.poisoning import rows_csv
from utils.poisoning.audit import Floats, Labelled
from utils.poisoning.features import to_batch
from utils.poisoning.origins import Codes
from utils.system.console import count
from utils.system.devices import choose_device
from utils.system.missing import describe_missing
from utils.tables.drafting import draft
from utils.tables.encoding import blocks, numbers
from utils.tables.new_rows import Encoded, Unseen, encode_labelled, read_like, rows_meant
from utils.tables.reading import find_table, read_table
from utils.tables.settling import Settled, read_schema_table, settle_cells
from utils.tables.table_schema import TableSchema, from_plain, read_schema
from utils.types import Column
from utils.words.near import near

NOBODY = "all rows"  # the group of everybody, where no column is sensitive
MEDIANS = ("median", "median+flag")


@dataclass(frozen=True)
class Refused:
    """Delivered rows that the schema does not allow, by one column."""

    column: str
    rows: int
    text: str  # of the first of them


@dataclass(frozen=True)
class Delivery:
    """Delivered rows and trusted ones as rows of one table."""

    reference: str
    new: str
    groups: Sequence[str]
    classes: Sequence[str]
    trusted: Labelled
    delivered: Labelled  # those that the schema allows
    shown: pd.DataFrame  # the same rows as the file holds them
    refused: Sequence[Refused] = ()
    refused_rows: int = 0
    left_out: int = 0  # rows that the conditions of the schema exclude


def read_delivery(options: DictConfig) -> Delivery:
    """Returns the rows that the options name. Raises ValueError where they name none, or rows of another table."""
    given = {key: str(options[key]) for key in ("reference", "schema", "dataset") if options[key] is not None}
    if "dataset" in given:
        if len(given) > 1:
            other = next(key for key in given if key != "dataset")
            raise ValueError(f"{other}={given[other]}: dataset={given['dataset']} is the reference; leave one out")
        return _beside_dataset(given["dataset"], str(options.new), int(options.seed))
    if not given:
        raise ValueError(
            "rows that one trusts are required: reference=old.csv, schema=people.yaml with a table, or "
            "dataset=compas_two_years"
        )
    settled, file = _of_schema(**given) if "schema" in given else _of_look(given["reference"], options)
    return _beside_table(_with_medians(settled), file, find_table(str(options.new)))


# --- tables ----------------------------------------------------------------------------------------------------


def _of_schema(schema: str, reference: str | None = None) -> tuple[Settled, Path]:
    """The trusted table by a schema, and its file."""
    path = Path(schema).expanduser()
    if not path.is_file():
        raise ValueError(describe_missing(schema))
    read, folder = read_schema(path), path.parent
    if reference is not None:
        own = read.file.model_copy(update={"path": str(find_table(reference))})
        read, folder = read.model_copy(update={"file": own}), Path()
    raw = read_schema_table(read, folder)
    return settle_cells(read, raw, path.name), raw.path


def _of_look(reference: str, options: DictConfig) -> tuple[Settled, Path]:
    """The trusted table by what a look finds out, and its file. Raises ValueError for what only its owner can say."""
    file = find_table(reference)
    raw = read_table(file)
    named = {key: _listed(options[key]) for key in ("label", "sensitive")}
    for key, names in named.items():
        if not names:
            there = ", ".join(map(str, raw.cells.columns))
            raise ValueError(
                f"{key} is required: give {key}=COLUMN, or a schema; the columns of {file.name} are: {there}"
            )
    content = {"label": {"column": ",".join(named["label"])}, "sensitive": named["sensitive"], "graph": None}
    drafted = draft(from_plain(content, file.name), raw, file.name, in_force=False)
    if drafted.refusals:
        raise ValueError(f"{drafted.refusals[0]} (python -m evals.look writes one; give it as schema=)")
    return drafted.settled, file


def _listed(option: Any) -> list[str]:
    """Names by commas, or those of a list."""
    if isinstance(option, ListConfig):
        return list(map(str, option))
    return [name.strip() for name in str(option).split(",")] if option is not None else []


def _with_medians(settled: Settled) -> TableSchema:
    """The schema with the median of the trusted rows in each column that takes it for what is missing."""
    fmt, rules = settled.schema.file, dict(settled.schema.columns)
    for name, rule in rules.items():
        if rule.missing in MEDIANS:
            median = float(np.nanmedian(numbers(rule, settled.cells[name], fmt)))
            rules[name] = rule.model_copy(update={"median": median})
    return settled.schema.model_copy(update={"columns": rules})


def _beside_table(schema: TableSchema, reference: Path, new: Path) -> Delivery:
    """The rows of two files by the settled schema of the first."""
    known, cells = read_like(schema, reference), read_like(schema, new)
    _require_same_columns(schema, known, cells, new)
    meant = rows_meant(schema, cells)
    known, cells = known[rows_meant(schema, known)], cells[meant]
    if not len(cells):
        raise ValueError(f"{new}: no row is left of {len(meant):,}")
    before, labels = _encode(schema, known, reference, "refuse")
    after, given = _encode(schema, cells, new, "abstain")
    if not after.known.any():
        raise ValueError(f"{new}: the schema allows none of its {count(len(cells), 'row')}; {after.doubts[0].text}")
    columns = [column for block in blocks(schema) for column in block.columns]
    values = before.values, after.values[after.known]
    x = _comparable(columns, *values)
    s = [group_index(columns, of) for of in values]
    refused = [Refused(doubt.column, int(doubt.flagged.sum()), doubt.text) for doubt in after.doubts]
    return Delivery(
        reference=reference.name,
        new=new.name,
        groups=group_names(columns) if schema.sensitive else (NOBODY,),
        classes=schema.columns[schema.label.column].levels,
        trusted=Labelled(x[0], labels, s[0]),
        delivered=Labelled(x[1], given[after.known], s[1]),
        shown=cells[after.known],
        refused=refused,
        refused_rows=int((~after.known).sum()),
        left_out=int((~meant).sum()),
    )


def _require_same_columns(schema: TableSchema, known: pd.DataFrame, cells: pd.DataFrame, new: Path) -> None:
    """Refuses a delivery with other columns. Raises ValueError, naming all of them."""
    used = [block.name for block in blocks(schema)] + [schema.label.column]
    there, trusted = ([str(name) for name in of.columns] for of in (cells, known))
    lacking = [name for name in used if name not in there]
    more = [name for name in there if name not in trusted]
    if lacking or more:
        said = [f"it lacks {', '.join(map(repr, lacking))}"] * bool(lacking)
        said += [f"it has {', '.join(map(repr, more))}, which the reference has not"] * bool(more)
        hint = near(lacking[0], more, "") if lacking else ""
        hint = "; it is one column: is it separated by another sign than the reference?" if len(there) == 1 else hint
        raise ValueError(
            f"{new}: a delivery with other columns: {' and '.join(said)}{hint}; rename or leave out columns so that "
            "both files have the same, or ask for the rows again"
        )


def _encode(schema: TableSchema, cells: pd.DataFrame, file: Path, unseen: Unseen) -> tuple[Encoded, Codes]:
    """The rows as numbers and classes; ``abstain`` leaves those that the schema does not allow unknown."""
    try:
        return encode_labelled(schema, cells, unseen)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _comparable(columns: Sequence[Column], *values: Floats) -> list[Floats]:
    """Rows (n, d) and (m, d) in standard deviations of all of them, levels as they are."""
    spread = np.concatenate(values).std(0)
    wide = np.array([column.kind == "continuous" for column in columns]) & (spread > 0)
    return [of / np.where(wide, spread, 1.0) for of in values]


# --- data sets -------------------------------------------------------------------------------------------------


def _beside_dataset(name: str, new: str, seed: int) -> Delivery:
    """The rows of a CSV as ``added=`` reads it, beside the training rows of a data set."""
    options = sorted(path.stem for path in (paths_config.ROOT / "config" / "dataset").glob("*.yaml"))
    if name not in options:
        raise ValueError(
            f"dataset={name}{near(name, options)} Expected one of {', '.join(options)}; a table of your own is given "
            "by schema=people.yaml"
        )
    data = build_dataset(compose_params([f"dataset={name}", f"seed={seed}"]), choose_device("cpu"))
    if not data.columns:
        raise ValueError(f"dataset={name} holds images; rows are audited beside a table")
    path = Path(new).expanduser()
    read = rows_csv.read(path, data.columns, data.classes)
    if not len(read.labels):
        raise ValueError(f"{path}: there is no row below its header")
    rows = to_batch(data.columns, data.loc, data.scale, read, data.train.x)
    labelled = [Labelled(of.x[:].double().numpy(), of.y.numpy(), of.s.numpy()) for of in (data.train, rows)]
    return Delivery(
        reference=f"the training rows of {name}",
        new=path.name,
        groups=data.groups,
        classes=data.class_names or tuple(map(str, range(data.classes))),
        trusted=labelled[0],
        delivered=labelled[1],
        shown=pd.read_csv(path, dtype=str, keep_default_na=False),
    )
