"""Names of files to write that are pipes or devices: they get the content and stay what they are."""

import csv
import io
import os
import shutil
import threading

import pytest

import paths_config
from evals.database import main
from tests.commands import command


@pytest.fixture(autouse=True)
def example(tmp_path, monkeypatch):
    """The example's records in a folder of its own."""
    shutil.copy(paths_config.ROOT / "evals" / "example.json", tmp_path)
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


LINES = {
    "evaluate": ("csv={}", "columns=[accuracy]"),
    "evals.table": ("format=csv", "out={}"),
    "evals.database": ("export", "out={}"),
}


def run(program, target):
    words = [word.format(target) for word in (*LINES[program], "dataset=example")]
    return main(words) if program == "evals.database" else command(program, *words).code


@pytest.mark.parametrize("program", LINES)
def test_a_pipe_gets_what_a_file_gets_and_stays_a_pipe(example, program):
    assert run(program, "out.csv") == 0
    expected = (example / "out.csv").read_bytes()
    pipe, read = example / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert run(program, pipe) == 0
    reader.join(10)
    assert read == [expected]
    assert pipe.is_fifo()


@pytest.mark.parametrize("program", ["evals.table", "evals.database"])
def test_the_output_gets_the_content_alone(capfd, program):
    assert run(program, "/dev/stdout") == 0
    rows = list(csv.reader(io.StringIO(capfd.readouterr().out)))
    assert len(rows) > 5
    assert {len(row) for row in rows} == {len(rows[0])}


def test_a_pipe_is_no_place_for_a_file_of_tables(capsys):
    os.mkfifo("runs.db")
    assert main(["export", "dataset=example", "out=runs.db"]) == 2
    assert "is a pipe or a device" in capsys.readouterr().err
