"""Training rows that go or change, as a CSV file: which row, what is done to it, why, and what it holds.

A line is a row of the data: its ``row`` number there, ``action`` (remove, relabel or reweigh), ``group``, ``label``,
``new_label`` and ``weight`` where they change, ``reason``, and its columns in natural units for whoever reads it.
``changed=list.csv`` trains on the rows so changed; it reads the first columns and compares the labels.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from utils.datasets.fetch import read_lines
from utils.datasets.tabular import natural
from utils.poisoning.features import exact
from utils.system.console import count, escape_formulas
from utils.system.missing import describe_missing
from utils.types import Batch, Dataset
from utils.words.near import near

FIELDS = ("row", "action", "group", "label", "new_label", "weight", "reason")
REMOVE, RELABEL, REWEIGH = ACTIONS = ("remove", "relabel", "reweigh")


class Changes(NamedTuple):
    """Places of training rows (k,) that go or change."""

    removed: torch.Tensor
    relabelled: torch.Tensor
    reweighed: torch.Tensor

    def counts(self) -> dict[str, int]:
        """Returns how many there are of each, without those of which there is none."""
        return {name: len(places) for name, places in self._asdict().items() if len(places)}


def find_changes(before: Batch, after: Batch) -> Changes:
    """Returns what was done to training rows: those of ``after`` have the index of those they were."""
    kept = after.rows(after.index >= 0)
    place = {int(index): i for i, index in enumerate(before.index.tolist())}
    there = torch.tensor([place[int(index)] for index in kept.index.tolist()], dtype=torch.long)
    gone = torch.ones(len(before.y), dtype=torch.bool)
    gone[there] = False
    y, w = before.y.cpu()[there], before.w.cpu()[there]
    return Changes(gone.nonzero().squeeze(1), there[kept.y.cpu() != y], there[kept.w.cpu() != w])


def to_csv(dataset: Dataset, after: Batch, reasons: Mapping[int, str]) -> str:
    """The text of a file on the rows of ``dataset.train`` that differ from those of ``after``."""
    before = dataset.train
    numbers = {int(index): i for i, index in enumerate(after.index.tolist())}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escape_formulas, (*FIELDS, *(column.name for column in dataset.columns))))
    values = exact(dataset.columns, natural(dataset, before.x))
    changes = find_changes(before, after)
    for action, places in zip(ACTIONS, changes, strict=True):
        for place in places.tolist():
            index, label = int(before.index[place]), int(before.y[place])
            now = numbers.get(index)
            new = ["" if action != RELABEL or now is None else int(after.y[now])]
            new += ["" if action != REWEIGH or now is None else repr(float(after.w[now]))]
            group = escape_formulas(dataset.groups[int(before.s[place])])
            held = [f"{value:.10g}" for value in values[place].tolist()]
            writer.writerow([index, action, group, label, *new, escape_formulas(reasons.get(index, "")), *held])
    return text.getvalue()


def with_changes(dataset: Dataset, path: Path) -> Batch:
    """The training rows of a data set, changed as a file says.

    Raises:
        ValueError: no such file, columns that are missing, or a line that is of no training row, of a row with another
            label (a list for other data), names a row twice, or holds what is no action, label or weight.
    """
    train, classes = dataset.train, dataset.classes
    place = {int(index): i for i, index in enumerate(train.index.tolist())}
    keep, y, w = torch.ones(len(train.y), dtype=torch.bool), train.y.clone(), train.w.clone()
    seen: dict[int, set[str]] = {}
    for where, line in _lines(path):
        number = int(line["row"]) if line["row"].isdigit() else -1
        done = seen.setdefault(number, set())
        if line["action"] in done or (done and REMOVE in (*done, line["action"])):
            raise ValueError(f"{where}: row {line['row']} is named twice")
        done.add(line["action"])
        if number not in place:
            raise ValueError(f"{where}: row {line['row']!r} is no training row of {dataset.name} with this seed")
        i = place[number]
        if line["label"] != str(int(train.y[i])):
            raise ValueError(
                f"{where}: row {number} has the label {int(train.y[i])}, the file says {line['label']!r}: it is of "
                "other data, or another seed"
            )
        group = escape_formulas(dataset.groups[int(train.s[i])]).strip()
        if line["group"] != group:
            raise ValueError(
                f"{where}: row {number} is of group {group}, the file says {line['group']!r}: it is of other data"
            )
        if line["action"] == REMOVE:
            keep[i] = False
        elif line["action"] == RELABEL:
            y[i] = _label(where, line["new_label"], classes)
        elif line["action"] == REWEIGH:
            w[i] = _weight(where, line["weight"])
        else:
            raise ValueError(
                f"{where}: action {line['action']!r}; expected {', '.join(ACTIONS)}{near(line['action'], ACTIONS, '')}"
            )
    if not keep.any():
        raise ValueError(f"{path} removes all {count(len(keep), 'training row')}")
    return Batch(*(column[keep.to(column.device)] for column in train._replace(y=y, w=w)))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields each line's place in words, and its fields by name. Raises ValueError for a file that lacks some."""
    if not path.is_file():
        raise ValueError(describe_missing(path))
    header, *lines = [fields for fields in csv.reader(read_lines(path)) if fields] or [[]]
    needed = FIELDS[:-1]
    if lacking := [name for name in needed if name not in header]:
        raise ValueError(f"{path} lacks the column {', '.join(lacking)}; expected {', '.join(needed)}")
    for number, fields in enumerate(lines, 2):
        where = f"{path}, line {number}"
        if len(fields) != len(header):
            raise ValueError(f"{where}: {count(len(fields), 'field')}, but its header has {len(header)}")
        yield where, dict(zip(header, (field.strip() for field in fields), strict=True))


def _label(where: str, field: str, classes: int) -> int:
    if not field.isdigit() or int(field) not in range(classes):
        raise ValueError(f"{where}: new_label {field!r}; expected a class, a whole number from 0 to {classes - 1}")
    return int(field)


def _weight(where: str, field: str) -> float:
    try:
        weight = float(field)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(f"{where}: weight {field!r}; expected a number, 0 or more")
    return weight
