import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import paths_config
from evals.database import COMMANDS, main
from evals.keeping.upkeep import find_runs
from utils.run_store import RunStore


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Databases, weights and outputs below one temporary folder, which is also the project's root."""
    for name in ("evals", "weights", "outputs"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(paths_config, "ROOT", tmp_path)
    return tmp_path


def finished(run, content=b"weights", **more):
    path = paths_config.weights() / "loan" / f"{run}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    weights = {"path": f"loan/{run}.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    created = "2026-01-01T00:00:00+00:00"
    facts = {
        "run_id": run,
        "status": "finished",
        "dataset": "loan",
        "name": "loan_mlp_erm",
        "params": {},
        "metrics": {},
    }
    return {**facts, "weights": weights, "created": created, **more}


def failed(run, **more):
    return {"run_id": run, "status": "failed", "dataset": "loan", "name": "loan_mlp_erm", "params": {}, **more}


def ran(record, folder):
    """Leave a record.json as a job does."""
    path = paths_config.ROOT / folder / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))


def store():
    return RunStore(paths_config.database("loan"))


def stored():
    return {record["run_id"]: record for record in store().all()}


# --- check -----------------------------------------------------------------------------------------------------


def test_a_database_with_its_weights_passes(capsys):
    store().add_many([finished("a"), finished("b"), failed("c")])
    assert main(["check", "dataset=loan"]) == 0
    assert "2 finished, 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (None, "names no weights"),
        ({"path": "loan/gone.safetensors", "sha256": "0"}, "gone.safetensors are missing"),
        ({"path": "loan/a.safetensors", "sha256": "0"}, "another checksum"),
        ({"path": "../evals/loan.json", "sha256": "0"}, "lie outside"),
    ],
)
def test_a_finished_run_without_its_weights_is_reported(capsys, weights, said):
    store().add_many([finished("b"), finished("a") | {"weights": weights}])
    assert main(["check", "dataset=loan"]) == 1
    out = capsys.readouterr().out
    assert "record 2: " in out
    assert said in out


def test_missing_decisions_are_reported(capsys):
    gone = {"path": "loan/gone.decisions", "sha256": "0"}
    store().add_many([finished("a", decisions=gone)])
    assert main(["check", "dataset=loan"]) == 1
    assert "gone.decisions are missing" in capsys.readouterr().out


def test_a_run_in_the_journal_is_checked(capsys):
    RunStore(paths_config.database("loan"), journal_after=0).add(finished("a") | {"weights": None})
    assert main(["check", "dataset=loan"]) == 1


def test_a_damaged_database_does_not_pass(capsys):
    paths_config.database("loan").write_text('{"_default": {"1"')
    assert main(["check", "dataset=loan"]) == 1
    assert "rebuild dataset=loan" in capsys.readouterr().out


def test_a_run_that_another_program_stored_twice_is_reported(capsys):
    record = finished("a")
    paths_config.database("loan").write_text(json.dumps({"_default": {"1": record, "2": record}}))
    assert main(["check", "dataset=loan"]) == 1
    assert "run a: 2 finished records" in capsys.readouterr().out


def test_many_problems_fit_one_screen(capsys):
    store().add_many([finished(str(i)) | {"weights": None} for i in range(50)])
    assert main(["check", "dataset=loan"]) == 1
    out = capsys.readouterr().out
    assert "... and 30 more" in out
    assert len(out.splitlines()) <= 24


# --- rebuild ---------------------------------------------------------------------------------------------------


def test_rebuild_stores_the_runs_of_the_data_set_by_age(capsys):
    ran(finished("new", created="2026-02-01"), "outputs/x")
    ran(finished("old"), "multirun/y/0")
    ran(finished("other", dataset="adult"), "outputs/z")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert [record["run_id"] for record in store().all()] == ["old", "new"]
    assert "2 runs" in capsys.readouterr().out


def test_the_settings_may_name_the_data_set():
    record = finished("a", params={"dataset": {"name": "loan"}})
    del record["dataset"]
    ran(record, "outputs/x")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert list(stored()) == ["a"]


def test_the_newest_of_a_run_counts_whatever_the_time_zone():
    """09:30 at +05:00 is 04:30 UTC, before 05:00 UTC."""
    ran(finished("a", seed=1, created="2026-01-01T09:30:00+05:00"), "outputs/1")
    ran(finished("a", seed=2, created="2026-01-01T05:00:00"), "outputs/2")
    ran(finished("a", seed=3, created=None), "outputs/3")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert stored()["a"]["seed"] == 2


def test_a_finished_run_counts_before_a_newer_failed_one():
    ran(finished("a"), "outputs/1")
    ran(failed("a", created="2027-01-01"), "outputs/2")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert stored()["a"]["status"] == "finished"


