"""The store beside plain TinyDB, on records of real size. Run by hand, some minutes:

    python -m tests.benchmarks.bench_store

The records are those of ``tests/evals/older_runs.json``, each with a run_id and figures of its own. Both sides take
turns in one run, so that what else the machine does slows both alike. Printed as Markdown:

1. inserts per second into a file that already holds 100, 1,000 or 10,000 records, each a call of its own: mean wall
   time, folds of the journal included; by one process that keeps the database open, by one that opens it for every
   insert, as a training job does, and by four at once. Kept: those of the accepted inserts that are there afterwards;
2. 10,000 inserts by four processes, from an empty file;
3. seconds to open a file of 10,000 records and query it, each in a process of its own, imports not counted;
4. four writers killed over and over, and stopped by a full disk: acknowledged records that are lost.
"""

import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tinydb import TinyDB, where

import paths_config
from utils.run_store import RunStore

WRITERS = 4
OURS, PLAIN = "RunStore", "TinyDB"
BROKEN = (ValueError, LookupError, TypeError)  # what TinyDB raises on a file that several processes wrote
FORKS = multiprocessing.get_context("forkserver")  # of a server that holds no locks and threads, and starts fast
FORKS.set_forkserver_preload(["utils.run_store"])

Insert = Callable[[dict[str, Any]], int]


def records(first: int = 0) -> Iterator[dict[str, Any]]:
    """Records of real runs in turn, endlessly, each with a run_id, a seed and digits of its own."""
    real = list(
        json.loads((paths_config.ROOT / "tests" / "evals" / "older_runs.json").read_bytes())["_default"].values()
    )
    for number in count(first):
        chance, record = random.Random(number), real[number % len(real)]
        metrics = {key: value and value * chance.uniform(0.9, 1.1) for key, value in record["metrics"].items()}
        params = record["params"] | {"seed": number}
        yield record | {"run_id": f"{number:016x}", "seed": number, "params": params, "metrics": metrics}


def filled(path: Path, n: int) -> Path:
    """A database of n records, the journal folded."""
    store = RunStore(path)
    store.add_many(islice(records(), n))
    store.fold()
    return path


def opened(side: str, path: Path) -> Insert:
    """The insert of an open database."""
    return RunStore(path).add if side == OURS else TinyDB(path).insert


def afresh(side: str, path: Path) -> Insert:
    """An insert that opens the database first."""

    def insert(record: dict[str, Any]) -> int:
        if side == OURS:
            return RunStore(path).add(record)
        with TinyDB(path) as database:
            return database.insert(record)

    return insert


# --- writers in processes of their own -------------------------------------------------------------------------


class Told(NamedTuple):
    """What a writer said of an insert that was accepted."""

    doc_id: int
    run_id: str
    seconds: float


def write(side: str, path: Path, first: int, n: int, said: Path, limit: int | None = None) -> None:
    """Insert n records once the file ``go`` is there, and say each accepted one in a line of ``said``."""
    mine = list(islice(records(first), n))
    insert = opened(side, path)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with said.open("w", buffering=1) as out:  # line by line: what is said survives a kill
        out.write("ready\n")
        while not (said.parent / "go").exists():
            time.sleep(0.001)
        for record in mine:
            start = time.perf_counter()
            try:
                doc_id = insert(record)
            except BROKEN:
                continue
            except OSError:  # the disk is full
                return
            out.write(f"{doc_id} {record['run_id']} {time.perf_counter() - start}\n")


class Writers:
    """Four processes that insert records of their own into one file; ``go`` lets them begin together."""

    def __init__(self, side: str, path: Path, n: int, *, first: int, limit: int | None = None):
        self.folder = Path(path.parent / f"{side}-{first}")
        self.folder.mkdir()
        self.said = [self.folder / str(i) for i in range(WRITERS)]
        self.processes = [
            FORKS.Process(target=write, args=(side, path, first + i * n, n, said, limit))
            for i, said in enumerate(self.said)
        ]
        for process in self.processes:
            process.start()
        while not all(said.exists() and said.read_bytes() for said in self.said):
            time.sleep(0.01)

    def go(self) -> float:
        """Seconds until all four are done."""
        start = time.perf_counter()
        (self.folder / "go").touch()
        for process in self.processes:
            process.join()
        return time.perf_counter() - start

    def kill(self, chance: random.Random) -> None:
        """Let them begin and kill one after the other."""
        (self.folder / "go").touch()
        for process in self.processes:
            time.sleep(chance.uniform(0, 0.2))
            process.kill()
        for process in self.processes:
            process.join()

    def told(self) -> list[Told]:
        """The accepted inserts, by writer and in order."""
        lines = [line.split() for said in self.said for line in said.read_text().split("\n")[1:-1]]
        return [Told(int(doc_id), run_id, float(seconds)) for doc_id, run_id, seconds in lines]


