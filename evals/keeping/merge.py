"""Merge run databases from other machines into the one of this machine, with their weights.

    python -m evals.database merge dataset=NAME from=FILE,FILE [weights=FOLDER,FOLDER] [prefer=theirs]

from                    databases, <dataset>.json with their journals beside them
weights                 their weights folders: the weights that the merged records name are looked for in all of
                        them, told by their SHA-256, and copied here, and so are decisions on the test rows that are
                        there. Without it, copy them yourself. Rows that were added to a training, and the trace
                        of the search for them, are copied from poison/ beside their database
prefer=theirs           of two finished runs that differ, take theirs with its evaluations, of several files the last;
                        else ours stays

A run is told by its run_id. A finished one takes the place of a failed one. Where both are finished with the same
metrics (to nine digits), ours stays and gains the later evaluations that are new; where their figures or their data
differ, that is a conflict, which a table at the end shows. Records of ours keep their doc_ids, new ones get the next.
Everything is checked first and stored in one write, so that a mistake in one file or folder leaves all as it was.
Records of theirs that were altered, that lack what a record has, or that name files outside the folders are named and
left out.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paths_config
from evals.keeping.upkeep import SHOWN, say_some
from evals.poisoning import csv_files
from evals.records.advice import Asked, tell_sources
from utils.records import decisions
from utils.records.schema import SCHEMA
from utils.records.typed import Record, Weights
from utils.run_store import RunStore, StoreError
from utils.runs.data_sources import source_of, sources
from utils.system import atomic
from utils.system.atomic import digest
from utils.system.console import count, say, warn
from utils.system.missing import describe_missing
from utils.system.tables import align
from utils.words.quoting import option, quoted

CLOSE = 1e-9  # relative difference of figures that are the same on two machines


@dataclass(frozen=True)
class Conflict:
    """Two finished runs of one run_id with other figures, and which of them stays."""

    record: Mapping[str, Any]
    source: Path
    what: str
    kept: str


@dataclass
class Merged:
    """A merged database: its runs by run_id, and how they came about."""

    runs: dict[str, Record]
    changed: dict[str, None] = field(default_factory=dict)  # run_ids to write, in order
    taken: set[str] = field(default_factory=set)  # run_ids of which theirs stays
    added: int = 0
    in_place: int = 0  # of a failed run; counted as added too
    there: int = 0
    completed: int = 0  # by evaluations; counted as there too
    conflicts: list[Conflict] = field(default_factory=list)

    def put(self, run: str, record: Record) -> None:
        """Sets the record of a run, to be written."""
        self.runs[run] = record
        self.changed[run] = None


def merge(dataset: str, sources: Sequence[Path], folders: Sequence[Path], *, prefer_theirs: bool) -> int:
    """Stores the runs of other databases in the one of a data set, whole or not at all; returns 0.

    Raises:
        ValueError: a file that is missing, damaged or no run database of this data set; weights that are missing or
            altered.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(
                f"weights={folder} is no folder; name the one that holds {dataset}/<run_id>.safetensors or .skops"
            )
    theirs = [(source, read(source, dataset)) for source in sources]
    store = RunStore(paths_config.database(dataset))
    merged = combine(_by_run(store.all()), theirs, prefer_theirs)
    mentioned = dict.fromkeys(record["run_id"] for _, records in theirs for record in records)
    sources_found = find_weights(merged, list(mentioned), folders)
    for run, source in sources_found.items():
        merged.put(run, with_decisions(with_weights(merged.runs[run], source), folders))
    copied = 0
    for run in mentioned:
        made, files = csv_files.copy_missing(merged.runs[run], [source.parent / "poison" for source in sources])
        copied += files
        if made is not merged.runs[run]:
            merged.put(run, made)
    if merged.changed:
        store.add_many([merged.runs[run] for run in merged.changed], replace=True)
        store.fold()
    report(merged, store, len(sources_found), copied)
    return 0


def read(source: Path, dataset: str) -> list[Record]:
    """The records of a database to merge. Raises ValueError naming the file and what is wrong with it."""
    if not paths_config.is_database(source):
        otherwise = f"name databases such as machine_a/{dataset}.json"
        raise ValueError(f"from={source}: {describe_missing(source, otherwise)}")
    try:
        records, flaws = RunStore(source).examined()
    except StoreError as error:
        what = str(error).partition(". It was left")[0]
        raise ValueError(f"{what}. Nothing was merged; `import` reads TinyDB files of other programs") from error
    for record in records:
        if wrong := _wrong(record, dataset):
            raise ValueError(f"record {record['doc_id']} of {source} {wrong}. Nothing was merged")
    flaws |= {record["doc_id"]: outside for record in records if (outside := _reaches_out(record))}
    sound = [record for record in records if record["doc_id"] not in flaws]
    lines = [f"record {i} of {source} {what}" for i, what in sorted(flaws.items())]
    if lines and not sound:
        raise ValueError(f"{lines[0]}{_more(lines)}. Nothing was merged; `import` takes records of other programs")
    for line in lines[:SHOWN]:
        warn(f"{line}; it is left out")
    if len(lines) > SHOWN:
        warn(f"... and {len(lines) - SHOWN} more are left out")
    return sound


