"""The training rows that a search added, removed, relabelled or reweighed, as records count them, in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evals.records.query import Record
from utils.metrics.directions import direction
from utils.system.console import count
from utils.words.added_rows import DONE, describe_origins


def count_changes(records: Sequence[Record]) -> dict[str, float]:
    """Returns how many rows were added, removed, relabelled and reweighed, means over records; only what was done."""
    sums = {word: sum(record["poison"].get(key) or 0 for record in records) for key, word in DONE.items()}
    return {word: total / len(records) for word, total in sums.items() if total}


def describe_changes(done: Mapping[str, float]) -> str:
    """``33 added, 12 removed``; ``none`` where nothing was done."""
    return ", ".join(f"{number:.4g} {word}" for word, number in done.items()) or "none"


def describe_rows(records: Sequence[Record]) -> list[str]:
    """Says of the seeds of one setting what added rows are, whether a trivial attack was best, what few rows carry."""
    return [*_nearest(records), *_origins(records), *describe_trivial(records), *describe_carried(records)]


def _nearest(records: Sequence[Record]) -> Iterator[str]:
    """Yields which limits stood in the way where nothing better keeps to them, and by how much at most."""
    found = [near["beyond"] for record in records if (near := record["poison"].get("nearest"))]
    if found:
        beyond = {
            key: max(of.get(key, 0.0) for of in found) for key in dict.fromkeys(key for of in found for key in of)
        }
        seeds = f" in {len(found)} of {len(records)} seeds" if len(records) > 1 else ""
        broken = ", ".join(f"{key} by {by:.3g}" for key, by in beyond.items())
        yield f"Nothing better keeps to the limits on validation{seeds}: what is nearest breaks {broken}"


def _origins(records: Sequence[Record]) -> Iterator[str]:
    """Yields what the added rows of all records are, where these count it."""
    counted: Counter[str] = Counter()
    for record in records:
        found: Mapping[str, Any] = record["poison"].get("origins") or {}
        counted.update({key: number for key, number in found.items() if isinstance(number, int)})
    if said := describe_origins(counted):
        over = f", over {count(len(records), 'seed')}" if len(records) > 1 else ""
        yield f"The added rows{over}: {'; '.join(said)}"


def describe_trivial(records: Sequence[Record]) -> Iterator[str]:
    """Yields whether copies of a group's rows with the other label did better than what was searched."""
    tried = [found for record in records if (found := record["poison"].get("trivial"))]
    better = [found for found in tried if found.get("better")]
    spent = sum(found["trainings"] for found in tried)
    if tried and not better:
        yield f"No trivial attack, copies of a group's rows with the other label, does better ({spent:g} trainings)"
    elif better:
        seeds = f" in {len(better)} of {len(records)} seeds" if len(records) > 1 else ""
        each = dict.fromkeys(f"{found.get('rows', 0):g} copies of {found.get('of')}" for found in better)
        yield f"The best attack was a trivial one{seeds}: {'; '.join(each)}, {spent:g} trainings"


def describe_carried(records: Sequence[Record]) -> Iterator[str]:
    """Yields how much of the metric on validation rows the most influential rows carry, by retraining.

    A record holds [rows, metric] for none of the rows and for each of some numbers of them.
    """
    held = [[of for of in record["poison"].get("carried") or () if None not in of] for record in records]
    steps = min(map(len, held), default=0)
    if steps < 2:
        return
    metric, objective = (str(records[0]["poison"][key]) for key in ("metric", "objective"))
    means = [[sum(of[i][j] for of in held) / len(held) for j in (0, 1)] for i in range(steps)]
    (_, start), *further = means
    rows = ", ".join(f"{number:.3g}" for number, _ in further)
    if objective == "fair" and direction(metric) == -1 and start > 0:
        shares = ", ".join(f"{1 - value / start:.0%}" for _, value in further)
        yield f"The {rows} most influential rows carry {shares} of {metric} on validation, by retraining"
    else:
        values = ", ".join(f"{value:.3f}" for _, value in further)
        yield f"The {rows} most influential rows move {metric} on validation from {start:.3f} to {values}"