def lost(path: Path, told: Sequence[Told]) -> int:
    """How many of the accepted inserts are not there, or not under the id that was given; all, where none opens."""
    try:
        there = {record["doc_id"]: record["run_id"] for record in RunStore(path).all()}
    except BROKEN:
        return len(told)
    return sum(there.get(insert.doc_id) != insert.run_id for insert in told)


# --- 1. inserts per second -------------------------------------------------------------------------------------


def row(*cells: Any) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def header(*cells: str) -> str:
    return f"{row(*cells)}\n{row(*['---'] * len(cells))}"


def compared(n: int, how: str, seconds: dict[str, tuple[int, float]], kept: Sequence[str] = ("all", "all")) -> str:
    """A row of the first table from the number of inserts of each side and their seconds."""
    ours, plain = (inserts / spent if inserts else 0.0 for inserts, spent in (seconds[OURS], seconds[PLAIN]))
    ratio = f"{ours / plain:,.0f}x" if plain else "–"
    return row(f"{n:,}", how, f"{ours:,.1f}", f"{plain:,.2f}", ratio, *kept)


def one_process(folder: Path, n: int, how: str, open_: Callable[[str, Path], Insert], turns: int, ours: int) -> str:
    """Turns of ``ours`` inserts of RunStore and one of TinyDB."""
    paths = {side: filled(folder / f"{how}-{side}-{n}.json", n) for side in (OURS, PLAIN)}
    inserts = {side: open_(side, path) for side, path in paths.items()}
    new = records(n)
    inserts[OURS](next(new))  # reads the file where it stays open
    times: dict[str, list[float]] = {OURS: [], PLAIN: []}
    for _ in range(turns):
        for side, times_ in times.items():
            for record in list(islice(new, ours if side == OURS else 1)):
                start = time.perf_counter()
                inserts[side](record)
                times_.append(time.perf_counter() - start)
    return compared(n, how, {side: (len(spent), sum(spent)) for side, spent in times.items()})


def four_processes(folder: Path, n: int, turns: int, ours: int, plain: int) -> str:
    """Turns of four processes that insert at once."""
    paths = {side: filled(folder / f"four-{side}-{n}.json", n) for side in (OURS, PLAIN)}
    told: dict[str, list[Told]] = {OURS: [], PLAIN: []}
    spent = dict.fromkeys(paths, 0.0)
    for turn in range(turns):
        for side, inserts in ((OURS, ours), (PLAIN, plain)):
            writers = Writers(side, paths[side], inserts, first=n + turn * WRITERS * inserts)
            spent[side] += writers.go()
            told[side] += writers.told()
    kept = [f"{len(told[side]) - lost(paths[side], told[side])} of {len(told[side])}" for side in paths]
    return compared(n, "4, open", {side: (len(told[side]), spent[side]) for side in paths}, kept)