def _more(lines: Sequence[str]) -> str:
    return f", and {len(lines) - 1} more" if lines[1:] else ""


def _wrong(record: Record, dataset: str) -> str:
    """Returns why a file with such a record cannot be merged; empty where it can."""
    if record.get("schema", SCHEMA) != SCHEMA:
        return f"has schema {record['schema']}, not {SCHEMA}; `import` takes such files"
    if record.get("dataset", dataset) != dataset:
        remedy = quoted(option("dataset", str(record["dataset"])))
        return f"is a run on {record['dataset']}, not on {dataset}; say {remedy}"
    if record["status"] == "finished" and not record.get("imported") and not record.get("weights"):
        return "is finished, but names no weights"
    return ""


def _reaches_out(record: Record) -> str:
    """Returns an error where a record names files outside their folders; else an empty text."""
    try:
        if record.get("weights"):
            paths_config.weights_file(record["weights"]["path"])
        for of in decisions.stated(record).values():
            paths_config.weights_file(of["path"])
        csv_files.check_paths(record)
    except ValueError as error:
        return f"is not to be trusted: {error}"
    return ""


def _by_run(records: Sequence[Record]) -> dict[str, Record]:
    """Records by run_id, the finished one where another program stored several."""
    ordered = sorted(records, key=lambda record: record.get("status") == "finished")
    return {record["run_id"]: record for record in ordered if isinstance(record.get("run_id"), str)}


# --- which record stays ----------------------------------------------------------------------------------------


def combine(ours: Mapping[str, Record], theirs: Sequence[tuple[Path, Sequence[Record]]], prefer_theirs: bool) -> Merged:
    """Returns our runs by run_id with theirs merged in, file by file."""
    merged = Merged(dict(ours))
    for source, records in theirs:
        for record in records:
            _take(merged, record, source, prefer_theirs)
    return merged


def _take(merged: Merged, record: Record, source: Path, prefer_theirs: bool) -> None:
    run = record["run_id"]
    known = merged.runs.get(run)
    if known is None or known.get("status") != "finished" == record["status"]:
        merged.added += 1
        merged.in_place += known is not None
        merged.taken.add(run)
        merged.put(run, record)
        return
    chosen, differing = _choose(known, record, prefer_theirs) if record["status"] == "finished" else (known, "")
    if differing:
        merged.conflicts.append(Conflict(known, source, differing, "theirs" if prefer_theirs else "ours"))
    else:
        merged.there += 1
        merged.completed += chosen is not known
    if chosen is record:
        merged.taken.add(run)
    if chosen is not known:
        merged.put(run, chosen)


def _choose(ours: Record, theirs: Record, prefer_theirs: bool) -> tuple[Record, str]:
    """Returns the one of two finished records that stays, and the data or figures in which they differ, if any."""
    a, b = source_of(ours), source_of(theirs)
    if None not in (a, b) and a != b:
        return (theirs if prefer_theirs else ours), f"of {a}, theirs of {b}"
    if differing := _describe_difference(ours.get("metrics") or {}, theirs.get("metrics") or {}):
        return (theirs if prefer_theirs else ours), differing
    old, new = ours.get("evaluations") or {}, theirs.get("evaluations") or {}
    notes = [
        f"{name}: {what}" for name in new.keys() & old.keys() if (what := _describe_difference(old[name], new[name]))
    ]
    evaluations = {**old, **new} if prefer_theirs and notes else {**new, **old}
    return (ours if evaluations == old else {**ours, "evaluations": evaluations}), "; ".join(sorted(notes))


def _describe_difference(ours: Any, theirs: Any) -> str:
    """Describes the figures in which two groups of metrics differ; empty where they agree."""
    a, b = (side.get("metrics", side) if isinstance(side, Mapping) else {"value": side} for side in (ours, theirs))
    keys = [key for key in dict.fromkeys([*a, *b]) if not _same(a.get(key), b.get(key))]
    if not keys:
        return ""
    first = f"{keys[0]} {_show(a.get(keys[0]))}, theirs {_show(b.get(keys[0]))}"
    return first + (f", and {len(keys) - 1} more" if len(keys) > 1 else "")


