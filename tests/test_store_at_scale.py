"""The store with many records of real size: several writers, kills, a full disk, and the commands on 10,000."""

import json
import statistics
import time
from itertools import islice

import pytest
from tinydb import TinyDB, where

from evals import plot
from evals.plots.axis import sides
from evals.plots.chart import chart
from evals.plots.frontier import draw, style
from evals.records import query
from tests.benchmarks.bench_store import OURS, PLAIN, Writers, filled, full_disk, kill_loop, lost, records
from utils.run_store import RunStore

MANY = 10_000


def cpu_seconds(work, repeats=3):
    """The least of several times: what the machine does besides only adds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


# --- stopped writers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n",
    [pytest.param(50, id="file", marks=pytest.mark.slow), pytest.param(1200, id="journal")],  # file: test_run_store.py
)
def test_killed_writers_lose_nothing_acknowledged(tmp_path, n):
    kept = kill_loop(tmp_path, rounds=3, n=n)
    assert kept.acknowledged > 10
    assert (kept.lost, kept.unreadable) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 1200], ids=["file", "journal"])
def test_a_hundred_kills_of_four_writers_lose_nothing_acknowledged(tmp_path, n):
    kept = kill_loop(tmp_path, rounds=100, n=n, seed=1)
    assert kept.acknowledged > 500
    assert (kept.lost, kept.unreadable) == (0, 0)


@pytest.mark.parametrize("n", [50, 1200], ids=["file", "journal"])
def test_writers_on_a_full_disk_lose_nothing_acknowledged(tmp_path, n):
    kept = full_disk(tmp_path, n=n, room=200_000)
    assert kept.acknowledged > 10
    assert kept.lost == 0


def test_the_count_of_lost_records_finds_those_that_plain_tinydb_loses(tmp_path):
    """Two processes that insert into a plain TinyDB file overwrite each other's records: the count can fail."""
    path = filled(tmp_path / "loan.json", 50)
    writers = Writers(PLAIN, path, 20, first=50)
    writers.go()
    assert lost(path, writers.told()) > 0


# --- ten thousand ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("evals") / "loan.json", MANY)


@pytest.mark.slow
def test_ten_thousand_inserts_by_four_processes_stay_cheap_and_lose_nothing(tmp_path):
    path = tmp_path / "loan.json"
    writers = Writers(OURS, path, MANY // 4, first=0)
    writers.go()
    told = sorted(writers.told())
    assert [insert.doc_id for insert in told] == list(range(1, MANY + 1))
    assert lost(path, told) == 0
    early, late = (statistics.median(insert.seconds for insert in told[i : i + 1000]) for i in (1000, 8000))
    assert late < 4 * early
    store = RunStore(path)
    store.fold()
    with TinyDB(path) as plain:
        assert {found["run_id"] for found in plain.all()} == {insert.run_id for insert in told}


@pytest.fixture(scope="module")
def parsing(database):
    """CPU-seconds of the bare parse: about what plain TinyDB needs to open the file, on this machine as it is now."""
    return cpu_seconds(lambda: json.loads(database.read_bytes()))


@pytest.mark.slow
def test_opening_and_querying_ten_thousand_records_is_faster_than_parsing_them(database, parsing):
    good = where("metrics")["accuracy"] > 0.8
    assert len(RunStore(database).search(good)) > 1000
    assert cpu_seconds(lambda: RunStore(database).search(good)) < parsing


@pytest.mark.slow
def test_a_job_finds_its_run_among_ten_thousand_without_decoding_them(database, parsing):
    assert cpu_seconds(lambda: RunStore(database).find("0" * 16)) < parsing / 3


@pytest.mark.slow
def test_looking_up_hundreds_of_runs_costs_about_as_much_as_one(database):
    runs = [f"{number:016x}" for number in range(0, MANY, 20)]
    assert len(RunStore(database).find_many(runs)) == 500
    one = cpu_seconds(lambda: RunStore(database).find(runs[0]))
    assert cpu_seconds(lambda: RunStore(database).find_many(runs)) < 3 * one


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [20, 1], ids=["500 settings", "10,000 settings"])
def test_ten_thousand_records_are_drawn_in_seconds(database, seeds):
    found = RunStore(database).all()
    for i, record in enumerate(found):
        record["group_id"] = f"group{i // seeds}"
        record["params"] = record["params"] | {"width": i // seeds}
    options = query.options(["dataset=loan", "x=accuracy", "y=uai_0.05"], plot.OPTIONS)

    def work():
        shown = chart(found, options, sides(options, "x", "y"))
        assert len(shown.groups) == MANY // seeds
        draw(shown, style(options))

    assert cpu_seconds(work, repeats=2) < 10


def test_the_records_of_the_benchmark_are_those_of_real_runs():
    sizes = [len(json.dumps(record)) for record in islice(records(), 28)]
    assert min(sizes) > 5000
