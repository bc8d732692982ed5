"""A finished run is known again by its settings as long as nothing that it came from has changed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import paths_config
from tests.commands import SMALL, command, house, note_builds, refused
from utils.command_line.composing import compose_params
from utils.run_store import RunStore
from utils.runs import finished_before
from utils.system import sources

TABLE = "age,group,income,paid\n" + "".join(
    f"{20 + i % 40},{'ab'[i % 2]},{i * 7 % 90},{i % 3 % 2}\n" for i in range(120)
)
OWN = ("dataset=csv", "dataset.path=people.csv", "dataset.label=paid", "dataset.sensitive=group", "scm=independent")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own; what is kept of a process is as in a new one."""
    monkeypatch.setattr(sources, "_read", {})
    monkeypatch.setattr(sources, "_untold", set())
    with house(tmp_path) as here:
        yield here


@pytest.fixture
def built(monkeypatch):
    return note_builds(monkeypatch)


def train(*words):
    """A small training, as a new process would do it."""
    finished_before._lines.cache_clear()
    ended = command("train", *SMALL, *words)
    assert ended.code == 0, ended
    return ended


LOAN = ("dataset=loan", "dataset.rows=60")


def test_a_finished_run_is_known_without_its_data(folder, built):
    train(*LOAN)
    again = train(*LOAN)
    assert len(built) == 1
    assert again.out == "loan_mlp_erm, seed 0: finished before, record 1; existing=replace trains anew\n"


@pytest.mark.parametrize("words", [("seed=1",), ("trainer.lr=0.5",), ("existing=replace",)])
def test_other_settings_are_another_run(folder, built, words):
    train(*LOAN)
    train(*LOAN, *words)
    assert len(built) == 2


def test_a_sweep_skips_what_a_single_run_has_finished(folder, built):
    train(*LOAN)
    ended = train("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", *LOAN, "seed=0,1")
    assert len(built) == 2
    assert "1 skipped" in ended.out
    ended = train("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", *LOAN, "seed=0,1")
    assert len(built) == 2
    assert "2 skipped" in ended.out


@pytest.mark.parametrize("first", ["people.csv", "data/people.csv"])
def test_a_table_that_was_written_anew_or_is_found_first_from_now_on_is_read_anew(folder, built, first):
    Path(first).write_text(TABLE)
    train(*OWN)
    train(*OWN)
    assert len(built) == 1
    Path("people.csv").write_text(TABLE + "33,b,60,1\n")
    train(*OWN)
    assert len(built) == 2
    [database] = paths_config.evals().glob("*.json")
    assert len(RunStore(database).all()) == 2


def test_a_touched_table_is_read_anew_and_its_run_skipped(folder, built):
    Path("people.csv").write_text(TABLE)
    train(*OWN)
    os.utime("people.csv", ns=(1, 1))
    ended = train(*OWN)
    assert len(built) == 2
    assert "finished before, record 1" in ended.out


def test_rows_of_a_file_belong_to_what_must_not_change(folder, built):
    header = "gender,age,education,loan_amount,duration,income,savings,label\n"
    Path("rows.csv").write_text(header + "0,1,0.1,1,1,1,1,1\n")
    train(*LOAN, "added=rows.csv")
    Path("rows.csv").write_text(header + "0,2,0.1,1,1,1,1,1\n")
    train(*LOAN, "added=rows.csv")
    assert len(built) == 2
    assert len(RunStore(paths_config.database("loan")).all()) == 2


def test_another_program_builds_the_run(folder, built, monkeypatch):
    train(*LOAN)
    monkeypatch.setattr(finished_before, "_program", lambda: ["later"])
    train(*LOAN)
    assert len(built) == 2


