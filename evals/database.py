"""Check, rebuild or fold the run database of a data set.

    python -m evals.database check dataset=NAME
        reads the database and compares the weights of every finished run with their checksum
    python -m evals.database rebuild dataset=NAME [runs=FOLDER | runs=[FOLDER,FOLDER]]
        moves a damaged database aside and stores the runs whose record.json lies below the folders
        (default: outputs and multirun of the project); what a readable database holds stays as it is
    python -m evals.database fold dataset=NAME
        writes the journal beside a large database into it, so that any TinyDB sees every run

Exit code: 0, 1 if check found something wrong, 2 for a mistake on the command line.
"""

import difflib
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import paths_config
from utils.run_store import STATUS, RunStore, StoreError

KEYS = {"check": ("dataset",), "rebuild": ("dataset", "runs"), "fold": ("dataset",)}
NAME = re.compile(r"[\w+-][\w.+-]*")
SHOWN = 20  # problems that fit one screen

Record = Mapping[str, Any]


def check(dataset: str) -> int:
    """Compare a database with the weights it names; 1 if anything is wrong, else 0."""
    store = RunStore(_existing(dataset))
    try:
        records = store.all()
    except StoreError as error:
        _say(str(error))
        return 1
    finished = [record for record in records if record.get("status") == "finished"]
    problems = [f"record {r['doc_id']}: {wrong}" for r in finished if (wrong := _wrong(r))] + _repeated(finished)
    _say(f"{store.path}: {len(finished)} finished, {len(records) - len(finished)} failed")
    _say_some(problems)
    _say("every finished run has its weights" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def rebuild(dataset: str, folders: Sequence[Path]) -> int:
    """Store every run of a data set whose record.json lies below the folders, the newest of each run_id.

    Raises:
        ValueError: no folder, or no run of the data set in them; the database is then left alone.
    """
    runs, unreadable = find_runs(dataset, folders)
    searched = ", ".join(map(str, folders))
    if not runs:
        raise ValueError(
            f"no finished or failed run of dataset={dataset} in the record.json files below {searched}; "
            "name the folder of the runs by runs=FOLDER"
        )
    store = RunStore(paths_config.database(dataset))
    for aside in store.set_aside():
        _say(f"moved the damaged file to {aside}; records are numbered anew")
    before = len(store)
    store.add_many(runs)
    store.fold()
    states = Counter(run["status"] for run in runs)
    found = f"{len(runs)} runs below {searched} ({states['finished']} finished, {states['failed']} failed)"
    _say(f"{found}, {len(store) - before} of them new to {store.path}, which now holds {len(store)}")
    _say_some([f"skipped {path}: not a record" for path in unreadable])
    return 0


def fold(dataset: str) -> int:
    """Write the journal of a database into its file."""
    store = RunStore(_existing(dataset))
    folded = store.fold()
    _say(f"{store.path}: {folded} lines folded, {len(store)} records")
    return 0


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
    return sorted(newest.values(), key=_created), unreadable


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
    return record["status"] == "finished", _created(record)


def _created(record: Record) -> datetime:
    """When a run was recorded, in UTC where it states no zone; the oldest date where it states none."""
    try:
        created = datetime.fromisoformat(str(record.get("created")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)


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
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == stated.get("sha256") else f"its weights {path} have another checksum than when stored"


def _repeated(finished: Iterable[Record]) -> list[str]:
    """Runs that more than one finished record claims; only another program can have stored them."""
    times = Counter(str(record.get("run_id")) for record in finished)
    return [f"run {run}: {n} finished records" for run, n in times.items() if n > 1]


def _existing(dataset: str) -> Path:
    path = paths_config.database(dataset)
    journal = path.with_name(path.name + ".journal")
    if path.exists() or journal.exists():
        return path
    present = sorted(other.stem for other in path.parent.glob("*.json"))
    raise ValueError(
        f"no database {path}{_near(dataset, present)}. Databases there: {', '.join(present) or 'none'}; train a model, "
        f"or build it from the runs by `python -m evals.database rebuild dataset={dataset}`"
    )


# --- words -----------------------------------------------------------------------------------------------------


def main(words: Sequence[str]) -> int:
    """Run one command; its exit code."""
    if {"-h", "--help"} & set(words):
        _say(__doc__ or "")
        return 0
    try:
        return _command(words)()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _command(words: Sequence[str]) -> Callable[[], int]:
    verb = words[0] if words else ""
    if verb not in KEYS:
        raise ValueError(f"give one of {', '.join(KEYS)}, not {verb!r}{_near(verb, KEYS)}; --help explains them")
    given = _options(verb, words[1:])
    dataset = str(given.get("dataset") or "")
    if not NAME.fullmatch(dataset):
        raise ValueError(f"dataset={dataset} is no name of a data set; write for example dataset=loan, or --help")
    if verb == "rebuild":
        return lambda: rebuild(dataset, _folders(given.get("runs")))
    return lambda: {"check": check, "fold": fold}[verb](dataset)


def _options(verb: str, words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals:
            raise ValueError(f"cannot read {word!r}; write options as key=value, or --help")
        if key not in KEYS[verb]:
            known = ", ".join(KEYS[verb])
            raise ValueError(f"unknown option {key!r}{_near(key, KEYS[verb])}. Options of {verb}: {known}")
    try:
        given = OmegaConf.to_container(OmegaConf.from_cli(list(words)), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(f"cannot read {' '.join(words)!r}: {str(error).splitlines()[0]}") from error
    return {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}


def _folders(runs: Any) -> list[Path]:
    """The folders of ``runs=``, or those that Hydra writes to by default."""
    if runs is None:
        default = [paths_config.ROOT / "outputs", paths_config.ROOT / "multirun"]
        return [folder for folder in default if folder.is_dir()] or default
    folders = [Path(str(folder)) for folder in (runs if isinstance(runs, list) else [runs])]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"runs={folder} is no folder; name the one that holds the runs' record.json files")
    return folders


def _near(word: str, candidates: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(candidates), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        _say(line)
    if len(lines) > SHOWN:
        _say(f"... and {len(lines) - SHOWN} more")


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
