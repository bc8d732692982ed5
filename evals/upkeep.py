"""Check, rebuild and fold the run database of a data set.

    python -m evals.database check dataset=NAME
        reads the database and compares the weights of every finished run, and the rows that were added to its training
        with their trace, with their checksums
    python -m evals.database rebuild dataset=NAME [runs=FOLDER | runs=[FOLDER,FOLDER]]
        moves a damaged database aside and stores the runs whose record.json lies below the folders
        (default: outputs and multirun of the project); what a readable database holds stays as it is,
        and so do weights, added rows and traces
    python -m evals.database fold dataset=NAME
        writes the journal beside a large database into it, so that any TinyDB sees every run

Imported records claim no weights, so check asks for none. They have no record.json either: after a rebuild,
import their file again.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paths_config
from evals.poison_files import wrong
from evals.query import near
from utils.atomic import digest
from utils.console import say
from utils.run_store import STATUS, RunStore, StoreError

SHOWN = 20  # lines of a listing that fit one screen

Record = Mapping[str, Any]


def check(dataset: str) -> int:
    """Compare a database with the weights it names; 1 if anything is wrong, else 0."""
    store = RunStore(existing(dataset))
    try:
        records = store.all()
    except StoreError as error:
        say(str(error))
        return 1
    finished = [record for record in records if record.get("status") == "finished"]
    trained = [record for record in finished if not record.get("imported")]
    problems = [f"record {r['doc_id']}: {what}" for r in trained for what in (_wrong(r), *wrong(r)) if what]
    problems += _repeated(finished)
    imported = f" ({len(finished) - len(trained)} of them imported, without weights)" if trained != finished else ""
    say(f"{store.path}: {len(finished)} finished{imported}, {len(records) - len(finished)} failed")
    say_some(problems)
    say("every finished run has its files" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def rebuild(dataset: str, folders: Sequence[Path]) -> int:
    """Store every run of a data set whose record.json lies below the folders, the newest of each run_id.

    Raises:
        ValueError: no folder, or no run of the data set in them; the database is then left alone.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"runs={folder} is no folder; name the one that holds the runs' record.json files")
    default = [paths_config.ROOT / "outputs", paths_config.ROOT / "multirun"]
    folders = folders or [folder for folder in default if folder.is_dir()] or default
    runs, unreadable = find_runs(dataset, folders)
    searched = ", ".join(map(str, folders))
    if not runs:
        raise ValueError(
            f"no finished or failed run of dataset={dataset} in the record.json files below {searched}; "
            "name the folder of the runs by runs=FOLDER"
        )
    store = RunStore(paths_config.database(dataset))
    for aside in store.set_aside():
        say(f"moved the damaged file to {aside}; records are numbered anew")
    before = len(store)
    store.add_many(runs)
    store.fold()
    states = Counter(run["status"] for run in runs)
    found = f"{len(runs)} runs below {searched} ({states['finished']} finished, {states['failed']} failed)"
    say(f"{found}, {len(store) - before} of them new to {store.path}, which now holds {len(store)}")
    say_some([f"skipped {path}: not a record" for path in unreadable])
    return 0


def fold(dataset: str) -> int:
    """Write the journal of a database into its file."""
    store = RunStore(existing(dataset))
    folded = store.fold()
    say(f"{store.path}: {folded} lines folded, {len(store)} records")
    return 0


def existing(dataset: str) -> Path:
    """The database of a data set. Raises ValueError, naming those that are there, where there is none."""
    path = paths_config.database(dataset)
    if is_database(path):
        return path
    present = sorted(other.stem for other in path.parent.glob("*.json"))
    raise ValueError(
        f"no database {path}{near(dataset, present)} Databases there: {', '.join(present) or 'none'}; train a model, "
        f"or build it from the runs by `python -m evals.database rebuild dataset={dataset}`"
    )


def is_database(path: Path) -> bool:
    """Whether there is the file of a database, or a journal that will become one."""
    return path.is_file() or path.with_name(path.name + ".journal").is_file()


def say_some(lines: Sequence[str]) -> None:
    """Print as many lines as fit one screen, and how many are left."""
    for line in lines[:SHOWN]:
        say(line)
    if len(lines) > SHOWN:
        say(f"... and {len(lines) - SHOWN} more")


# --- the runs below a folder -----------------------------------------------------------------------------------


def find_runs(dataset: str, folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[Path]]:
    """The runs of a data set by age, one for each run_id, and the record.json files that cannot be read.

    Of several with one run_id the newest finished one counts, else the newest failed one; running ones do not.
    """
    newest: dict[str, dict[str, Any]] = {}
    unreadable = []
    for path in sorted(path for folder in folders for path in folder.rglob("record.json")):
        record = _read(path)
        if record is None:
            unreadable.append(path)
        elif dataset in _datasets(record) and record["status"] in STATUS:
            known = newest.get(record["run_id"])
            if known is None or _rank(record) >= _rank(known):
                newest[record["run_id"]] = record
    return sorted(newest.values(), key=created), unreadable


def created(record: Record) -> datetime:
    """When a run was recorded, in UTC where it states no zone; the oldest date where it states none."""
    try:
        stated = datetime.fromisoformat(str(record.get("created")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return stated if stated.tzinfo else stated.replace(tzinfo=UTC)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    named = isinstance(record, dict) and isinstance(record.get("run_id"), str) and record["run_id"]
    return record if named and isinstance(record.get("status"), str) else None


def _datasets(record: Record) -> tuple[Any, Any]:
    """The data set a record names, and the one its settings name."""
    params = record.get("params")
    chosen = params.get("dataset") if isinstance(params, Mapping) else None
    return record.get("dataset"), chosen.get("name") if isinstance(chosen, Mapping) else chosen


def _rank(record: Record) -> tuple[bool, datetime]:
    return record["status"] == "finished", created(record)


# --- weights ---------------------------------------------------------------------------------------------------


def _wrong(record: Record) -> str | None:
    """What is wrong with the weights of a finished record, or None."""
    stated = record.get("weights")
    if not isinstance(stated, Mapping) or not stated.get("path"):
        return "finished, but names no weights"
    try:
        path = paths_config.weights_file(str(stated["path"]))
    except ValueError as error:
        return str(error)
    if not path.is_file():
        return f"its weights {path} are missing; train it again"
    return (
        None if digest(path) == stated.get("sha256") else f"its weights {path} have another checksum than when stored"
    )


def _repeated(finished: Iterable[Record]) -> list[str]:
    """Runs that more than one finished record claims; only another program can have stored them."""
    times = Counter(str(record.get("run_id")) for record in finished)
    return [f"run {run}: {n} finished records" for run, n in times.items() if n > 1]
