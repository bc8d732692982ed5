"""Whole commands whose records are delivered, as those of jobs on other machines are."""

import errno
import fcntl
import re

import pytest

import paths_config
from evals.database import main as keep
from tests.commands import SMALL, command, house, note_builds
from utils.run_store import RunStore
from utils.runs import finished_before
from utils.system import sources

WORDS = (*SMALL, "dataset=loan", "dataset.rows=60")
BATCHED = ("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=range(3)")


@pytest.fixture
def folder(tmp_path):
    with house(tmp_path) as here:
        yield here


@pytest.fixture
def delivering(monkeypatch):
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    return monkeypatch


@pytest.fixture
def built(monkeypatch):
    return note_builds(monkeypatch)


def train(*words):
    """A training as a new process would do it."""
    finished_before._lines.cache_clear()
    sources._read.clear()
    sources._untold.clear()
    ended = command("train", *words)
    assert ended.code == 0, ended
    return ended


def seeds_of_records():
    return {of["doc_id"]: of["seed"] for of in RunStore(paths_config.database("loan")).all()}


@pytest.mark.parametrize("launcher", [BATCHED, ("-m", "seed=range(3)")], ids=["stack", "one by one"])
def test_a_delivering_sweep_tells_the_numbers_that_its_records_are_filed_under(folder, delivering, launcher):
    ended = train(*WORDS, *launcher)
    told = [line for line in ended.out.splitlines() if line.startswith("#")]
    assert sum(", seed " in line and " delivered" in line for line in told) == 3
    assert re.search(r"loan_mlp_erm +3 +1-3 ", ended.out)
    assert not paths_config.database("loan").exists()
    delivering.delenv("TRILEMMA_DELIVER")
    assert keep(["fold", "dataset=loan"]) == 0
    assert keep(["check", "dataset=loan"]) == 0
    assert sorted(seeds_of_records().values()) == [0, 1, 2]
    assert list(seeds_of_records()) == [1, 2, 3]


def test_a_job_that_is_started_again_skips_what_was_delivered(folder, delivering, built):
    train(*WORDS, *BATCHED)
    assert len(built) == 3
    ended = train(*WORDS, *BATCHED)
    assert "3 jobs: 0 finished, 3 skipped" in ended.out
    assert len(built) == 3


def test_what_was_delivered_is_skipped_without_the_notes_on_settings(folder, delivering):
    train(*WORDS, *BATCHED)
    (folder / "evals" / ".finished.jsonl").unlink()
    assert "3 jobs: 0 finished, 3 skipped" in train(*WORDS, *BATCHED).out


def test_the_sweep_that_launched_delivering_jobs_files_their_records_in_the_end(folder, delivering):
    train(*WORDS, *BATCHED)
    delivering.delenv("TRILEMMA_DELIVER")
    ended = train(*WORDS, *BATCHED[:-1], "seed=range(4)")
    assert "4 jobs: 1 finished, 3 skipped" in ended.out
    assert re.search(r"loan_mlp_erm +4 +1-4 ", ended.out)
    assert "3 jobs had finished before, records 1-3" in ended.out
    assert seeds_of_records()[4] == 3


def test_a_single_run_says_that_its_record_was_delivered(folder, delivering):
    ended = train(*WORDS)
    database = paths_config.database("loan")
    assert f"delivered beside {database}, where a process without TRILEMMA_DELIVER=1 files it" in ended.out
    assert "finished before, record 1;" in train(*WORDS).out


def test_a_search_learns_from_trials_that_were_delivered(folder, delivering):
    ended = train("-m", "hydra/sweeper=optuna", *WORDS, "trainer.lr=interval(0.01,0.1)", "hydra.sweeper.trials=2")
    assert "trials with a result: 2" in ended.out


def test_a_folder_without_locks_costs_a_sweep_a_warning(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    ended = train(*WORDS, *BATCHED)
    assert re.search(r"loan_mlp_erm +3 +1-3 ", ended.out)
    assert len(re.findall("no file can be locked in", ended.err)) == 2  # of databases and of weights
    assert sorted(seeds_of_records().values()) == [0, 1, 2]
    assert "filed as record 4" in train(*WORDS, "seed=7").out


def test_check_names_a_delivery_that_was_cut_off(folder, delivering, capsys):
    train(*WORDS)
    [delivery] = (folder / "evals" / "loan.json.inbox").iterdir()
    delivery.write_bytes(delivery.read_bytes()[:-100])
    delivering.delenv("TRILEMMA_DELIVER")
    assert keep(["check", "dataset=loan"]) == 1
    assert f"{delivery}.damaged is a delivery that was altered or cut off" in capsys.readouterr().out
    assert keep(["rebuild", "dataset=loan", f"runs={folder}"]) == 0
    assert seeds_of_records() == {1: 0}