@pytest.mark.parametrize("lost", ["weights", "record", "note", "database"])
def test_whatever_is_gone_is_not_relied_on(folder, built, lost):
    train(*LOAN)
    [record] = RunStore(paths_config.database("loan")).all()
    if lost == "weights":
        paths_config.weights_file(record["weights"]["path"]).unlink()
    elif lost == "record":
        RunStore(paths_config.database("loan")).remove(doc_ids=[record["doc_id"]])
    elif lost == "note":
        (paths_config.evals() / ".finished.jsonl").write_text("[1, 2\nnot a line\n")
    else:
        paths_config.database("loan").unlink()
    train(*LOAN)
    assert len(built) == 2


def test_the_same_words_in_another_folder_name_another_file(folder, built, monkeypatch):
    Path("people.csv").write_text(TABLE)
    train(*OWN)
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    Path("people.csv").write_text(TABLE + "33,b,60,1\n")
    train(*OWN)
    assert len(built) == 2


def test_a_table_that_changes_while_it_is_trained_on_is_not_taken_for_what_was_read(folder, monkeypatch):
    from utils.runs import lifecycle

    Path("people.csv").write_text(TABLE)
    fit = lifecycle.fit_together

    def fit_and_change(*given, **named):
        Path("people.csv").write_text(TABLE + "33,b,60,1\n")
        return fit(*given, **named)

    monkeypatch.setattr(lifecycle, "fit_together", fit_and_change)
    train(*OWN)
    assert not (paths_config.evals() / ".finished.jsonl").exists()


@pytest.mark.parametrize("word", ["existing=replce", "threads=0", "device=banana", "watch=[nope]"])
def test_a_word_that_cannot_be_meant_is_refused_for_a_finished_run_too(folder, word):
    train(*LOAN)
    refused(command("train", *SMALL, *LOAN, word), word.partition("=")[0])


@pytest.mark.parametrize(
    "damage", [b"5\n", b"null\n", b"\xff\xfe\n", b'[null, "loan", "x", []]\n', b'["a", "b", "c", 7]\n']
)
def test_a_damaged_note_says_nothing(folder, built, damage):
    train(*LOAN)
    path = paths_config.evals() / ".finished.jsonl"
    path.write_bytes(damage + path.read_bytes())
    train(*LOAN)
    assert len(built) == 1


@pytest.mark.parametrize("launcher", ["batched", "basic"])
def test_a_damaged_database_is_told_as_ever(folder, launcher):
    train(*LOAN)
    database = paths_config.database("loan")
    database.write_text(database.read_text()[:300])
    finished_before._lines.cache_clear()
    ended = command("train", "-m", f"hydra/launcher={launcher}", *SMALL, *LOAN, "seed=0,1")
    assert ended.code == 2, ended
    assert "left no word" not in ended.out + ended.err


def test_rows_in_memory_are_not_those_that_the_settings_name(folder, built):
    from utils.build import build_dataset
    from utils.runs import lifecycle

    params = compose_params([*SMALL, *LOAN])
    given = build_dataset(params, torch.device("cpu"))
    lifecycle.carry_out(params, folder / "out", dataset=replace(given, train=given.train.rows(slice(0, 20))))
    train(*LOAN)
    assert len(built) == 2


def test_a_folder_of_too_many_files_is_never_taken_to_be_the_same(folder, built):
    sources.note_unseen("faces")
    train(*LOAN)
    train(*LOAN)
    assert len(built) == 2


def test_the_note_is_one_line_a_run_and_begun_anew_when_it_is_long(folder, monkeypatch):
    train(*LOAN)
    train(*LOAN, "seed=1")
    path = paths_config.evals() / ".finished.jsonl"
    assert [json.loads(line)[1] for line in path.read_text().splitlines()] == ["loan", "loan"]
    monkeypatch.setattr(finished_before, "LARGEST", 10)
    train(*LOAN, "seed=2")
    assert len(path.read_text().splitlines()) == 1


def test_whichever_gpu_a_launcher_dealt_the_run_is_the_one_of_the_settings():
    dealt = [finished_before._digest({"device": device, "seed": 0}) for device in ("auto", "cuda:0", "cuda:3", "cpu")]
    assert dealt[0] == dealt[1] == dealt[2] != dealt[3]