def test_running_jobs_are_left_out():
    ran(finished("a"), "outputs/1")
    ran({"run_id": "b", "status": "running", "dataset": "loan"}, "outputs/2")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert list(stored()) == ["a"]


def test_a_damaged_database_is_moved_aside_unchanged(capsys):
    path = paths_config.database("loan")
    path.write_bytes(b"damage")
    ran(finished("a"), "outputs/x")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert path.with_name("loan.json.damaged-1").read_bytes() == b"damage"
    assert list(stored()) == ["a"]
    assert main(["check", "dataset=loan"]) == 0


def test_a_damaged_database_stays_where_no_run_is_found(capsys):
    path = paths_config.database("loan")
    path.write_bytes(b"damage")
    assert main(["rebuild", "dataset=loan"]) == 2
    assert [file.read_bytes() for file in path.parent.iterdir()] == [b"damage"]
    assert "no finished or failed run of dataset=loan" in capsys.readouterr().err


def test_a_readable_database_keeps_ids_and_evaluations():
    store().add_many([finished("a"), finished("b")])
    store().add_result(2, "strong", {"accuracy": 1})
    ran(finished("b"), "outputs/b")
    ran(finished("c"), "outputs/c")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert {run: record["doc_id"] for run, record in stored().items()} == {"a": 1, "b": 2, "c": 3}
    assert stored()["b"]["evaluations"] == {"strong": {"accuracy": 1}}


def test_rebuilding_twice_changes_nothing():
    ran(finished("a"), "outputs/a")
    assert main(["rebuild", "dataset=loan"]) == 0
    before = paths_config.database("loan").read_bytes()
    assert main(["rebuild", "dataset=loan"]) == 0
    assert paths_config.database("loan").read_bytes() == before


@pytest.mark.parametrize("written", ["runs={0}/one", "runs=[{0}/one,{0}/two]"])
def test_the_folders_of_the_runs_can_be_named(folders, written):
    ran(finished("a"), "one/x")
    ran(finished("b"), "two/x")
    assert main(["rebuild", "dataset=loan", written.format(folders)]) == 0
    assert len(stored()) == (2 if "two" in written else 1)


@pytest.mark.parametrize(
    "content", [b"", b'{"run_id": "a", "sta', b"[]", b"{}", b"\xff", b'{"run_id": 1, "status": "failed"}']
)
def test_a_record_that_cannot_be_read_is_named_and_skipped(folders, capsys, content):
    ran(finished("a"), "outputs/a")
    bad = folders / "outputs" / "record.json"
    bad.write_bytes(content)
    assert main(["rebuild", "dataset=loan"]) == 0
    assert f"skipped {bad}" in capsys.readouterr().out
    assert list(stored()) == ["a"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device", "link to nothing", "huge"])
def test_what_is_no_file_of_a_record_is_named_and_skipped(folders, capsys, kind):
    ran(finished("a"), "outputs/a")
    bad = folders / "outputs" / "record.json"
    if kind == "folder":
        bad.mkdir()
    elif kind == "pipe":
        os.mkfifo(bad)
    elif kind == "huge":
        with bad.open("wb") as file:
            file.truncate(2**27)  # a hole: no disk is used
    else:
        bad.symlink_to("/dev/zero" if kind == "link to a device" else folders / "nothing")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert f"skipped {bad}: " in capsys.readouterr().out
    assert list(stored()) == ["a"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": {"path": "../../..", "sha256": "0"}}, "lie outside"),
        ({"metrics": {"accuracy": "high"}}, "not a record: metrics.accuracy is text"),
        ({"checksum": "0" * 16}, "was altered since it was written"),
    ],
)
def test_a_record_that_is_not_to_be_trusted_is_named_and_skipped(capsys, change, said):
    ran(finished("a"), "outputs/a")
    ran(finished("b", **change), "outputs/b")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert said in capsys.readouterr().out
    assert list(stored()) == ["a"]


def test_runs_behind_a_link_are_found_and_a_circle_of_links_ends(folders):
    ran(finished("a"), "disk/a")
    (folders / "outputs" / "link").symlink_to(folders / "disk")
    (folders / "disk" / "back").symlink_to(folders / "outputs")
    assert main(["rebuild", "dataset=loan"]) == 0
    assert list(stored()) == ["a"]


