"""Export a run database for other programs: one row per run.

    python -m evals.database export dataset=NAME out=FILE [failed=true] [replace=true]

out decides the form:
    runs.csv            CSV; also of a pipe or a device, such as /dev/stdout
    runs.parquet        Parquet (needs pyarrow)
    runs.db             an SQLite file of MLflow (needs mlflow); sqlite:///runs.db means the same.
                        `mlflow ui --backend-store-uri sqlite:///runs.db` shows it
failed=true             failed runs too, with the reason; else only finished ones
replace=true            make an existing file anew; else it is left alone, but for MLflow's, which is added to

A row has the run's facts (doc_id, name, seed, run_id, group_id, status, created, ...), seconds.*, its metrics under
their own names, later evaluations as <evaluation>/<metric>, and its settings as params.* with dots between the
levels; lists are JSON text. What only this program needs (preprocessing, threshold, weights, environment) is left out.

In MLflow there is an experiment per data set and in it a run per record, told by its tag run_id: a second export
adds what is new and brings the metrics of known runs up to date. MLflow has no null, so undefined metrics are left
out there, and signs that it does not allow in names become _. The form needs
`pip install -r requirements/export.txt`.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from evals.keeping import tracking
from evals.keeping.upkeep import require_database
from evals.records import query
from utils.records.settings import flat
from utils.records.typed import Record
from utils.run_store import RunStore
from utils.system import atomic
from utils.system.console import count, escape_formulas, say, say_of

SQLITE = "sqlite:///"
INT64 = 2**63  # beyond, a column of whole numbers is text


def export(dataset: str, out: str, *, failed: bool, replace: bool) -> int:
    """Writes the runs of a data set to a file, whole or not at all; returns 0.

    Raises:
        ValueError: no database or no run, an unknown suffix, an existing file without ``replace``, a missing package.
    """
    path = Path(out.removeprefix(SQLITE)).expanduser()
    stream = atomic.is_stream(path)
    kind = ".db" if out.startswith(SQLITE) else path.suffix.lower() or (".csv" if stream else "")
    if kind not in (".csv", ".parquet", ".db"):
        raise ValueError(f"out={out}: expected a name ending in .csv, .parquet or .db, or {SQLITE}FILE for MLflow")
    records = select_records(dataset, failed)
    if kind == ".db":
        if stream:
            raise ValueError(f"out={out} is a pipe or a device, and MLflow's form is a file; give another name")
        _require("mlflow", "the MLflow form")
        say(tracking.store(dataset, to_tracked(records), path, replace=replace))
        return 0
    if path.exists() and not replace and not stream:
        raise ValueError(f"out={out} exists; give another name, or replace=true to make it anew")
    table = rows(records)
    atomic.write_bytes(path, to_csv(table) if kind == ".csv" else to_parquet(table))
    say_of(path, f"{count(len(table), 'run')}, {count(len(table.columns), 'column')}")
    return 0


def select_records(dataset: str, failed: bool) -> list[Record]:
    """Returns the records to export. Raises ValueError where there are none."""
    path = require_database(dataset)
    everything = RunStore(path).all()
    records = [record for record in everything if failed or record.get("status") == "finished"]
    if not records:
        rest = f"{len(everything)} failed, which failed=true exports" if everything else "train a model first"
        raise ValueError(f"{path} holds no finished run ({rest})")
    return records


def to_tracked(records: Sequence[Record]) -> list[tracking.Tracked]:
    """The records as MLflow takes them: numbers that are there, and settings by dotted key."""
    found = query.frame(records)
    metrics = found[[key for key in found.columns if key not in query.FACTS]].to_dict("records")
    measured = [{str(key): value for key, value in row.items() if not math.isnan(value)} for row in metrics]
    return [tracking.Tracked(r, m, flat(r["params"])) for r, m in zip(records, measured, strict=True)]


# --- a table ---------------------------------------------------------------------------------------------------


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record; every column is whole numbers, floats, booleans or text, whatever the records mix."""
    found = query.frame(records)
    facts = {str(key): found[key] for key in query.FACTS if key != "params"}
    facts["seed"] = pd.Series([record.get("seed") for record in records], dtype=object)  # whole numbers stay whole
    if any(record.get("reason") for record in records):
        facts["reason"] = pd.Series([record.get("reason") for record in records], dtype=object)
    seconds = [flat(record.get("seconds") or {}, prefix="seconds.") for record in records]
    params = [flat(record["params"], prefix="params.") for record in records]
    measured = found[[key for key in found.columns if key not in query.FACTS]]
    parts = [{key: _to_series(list(values)) for key, values in facts.items()}, _columns(seconds), _columns(params)]
    first, second, last = (pd.DataFrame(part, index=found.index) for part in parts)
    return pd.concat([first, second, measured, last], axis=1)


def _columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, pd.Series]:
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: _to_series([line.get(name) for line in lines]) for name in names}


def _to_series(values: Sequence[Any]) -> pd.Series:
    """A column of one type: that of the values, or text where they are of several."""
    clean = [None if value is None or value != value else value for value in values]  # NaN is no value either
    kinds = {type(value) for value in clean if value is not None}
    if kinds == {bool}:
        return pd.Series(clean, dtype="boolean")
    if kinds == {int} and all(abs(value) < INT64 for value in clean if value is not None):
        return pd.Series(clean, dtype="Int64")
    if kinds <= {int, float}:
        return pd.Series(clean, dtype="float64")
    return pd.Series([None if value is None else tracking.text(value) for value in clean], dtype="string")


def to_csv(table: pd.DataFrame) -> bytes:
    """Comma-separated text for a spreadsheet: numbers with all their digits, nothing where there is no value."""
    columns = (table.iloc[:, place] for place in range(table.shape[1]))
    safe = [c if pd.api.types.is_numeric_dtype(c) else c.map(escape_formulas, na_action="ignore") for c in columns]
    text = pd.concat(safe, axis=1).to_csv(index=False, header=[escape_formulas(str(name)) for name in table.columns])
    return str(text).encode()


def to_parquet(table: pd.DataFrame) -> bytes:
    """A Parquet file. Raises ValueError where pyarrow is missing."""
    _require("pyarrow", "Parquet")
    content = BytesIO()
    table.to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


def _require(package: str, what: str) -> None:
    if find_spec(package) is None:
        raise ValueError(f"{what} needs {package}, which is not installed: pip install -r requirements/export.txt")
