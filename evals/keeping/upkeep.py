"""Check, rebuild and fold the run database of a data set, and remove records.

    python -m evals.database check dataset=NAME
        compares every record with its checksum and with what a record has to be, and the weights of every finished run,
        its decisions on the test rows, and the rows that were added to its training with their trace, with their
        checksums. Commands leave out the
        records that it names: rebuild restores them, remove takes them out. One that was changed on purpose is
        accepted once its entry `checksum` is gone. A delivery that it names holds records that were altered or cut off
        on their way: rebuild restores them, and the file can be removed then
    python -m evals.database rebuild dataset=NAME [runs=FOLDER | runs=[FOLDER,FOLDER]]
        moves a damaged database aside and stores the runs whose record.json lies below the folders
        (default: outputs and multirun of the project); what a readable database holds stays as it is,
        and so do weights, added rows and traces. Records that were altered are restored
    python -m evals.database fold dataset=NAME
        files what jobs on other machines delivered beside a database (TRILEMMA_DELIVER=1), and writes the journal
        beside a large one into it, so that any TinyDB sees every run

    python -m evals.database remove dataset=NAME id=3,7 [weights=true]
        takes records out, whatever is wrong with them; their weights, added rows and traces stay unless weights=true

Imported records claim no weights, so check asks for none. They have no record.json either: after a rebuild,
import their file again.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paths_config
from evals.poisoning.csv_files import WORDS, wrong
from utils.records import checksum, decisions
from utils.records.schema import RECORD_FILE, STATUS, flaw
from utils.run_store import RunStore, StoreError
from utils.system.atomic import digest
from utils.system.console import count, say
from utils.words.near import near
from utils.words.quoting import copyable, option

SHOWN = 20  # lines of a listing that fit one screen
LARGEST = 2**26  # bytes of one; they have some 20 thousand

Record = Mapping[str, Any]


def check(dataset: str) -> int:
    """Compares a database with the weights it names; returns 1 if anything is wrong, else 0."""
    store = RunStore(require_database(dataset))
    try:
        records, flaws = store.examined()
    except StoreError as error:
        say(str(error))
        return 1
    finished = [record for record in records if record.get("status") == "finished"]
    trained = [record for record in finished if not record.get("imported")]
    problems = [f"record {i} {what}" for i, what in flaws.items()]
    problems += [
        f"record {r['doc_id']}: {what}" for r in trained for what in (_wrong(r), *decisions.wrong(r), *wrong(r)) if what
    ]
    problems += _find_repeated(finished)
    problems += [f"{path} is a delivery that was altered or cut off" for path in store.list_damaged()]
    imported = f" ({len(finished) - len(trained)} of them imported, without weights)" if trained != finished else ""
    say(f"{store.path}: {len(finished)} finished{imported}, {len(records) - len(finished)} failed")
    say_some(problems)
    say("every finished run has its files" if not problems else count(len(problems), "problem"))
    return 1 if problems else 0


def rebuild(dataset: str, folders: Sequence[Path]) -> int:
    """Stores every run of a data set whose record.json lies below the folders, the newest of each run_id.

    Raises:
        ValueError: no folder, or no run of the data set in them; the database is then left alone.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"runs={folder} is no folder; name the one that holds the runs' record.json files")
    default = [paths_config.ROOT / "outputs", paths_config.ROOT / "multirun"]
    folders = folders or [folder for folder in default if folder.is_dir()] or default
    runs, skipped = find_runs(dataset, folders)
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
    found = f"{count(len(runs), 'run')} below {searched} ({states['finished']} finished, {states['failed']} failed)"
    say(f"{found}, {len(store) - before} of them new to {store.path}, which now holds {len(store)}")
    say_some([f"skipped {path}: {why}" for path, why in skipped])
    return 0


def remove(dataset: str, ids: Sequence[str], *, weights: bool) -> int:
    """Takes records out of the database in one step, and with ``weights`` removes their files; returns 0.

    Raises:
        ValueError: an id that is no number, or that no record has; nothing is changed then.
    """
    if wrong_ids := [word for word in ids if not word.isdecimal()]:
        raise ValueError(f"id={wrong_ids[0]}: expected numbers of records by commas, such as id=3,7")
    store = RunStore(require_database(dataset))
    numbers = list(dict.fromkeys(map(int, ids)))
    records, flaws = store.examined()
    store.remove(numbers)
    there = {record["doc_id"]: record for record in records}
    for i in numbers:
        what = f"{there[i]['name']}, seed {there[i].get('seed')}" if i in there else flaws.get(i, "new")
        say(f"record {i} ({what}) removed from {store.path}")
    files = [file for i in numbers if i in there for file in list_files(there.pop(i))]
    kept = {path for record in there.values() for path, _ in list_files(record)}
    own = [path for path, checksum in files if path not in kept and path.is_file() and digest(path) == checksum]
    for path in own:
        if weights:
            path.unlink()
        say(f"removed {path}" if weights else f"{path} stays; weights=true removes it too")
    return 0