def inserts() -> Iterator[str]:
    yield header("records", "processes", "RunStore /s", "TinyDB /s", "ratio", "RunStore kept", "TinyDB kept")
    for n, turns, ours in ((100, 20, 5), (1000, 10, 20), (10_000, 2, 600)):
        with TemporaryDirectory() as name:
            folder = Path(name)
            yield one_process(folder, n, "1, open", opened, turns, ours)
            yield one_process(folder, n, "1, opens it", afresh, max(2, turns // 2), 5)
            yield four_processes(folder, n, *{100: (4, 10, 5), 1000: (2, 50, 5), 10_000: (1, 300, 1)}[n])


# --- 2. growth -------------------------------------------------------------------------------------------------


def growth(n: int = 10_000) -> Iterator[str]:
    with TemporaryDirectory() as name:
        path = Path(name) / "loan.json"
        writers = Writers(OURS, path, n // WRITERS, first=0)
        spent = writers.go()
        told = sorted(writers.told())
        yield header("inserts", "ms each, median", "99 of 100 within")
        for start in range(0, n, n // 10):
            times = sorted(insert.seconds * 1e3 for insert in told[start : start + n // 10])
            median, late = statistics.median(times), times[len(times) * 99 // 100]
            yield row(f"{start + 1:,} to {start + len(times):,}", f"{median:.1f}", f"{late:.0f}")
        store = RunStore(path)
        store.fold()
        with TinyDB(path, access_mode="r") as plain:
            there = len(plain)
        ids = len({insert.doc_id for insert in told})
        yield (
            f"\n{len(told):,} inserts in {spent:.0f} s, {len(told) / spent:.0f} a second; {ids:,} ids; "
            f"lost {lost(path, told)}; after the fold plain TinyDB reads {there:,}"
        )


# --- 3. reading ------------------------------------------------------------------------------------------------

FEW, HALF = (where("metrics")["accuracy"] > bound for bound in (0.88, 0.8))
READINGS: dict[str, dict[str, Callable[[Path], Any]]] = {
    "find one run, as a job does": {
        OURS: lambda path: RunStore(path).find("0" * 16),
        PLAIN: lambda path: TinyDB(path).search(where("run_id") == "0" * 16),
    },
    "query a metric, one record in eight found": {
        OURS: lambda path: RunStore(path).search(FEW),
        PLAIN: lambda path: TinyDB(path).search(FEW),
    },
    "query a metric, half of them found": {
        OURS: lambda path: RunStore(path).search(HALF),
        PLAIN: lambda path: TinyDB(path).search(HALF),
    },
    "every record": {OURS: lambda path: RunStore(path).all(), PLAIN: lambda path: TinyDB(path).all()},
}


def read(what: str, side: str, path: Path, said: Path) -> None:
    start = time.perf_counter()
    assert READINGS[what][side](path)
    said.write_text(str(time.perf_counter() - start))


def seconds_of(work: Callable[..., None], *args: Any, said: Path) -> float:
    process = FORKS.Process(target=work, args=(*args, said))
    process.start()
    process.join()
    return float(said.read_text())


def command(folder: Path, *words: str) -> float:
    """Seconds of a whole command on the database of the folder."""
    places = {"TRILEMMA_EVALS": str(folder), "PYTHONPATH": str(paths_config.ROOT)}
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, env=os.environ | places, capture_output=True, check=True)
    return time.perf_counter() - start


def reading(n: int = 10_000, turns: int = 3) -> Iterator[str]:
    yield header(f"open {n:,} records and", "RunStore, s", "TinyDB, s")
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = filled(folder / "example.json", n)
        for what in READINGS:
            times: dict[str, list[float]] = {OURS: [], PLAIN: []}
            for _ in range(turns):
                for side, spent in times.items():
                    spent.append(seconds_of(read, what, side, path, said=folder / "said"))
            yield row(what, *(f"{statistics.median(spent):.2f}" for spent in times.values()))
        plot = command(folder, "-m", "evals.plot", "dataset=example", "out=a.png")
        table = command(folder, str(paths_config.ROOT / "evaluate.py"), "dataset=example", "sort=uai_0.05")
        yield row("`evals.plot`, the whole command", f"{plot:.1f}", "")
        yield row("`evaluate.py`, the whole command", f"{table:.1f}", "")


# --- 4. kills and full disks -----------------------------------------------------------------------------------


class Kept(NamedTuple):
    """What became of the inserts of writers that were stopped."""

    acknowledged: int
    lost: int
    unreadable: int  # times that plain TinyDB could not open the file


def kill_loop(folder: Path, *, rounds: int, n: int, seed: int = 0) -> Kept:
    """Four writers killed in every round, on a database that starts with n records."""
    path, chance = filled(folder / "loan.json", n), random.Random(seed)
    told: list[Told] = []
    unreadable = 0
    for turn in range(rounds):
        writers = Writers(OURS, path, 200, first=n + turn * WRITERS * 200)
        writers.kill(chance)
        told += writers.told()
        try:
            with TinyDB(path, access_mode="r") as plain:
                plain.all()
        except BROKEN:
            unreadable += 1
    return Kept(len(told), lost(path, told), unreadable)


def full_disk(folder: Path, *, n: int, room: int) -> Kept:
    """Four writers whose files cannot grow by more than ``room`` bytes."""
    path = filled(folder / "loan.json", n)
    limit = path.stat().st_size + room if n <= 1000 else room  # the file grows, or its journal
    writers = Writers(OURS, path, 500, first=n, limit=limit)
    writers.go()
    told = writers.told()
    with TinyDB(path, access_mode="r") as plain:
        plain.all()
    return Kept(len(told), lost(path, told), 0)


def stopped() -> Iterator[str]:
    yield header("four writers", "acknowledged", "lost", "unreadable")
    for what, work in {
        "killed 25 times, 300 records: every insert rewrites the file": lambda f: kill_loop(f, rounds=25, n=300),
        "killed 25 times, 1,500 records: journal and folds": lambda f: kill_loop(f, rounds=25, n=1500),
        "full disk, 300 records": lambda f: full_disk(f, n=300, room=500_000),
        "full disk, 1,500 records": lambda f: full_disk(f, n=1500, room=500_000),
    }.items():
        with TemporaryDirectory() as name:
            yield row(what, *work(Path(name)))


def report() -> Iterator[str]:
    size = statistics.mean(len(json.dumps(record)) for record in islice(records(), 28))
    yield f"Records of {size / 1000:.1f} kB on average.\n"
    for part in (inserts, growth, reading, stopped):
        yield from part()
        yield ""


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
