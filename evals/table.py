"""Means over seeds by data set and regularizer, beside the published figures.

``python -m evals.table experiment=capify_table [metrics=accuracy,mcc] [format=csv] [out=table.csv]``; options and
defaults stand in ``config/table.yaml``.
"""

import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
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
# what LaTeX would take for a command, as LaTeX prints it
SIGNS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", DASH: "--"}
SIGNS |= {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}
LATEX = str.maketrans(SIGNS)
Row = tuple[str, str]  # data set, regularizer (and setting, where one regularizer has several)


@dataclass(frozen=True)
class Cell:
    """One metric of one row; NaN where there is no figure."""

    mean: float = math.nan
    sd: float = math.nan
    n: int = 0
    published: float = math.nan
    published_sd: float = math.nan
    published_n: int = 0

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
        published_n=int(theirs.get("n", 0)) if key in theirs else 0,
    )


# --- text ------------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """One Markdown table, a row per data set and regularizer."""
    header, compared = ["data set", "regularizer", "seeds", *table.metrics], bool(table.source)
    rows = [[*row, _seeds(cells), *(_text(cell, compared) for cell in cells)] for row, cells in table.rows.items()]
    lines = "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *rows))
    return f"{lines}\n{_legend(table, 'In brackets the published mean and our deviation from it in published sd.')}\n"


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package: for every metric our mean ± sd, and the published where compared."""
    compared = bool(table.source)
    facts, names = ["data set", "regularizer", "seeds"], [_escaped(key) for key in table.metrics]
    head = [_line([*facts, *names])]
    if compared:
        above = ["", "", "", *(rf"\multicolumn{{2}}{{c}}{{{name}}}" for name in names)]
        rules = "".join(rf"\cmidrule(lr){{{first}-{first + 1}}}" for first in range(4, 4 + 2 * len(names), 2))
        head = [_line(above), rules, _line([*facts, *["ours", "published"] * len(names)])]
    columns = "llr" + "c" * len(names) * (2 if compared else 1)
    legend = _legend(table, "Published figures are mean ± standard deviation too.")
    opening = [f"% {legend}", r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *head]
    lines = [*opening, r"\midrule", *_latex_rows(table, compared), r"\bottomrule", r"\end{tabular}"]
    return "".join(f"{line}\n" for line in lines)


def _latex_rows(table: Table, compared: bool) -> Iterator[str]:
    """The rows, the name of a data set in its first one, a little space between data sets."""
    previous = ""
    for (dataset, regularizer), cells in table.rows.items():
        if previous and dataset != previous:
            yield r"\addlinespace"
        ours = [(cell.mean, cell.sd) for cell in cells]
        theirs = [(cell.published, cell.published_sd) for cell in cells]
        figures = [pair for pairs in zip(ours, theirs, strict=True) for pair in pairs] if compared else ours
        name = "" if dataset == previous else _escaped(dataset)
        yield _line([name, _escaped(regularizer), _escaped(_seeds(cells)), *(_math(*pair) for pair in figures)])
        previous = dataset


def _line(fields: Sequence[str]) -> str:
    return " & ".join(fields) + r" \\"


def _math(mean: float, sd: float) -> str:
    if math.isnan(mean):
        return "--"
    return f"${mean:.3f}$" if math.isnan(sd) else rf"${mean:.3f} \pm {sd:.3f}$"


def comma_separated(table: Table) -> str:
    """One line per cell, with all digits; an empty field where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = ("mean", "sd", "n", "published", "published_sd", "published_n", "deviation")
    writer.writerow(["dataset", "regularizer", "metric", *fields])
    for row, cells in table.rows.items():
        for key, cell in zip(table.metrics, cells, strict=True):
            figures = [getattr(cell, field) for field in fields]
            writer.writerow([*row, key, *("" if math.isnan(figure) else figure for figure in figures)])
    return text.getvalue()


FORMATS = {"markdown": markdown, "csv": comma_separated, "latex": latex}


def _seeds(cells: Sequence[Cell]) -> str:
    """How many seeds the means of a row are over: a number, a range where metrics are undefined for some, or a dash."""
    counts = sorted({cell.n for cell in cells if cell.n})
    return f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0]) if counts else DASH


def _text(cell: Cell, compared: bool) -> str:
    """``0.695 ± 0.027 (0.695, +0.0)``: mean, sd, published mean, deviation."""
    ours = DASH if not cell.n else f"{cell.mean:.3f}" + ("" if math.isnan(cell.sd) else f" ± {cell.sd:.3f}")
    if not compared:
        return ours
    theirs = DASH if math.isnan(cell.published) else f"{cell.published:.3f}"
    return f"{ours} ({theirs}" + (")" if math.isnan(cell.deviation) else f", {cell.deviation:+.1f})")


def _legend(table: Table, comparison: str) -> str:
    words = ["Mean ± standard deviation over seeds."]
    if table.source:
        words += [comparison, table.source]
    if table.missing:
        words.append(f"{DASH}: {table.missing} of {len(table.rows) * len(table.metrics)} figures are missing.")
    return " ".join(words)


def _escaped(text: str) -> str:
    return text.translate(LATEX)


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
