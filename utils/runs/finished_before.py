"""Finished runs that are known again from their settings alone.

The id of a run depends on its rows and its causal model, for which data are read and equations learned. A file beside
the databases holds, for settings that led to a finished run, that id and what the files looked like that its data came
from. Where settings, these files, the program and its libraries are the same, so is the run. The file may be deleted.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paths_config
from utils.configuration.traits import run_name
from utils.records.typed import Params, Record
from utils.run_store import store_of
from utils.runs.outcomes import Outcome, write_outcome
from utils.runs.printed import outcome_of
from utils.system.console import say
from utils.system.sources import describe_read, look

if TYPE_CHECKING:
    from utils.runs.sweep import Job

LARGEST = 1 << 23  # bytes of the file, beyond which it is begun anew
LIBRARIES = ("torch", "numpy", "scikit-learn", "pandas", "scipy")  # that rows and equations are made by
AT_ONCE = 256  # records of finished runs that are decoded at a time
SAYS_NOTHING = ("existing", "choices")  # of which run it is
TURN = re.compile(r"cuda:\d+")


def remember(params: Params, record: Record) -> None:
    """Notes that settings, as they were resolved, led to a finished run."""
    files = describe_read()
    if files is None or record["status"] != "finished":
        return
    digest, note = _digest(params), (record["dataset"], record["run_id"], [list(file) for file in files])
    line = json.dumps([digest, *note]) + "\n"
    path = _path()
    try:
        begin = not path.exists() or path.stat().st_size > LARGEST
        with path.open("w" if begin else "a", encoding="utf-8") as file:
            file.write(line)  # one write, so that several processes do not mix
    except OSError:
        pass  # of a folder that cannot be written to, which the database itself has told by now
    else:
        _lines(path)[digest] = note


def find_finished(jobs: Sequence[Params]) -> list[Record | None]:
    """Returns the records of finished runs of these settings, with their numbers; None where only building one tells.

    Every database and file of data is looked at once.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return [None] * len(jobs)
    unchanged = cache(lambda file: list(look(file[0])) == list(file))
    noted = [_lines(_path()).get(_digest(params)) if params["existing"] == "skip" else None for params in jobs]
    known = [note if note and all(unchanged(tuple(file)) for file in note[2]) else None for note in noted]
    runs: dict[str, list[str]] = {}
    for dataset, run_id, _ in filter(None, known):
        runs.setdefault(dataset, []).append(run_id)
    found: dict[tuple[str, str], Record] = {}
    for dataset, own in runs.items():
        with suppress(ValueError, OSError):  # a damaged database, which whoever builds the run tells with its remedy
            records = store_of(dataset).find_many(own)
            found |= {(dataset, run_id): record for run_id, record in records.items() if stands(record)}
    return [found.get(note[:2]) if note else None for note in known]


def skip_finished(jobs: Sequence["Job"], sweep: Path) -> list["Job"]:
    """Returns the jobs of a sweep whose runs are not known to be finished; the others leave word of how they ended."""
    left: list[Job] = []
    for start in range(0, len(jobs), AT_ONCE):
        some = jobs[start : start + AT_ONCE]
        for job, record in zip(some, find_finished([job.params for job in some]), strict=True):
            if record is None:
                left.append(job)
            else:
                write_outcome(sweep, job.number, skip(job.params, record))
    return left


def stands(record: Record) -> bool:
    """Returns whether a run is finished and the weights that its record names are there."""
    return record["status"] == "finished" and paths_config.weights_file(record["weights"]["path"]).is_file()


def skip(params: Params, record: Record) -> Outcome:
    """Returns how a run ended that was finished before."""
    return outcome_of({**record, "name": run_name(params), "params": params}, record["doc_id"], "skipped")


def say_skipped(name: str, seed: int, doc_id: int) -> None:
    """Prints that a run was finished before."""
    say(f"{name}, seed {seed}: finished before, record {doc_id}; existing=replace trains anew")


def _path() -> Path:
    return paths_config.evals() / ".finished.jsonl"


def _digest(params: Params) -> str:
    own: dict[str, Any] = {key: value for key, value in params.items() if key not in SAYS_NOTHING}
    if TURN.fullmatch(str(own.get("device"))):  # where launchers let jobs take turns
        own["device"] = "auto"
    text = json.dumps([own, _program(), str(Path.cwd()), str(paths_config.data())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def _program() -> list[Any]:
    """The files of the program as they are, and the versions of what it computes with."""
    files = sorted(_modules(str(paths_config.ROOT / "utils")))
    listed = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return [listed, sys.version, *(version(name) for name in LIBRARIES)]


def _modules(folder: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _modules(entry.path)
            elif entry.name.endswith(".py"):
                found = entry.stat()
                yield entry.path, found.st_size, found.st_mtime_ns


@cache
def _lines(path: Path) -> dict[str, tuple[str, str, list[Any]]]:
    """The lines of the file by digest; one that is damaged, as by a process that was cut off in it, says nothing."""
    found: dict[str, tuple[str, str, list[Any]]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                digest, dataset, run_id, files = json.loads(line)
            except (ValueError, TypeError):
                continue
            named = all(isinstance(text, str) for text in (digest, dataset, run_id))
            if named and isinstance(files, list) and all(isinstance(file, list) and file for file in files):
                found[digest] = dataset, run_id, files
    return found
