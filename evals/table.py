"""Means over seeds by data set and regularizer, beside the published figures.

``python -m evals.table experiment=capify_small [metrics=accuracy,mcc] [format=csv] [out=table.csv]``; options and
defaults stand in ``config/table.yaml``.
"""

import csv
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

import paths_config
from evals import query
from utils import atomic

OPTIONS = paths_config.ROOT / "config" / "table.yaml"
PUBLISHED = paths_config.ROOT / "docs" / "published"
DASH = "–"
Row = tuple[str, str]  # data set, regularizer (and setting, where one regularizer has several)


@dataclass(frozen=True)
class Cell:
    """One metric of one row; NaN where there is no figure."""

    mean: float = math.nan
    sd: float = math.nan
    n: int = 0
    published: float = math.nan
    published_sd: float = math.nan

    @property
    def deviation(self) -> float:
        """Our mean less the published one, in published standard deviations; NaN without both or at sd 0."""
        return (self.mean - self.published) / self.published_sd if self.published_sd > 0 else math.nan


@dataclass(frozen=True)
class Table:
    """The figures of a table and how they came about."""

    rows: dict[Row, list[Cell]]  # one cell per metric
    metrics: list[str]
    source: str  # of the published figures, or nothing

    @property
    def missing(self) -> int:
        """Cells without a mean of ours."""
        return sum(not cell.n for cells in self.rows.values() for cell in cells)


# --- figures ---------------------------------------------------------------------------------------------------


def published(name: str) -> tuple[pd.DataFrame, str]:
    """A table of docs/published and what its comment lines say. Raises ValueError where there is none of that name."""
    path = PUBLISHED / f"{name}.csv"
    if not path.is_file():
        present = sorted(p.stem for p in PUBLISHED.glob("*.csv"))
        raise ValueError(f"no published table {name!r}{query.near(name, present)} There is {', '.join(present)}")
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return pd.read_csv(path, comment="#"), " ".join(comments)


def records(experiment: str | None, dataset: str | None) -> list[dict[str, Any]]:
    """The finished records of an experiment, of a data set, or of both. Raises ValueError where there are none."""
    if experiment is None and dataset is None:
        raise ValueError("name what to show: experiment=..., dataset=... or both")
    if dataset is not None:
        found = query.read(dataset)
    else:  # a file that holds another data set's records, such as the example, is a copy
        found = [r for name in query.databases() for r in query.stored(name) if r["dataset"] == name]
    chosen = [record for record in found if experiment in (None, record["params"].get("experiment"))]
    if not chosen:
        names = sorted({str(record["params"].get("experiment") or "") for record in found} - {""})
        raise ValueError(
            f"no finished run of experiment={experiment}{query.near(str(experiment), names)} Train it with "
            f"`python train.py +experiment={experiment} -m`; experiments in the databases: {', '.join(names) or 'none'}"
        )
    return chosen


def build(found: Sequence[query.Record], metrics: Sequence[str] | None, reference: pd.DataFrame, source: str) -> Table:
    """Means and standard deviations over seeds, with the reference's rows of the same data sets.

    A regularizer that ran with several settings gets a row for each, named by what differs. Raises ValueError for
    a metric that neither the records nor the reference have.
    """
    frame = query.frame(found)
    wanted = reference[reference["dataset"].isin(frame["dataset"])].to_dict("records")
    theirs = {(str(row["dataset"]), str(row["regularizer"])): row for row in wanted}
    shown = _shown(metrics, frame, reference, bool(theirs))
    ours = query.aggregate(frame, [key for key in shown if key in frame.columns])
    ours["regularizer"] = ours["regularizer"].fillna("none")
    ours["kind"] = ours["dataset"] + " " + ours["regularizer"]
    cells: dict[Row, list[Cell]] = {}
    for label, group in zip(query.differences(found, ours, "kind"), ours.to_dict("records"), strict=True):
        row = name = (group["dataset"], group["regularizer"])
        if label != group["kind"]:
            name = (row[0], f"{row[1]} ({label})")
        if name in cells:  # a difference that the label does not show
            name = (row[0], f"{name[1]} [{group['group_id'][:8]}]")
        cells[name] = [_cell(key, group, theirs.get(row, {})) for key in shown]
    ran = set(zip(ours["dataset"], ours["regularizer"], strict=True))
    cells |= {row: [_cell(key, {}, figures) for key in shown] for row, figures in theirs.items() if row not in ran}
    return Table(dict(sorted(cells.items())), shown, source if theirs else "")