def _same(a: Any, b: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE) if numbers else a == b


def _show(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)


# --- weights ---------------------------------------------------------------------------------------------------


def find_weights(merged: Merged, runs: Sequence[str], folders: Sequence[Path]) -> dict[str, Path]:
    """Returns the files, by run_id, of the weights of those runs that are not here yet.

    Raises:
        ValueError: those of a run that was taken lie in none of the folders, or only with another content.
    """
    wanted = [run for run in runs if lacks_weights(merged.runs[run])] if folders else []
    found = {run: source for run in wanted if (source := _locate(merged.runs[run]["weights"], folders))}
    lost = [merged.runs[run]["weights"]["path"] for run in wanted if run in merged.taken and run not in found]
    if lost:
        raise ValueError(
            f"weights: {lost[0]}{f' and {len(lost) - 1} more' if lost[1:] else ''}, with the SHA-256 of the record, "
            f"in none of {', '.join(map(str, folders))}. Nothing was merged; copy them again, or leave weights= out"
        )
    return found


def lacks_weights(record: Record) -> bool:
    """Returns whether a record claims weights that are not here."""
    if record.get("status") != "finished" or record.get("imported") or not record.get("weights"):
        return False
    return _lacks(record["weights"])


def _lacks(of: Weights) -> bool:
    """Returns whether a file of the weights folder is not here."""
    target = paths_config.weights_file(of["path"])
    return not target.is_file() or digest(target) != of["sha256"]


def with_weights(record: Record, source: Path) -> Record:
    """The record with its weights copied here, under a name of their own where another file has theirs."""
    return {**record, "weights": _copied(record["weights"], source)}


def with_decisions(record: Record, folders: Sequence[Path]) -> Record:
    """The record with its decisions on the test rows copied here, where the folders have them and they are not here."""
    for key, of in decisions.stated(record).items():
        if _lacks(of) and (source := _locate(of, folders)):
            record = decisions.with_file(record, key, _copied(of, source))
    return record


def _copied(of: Weights, source: Path) -> Weights:
    """Copies a file here, under a name of its own where another has its name; returns what a record says of it."""
    path, checksum = of["path"], of["sha256"]
    if paths_config.weights_file(path).exists():
        path = str(Path(path).with_suffix(f".{checksum[:8]}{Path(path).suffix}"))
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(f"{source} changed while it was copied. Nothing was merged; try again")
    atomic.write_bytes(paths_config.weights_file(path), content)
    return {"path": path, "sha256": checksum}


def _locate(weights: Weights, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        source = paths_config.inside(folder, weights["path"], "its weights")
        if source.is_file() and digest(source) == weights["sha256"]:
            return source
    return None


# --- words -----------------------------------------------------------------------------------------------------


def report(merged: Merged, store: RunStore, copied: int, poison: int) -> None:
    """Prints what became of the runs, and the conflicts."""
    added = f"{merged.added} added" + (f" ({merged.in_place} in place of failed ones)" if merged.in_place else "")
    there = f"{merged.there} already there" + (f" ({merged.completed} gained evaluations)" if merged.completed else "")
    conflicts = count(len(merged.conflicts), "conflict")
    say(f"{store.path}: {added}, {there}, {conflicts}; it holds {count(len(store), 'run')}")
    if len(several := sources([record for record in store.all() if record["status"] == "finished"])) > 1:
        say(tell_sources(several, Asked(store.path.stem)))
    if copied:
        say(f"{copied} weights copied to {paths_config.weights()}")
    if poison:
        say(f"{count(poison, 'file')} of added rows copied to {paths_config.poison()}")
    if lost := sum(bool(csv_files.find_missing(merged.runs[run])) for run in merged.taken):
        say(f"{lost} of the added runs have no file of their added rows here; copy poison/ beside the database merged")
    without = sum(lacks_weights(merged.runs[run]) for run in merged.taken)
    if without:
        say(f"{without} of the added runs have no weights here; merge again with weights=FOLDER, or copy them")
    if merged.conflicts:
        say("conflicts (prefer=theirs takes the other side):" if merged.conflicts[0].kept == "ours" else "conflicts:")
        lines = [
            [str(c.record["run_id"]), _run(c.record), str(c.source), f"ours {c.what}", c.kept] for c in merged.conflicts
        ]
        shown = align(["run_id", "run", "file", "figures", "kept"], lines).splitlines()
        say_some(shown)


def _run(record: Mapping[str, Any]) -> str:
    return f"{record.get('name', '')} seed {record.get('seed', '-')}"
