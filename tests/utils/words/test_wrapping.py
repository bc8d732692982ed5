"""Text fits the terminal, and no word of it is lost or broken; so does the help of every command."""

import importlib

import pytest

from evals import database
from evals.__main__ import COMMANDS
from utils.words.wrapping import columns, reflow, wrap

TEXTS = [str(importlib.import_module(f"evals.{name}").__doc__) for name in ("look", "scm", "database")]
TEXTS += [str(module.__doc__) for _, _, module in database.COMMANDS.values()]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("wide", ["50", "80", "200"])
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_all_words_stay_in_their_order_and_fit(text, wide, monkeypatch):
    monkeypatch.setenv("COLUMNS", wide)
    assert reflow(text).split() == text.split()
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
