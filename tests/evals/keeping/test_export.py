"""Runs for other programs: what is read back by pandas, pyarrow and MLflow is what the database holds."""

import json
import sqlite3

import pandas as pd
import pytest

import paths_config
from evals.database import main
from evals.keeping import export
from tests.evals.records.test_query import record
from utils.run_store import RunStore

LATER = {"pgd@8/255+1": {"metrics": {"accuracy": 0.25}, "created": "2026-01-02"}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(*records):
    RunStore(paths_config.database("loan")).add_many(records)


def failed(**more):
    return {"run_id": "f", "status": "failed", "name": "loan_mlp_erm", "dataset": "loan", "params": {}, **more}


def two_runs():
    first = record(1, radius=0.1, seconds={"fit": 1.5, "evaluate": 2.0}, evaluations=LATER)
    second = record(2, "llr", seed=1, radius="8/255", metrics={"accuracy": 0.1 + 0.2, "mcc": None})
    second["params"]["model"] = {"hidden": [100, 50], "deep": True}
    store(first, second, failed(reason='no, "really"', params={"seed": 2}))


def run(*words):
    return main(["export", "dataset=loan", *words])


# --- CSV -------------------------------------------------------------------------------------------------------


def test_a_row_holds_ids_metrics_settings_and_later_evaluations(capsys):
    two_runs()
    assert run("out=runs.csv") == 0
    row = pd.read_csv("runs.csv").iloc[0]
    facts = ("doc_id", "name", "seed", "run_id", "accuracy", "uai_0.05", "seconds.fit", "params.epsilon.radius")
    assert [row[key] for key in facts] == [1, "loan_mlp_erm", 0, "run1", 0.6, 0.3, 1.5, "0.1"]
    assert row["pgd@8/255+1/accuracy"] == 0.25
    assert capsys.readouterr().out.startswith("runs.csv: 2 runs, ")


def test_numbers_keep_all_their_digits_and_null_is_empty():
    two_runs()
    run("out=runs.csv")
    table = pd.read_csv("runs.csv")
    assert table["accuracy"][1] == 0.1 + 0.2
    assert table["mcc"].isna().all()


def test_lists_are_json_and_settings_of_several_kinds_are_text():
    two_runs()
    run("out=runs.csv")
    table = pd.read_csv("runs.csv", dtype=str)
    assert json.loads(table["params.model.hidden"][1]) == [100, 50]
    assert list(table["params.epsilon.radius"]) == ["0.1", "8/255"]


def test_whole_numbers_stay_whole_beside_runs_that_lack_them():
    two_runs()
    store(record(3) | {"seed": None})
    run("out=runs.csv")
    assert list(pd.read_csv("runs.csv", dtype=str)["seed"].fillna("")) == ["0", "1", ""]


def test_failed_runs_are_there_with_their_reason_only_when_asked_for():
    two_runs()
    run("out=finished.csv")
    assert list(pd.read_csv("finished.csv")["status"]) == ["finished"] * 2
    assert run("out=all.csv", "failed=true") == 0
    table = pd.read_csv("all.csv")
    assert (table["status"][2], table["reason"][2]) == ("failed", 'no, "really"')
    assert pd.isna(table["accuracy"][2])


def test_a_file_is_replaced_only_when_asked_to(here, capsys):
    two_runs()
    (here / "runs.csv").write_text("mine")
    assert run("out=runs.csv") == 2
    assert (here / "runs.csv").read_text() == "mine"
    assert "out=runs.csv exists; give another name, or replace=true" in capsys.readouterr().err
    assert run("out=runs.csv", "replace=true") == 0
    assert (here / "runs.csv").read_text().startswith("doc_id,")


def test_runs_in_the_journal_are_exported():
    RunStore(paths_config.database("loan"), journal_after=0).add(record(1))
    assert run("out=runs.csv") == 0
    assert len(pd.read_csv("runs.csv")) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "out is required; write for example out=runs.csv"),
        (["out=runs.xlsx"], "expected a name ending in .csv, .parquet or .db"),
        (["out=http://host:5000"], "expected a name ending in .csv, .parquet or .db"),
        (["out=runs.csv", "failed=maybe"], "failed=maybe: expected true or false"),
        (["out=runs.csv", "replace=1"], "replace=1: expected true or false"),
        (["out=runs.csv/a.csv"], "runs.csv/a.csv"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(here, capsys, words, said):
    two_runs()
    if "out=runs.csv/a.csv" in words:
        (here / "runs.csv").touch()
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_database_of_failed_runs_alone_is_refused(capsys):
    store(failed(reason="r"))
    assert run("out=runs.csv") == 2
    assert "holds no finished run (1 failed, which failed=true exports)" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["runs.parquet", "runs.db", "sqlite:///runs.db"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(here, capsys, monkeypatch, out):
    two_runs()
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert run(f"out={out}") == 2
    assert "which is not installed: pip install -r requirements/export.txt" in capsys.readouterr().err
    assert not (here / "runs.db").exists()


# --- Parquet ---------------------------------------------------------------------------------------------------


def test_parquet_holds_what_csv_holds_with_its_types():
    pytest.importorskip("pyarrow", reason="needs requirements/export.txt")
    two_runs()
    assert run("out=runs.parquet", "failed=true") == 0
    assert run("out=runs.csv", "failed=true") == 0
    table, plain = pd.read_parquet("runs.parquet"), pd.read_csv("runs.csv")
    assert list(table.columns) == list(plain.columns)
    assert (table["seed"].dtype, table["params.model.deep"].dtype) == ("Int64", "boolean")
    pd.testing.assert_series_equal(table["accuracy"], plain["accuracy"])


# --- MLflow ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tracked(here):
    """The runs that MLflow itself finds in an exported file, by their tag run_id."""
    mlflow = pytest.importorskip("mlflow", reason="needs requirements/export.txt")

    def read(name="runs.db"):
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{here / name}")
        experiment = client.get_experiment_by_name("loan")
        return {run.data.tags["run_id"]: run for run in client.search_runs([experiment.experiment_id])}

    return read


def test_mlflow_finds_a_run_for_every_record(here, tracked, capsys):
    two_runs()
    assert run("out=runs.db", "failed=true") == 0
    found = tracked()
    assert {name: r.info.status for name, r in found.items()} == {"run1": "FINISHED", "run2": "FINISHED", "f": "FAILED"}
    first = found["run1"]
    assert first.info.run_name == "loan_mlp_erm"
    assert first.data.metrics == {"accuracy": 0.6, "uai_0.05": 0.3, "pgd_8/255_1/accuracy": 0.25}
    assert (first.data.params["epsilon.radius"], first.data.params["seed"]) == ("0.1", "0")
    assert found["run2"].data.params["model.hidden"] == "[100, 50]"
    assert found["f"].data.tags["reason"] == 'no, "really"'
    assert {path.name for path in here.iterdir()} == {"evals", "runs.db"}  # no artifact folder, no rest of the making


def test_a_second_export_to_mlflow_adds_what_is_new_and_nothing_twice(tracked, capsys):
    two_runs()
    assert run("out=sqlite:///runs.db") == 0
    store(record(4))
    RunStore(paths_config.database("loan")).add_result(2, "audit", {"metrics": {"accuracy": 0.5}})
    assert run("out=runs.db") == 0
    assert "1 run added to experiment loan, 2 there already, 1 of them updated" in capsys.readouterr().out
    found = tracked()
    assert set(found) == {"run1", "run2", "run4"}
    assert found["run2"].data.metrics == {"accuracy": 0.1 + 0.2, "audit/accuracy": 0.5}


def test_replace_makes_the_file_of_mlflow_anew(tracked):
    two_runs()
    run("out=runs.db", "failed=true")
    assert run("out=runs.db", "replace=true") == 0
    assert set(tracked()) == {"run1", "run2"}


@pytest.mark.parametrize("kind", ["sqlite", "text"])
def test_a_file_that_is_not_mlflow_s_is_left_alone(here, tracked, capsys, kind):
    two_runs()
    path = here / "runs.db"
    if kind == "text":
        path.write_text("my notes, which are long enough to be no header of SQLite" * 4)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("create table mine (a)")
    before = path.read_bytes()
    assert run("out=runs.db") == 2
    assert path.read_bytes() == before
    assert "give another name, or replace=true" in capsys.readouterr().err


def test_an_export_to_mlflow_that_fails_leaves_no_file(here, tracked, capsys):
    """Two evaluations whose names MLflow would write alike."""
    store(record(1, evaluations={"a@1": {"accuracy": 0.1}, "a+1": {"accuracy": 0.2}}))
    assert run("out=runs.db") == 2
    assert "would take some of a+1/accuracy, a@1/accuracy for one" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["evals"]
