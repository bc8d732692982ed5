"""The decisions on test rows that the page holds, packed as they are filed, so that two models compare row by row.

``evals/page/paired.js`` reads them. Of very many runs or rows not all fit a page: those of the first seeds come first.
"""

import base64
from collections.abc import Sequence
from typing import Any

from evals.choosing.comparison import views
from utils.records import decisions
from utils.records.typed import Record
from utils.words.levels import name_class
from utils.words.quoting import copyable, option

MOST = 3_000_000  # characters of all decisions of a page


def kept(records: Sequence[Record], names: Sequence[str], classes: Sequence[str], dataset: str) -> dict[str, Any]:
    """Returns the decisions of the records in JSON types.

    Args:
        records: of the runs of the page, in their order.
        names: those of the groups.
        classes: those of the classes, where they have any.
        dataset: whose database it is.

    Returns:
        ``rows``, of each set of test rows its number ``n``, ``classes``, ``groups`` and the packed ``y`` and ``s``;
        ``of``, for each record the place of its rows in that list and its packed labels, or None; ``views``, what each
        group counts as, by the end of keys; ``names`` of groups; ``one``, what class 1 is called; ``full``, whether
        some were left out; ``command``, that which compares two.
    """
    rows: dict[str, dict[str, Any]] = {}
    of: list[list[Any] | None] = [None] * len(records)
    room, full = MOST, False
    seeds = [seed if isinstance(seed := record.get("seed"), int) else 0 for record in records]
    for i in sorted(range(len(records)), key=lambda i: (seeds[i], i)):
        if (found := _packed(records[i])) is None:
            continue
        digest, own, labels = found
        cost = len(labels) + (0 if digest in rows else len(own["y"]) + len(own["s"]))
        if full := cost > room:
            break
        room -= cost
        of[i] = [list(rows).index(digest) if digest in rows else len(rows), labels]
        rows.setdefault(digest, own)
    groups = max((own["groups"] for own in rows.values()), default=0)
    parts = {end: places.tolist() for end, places in views(names, groups).items()} if groups else {}
    return {
        "rows": list(rows.values()),
        "of": of,
        "views": parts,
        "names": list(names),
        "one": name_class(1, classes),
        "full": full,
        "command": copyable("python -m evals.compare", option("dataset", dataset)),
    }


def _packed(record: Record) -> tuple[str, dict[str, Any], str] | None:
    """Returns what tells the test rows of a record apart, these rows, and its labels; None where none are kept."""
    try:
        of = decisions.packed(record)
    except ValueError:
        return None
    y, s, labels = (base64.b64encode(part.tobytes()).decode() for part in (of.y, of.s, of.labels))
    return of.rows, {"n": of.n, "classes": of.classes, "groups": of.groups, "y": y, "s": s}, labels
