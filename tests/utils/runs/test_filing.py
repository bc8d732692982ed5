"""The records of jobs that delivered them get their numbers by their runs."""

import json
from dataclasses import replace

import pytest
from tinydb import TinyDB

import paths_config
from utils.run_store import RunStore, store_of
from utils.runs.filing import file_delivered, number_records
from utils.runs.outcomes import Outcome


def record(run="a", status="finished", **more):
    facts = {"run_id": run, "status": status, "name": "loan_mlp_erm", "dataset": "loan", "params": {}}
    return {**facts, "metrics": {"accuracy": 0.5}, **more}


def outcome(run, number=0, status="finished", **more):
    return Outcome("loan_mlp_erm", status, "seed 0", number, dataset="loan", run_id=run, **more)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    return tmp_path


@pytest.fixture
def delivered(monkeypatch):
    with monkeypatch.context() as there:
        there.setenv("TRILEMMA_DELIVER", "1")
        for run in "abc":
            store_of("loan").add(record(run))


def test_delivered_records_get_the_numbers_that_they_are_filed_under(delivered):
    found = number_records([outcome("c"), outcome("a"), outcome("b", status="failed")])
    there = {of["run_id"]: of["doc_id"] for of in RunStore(paths_config.database("loan")).all()}
    assert [of.record for of in found] == [there["c"], there["a"], there["b"]]
    assert sorted(there.values()) == [1, 2, 3]


def test_a_delivering_process_numbers_by_what_a_fold_would_give_and_files_nothing(delivered, folder, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    found = number_records([outcome(run) for run in "abc"])
    file_delivered()
    assert not (folder / "loan.json").exists()
    monkeypatch.delenv("TRILEMMA_DELIVER")
    file_delivered()
    there = {of["run_id"]: of["doc_id"] for of in RunStore(paths_config.database("loan")).all()}
    assert {of.run_id: of.record for of in found} == there


def test_a_number_that_was_given_before_another_process_filed_is_mended(delivered):
    assert number_records([outcome("b", 7)])[0].record == store_of("loan").number(["b"])["b"] != 7


def test_outcomes_without_a_record_or_whose_record_is_gone_stay_as_they_are(delivered):
    given = [Outcome("", "refused", "a mistake"), outcome("none", 4), replace(outcome("a"), dataset="other")]
    assert number_records(given) == given


def test_one_look_at_a_database_numbers_all_its_jobs(delivered, monkeypatch):
    looks = []
    number = RunStore.number
    monkeypatch.setattr(RunStore, "number", lambda store, runs: looks.append(1) or number(store, runs))
    number_records([outcome(run) for run in "abcabc"])
    assert len(looks) == 1


def test_what_was_delivered_and_journals_are_filed_for_any_tinydb(delivered, folder):
    with TinyDB(folder / "loan.json") as plain:
        assert len(plain) == 0
    RunStore(folder / "adult.json", journal_after=0).add(record("x", dataset="adult"))
    file_delivered()
    for name, number in (("loan", 3), ("adult", 1)):
        with TinyDB(folder / f"{name}.json") as plain:
            assert len(plain) == number


def test_a_database_that_cannot_be_written_to_does_not_cost_the_table(delivered, monkeypatch, capsys):
    def busy(_):
        raise TimeoutError("loan.json is in use")

    monkeypatch.setattr(RunStore, "fold", busy)
    file_delivered()
    assert "loan.json is in use; the records are there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (outcome("a", 3), "record 3, seed 0"),
        (outcome("a", 0), "delivered, seed 0"),
        (outcome("a", 3, "failed"), "seed 0 (record 3 says so)"),
        (outcome("a", 0, "failed"), "seed 0 (delivered)"),
        (outcome("a", 3, "failed", kept=True), "seed 0 (record 3 stays as it was)"),
        (Outcome("", "refused", "a mistake"), "a mistake"),
    ],
)
def test_an_outcome_names_its_record(given, text):
    assert given.with_record == text
    assert Outcome(**json.loads(json.dumps(vars(given)))) == given