def list_files(record: Record) -> list[tuple[Path, str]]:
    """The files that a record names within their folders, with their SHA-256."""
    named = [(paths_config.weights_file, of) for of in (record.get("weights"), *decisions.stated(record).values())]
    named += [(paths_config.poison_file, (record.get("poison") or {}).get(kind)) for kind in WORDS]
    found = []
    for place, file in named:
        with suppress(ValueError):  # it leads out of the folder
            found += [(place(file["path"]), file["sha256"])] if file else []
    return found


def fold(dataset: str) -> int:
    """Files what was delivered to a database, and writes its journal into its file."""
    store = RunStore(require_database(dataset))
    folded = store.fold()
    say(f"{store.path}: {count(folded, 'line')} folded, {count(len(store), 'record')}")
    return 0


def require_database(dataset: str) -> Path:
    """Returns the database of a data set. Raises ValueError, naming those that exist, if it does not."""
    path = paths_config.database(dataset)
    if paths_config.is_database(path):
        return path
    present = paths_config.databases()
    raise ValueError(
        f"no database {path}{near(dataset, present)} Databases there: {', '.join(present) or 'none'}; train a model, "
        f"or build it from the runs by `{copyable('python -m evals.database rebuild', option('dataset', dataset))}`"
    )


def say_some(lines: Sequence[str]) -> None:
    """Prints as many lines as fit one screen, and how many are left."""
    for line in lines[:SHOWN]:
        say(line)
    if len(lines) > SHOWN:
        say(f"... and {len(lines) - SHOWN} more")


# --- the runs below a folder -----------------------------------------------------------------------------------


def find_runs(dataset: str, folders: Iterable[Path]) -> tuple[list[dict[str, Any]], list[tuple[Path, str]]]:
    """The runs of a data set by age, one for each run_id, and what was skipped, with the reason.

    Of several with one run_id the newest finished one counts, else the newest failed one; running ones do not.
    """
    newest: dict[str, dict[str, Any]] = {}
    skipped: list[tuple[Path, str]] = []
    for path in sorted(path for folder in folders for path in _find_below(folder, skipped)):
        try:
            record = _read(path, dataset)
        except ValueError as error:
            skipped.append((path, str(error)))
            continue
        if record is not None:
            known = newest.get(record["run_id"])
            if known is None or _rank(record) >= _rank(known):
                newest[record["run_id"]] = record
    return sorted(newest.values(), key=read_created), skipped


def _find_below(folder: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    """Whatever is named record.json below a folder, behind links to folders too, each folder once."""
    been: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        skipped.append((Path(str(error.filename)), str(error.strerror)))

    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in been:  # a link to a folder above it
            folders.clear()
            continue
        been.add((status.st_dev, status.st_ino))
        yield from (Path(place) / name for name in (*files, *folders) if name == RECORD_FILE)


def read_created(record: Record) -> datetime:
    """Returns the time a run was recorded, in UTC where it states no zone; the oldest date where it states none."""
    try:
        stated = datetime.fromisoformat(str(record.get("created")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return stated if stated.tzinfo else stated.replace(tzinfo=UTC)


def _read(path: Path, dataset: str) -> dict[str, Any] | None:
    """The record of a run on the data set; None of another or one that has not ended. ValueError says what is wrong."""
    record = _parse(path)
    if record.get("run_id") and isinstance(record.get("status"), str) and record["status"] not in STATUS:
        return None  # of an older version, whose runs said so before they ended
    if checksum.KEY in record and not checksum.agrees(0, record):
        raise ValueError("it was altered since it was written, as its checksum says")
    named = _datasets(record)
    if dataset not in named:
        if any(isinstance(name, str) for name in named):
            return None
        raise ValueError("not a record: it names no data set")
    whole = {"dataset": dataset, **{key: value for key, value in record.items() if key != checksum.KEY}}
    if wrong := flaw(whole):
        raise ValueError(f"not a record: {wrong}")
    poison = whole.get("poison") or {}
    for file in filter(None, (whole.get("weights"), *decisions.stated(whole).values(), *map(poison.get, WORDS))):
        paths_config.inside(Path(), file["path"], "its files")
    return whole


def _parse(path: Path) -> dict[str, Any]:
    """Reads a file that may be a record. Raises ValueError where it is not one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        if status.st_size > LARGEST:
            raise ValueError(f"{status.st_size / 1e6:.0f} MB are too many for a record")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(str(error.strerror)) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not a record: it is not JSON, or nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("not a record")
    return record


def _datasets(record: Record) -> tuple[Any, Any]:
    """The data set a record names, and the one its settings name."""
    params = record.get("params")
    chosen = params.get("dataset") if isinstance(params, Mapping) else None
    return record.get("dataset"), chosen.get("name") if isinstance(chosen, Mapping) else chosen


def _rank(record: Record) -> tuple[bool, datetime]:
    return record["status"] == "finished", read_created(record)


# --- weights ---------------------------------------------------------------------------------------------------


def _wrong(record: Record) -> str | None:
    """Returns what is wrong with the weights of a finished record, or None."""
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


def _find_repeated(finished: Iterable[Record]) -> list[str]:
    """Runs that more than one finished record claims; only another program can have stored them."""
    times = Counter(str(record.get("run_id")) for record in finished)
    return [f"run {run}: {n} finished records" for run, n in times.items() if n > 1]
