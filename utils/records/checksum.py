"""The checksum of a record: it tells an altered record from the one that was filed.

In a record's own file it is the digest of the canonical JSON. In a database it is two digests joined by a hyphen: that
of the canonical JSON with ``doc_id``, which any program keeps that keeps keys and values, and that of the bytes of its
line, which is found as fast as it is read, and holds until another program writes the file.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from utils.records.json_text import write_key
from utils.records.plain import Plain, as_plain

KEY: Final = "checksum"
DIGITS = 16  # hexadecimal: 64 bits, of which chance hits none
SEAL = re.compile(rb'\{\t"checksum": "([0-9a-f]{16})-([0-9a-f]{16})"(?=[,}])')
READ_BY = 3  # raised with the schema: records that were filed under an older one are then checked again


def checksum(record: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of a record in JSON types, ``doc_id`` among them where it has one.

    They are the digest of its canonical JSON: all keys but ``checksum``, sorted at every level, ASCII, no blanks,
    numbers as Python writes them.
    """
    return _checksum(as_plain(record).canonical_texts)


def _checksum(texts: Mapping[str, str]) -> str:
    fields = (f"{write_key(key)}:{texts[key]}" for key in sorted(texts) if key != KEY)
    return _digest(f"{{{','.join(fields)}}}".encode())


def seal(doc_id: int, record: Plain, line: bytes) -> bytes:
    """A record on its line ``{<tab>"key": value, ...}``, which has no checksum, with one in front."""
    rest = b"," + line[1:] if record else b"}"
    content = _checksum({**record.canonical_texts, "doc_id": str(doc_id)}).encode()
    return b'{\t"checksum": "%s-%s"%s' % (content, _of_line(doc_id, content, rest), rest)


def unaltered(doc_id: int, line: bytes) -> bool:
    """Returns whether a line has the seal of its own bytes and number: it is what ``seal`` made."""
    found = SEAL.match(line)
    return found is not None and found[2] == _of_line(doc_id, found[1], line[found.end() :])


def unsealed(line: bytes) -> bytes:
    """The line without its seal, if it has one."""
    found = SEAL.match(line)
    return line if found is None else b"{" + line[found.end() :].removeprefix(b",")


def agrees(doc_id: int, record: Mapping[str, Any]) -> bool:
    """Returns whether the checksum of a record, of a database or of a file of its own, is that of its content."""
    stated = str(record[KEY]).partition("-")
    content = {**record, "doc_id": doc_id} if stated[1] else record
    return stated[0] == checksum(content)


def _of_line(doc_id: int, content: bytes, rest: bytes) -> bytes:
    return _digest(b"%d:%d:%s:%s" % (READ_BY, doc_id, content, rest)).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
