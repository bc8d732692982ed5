"""A record as bytes: one line, with a tab before each of its keys and nowhere else, behind its checksum."""

import gc
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from utils.records import checksum
from utils.records.json_text import write_key
from utils.records.plain import Plain, as_plain
from utils.records.schema import flaw
from utils.records.typed import Record
from utils.words.quoting import copyable, option

RUN = re.compile(rb'\{\t(?:"checksum": "[^"\\]*",\t)?"run_id": "([^"\\]+)",\t"status": "([^"\\]+)"[,}]')
DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # other writers let NaN through
SIGNS = bytes.maketrans(b"123456789-[:,\n\r\t", b"0000000000      ")
WIDE = b" " + b"0" * 19  # an integer that may need more than 64 bits, after SIGNS
CHUNK = 100  # records decoded at once


class StoreError(ValueError):
    """The file of a database cannot be read as one, or a record of it that is asked for cannot be used."""


class FlawError(ValueError):
    """A flaw of a record, in words that follow its name."""


def encode(record: Mapping[str, Any]) -> bytes:
    """A record on one line: a tab before each of its keys and nowhere else, those that are looked at most first."""
    texts = as_plain(record).texts
    first = {key: texts[key] for key in (checksum.KEY, "run_id", "status") if record.get(key) is not None}
    fields = (f"{write_key(key)}: {text}" for key, text in {**first, **texts}.items())
    return ("{\t" + ",\t".join(fields) + "}").encode()


def seal(doc_id: int, record: Record) -> bytes:
    """A record on one line, behind its checksum."""
    plain = bare(record)
    return checksum.seal(doc_id, plain, encode(plain))


def bare(record: Mapping[str, Any]) -> Plain:
    """A record in plain values without what its place gives it: its checksum and its number."""
    if checksum.KEY in record or "doc_id" in record:
        return Plain({key: value for key, value in record.items() if key not in (checksum.KEY, "doc_id")})
    return as_plain(record)


def examine(doc_id: int, record: bytes, path: Path, *, needs_checksum: bool) -> Record:
    """A record that may be another's or altered, without its checksum. Raises FlawError saying what is wrong."""
    try:
        [found] = decode([record], path)
    except StoreError:
        raise FlawError("is not JSON, so it was damaged") from None
    if checksum.KEY in found:
        if not checksum.agrees(doc_id, found):
            raise FlawError("was altered since it was filed, as its checksum says")
        del found[checksum.KEY]
    elif needs_checksum:
        raise FlawError("has lost its checksum, so it was altered")
    if wrong := flaw(found):
        raise FlawError(f"is no record of a run: {wrong}")
    return found


def decode(records: Sequence[bytes], path: Path) -> Iterator[Record]:
    """Yields records of one line each. Raises StoreError where one is not JSON."""
    for start in range(0, len(records), CHUNK):  # one call for many, which share their keys then
        yield from read_json(b"[" + b",".join(records[start : start + CHUNK]) + b"]", path)


class Fields(Mapping[str, Any]):
    """An encoded record that decodes a field when asked for it: what a query looks at."""

    def __init__(self, record: bytes, path: Path):
        self._record, self._path = record, path

    def __getitem__(self, key: str) -> Any:
        name = f"\t{json.dumps(key)}: ".encode()
        start = self._record.find(name) + len(name)
        if start < len(name):
            raise KeyError(key)
        end = self._record.find(b",\t", start)
        return read_json(self._record[start:end], self._path)  # an end of -1 leaves out the closing brace

    def __iter__(self) -> Iterator[str]:
        return iter(read_json(self._record, self._path))

    def __len__(self) -> int:
        return len(read_json(self._record, self._path))


def same_record(record: Record, line: bytes, path: Path) -> bool:
    """Returns whether a line holds a record, and maybe evaluations that were added to it later."""
    try:
        [there] = decode([line], path)
    except StoreError:
        return False
    later = there.get("evaluations") or {}
    added = all(name in later and later[name] == of for name, of in (record.get("evaluations") or {}).items())
    own, stored = ({k: v for k, v in of.items() if k not in (checksum.KEY, "evaluations")} for of in (record, there))
    return added and own == stored


def run_of(record: bytes, path: Path) -> tuple[Any, Any]:
    """``run_id`` and ``status`` of an encoded record."""
    if match := RUN.match(record):
        return match[1].decode(errors="replace"), match[2].decode(errors="replace")
    fields = Fields(record, path)
    try:
        return fields.get("run_id"), fields.get("status")
    except StoreError:  # damaged; whoever reads the record is told
        return None, None


def read_json(content: bytes, path: Path) -> Any:
    """Reads JSON as the standard library does, by orjson where that reads the same."""
    if WIDE not in content.translate(SIGNS):  # orjson makes floats of wide integers, and
        with suppress(orjson.JSONDecodeError):  # refuses NaN and lone surrogates
            return orjson.loads(content)
    try:
        return DECODER.decode(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, "it is not JSON, so it was cut off, damaged or never a database") from error


def unreadable(path: Path, what: str) -> StoreError:
    """Returns the error of a file that is no database, and what to do about it."""
    database = path.with_suffix("") if path.suffix == ".journal" else path
    remedy = copyable("python -m evals.database rebuild", option("dataset", database.stem))
    return StoreError(
        f"{path} cannot be read: {what}. It was left as it is; `{remedy}` moves it aside and builds the database anew "
        "from the record.json of each run"
    )


@contextmanager
def pause_collection() -> Iterator[None]:
    """Pauses garbage collection, which would visit all that was decoded again and again; JSON has no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
