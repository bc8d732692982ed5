"""Progress of long work: every metric of a judging is told, a bar fits its terminal, a plain terminal gets lines."""

import io
import re
import time
from contextlib import contextmanager, redirect_stdout

import pytest

from tests.commands import SMALL, command, composed, house
from utils.runs import lifecycle, progress
from utils.runs.progress import Steps, show_judging, show_steps
from utils.system.console import can_redraw


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)


def drawn(screen):
    """The lines of a screen, in the order in which they were drawn, without what moves and colours them."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", screen.getvalue())]


def test_a_training_tells_every_metric_that_judges_it(tmp_path, monkeypatch):
    told = []

    @contextmanager
    def heard(*_):
        yield Steps(lambda *_: None, lambda *of: told.append(of))

    monkeypatch.setattr(lifecycle, "show_steps", heard)
    with house(tmp_path):
        answer = command("train", "dataset=lin", "dataset.rows=60", "model=logistic", *SMALL)
    assert answer.code == 0, answer
    names = [name for name in composed("dataset=lin")["evaluation"]["metrics"] if name != "attacked"]  # pgd: as robust
    assert told == [(name, place, len(names)) for place, name in enumerate(names)]


def test_the_metric_that_is_computed_is_shown_on_a_terminal_alone():
    with redirect_stdout(Terminal()) as screen, show_steps("loan_mlp_erm", 3) as steps:
        steps.step(3, {"loss": 0.5})
        steps.judging(["group", "robust"])("robust")
    assert any(re.search(r"1/2 judging, robust", line) for line in drawn(screen))
    with redirect_stdout(io.StringIO()) as plain, show_steps("loan_mlp_erm", 3) as steps:
        steps.judging(["group", "robust"])("robust")
    assert plain.getvalue() == ""


@pytest.mark.parametrize("columns", ["60", "80", "160"])
def test_a_bar_fits_and_cuts_no_figure(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    figures = {"loss": 0.1234, "valid_accuracy": 0.5678, "valid_robust_accuracy": 0.4321}
    with redirect_stdout(Terminal()) as screen, show_steps("loan_mlp_causal_adv+group_gap", 1000) as steps:
        steps.step(500, figures)
    lines = drawn(screen)
    assert max(map(len, lines)) <= int(columns)
    shown = re.findall(r"(\w+) (\d\.\d+)", " ".join(lines))
    assert all(number in {f"{value:.4f}" for value in figures.values()} for _, number in shown)
    assert "…" not in " ".join(lines)
    assert ("0.4321" in " ".join(lines)) == (columns == "160")


@pytest.mark.parametrize("kind", ["dumb", "unknown", "DUMB"])
def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch, kind):
    monkeypatch.setenv("TERM", kind)
    with redirect_stdout(Terminal()) as screen, show_judging("record 3", ["group", "robust"]) as tell:
        assert not can_redraw()
        tell("robust")
    assert screen.getvalue() == "record 3: metric 2 of 2, robust\n"


def test_without_a_terminal_a_metric_that_takes_long_is_told(monkeypatch):
    monkeypatch.setattr(progress, "PAUSE_JUDGING", 0.05)
    with redirect_stdout(io.StringIO()) as screen, show_steps("run", 2) as steps:
        for name, seconds in (("quick", 0.0), ("slow", 0.3), ("last", 0.0)):
            steps.judge(name, 1, 4)
            time.sleep(seconds)
    time.sleep(0.2)
    assert screen.getvalue() == "run  judging, slow 2/4\n"


def test_without_a_terminal_judging_says_where_it_is_now_and_then(monkeypatch):
    """A line at once, and then one every few seconds: a judging of 40 models says no 840 lines."""
    clock = iter([10.0, 10.0, 12.0, 15.5, 15.5, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with redirect_stdout(io.StringIO()) as screen, show_judging("record 3", list("abcdefghijklm")) as tell:
        for name in "abcd":
            tell(name)
    assert screen.getvalue() == "record 3: metric 1 of 13, a\nrecord 3: metric 3 of 13, c\n"


def test_parts_are_shown_whole_or_not_at_all(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert progress._as_fits(["best 0.7", "x" * 30, "y"], 20) == "best 0.7"
    assert progress._as_fits(["a\x1b[31mb"], 20) == r"a\x1b[31mb"
