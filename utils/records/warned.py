"""The warnings of records, each kind in a sentence. Standard library only."""

import re
from collections.abc import Sequence

from utils.records.typed import Record
from utils.system.console import count

MOST = 3  # kinds that are told
FIGURE = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")
CLAUSE = re.compile(r"(?:[^;(]|;(?! )|\((?:[^()]|\([^()]*\))*\)|\()*")  # up to a semicolon that is in no brackets


def list_warnings(records: Sequence[Record]) -> list[str]:
    """Returns the first clauses of the records' warnings, the most frequent kinds, which differ in more than numbers.

    ``warning of 8 of 10 runs, such as: a group has 9 rows``.
    """
    kinds: dict[str, list[str]] = {}
    for record in records:
        for sentence in map(str, record.get("warnings") or ()):
            found = CLAUSE.match(sentence)
            kinds.setdefault(FIGURE.sub("#", sentence), []).append(found[0] if found else sentence)
    often = sorted(kinds.values(), key=len, reverse=True)
    less = [f"and {count(len(often) - MOST, 'kind')} of warnings more"] if len(often) > MOST else []
    return [
        f"warning of {len(kind)} of {count(len(records), 'run')}{', such as' if len(set(kind)) > 1 else ''}: {kind[0]}"
        for kind in often[:MOST]
    ] + less
