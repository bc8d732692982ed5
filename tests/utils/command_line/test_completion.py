"""Completion gives words that the commands take, in the shells themselves; all of them, and nothing else."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from tests.commands import ROOT, command, environment, house, refused
from utils.command_line.completion import SHELLS, complete, find_values
from utils.command_line.help import BESIDE, purposes
from utils.command_line.overrides import keys, normalise, options
from utils.words.ranges import CONFIG


@pytest.fixture
def folder(tmp_path):
    """A folder with the records of two data sets, a schema and a table."""
    with house(tmp_path) as home:
        (home / "evals").mkdir()
        for name in ("loan", "people"):
            (home / "evals" / f"{name}.json").write_text("{}")
        (home / "people.yaml").write_text("")
        (home / "people.csv").write_text("")
        yield home


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_every_group_has_its_options_and_every_key_is_reached(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = ["python", f"{name}.py"]
    for group in [*purposes(name), *BESIDE[name]]:
        if (name, group) != ("evaluate", "dataset"):
            assert complete([*program, f"{group}="]) == [f"{group}={option}" for option in options(group)]
    ways = {key[: dot + 1] for key in keys(name) for dot, sign in enumerate(key) if sign == "."}
    assert len(ways) > 10
    assert {way for way in ways if way not in complete([*program, way[:-1]])} == set()


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_values_are_words_that_the_command_takes(name):
    """The parser of overrides reads them, and the configuration has them by default or lists them."""
    own = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    for key in own.keys() - {"defaults", "hydra"}:
        for word in complete(["python", f"{name}.py", f"{key}="]):
            assert word.startswith(f"{key}=")
            assert normalise([word], name)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["python", "train.py", "regularizer=erm,ross,tr"], ["regularizer=erm,ross,trades"]),
        (["python", "train.py", "regularizer=[erm,tr"], ["regularizer=[erm,trades"]),
        (["python", "train.py", "+experiment=at"], ["+experiment=attack4good", "+experiment=attack4good_compared"]),
        (["python3", "a/b/train.py", "-m", "dataset=people"], ["dataset=people.yaml"]),
        (["python", "evaluate.py", "dataset="], ["dataset=loan", "dataset=people", "dataset=people.yaml"]),
        (["python", "evaluate.py", "replace="], ["replace=false", "replace=true"]),
        (["python", "train.py", "--help", "trainer.l"], ["trainer.lr"]),
        (["python", "train.py", "--mul"], ["--multirun"]),
        (["python", "-m", "evals.sel"], ["evals.select"]),
        (["python", "-m", "evals.select", "dataset=p"], ["dataset=people", "dataset=people.yaml"]),
        (["python", "-m", "evals.select", "format="], ["format=json", "format=text"]),
        (["python", "-m", "evals.plot", "bars="], ["bars=ci", "bars=rows", "bars=sd"]),
        (["python", "-m", "evals.database", "me"], ["merge"]),
        (["python", "-m", "evals.look", "people.c"], ["people.csv"]),
        (["python", "-m", "evals.scm", "scm=lea"], ["scm=learned"]),
        (["python", "other.py", "data"], []),
        (["python"], []),
    ],
)
def test_what_a_word_may_become(folder, words, found):
    assert complete(words) == found


@pytest.mark.parametrize(
    ("default", "comment", "values"),
    [
        (None, "text or json", ["text", "json"]),
        ("auto", "auto (CUDA where there is one), cpu, cuda, cuda:1", ["auto", "auto", "cpu", "cuda", "cuda:1"]),
        ("sd", "sd: standard deviation; ci: 95 % interval", ["sd", "sd", "ci"]),
        ("skip", "a finished run: skip it, or replace it", ["skip"]),
        (3, "null or whole number in [1, 5]", ["3", "null"]),
        (False, "overwrite it", ["true", "false"]),
    ],
)
def test_values_are_read_from_the_comment_of_a_setting(default, comment, values):
    assert find_values(default, comment) == values


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_a_line(folder, shell):
    """Typed into the shell itself: the words of a training, of records, of a command."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = folder / f"complete.{shell}"
    script.write_text(command("train", "-sc", f"install={shell}").out)
    for typed, full in (
        (f"python {ROOT}/train.py regularizer=causal_ad", "regularizer=causal_adv"),
        (f"python {ROOT}/evaluate.py dataset=lo", "dataset=loan"),
        ("python -m evals.sel", "evals.select"),
    ):
        assert full.replace("regularizer=", "") in complete_in(shell, script, typed)


def complete_in(shell, script, typed):
    """What a shell in a terminal makes of the line behind which Tab is pressed."""
    start = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}[shell]
    child, end = pty.fork()
    if child == 0:
        os.execvpe(shell, [shell, *start], environment() | {"TERM": "dumb", "PS1": "$ "})
    try:
        os.write(end, f"source {script}; echo rea''dy\n".encode())
        read_until(end, "ready")
        os.write(end, f"{typed}\t".encode())
        return read_until(end, typed.rpartition("=")[2][-3:] + "v", "loan", "select")
    finally:
        os.write(end, b"\x15exit\n")
        os.close(end)
        os.waitpid(child, 0)


def read_until(end, *expected, seconds=30):
    """The text that a terminal shows, until it has one of the expected ones, or the time is over."""
    received, last = "", time.monotonic() + seconds
    while time.monotonic() < last and not any(text in received for text in expected):
        if select.select([end], [], [], 0.2)[0]:
            received += os.read(end, 65536).decode(errors="replace")
    return received


def test_a_query_needs_neither_torch_nor_hydra():
    """In a process that may import neither."""
    start = "import sys; sys.modules.update(dict.fromkeys(['torch', 'hydra', 'pandas']))"
    start += "; from utils.command_line.completion import complete; print(complete(['python', 'train.py', 'seed']))"
    ended = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, env=environment())
    assert ended.stdout == "['seed=']\n", ended.stderr


def test_what_is_no_shell_is_refused():
    refused(command("train", "-sc", "install=bsh"), "did you mean install=bash")
    refused(command("evaluate", "--shell-completion"), "install=SHELL")
