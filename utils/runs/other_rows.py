"""A stored model on the rows of another file: read by the schema of its own table, judged beside its test rows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from utils import seeding
from utils.datasets.tabular import natural
from utils.metrics.directions import headlines
from utils.metrics.intervals import Measured
from utils.model_zoo import StoredModel
from utils.records.typed import Record
from utils.system.console import count
from utils.tables.encoding import blocks
from utils.tables.moved import Moved, moved
from utils.tables.new_rows import Encoded, Unseen, encode_labelled, read_like, rows_meant
from utils.tables.reading import find_table
from utils.types import Batch, Dataset
from utils.words.numbers import write_estimate

MOST = 12  # columns that are printed


@dataclass(frozen=True)
class OtherRows:
    """The rows of another file, and how far its columns are from those of the training."""

    path: Path
    sha256: str
    batch: Batch
    left_out: int  # rows that the conditions of the schema exclude
    unknown: int  # rows that it does not admit, left out
    mended: int  # cells that were taken as the nearest level or bound
    unseen: Unseen
    moved: list[Moved]
    trained_on: int  # rows that are equal to a training row

    @property
    def doubts(self) -> list[str]:
        """Warnings about the rows themselves."""
        if self.trained_on <= len(self.batch.y) / 2:
            return []
        return [
            f"{self.trained_on:,} of {count(len(self.batch.y), 'row')} of {self.path.name} equal rows that the model "
            "was trained on, so these figures flatter it"
        ]

    def to_record(self) -> dict[str, Any]:
        """Returns what a later evaluation says of the rows that it was made on."""
        by_column = {one.name: {k: v for k, v in one._asdict().items() if k != "name"} for one in self.moved}
        facts = {
            "left_out": self.left_out,
            "unknown": self.unknown,
            "mended": self.mended,
            "trained_on": self.trained_on,
        }
        named = {"file": self.path.name, "sha256": self.sha256, "unseen": self.unseen}
        return {"rows": {**named, "judged": len(self.batch.y), **facts, "moved": by_column}}


def name_of_rows(path: str, unseen: Unseen) -> str:
    """``new-1a2b3c4d``, name and hash of a file, and how rows that the schema does not admit are taken, if at all.

    Raises:
        ValueError: there is no such file.
    """
    file = find_table(path)
    return f"{file.name.split('.')[0]}-{_hash(file)[:8]}{'' if unseen == 'refuse' else f'+{unseen}'}"


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read_rows(record: Record, model: StoredModel, data: Dataset, path: str, unseen: Unseen) -> OtherRows:
    """The rows of a file as those of the table that a record was trained on.

    Raises:
        ValueError: the record is of no user's own table by a schema, the file is no such table, or none of its rows is
            one that the schema speaks of.
    """
    if model.schema is None:
        raise ValueError(
            f"record {record.get('doc_id')} is of dataset={record['dataset']}, which has no schema that other files "
            "are read by; rows=... judges models of your own tables, dataset=people.yaml"
        )
    schema, file = model.schema, find_table(path)
    cells = read_like(schema, file)
    meant = rows_meant(schema, cells)
    cells = cells.rename_axis(index="row of the file")[meant]
    if not len(cells):
        raise ValueError(f"{file}: no row is left of {len(meant):,}")
    try:
        encoded, y = encode_labelled(schema, cells, unseen)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    known = encoded.known
    if not known.any():
        raise ValueError(f"{file}: the schema admits none of its {count(len(known), 'row')}")
    # in random order: figures take the first of many rows for a sample of them
    order = seeding.rng(record["params"]["seed"], "order of other rows").permutation(np.flatnonzero(known))
    x = model.scaled(torch.from_numpy(encoded.values[order])).to(data.test.x)
    index = torch.from_numpy(cells.index.to_numpy()[order])
    batch = Batch(x, torch.from_numpy(y[order]), model.groups(x), torch.ones(len(x)), index).to(x.device)
    distances = moved(
        blocks(schema),
        natural(data, data.train.x).numpy(),
        natural(data, x).numpy(),  # through single precision too, so that equal numbers stay equal
        _strange(encoded),
        seeding.rng(record["params"]["seed"], "moved"),
    )
    same = int(np.isin(_row_hashes(batch), _row_hashes(data.train)).sum())
    unknown, mended = int((~known).sum()), sum(encoded.mended.values())
    return OtherRows(file, _hash(file), batch, int((~meant).sum()), unknown, mended, unseen, distances, same)


def _row_hashes(rows: Batch) -> NDArray[np.uint64]:
    """A hash (n,) of each row with its class."""
    frame = pd.DataFrame(rows.x.cpu().numpy()).assign(y=rows.y.cpu().numpy())
    return pd.util.hash_pandas_object(frame, index=False).to_numpy()


def _strange(encoded: Encoded) -> dict[str, float]:
    """The share of cells by column that the schema does not admit, mended or not."""
    found = {name: cells / len(encoded.known) for name, cells in encoded.mended.items()}
    for doubt in encoded.doubts:
        found[doubt.column] = found.get(doubt.column, 0.0) + float(doubt.flagged.mean())
    return found


# --- In print --------------------------------------------------------------------------------------------------


def lines(record: Record, found: Measured, rows: OtherRows) -> Iterator[str]:
    """Yields the figures on the rows beside those on the test rows, and the columns that moved; 80 characters wide."""
    beside = [
        f"{count(number, *words)}"
        for number, *words in (
            (rows.left_out, "row outside of the schema's rows", "rows outside of the schema's rows"),
            (rows.unknown, "row that it does not admit left out", "rows that it does not admit left out"),
            (rows.mended, "cell taken as the nearest", "cells taken as the nearest"),
        )
        if number
    ]
    yield f"  {rows.path.name}: {count(len(rows.batch.y), 'row')} judged{''.join(f', {text}' for text in beside)}"
    yield f"  {'':<33}{'test rows':<22}these rows"
    for key in headlines(found):
        if key in record["metrics"] or "point" in record:  # whose figures under attack are judged by nobody else
            old = _cell(record["metrics"], key) if key in record["metrics"] else "not judged"
            new = _cell(found, key)
            yield f"  {key:<33}{old:<22}{new:<20}{' *' if _apart(record['metrics'], found, key) else ''}".rstrip()
    yield "  *: intervals that have nothing in common"
    yield ""
    yield f"  {'column':<33}{'beyond':>8}{'shift':>9}{'distance':>10}{'by chance':>11}"
    for one in rows.moved[:MOST]:
        shift = "" if one.shift is None else f"{one.shift:+.2f}"
        mark = " *" if one.is_told else ""
        yield f"  {one.name[:32]:<33}{one.beyond:>8.1%}{shift:>9}{one.distance:>10.3f}{one.chance:>11.3f}{mark}"
    if len(rows.moved) > MOST:
        yield f"  and {count(len(rows.moved) - MOST, 'column')} nearer than these"
    yield "  beyond: cells unlike those of every training row; shift: of the mean, in"
    yield "  standard deviations; distance from the training rows: Kolmogorov-Smirnov of"
    yield "  numbers, total variation of levels; *: more than in 95 % of like samples"


def _cell(figures: Any, key: str) -> str:
    return write_estimate(*(figures.get(k) for k in (key, f"{key}_low", f"{key}_high")))


def _apart(one: Any, other: Any, key: str) -> bool:
    """Returns whether the intervals of a figure have nothing in common."""
    ends = [figures.get(f"{key}{end}") for figures in (one, other) for end in ("_low", "_high")]
    return None not in ends and (ends[1] < ends[2] or ends[3] < ends[0])