def test_an_altered_record_is_reported_and_restored_under_its_id(capsys):
    store().add_many([finished("a", metrics={"accuracy": 0.5}), finished("b")])
    ran(finished("a", metrics={"accuracy": 0.5}), "outputs/a")
    path = paths_config.database("loan")
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    assert main(["check", "dataset=loan"]) == 1
    assert "record 1 was altered since it was filed" in capsys.readouterr().out
    assert main(["rebuild", "dataset=loan"]) == 0
    assert main(["check", "dataset=loan"]) == 0
    assert stored()["a"]["doc_id"] == 1


# --- remove ----------------------------------------------------------------------------------------------------


def test_records_are_removed_and_their_weights_stay_unless_asked(capsys):
    store().add_many([finished("a"), finished("b"), finished("c")])
    file = {run: paths_config.weights() / "loan" / f"{run}.safetensors" for run in "abc"}
    assert main(["remove", "dataset=loan", "id=1"]) == 0
    out = capsys.readouterr().out
    assert "record 1 (loan_mlp_erm, seed None) removed" in out
    assert "weights=true removes it too" in out
    assert main(["remove", "dataset=loan", "id=2", "weights=true"]) == 0
    assert list(stored()) == ["c"]
    assert [file[run].exists() for run in "abc"] == [True, False, True]


def test_weights_that_another_record_names_are_not_removed():
    store().add_many([finished("a"), finished("b") | {"weights": finished("a")["weights"]}])
    assert main(["remove", "dataset=loan", "id=2", "weights=true"]) == 0
    assert main(["check", "dataset=loan"]) == 0


def test_a_bad_record_can_be_removed(capsys):
    paths_config.database("loan").write_text(json.dumps({"_default": {"1": {"run_id": 5}, "2": finished("a")}}))
    assert main(["remove", "dataset=loan", "id=1"]) == 0
    assert main(["check", "dataset=loan"]) == 0
    assert list(stored()) == ["a"]


@pytest.mark.parametrize(
    ("word", "said"), [("id=9", "has no record 9"), ("id=x", "id=x: expected numbers"), ("id=", "id")]
)
def test_nothing_is_removed_by_a_mistake(capsys, word, said):
    store().add_many([finished("a"), finished("b")])
    assert main(["remove", "dataset=loan", word]) == 2
    assert said in capsys.readouterr().err
    assert len(stored()) == 2


def test_more_runs_than_the_journal_takes_end_in_the_file(folders):
    for i in range(1100):
        ran(finished(str(i)), f"outputs/{i}")
    assert len(find_runs("loan", [folders / "outputs"])[0]) == 1100
    assert main(["rebuild", "dataset=loan"]) == 0
    assert len(json.loads(paths_config.database("loan").read_text())["_default"]) == 1100


# --- fold, words -----------------------------------------------------------------------------------------------


def test_fold_writes_the_journal_into_the_file(capsys):
    RunStore(paths_config.database("loan"), journal_after=0).add(finished("a"))
    assert not paths_config.database("loan").exists()
    assert main(["fold", "dataset=loan"]) == 0
    assert list(json.loads(paths_config.database("loan").read_text())["_default"]) == ["1"]
    assert "1 line folded, 1 record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give one of check, rebuild, remove, fold"),
        (["chek", "dataset=loan"], "did you mean check?"),
        (["check"], "write for example dataset=loan"),
        (["check", "dataset="], "write for example dataset=loan"),
        (["check", "dataset=../loan"], "no name of a data set"),
        (["check", "loan"], "cannot read 'loan'"),
        (["check", "datset=loan"], "did you mean dataset?"),
        (["check", "dataset=loan", "runs=outputs"], "unknown option 'runs'"),
        (["check", "dataset=[loan"], "cannot read"),
        (["check", "dataset=${nothing}"], "cannot read"),
        (["check", "dataset=lona"], "did you mean loan?"),
        (["fold", "dataset=adult"], "no database"),
        (["rebuild", "dataset=loan", "runs=nowhere"], "runs=nowhere is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, words, said):
    store().add(finished("a"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_unusable_folder_is_one_line_and_exit_code_2(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "file"))
    ran(finished("a"), "outputs/a")
    assert main(["rebuild", "dataset=loan"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


VERBS = ("check", "rebuild", "remove", "fold", "export", "merge", "import")


def test_help_shows_every_command():
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "evals.database", "--help"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"python -m evals.database {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_command_explains_all_its_options(capsys, verb):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"python -m evals.database {verb} dataset=NAME" in out
    assert all(f"{key}=" in out or f"\n{key} " in out for key in COMMANDS[verb][1])


def test_imported_runs_claim_no_weights(capsys):
    store().add_many([finished("a"), finished("b", weights=None, imported=True)])
    assert main(["check", "dataset=loan"]) == 0
    assert "2 finished (1 of them imported, without weights), 0 failed" in capsys.readouterr().out
