"""A signal ends a command with the line that goes on; what was finished is filed, and little is done twice."""

import signal
import subprocess
from itertools import count
from pathlib import Path

import pytest

import paths_config
from tests.commands import SMALL, command, environment, house, line
from utils import runs, training
from utils.run_store import RunStore

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STACK = (*SMALL, "hydra/launcher=batched", "hydra.launcher.workers=1")
EPOCHS = "trainer.epochs=5"


@pytest.fixture
def home(tmp_path):
    with house(tmp_path) as folder:
        yield folder


def metrics():
    """Of every run that is filed, by its seed."""
    return {record["seed"]: record["metrics"] for record in RunStore(paths_config.database("loan")).all()}


def leftovers(folder: Path):
    """Files that only an unfinished command leaves."""
    kept = [*folder.glob("weights/.checkpoints/*"), *folder.rglob("*.tmp"), *folder.rglob("*.now")]
    return [path for path in kept if path.is_file()]


def interrupting(monkeypatch, module, name, calls):
    """Let a function of the program raise an interrupt at a call; how often it has been called is counted."""
    real, counter, seen = getattr(module, name), count(1), []

    def called(*arguments, **settings):
        seen.append(next(counter))
        if seen[-1] == calls:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr(module, name, called)
    return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # SIGINT: test_bad_input.py
def test_a_signal_ends_a_sweep_with_the_line_that_goes_on(home, number):
    """The second job would take hours, so that the signal surely meets it."""
    started = subprocess.Popen(
        line("train", "-m", *SMALL, "trainer.epochs=1,1000000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # also where the tests run under nohup
    )
    for text in started.stdout:
        if text.startswith("#0"):
            started.send_signal(number)
            break
    out, err = started.communicate()
    assert started.returncode == SIGNALS[number]
    assert err.strip().splitlines()[-1].endswith("relaunch the same line to go on")
    assert "Traceback" not in out + err
    assert "1 finished, 1 not run" in out
    assert len(metrics()) == 1
    assert leftovers(home) == []


def test_an_interrupted_stack_goes_on_where_it_was_to_the_same_bits(home, monkeypatch, tmp_path_factory):
    with house(tmp_path_factory.mktemp("other")), monkeypatch.context() as patch:
        patch.setenv("TRILEMMA_DATA", str(home / "data"))
        assert command("train", "-m", *STACK, EPOCHS, "seed=0,1,2").code == 0
        whole = metrics()
    monkeypatch.setattr(training, "PAUSE", -1.0)
    with monkeypatch.context() as patch:
        interrupting(patch, training, "summary", 4)
        answer = command("train", "-m", *STACK, EPOCHS, "seed=0,1,2")
    assert answer.code == SIGNALS[signal.SIGINT]
    assert "relaunch" in answer.err
    assert len(leftovers(home)) == 3
    with monkeypatch.context() as patch:
        seen = interrupting(patch, training, "summary", 0)
        assert command("train", *SMALL, EPOCHS, "seed=1").code == 0  # by itself, of which there is a checkpoint too
        assert len(seen) == 1
        assert command("train", "-m", *STACK, EPOCHS, "seed=0,1,2").code == 0
        assert len(seen) == 2  # epochs since the checkpoints, which are of epoch 4 of 5
    assert metrics() == whole
    assert leftovers(home) == []


def test_what_a_stack_has_judged_is_filed_whatever_ends_it(home, monkeypatch):
    monkeypatch.setattr(runs, "JUDGED", 1)
    with monkeypatch.context() as patch:
        interrupting(patch, runs, "evaluate_many", 3)
        assert command("train", "-m", *STACK, "seed=0,1,2").code == SIGNALS[signal.SIGINT]
    assert len(metrics()) == 2
    answer = command("train", "-m", *STACK, "seed=0,1,2")
    assert "1 finished, 2 skipped" in answer.out
    assert leftovers(home) == []
