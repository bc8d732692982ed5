"""Inserts per second of RunStore and of plain TinyDB, on records of about 3 kB. Run by hand:

    python -m tests.benchmarks.bench_store [--large]

Both insert in turn, each into a file of its own that already holds the stated number of records, so that what else
the machine does slows both alike. ``warm`` keeps the database open; ``fresh`` opens it for each insert, as a training
job does. Shown is the median, with the slowest insert behind it: there a journal is folded. ``--large`` adds 10,000.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tinydb import TinyDB

from utils.run_store import RunStore

INSERTS = {100: 40, 1000: 30, 10_000: 8}  # how many are timed
NUMBER = count()


def record() -> dict[str, Any]:
    """A record as training stores it."""
    number = next(NUMBER)
    params = {f"group{i}": {f"option_{j}": 0.001 * (i + j + number) for j in range(8)} for i in range(9)}
    metrics = {f"robust_accuracy_{i / 100}": 1 / (i + number + 1) for i in range(30)}
    return {
        "name": "loan_mlp_trades",
        "run_id": f"{number:016x}",
        "status": "finished",
        "params": params,
        "metrics": metrics,
    }


def insert_plain(path: Path) -> None:
    with TinyDB(path) as database:
        database.insert(record())


def contestants(folder: Path, records: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is timed, each on a database of ``records`` records."""
    content = json.dumps({"_default": {str(i + 1): record() for i in range(records)}})
    paths = [folder / f"{records}-{i}.json" for i in range(4)]
    for path in paths:
        path.write_text(content)
    warm, plain = RunStore(paths[0]), TinyDB(paths[1])
    yield "RunStore warm", lambda: warm.add(record())
    yield "TinyDB warm", lambda: plain.insert(record())
    yield "RunStore fresh", lambda: RunStore(paths[2]).add(record())
    yield "TinyDB fresh", lambda: insert_plain(paths[3])


def seconds(records: int) -> dict[str, list[float]]:
    """Wall seconds of each insert by contestant, one insert of each in turn."""
    with TemporaryDirectory() as folder:
        inserts = dict(contestants(Path(folder), records))
        inserts["RunStore warm"]()  # reads the file once
        times: dict[str, list[float]] = {name: [] for name in inserts}
        for _ in range(INSERTS[records]):
            for name, insert in inserts.items():
                start = time.perf_counter()
                insert()
                times[name].append(time.perf_counter() - start)
    return times


def table(sizes: list[int]) -> Iterator[str]:
    yield f"{'records':>7}  {'handle':<6}{'RunStore':>12}{'TinyDB':>12}{'ratio':>8}   slowest RunStore, TinyDB"
    for size in sizes:
        times = seconds(size)
        for handle in ("warm", "fresh"):
            ours, theirs = times[f"RunStore {handle}"], times[f"TinyDB {handle}"]
            rate, other = 1 / statistics.median(ours), 1 / statistics.median(theirs)
            slowest = f"{max(ours) * 1e3:.0f} ms, {max(theirs) * 1e3:.0f} ms"
            yield f"{size:>7}  {handle:<6}{rate:>10.1f}/s{other:>10.1f}/s{rate / other:>7.1f}x   {slowest}"


if __name__ == "__main__":
    print(f"records of {len(json.dumps(record())):,} bytes")
    for line in table([100, 1000, *([10_000] if "--large" in sys.argv[1:] else [])]):
        print(line, flush=True)
