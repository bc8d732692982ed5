"""Means over seeds by data set and regularizer, beside the published figures and the method that each builds on.

``python -m evals.table experiment=capify_table [metrics=accuracy,mcc] [format=csv] [out=table.csv]``; options and
defaults stand in ``config/table.yaml``.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

import paths_config
from evals.records import advice, query, table_notes, who_pays
from evals.records.judged_rows import ROWS, tell_drawn, with_rows
from evals.records.rho import (
    AT_TRAINING,
    BASE,
    GAIN,
    RHO,
    beside_base,
    columns,
    is_derived,
    parts,
    tell_other_rows,
    unclear,
    with_rho,
)
from evals.records.table_text import Cell, Row, Table, latex, markdown, to_csv
from utils.records.typed import Record
from utils.records.warned import list_warnings
from utils.runs import causal_figures
from utils.runs.data_sources import sources
from utils.system import atomic
from utils.system.console import count, say_of, write
from utils.words.near import near
from utils.words.quoting import copyable
from utils.words.wrapping import room

OPTIONS = paths_config.ROOT / "config" / "table.yaml"
PUBLISHED = paths_config.ROOT / "docs" / "published"
FORMATS = {"markdown": markdown, "csv": to_csv, "latex": latex}
ANY = advice.Asked("")  # each data set's own database, all runs
# --- figures ---------------------------------------------------------------------------------------------------


def read_published(name: str) -> tuple[pd.DataFrame, str]:
    """A table of docs/published and what its comment lines say. Raises ValueError where there is none of that name."""
    path = PUBLISHED / f"{name}.csv"
    if not path.is_file():
        present = sorted(p.stem for p in PUBLISHED.glob("*.csv"))
        raise ValueError(f"no published table {name!r}{near(name, present)} There is {', '.join(present)}")
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return pd.read_csv(path, comment="#"), " ".join(comments)


def records(experiment: str | None, dataset: str | None) -> list[Record]:
    """The finished records of an experiment, of a data set, or of both. Raises ValueError where there are none."""
    if experiment is None and dataset is None:
        raise ValueError("name what to show: experiment=..., dataset=... or both")
    if dataset is not None:
        found = query.read(dataset)
    else:  # a file that holds another data set's records, such as the example, is a copy
        found = [r for name in paths_config.databases() for r in query.stored(name) if r["dataset"] == name]
    chosen = [record for record in found if experiment in (None, record["params"].get("experiment"))]
    if not chosen:
        names = sorted({str(record["params"].get("experiment") or "") for record in found} - {""})
        raise ValueError(
            f"no finished run of experiment={experiment}{near(str(experiment), names)} {_training(experiment)}; "
            f"experiments in the databases: {', '.join(names) or 'none'}"
        )
    return chosen


def _training(experiment: str | None) -> str:
    """Returns the command that trains the runs of a preset."""
    from utils.command_line.overrides import options  # imports Hydra, which tables need not wait for

    if experiment in (there := options("experiment")):
        return f"Train it with `{copyable('python train.py', f'+experiment={experiment}', '-m')}`"
    return f"Presets are {', '.join(there)}"


def build(
    found: Sequence[query.Record],
    metrics: Sequence[str] | None,
    reference: pd.DataFrame,
    source: str,
    *,
    base: Sequence[str] = (),
    others: Sequence[str] = (),
    asked: advice.Asked = ANY,
) -> Table:
    """Means and standard deviations over seeds, with the reference's rows of the same data sets and of ``others``.

    A regularizer that ran with several settings gets a row for each, named by what differs. Among the metrics may be
    ``gain_<metric>`` and ``rho_<average>``, which compare a row with its base (see ``evals.records.rho``); with
    ``base`` they are added for every average whose worst class is shown. ``asked`` is about the database whose records
    these are; where it is not named, each data set's own.

    Raises:
        ValueError: a metric that neither the records nor the reference have, or a base or data set that is not there.
    """
    frame = query.frame(found)
    _check_names("base", base, [*frame["regularizer"].dropna(), *reference["regularizer"]])
    _check_names("others", others, reference["dataset"])
    wanted = reference[reference["dataset"].isin([*frame["dataset"], *others])]
    reference = _name_radius(reference, found) if wanted.empty else reference
    shown = _select_metrics(metrics, frame, reference, compared=len(wanted) > 0, every_pair=bool(base))
    under, remarks = _causal_models(found, shown, asked)
    of_source = _sources(found)
    theirs = {(row["dataset"], row["regularizer"]): row for row in _against(wanted, shown, base).to_dict("records")}
    compared = _select_compared(shown)
    counted = with_rows(frame, found, [key for key in dict.fromkeys([*shown, *compared]) if key in frame.columns])
    beside = beside_base(counted, compared, base)
    ours = _means(beside, shown)
    ours["regularizer"] = ours["regularizer"].fillna("none")
    ours["kind"] = ours["dataset"] + " " + ours["regularizer"]
    cells: dict[Row, list[Cell]] = {}
    named: dict[str, Row] = {}
    for label, group in zip(query.differences(found, ours, "kind"), ours.to_dict("records"), strict=True):
        row = name = (group["dataset"], group["regularizer"])
        if label != group["kind"]:
            name = (row[0], f"{row[1]} ({label})")
        model = under.get((row[0], group["group_id"]), "")
        if model not in name[1]:
            name = (row[0], f"{name[1]} under scm {model}")
        if several := of_source.get((row[0], group["group_id"])):
            name = (row[0], f"{name[1]} on {several}")
        if name in cells:  # a difference that the label does not show
            name = (row[0], f"{name[1]} [{group['group_id'][:8]}]")
        cells[name] = [_cell(key, group, theirs.get(row, {})) for key in shown]
        named[str(group["group_id"])] = name
    ran = set(zip(ours["dataset"], ours["regularizer"], strict=True))
    cells |= {row: [_cell(key, {}, figures) for key in shown] for row, figures in theirs.items() if row not in ran}
    datasets = frozenset(frame["dataset"])
    paid = who_pays.tell(frame, found, shown, base, named)
    notes = [
        *table_notes.notes(found, shown),
        *tell_other_rows(beside, compared),
        *tell_drawn(found, shown),
        *paid.open,
        *remarks,
    ]
    ordered = dict(sorted(cells.items(), key=lambda item: (item[0][0] not in datasets, _natural(item[0]))))
    made = Table(
        ordered,
        shown,
        source if theirs else "",
        datasets,
        frozenset(wanted["dataset"]),
        unclear(frame, base),
        list_warnings(found),
        notes,
        paid.rows,
    )
    return made if metrics else _without_empty(made)


def _causal_models(
    found: Sequence[query.Record], shown: Sequence[str], asked: advice.Asked
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """The causal model of each setting, data set and group_id, where a figure has several; and sentences on them.

    Raises:
        ValueError: a gain or rho of a causal figure, whose runs rest on several causal models.
    """
    under: dict[tuple[str, str], str] = {}
    remarks: list[str] = []
    for dataset in dict.fromkeys(record["dataset"] for record in found):
        of = [record for record in found if record["dataset"] == dataset]
        about = replace(asked, database=asked.database or dataset)
        advice.require_one(of, _select_compared(shown), about)
        remarks += causal_figures.sentences(of, shown)
        remarks += advice.sentences(of, shown, about)
        for key in shown:
            models = causal_figures.models(of, key)
            known = [model for model, _ in models.values() if model is not None]
            if len(models) > 1:
                for model, having in models.values():
                    under |= {(dataset, record["group_id"]): causal_figures.name(model, known) for record in having}
    return under, list(dict.fromkeys(remarks))


def _sources(found: Sequence[query.Record]) -> dict[Row, str]:
    """The source of each setting, data set and group_id, of the data sets whose runs are of several."""
    named: dict[Row, str] = {}
    for dataset in dict.fromkeys(record["dataset"] for record in found):
        by_source = sources([record for record in found if record["dataset"] == dataset])
        if len(by_source) > 1:
            named |= {(dataset, str(record["group_id"])): name for name, of in by_source.items() for record in of}
    return named


def _natural(row: Row) -> list[tuple[int, float, str]]:
    """A key that sorts ``weight 3`` before ``weight 10``."""
    parts = [part for name in row for part in (*re.split(r"(\d+(?:\.\d+)?)", name), "")]
    return [(0, float(part), "") if part[:1].isdigit() else (1, 0.0, part) for part in parts]


def _check_names(option: str, names: Sequence[str], there: Iterable[str]) -> None:
    for name in names:
        if name not in (known := sorted(set(there))):
            raise ValueError(f"{option}={name} is not there{near(name, known)} There is {', '.join(known)}")


def _select_metrics(
    metrics: Sequence[str] | None, frame: pd.DataFrame, reference: pd.DataFrame, *, compared: bool, every_pair: bool
) -> list[str]:
    """The metrics asked for, or those of the reference; each is one that our records or its rows have."""
    theirs = [str(c) for c in reference.columns if c not in ("dataset", "regularizer", "n") and c[-3:] != "_sd"]
    if metrics:
        for part in [part for key in metrics for part in parts(key)]:
            if not (compared and part in theirs):
                query.find_column(part, frame)
        return columns(metrics, every_pair=every_pair)
    shown = [key for key in theirs if compared or all(part in frame.columns for part in parts(key))]
    if not shown:
        raise ValueError(f"say metrics=...; these runs have {', '.join(query.metrics(frame))}")
    return columns(shown, every_pair=every_pair)


def _name_radius(reference: pd.DataFrame, found: Sequence[query.Record]) -> pd.DataFrame:
    """The columns to show, where all of the runs were trained at no radius with one that they were judged at."""
    pair = table_notes.find_pair(found)
    trained = any(causal_figures.has(record, key) for record in found for key in AT_TRAINING)
    if pair is None or trained:
        return reference
    named = dict(zip(AT_TRAINING, pair, strict=True))
    return reference.rename(columns={f"{side}{key}": f"{side}{of}" for key, of in named.items() for side in ("", RHO)})


def _means(runs: pd.DataFrame, shown: Sequence[str]) -> pd.DataFrame:
    """Returns our rows: one a setting, with mean, standard deviation and number of seeds of every column we have."""
    measured = [key for key in shown if not is_derived(key) and key in runs.columns]
    beside = [f"{side}{key}" for side in (GAIN, BASE) for key in _select_compared(shown)]
    means = query.aggregate(runs, [*measured, *beside])
    rows = [f"{ROWS}{key}" for key in measured]
    fewest = runs.groupby(["dataset", "group_id"], sort=False, dropna=False)[rows].min().reset_index(drop=True)
    return with_rho(pd.concat([means, fewest], axis=1), shown)


def _against(reference: pd.DataFrame, shown: Sequence[str], base: Sequence[str]) -> pd.DataFrame:
    """The published rows with the columns that compare them with their base, as published where they are."""
    made = with_rho(beside_base(reference, _select_compared(shown), base), shown)
    for key in filter(is_derived, shown):
        made[key] = reference[key].fillna(made[key]) if key in reference.columns else made[key]
    return made


def _select_compared(shown: Sequence[str]) -> list[str]:
    """The measured metrics in which rows are compared with their base."""
    return list(dict.fromkeys(part for key in filter(is_derived, shown) for part in parts(key)))


def _without_empty(table: Table) -> Table:
    """Drops comparisons with a base that no row has: nobody asked for them by name."""
    by_column = zip(*table.rows.values(), strict=True)
    filled = [any(cell.n or not math.isnan(cell.published) for cell in cells) for cells in by_column]
    kept = [i for i, key in enumerate(table.metrics) if filled[i] or not is_derived(key)]
    rows = {row: [cells[i] for i in kept] for row, cells in table.rows.items()}
    return replace(table, rows=rows, metrics=[table.metrics[i] for i in kept])


def _cell(key: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> Cell:
    return Cell(
        mean=ours.get(key, math.nan),
        sd=ours.get(f"{key}_sd", math.nan),
        n=int(ours.get(f"{key}_n", 0)),
        rows=ours.get(f"{ROWS}{key}", math.inf),
        published=theirs.get(key, math.nan),
        published_sd=theirs.get(f"{key}_sd", math.nan),
        published_n=int(theirs.get("n", 0)) if key in theirs else 0,
    )


def nearest(found: Sequence[query.Record], experiment: str | None) -> str:
    """The published table that belongs to the records.

    It is the one whose name the experiment's begins with; else one of the same data sets; else the one most of whose
    metrics the records have.
    """
    frame = query.frame(found)
    measured = {key for key in query.metrics(frame) if frame[key].notna().any()}
    measured |= set(AT_TRAINING) if table_notes.find_pair(found) else set()

    def fit(name: str) -> tuple[bool, int, int]:
        figures, _ = read_published(name)
        named = str(experiment or "").startswith(name)
        return named, int(frame["dataset"].isin(figures["dataset"]).sum()), len(measured & set(figures.columns))

    return max(sorted(path.stem for path in PUBLISHED.glob("*.csv")), key=fit)


def table(options: DictConfig) -> None:
    """Reads the databases, builds the table, prints or writes it."""
    in_format = format_of(options, FORMATS)
    names = [query.to_text(options[key]) for key in ("experiment", "dataset", "published")]
    experiment, dataset, reference = names
    found = _filter_records(records(experiment, dataset), options.where)
    if reference == "auto":
        reference = nearest(found, experiment)
    figures, source = read_published(reference) if reference else (pd.DataFrame(columns=["dataset", "regularizer"]), "")
    others = _words(options.others)
    if experiment is None and not others:  # any runs of a data set: the published metrics, not the published figures
        figures = figures.head(0)
    others = sorted(set(figures["dataset"])) if others == ["all"] else others
    asked = advice.Asked(dataset or "", query.to_text(options.where))
    built = build(
        found, _words(options.metrics), figures, source, base=_words(options.base), others=others, asked=asked
    )
    what = f"{count(len(built.rows), 'row')}, {count(built.missing, 'figure')} missing"
    hand_out(in_format(built), options.out, what)


def format_of(options: DictConfig, formats: Mapping[str, Callable[..., str]]) -> Callable[..., str]:
    """Returns the function that writes the format asked for, a text for readers as the terminal has room for it.

    Raises:
        ValueError: an unknown format.
    """
    if options.format not in formats:
        raise ValueError(f"format={options.format}: expected {', '.join(formats)}")
    chosen, fits = formats[options.format], options.format in ("markdown", "text")
    return partial(chosen, wide=room(sys.stdout)) if fits and options.out is None else chosen


def hand_out(text: str, out: object, what: str) -> None:
    """Prints a text, or writes it to the file ``out`` and says what it holds."""
    if out is None:
        write(text)
        return
    atomic.write_text(Path(str(out)), text)
    say_of(str(out), what)


def _filter_records(found: list[Record], conditions: str | None) -> list[Record]:
    """The records that meet the conditions. Raises ValueError where none does."""
    kept = query.where(query.frame(found), conditions)
    if kept.empty:
        raise ValueError(f"where={conditions!r} leaves none of the {count(len(found), 'run')}; relax it")
    return [found[i] for i in kept.index]


def _words(option: Any) -> list[str]:
    return [word.strip() for word in str("" if option is None else option).split(",") if word.strip()]


if __name__ == "__main__":
    sys.exit(query.command(table, OPTIONS, sys.argv[1:]))