def _shown(metrics: Sequence[str] | None, frame: pd.DataFrame, reference: pd.DataFrame, compared: bool) -> list[str]:
    """The metrics asked for, or those of the reference; each is one that our records or its rows have."""
    theirs = [str(c) for c in reference.columns if c not in ("dataset", "regularizer", "n") and c[-3:] != "_sd"]
    if metrics:
        return [key if compared and key in theirs else query.known(key, frame) for key in metrics]
    shown = [key for key in theirs if compared or key in frame.columns]
    if not shown:
        raise ValueError(f"say metrics=...; these runs have {', '.join(query.metrics(frame))}")
    return shown


def _cell(key: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> Cell:
    return Cell(
        mean=ours.get(key, math.nan),
        sd=ours.get(f"{key}_sd", math.nan),
        n=int(ours.get(f"{key}_n", 0)),
        published=theirs.get(key, math.nan),
        published_sd=theirs.get(f"{key}_sd", math.nan),
    )


# --- text ------------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """One Markdown table, a row per data set and regularizer."""
    header = ["data set", "regularizer", *table.metrics]
    lines = [header, ["---"] * len(header), *_text_rows(table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{_legend(table)}\n"


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package."""
    header = ["data set", "regularizer", *table.metrics]
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *_text_rows(table))]
    opening = [f"% {_legend(table)}", rf"\begin{{tabular}}{{{'l' * len(header)}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*opening, *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def comma_separated(table: Table) -> str:
    """One line per cell, with all digits; an empty field where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = ("mean", "sd", "n", "published", "published_sd", "deviation")
    writer.writerow(["dataset", "regularizer", "metric", *fields])
    for row, cells in table.rows.items():
        for key, cell in zip(table.metrics, cells, strict=True):
            figures = [getattr(cell, field) for field in fields]
            writer.writerow([*row, key, *("" if math.isnan(figure) else figure for figure in figures)])
    return text.getvalue()


FORMATS = {"markdown": markdown, "csv": comma_separated, "latex": latex}


def _text_rows(table: Table) -> list[list[str]]:
    return [[*row, *(_text(cell, bool(table.source)) for cell in cells)] for row, cells in table.rows.items()]


def _text(cell: Cell, compared: bool) -> str:
    """``0.695 ± 0.027 (0.695, +0.0)``: mean, sd, published mean, deviation."""
    ours = DASH if not cell.n else f"{cell.mean:.3f}" + ("" if math.isnan(cell.sd) else f" ± {cell.sd:.3f}")
    if not compared:
        return ours
    theirs = DASH if math.isnan(cell.published) else f"{cell.published:.3f}"
    return f"{ours} ({theirs}" + (")" if math.isnan(cell.deviation) else f", {cell.deviation:+.1f})")


def _legend(table: Table) -> str:
    counts = sorted({cell.n for cells in table.rows.values() for cell in cells if cell.n})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    words = [f"Mean ± standard deviation over {seeds} seed{'' if counts == [1] else 's'}."]
    if table.source:
        words.append(f"In brackets the published mean and our deviation from it in published sd. {table.source}")
    if table.missing:
        words.append(f"{DASH}: {table.missing} of {len(table.rows) * len(table.metrics)} figures are missing.")
    return " ".join(words)


def _escaped(text: str) -> str:
    plain = text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")
    return plain.replace("±", r"$\pm$").replace(DASH, "--")


def table(options: DictConfig) -> None:
    """Read the databases, build the table, print or write it."""
    if options.format not in FORMATS:
        raise ValueError(f"format={options.format}: expected {', '.join(FORMATS)}")
    names = [None if options[key] is None else str(options[key]) for key in ("experiment", "dataset", "published")]
    experiment, dataset, reference = names
    figures, source = published(reference) if reference else (pd.DataFrame(columns=["dataset", "regularizer"]), "")
    if experiment is None:  # any runs of a data set: the published metrics, not the published figures
        figures = figures.head(0)
    keys = [key.strip() for key in str(options.metrics or "").split(",") if key.strip()]
    built = build(records(experiment, dataset), keys, figures, source)
    text = FORMATS[options.format](built)
    if options.out is None:
        sys.stdout.write(text)
        return
    atomic.write_text(Path(str(options.out)), text)
    sys.stdout.write(f"{options.out}: {len(built.rows)} rows, {built.missing} figures missing\n")


if __name__ == "__main__":
    sys.exit(query.command(table, OPTIONS, sys.argv[1:]))
