"""SIGUSR1, by which a cluster says that a job's time will soon be over: nothing that was trained is lost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import SMALL, command, house
from utils.poisoning.journal import Journal
from utils.run_store import RunStore
from utils.training import many_models, one_model

pytestmark = pytest.mark.e2e

CODE = 128 + signal.SIGUSR1
IMAGES = (
    *("device=cpu", "dataset=digits", "trainer.batch_size=512", "regularizer=trades", "regularizer.trades.steps=1"),
    *("trainer.epochs=3", "trainer.checkpoint_every=100", "trainer.augment.padding=0", "epsilon=0.1"),
    *("epsilon.evaluate=[0.1]", "evaluation.metrics.classification.intervals=20", "~evaluation.metrics.ensemble"),
    *("~evaluation.metrics.masking", "~evaluation.metrics.curve"),
)
SEARCH = (
    *("dataset=loan", "dataset.rows=150", "device=cpu", "attack=bo_poison", "model=logistic_sklearn"),
    *("attack.poison.sampler=random", "attack.poison.budget=6", "attack.poison.workers=1"),
    *("attack.poison.metric=demographic_parity_difference", "attack.poison.accuracy=weight"),
    *("evaluation.metrics.group.groups_min=1", "evaluation.metrics.classification.intervals=20"),
    *("evaluation.metrics.group.intervals=20", "evaluation=black_box"),
    *("~evaluation.metrics.unfair_area", "~evaluation.metrics.ensemble"),
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with house(tmp_path) as folder:
        yield folder


def warn_at(patch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> list[int]:
    """Lets this process get the signal within a call of a function; returns the calls that were made."""
    real, calls = getattr(owner, name), []

    def called(*given, **settings):
        calls.append(len(calls) + 1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGUSR1)
        return real(*given, **settings)

    patch.setattr(owner, name, called)
    return calls


def filed(folder: Path, dataset: str) -> list[tuple[str, dict]]:
    return [(r["weights"]["sha256"], r["metrics"]) for r in RunStore(folder / "evals" / f"{dataset}.json").all()]


@pytest.mark.parametrize(
    ("dataset", "words", "module", "function"),
    [
        ("loan", ("-m", "hydra/launcher=batched", "seed=0,1", *SMALL, "trainer.epochs=5"), many_models, "find_losses"),
        pytest.param("digits", IMAGES, one_model, "_step", marks=pytest.mark.slow),
    ],
    ids=["stack", "images"],
)
def test_a_training_ends_after_its_epoch_and_goes_on_to_the_same_bits(
    dataset, words, module, function, home, monkeypatch
):
    with monkeypatch.context() as patch:
        warn_at(patch, module, function, 1)  # within the first epoch
        assert command("train", *words).code == CODE
    kept = list((home / "weights" / ".checkpoints").iterdir())
    assert len(kept) == 2 - (dataset == "digits")
    with monkeypatch.context() as patch:
        steps = warn_at(patch, module, function, 0)
        assert command("train", *words).code == 0
    assert not list((home / "weights" / ".checkpoints").iterdir())
    (home / "whole").mkdir()
    with house(home / "whole") as whole, monkeypatch.context() as patch:
        all_steps = warn_at(patch, module, function, 0)
        assert command("train", *words).code == 0
        epochs = 3 if dataset == "digits" else 5
        assert len(steps) == len(all_steps) * (epochs - 1) // epochs  # one epoch was not trained again
        assert filed(whole, dataset) == filed(home, dataset)


@pytest.mark.slow
def test_a_search_for_rows_keeps_its_evaluations(home, monkeypatch):
    with monkeypatch.context() as patch:
        warn_at(patch, Journal, "add", 4)
        assert command("train", *SEARCH).code == CODE
    (journal,) = (home / "evals").rglob("[!.]*.jsonl")
    made = journal.read_text().splitlines()
    assert 4 <= len(made) < 8  # one tells what search it is, one of the model without rows
    assert command("train", *SEARCH).code == 0
    assert journal.read_text().splitlines()[: len(made)] == made
    assert len(journal.read_text().splitlines()) == 8
