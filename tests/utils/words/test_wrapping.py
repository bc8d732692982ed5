"""Text fits the terminal, and no word of it is lost or broken; so does the help of every command."""

import importlib
import shlex

import pytest

from evals.__main__ import COMMANDS
from utils.command_line.evals_help import VERBS
from utils.words.wrapping import columns, fit, reflow, wrap

TEXTS = [str(importlib.import_module(f"evals.{name}").__doc__) for name in ("look", "scm", "database")]
TEXTS += [str(importlib.import_module(f"evals.keeping.{module}").__doc__) for module in VERBS.values()]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("wide", ["50", "80", "200"])
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_all_words_stay_in_their_order_and_fit(text, wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", wide)
    assert [word for word in reflow(text).split() if word != "\\"] == text.split()
    assert max(len(line) for line in reflow(text).splitlines()) <= int(wide)


def test_a_paragraph_is_filled_and_what_is_said_in_a_second_column_stays_there(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = (
        "a a a\nb b\n\n    python -m x\n    python -m y\n\nkey=1    one two three four five six seven\n"
        + " " * 9
        + "eight nine"
    )
    assert reflow(text).splitlines() == [
        *("a a a b b", "", "    python -m x", "    python -m y", ""),
        *("key=1    one two three four five six", "         seven eight nine"),
    ]


def test_a_word_is_never_broken(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert wrap("a-b " + "x" * 50 + " c") == "a-b\n" + "x" * 50 + "\nc"


@pytest.mark.parametrize(("given", "wide"), [("100", 100), ("3", 40), ("0", 80), ("", 80)])
def test_the_width_is_that_of_the_terminal(monkeypatch, given, wide):
    """pytest's own output is no terminal."""
    monkeypatch.setenv("COLUMNS", given)
    monkeypatch.setattr("sys.__stdout__", None)
    assert columns() == wide


@pytest.mark.parametrize("wide", [40, 60, 80])
def test_a_command_over_several_lines_is_the_same_command_for_a_shell(wide):
    """A shell drops a backslash together with the end of the line behind it (POSIX, 2.2.1)."""
    command = "python train.py 'regularizer=[causal_adv,group_gap]' \"dataset.name=a  b's\" trainer.epochs=1"
    command += " evaluation.metrics.group.intervals=20 seed=0 -m"
    lines = fit(f"reproduce {command}", wide).split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= wide
    typed = "\n".join(lines).removeprefix("reproduce ").replace("\\\n", "")
    assert shlex.split(typed) == shlex.split(command)


@pytest.mark.parametrize(
    "whole",
    ["[0.7240, 0.7676]", "0.108 ± 0.012", "27.6 %", "`| less -S`", "python -m evals.look people.yaml"],
)
def test_what_belongs_together_stays_on_a_line(whole):
    for before in range(30, 42):
        assert whole in fit(f"{'x' * before} {whole} and so on, and so on", 45)


@pytest.mark.parametrize("wide", [76, 60])
def test_code_over_several_lines_is_read_by_python(wide):
    code = 'from utils.model_zoo import from_database; model = from_database(7, "loan_2")'
    lines = fit(f"load      {code}", wide).split("\n")
    assert lines[0] == "load"
    assert "; ".join(lines[1:]) == code
    compile("\n".join(lines[1:]), "", "exec")


def test_wide_signs_count_twice():
    assert fit("日本語の職業 " * 8, 40).split("\n") == ["日本語の職業 日本語の職業 日本語の職業"] * 2 + [
        "日本語の職業 日本語の職業"
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_fits(name, monkeypatch, capsys):
    module = importlib.import_module(f"evals.{name}")
    if hasattr(module, "main"):
        assert module.main(["--help"]) == 0
    else:
        from evals.records import query

        assert query.command(getattr(module, name), module.OPTIONS, ["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    assert max(map(len, lines)) <= 80
