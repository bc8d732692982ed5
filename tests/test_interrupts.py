"""A signal ends a command with the line that goes on; what was finished is filed, and little is done twice."""

import importlib.util
import re
import signal
import subprocess
from itertools import count
from pathlib import Path

import pytest

import paths_config
from tests.commands import SMALL, command, environment, house, line, process
from utils.model_zoo import from_database
from utils.run_store import RunStore
from utils.runs import lifecycle
from utils.training import many_models

pytestmark = pytest.mark.e2e

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STACK = (*SMALL, "hydra/launcher=batched", "hydra.launcher.workers=1")
EPOCHS = "trainer.epochs=5"


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


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)  # SIGINT: test_bad_input.py
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
    monkeypatch.setattr(many_models, "PAUSE", -1.0)
    with monkeypatch.context() as patch:
        interrupting(patch, many_models, "summary", 4)
        answer = command("train", "-m", *STACK, EPOCHS, "seed=0,1,2")
    assert answer.code == SIGNALS[signal.SIGINT]
    assert "relaunch" in answer.err
    assert len(leftovers(home)) == 3
    with monkeypatch.context() as patch:
        seen = interrupting(patch, many_models, "summary", 0)
        assert command("train", *SMALL, EPOCHS, "seed=1").code == 0  # by itself, of which there is a checkpoint too
        assert len(seen) == 1
        assert command("train", "-m", *STACK, EPOCHS, "seed=0,1,2").code == 0
        assert len(seen) == 2  # epochs since the checkpoints, which are of epoch 4 of 5
    assert metrics() == whole
    assert leftovers(home) == []


def test_an_interrupted_replacement_leaves_the_file_of_the_record_as_it_was(home, monkeypatch):
    """From which ``evals.database rebuild`` makes a database anew."""
    words = (*SMALL, EPOCHS, "hydra.run.dir=here")
    assert command("train", *words).code == 0
    before = Path("here/record.json").read_bytes()
    interrupting(monkeypatch, many_models, "summary", calls=2)
    assert command("train", *words, "existing=replace").code == 130
    assert Path("here/record.json").read_bytes() == before


def test_what_a_stack_has_judged_is_filed_whatever_ends_it(home, monkeypatch):
    monkeypatch.setattr(lifecycle, "JUDGED", (1, 1))
    with monkeypatch.context() as patch:
        interrupting(patch, lifecycle, "evaluate_many", 3)
        assert command("train", "-m", *STACK, "seed=0,1,2").code == SIGNALS[signal.SIGINT]
    assert len(metrics()) == 2
    answer = command("train", "-m", *STACK, "seed=0,1,2")
    assert "1 finished, 2 skipped" in answer.out
    assert leftovers(home) == []


ENGINES = {
    "batched": ("hydra/launcher=batched", "hydra.launcher.workers=2", "hydra.launcher.max_models=1"),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}


def signalled(words: tuple[str, ...], number: signal.Signals) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that gets a signal, it alone, as its first job ends."""
    started = subprocess.Popen(
        line("train", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    seen = []
    for text in started.stdout:
        seen.append(text)
        if re.match(r"#\d+ +finished", text):
            started.send_signal(number)
            break
    out, err = started.communicate(timeout=120)
    return started.returncode, "".join([*seen, out]), err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_of_several_processes_ends_by_a_signal_and_the_same_line_goes_on(home, engine, number):
    """Two jobs at a time of eight, in processes of their own; after the relaunch every run is filed once and loads."""
    if engine == "joblib" and not importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher"):
        pytest.skip("needs `pip install -r requirements/joblib.txt`")
    small = (word for word in SMALL if not word.startswith("trainer.epochs"))
    words = ("-m", *small, "trainer.epochs=40", *ENGINES[engine], "seed=0,1,2,3,4,5,6,7", "hydra.sweep.dir=sweep")
    code, out, err = signalled(words, number)
    assert code == SIGNALS[number]
    assert err.strip().splitlines()[-1].endswith("relaunch the same line to go on")
    assert "Traceback" not in out + err
    assert re.search(r"8 jobs: \d finished, [1-7] not run$", out, re.MULTILINE)
    before = {record["seed"]: record["doc_id"] for record in RunStore(paths_config.database("loan")).all()}
    assert 1 <= len(before) < 8
    assert [*home.rglob("*.tmp"), *home.rglob("*.now")] == []

    again = process("train", *words, timeout=240)
    assert again.code == 0, again.err
    assert f"8 jobs: {8 - len(before)} finished, {len(before)} skipped\n" in again.out
    store = RunStore(paths_config.database("loan"))
    after = {record["seed"]: record["doc_id"] for record in store.all()}
    assert sorted(record["seed"] for record in store.all()) == list(range(8))
    assert before.items() <= after.items()
    assert leftovers(home) == []
    assert process("evals.database", "check", "dataset=loan").code == 0
    assert not from_database(after[7], "loan").training
