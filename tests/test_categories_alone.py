"""Tables without a column of numbers: every model trains, and what has nothing to move is undefined with a reason."""

import re

import numpy as np
import pandas as pd
import pytest

import paths_config
from tests.commands import SMALL, command, for_tables, house, refused
from utils.model_zoo import predictor
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

LEARNERS = {
    "random_forest": ("model.trees=5",),
    "gradient_boosting": ("model.trees=5",),
    "hist_gradient_boosting": ("model.iterations=5",),
    "logistic_sklearn": (),
    "partition_vote": ("model.parts=3",),
}
OFTEN = ("adversarial", "adversarial_debiasing", "causal_adv", "sensr")  # of the terms, each of another kind
REASON = "undefined: the attack has no column to move"


@pytest.fixture
def train(tmp_path):
    """Trains on a table whose columns are all texts."""
    with house(tmp_path):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "sex": rng.choice(["f", "m"], 200),
                "job": rng.choice(["a", "b", "c"], 200),
                "edu": rng.choice(["low", "high"], 200),
            }
        )
        frame["hired"] = ((frame["edu"] == "high") ^ (rng.random(200) < 0.1)).astype(int)
        frame.to_csv(tmp_path / "texts.csv", index=False)
        own = ("dataset=csv", "dataset.path=texts.csv", "dataset.label=hired", "dataset.sensitive=sex")
        yield lambda *words: command("train", *own, *SMALL, "operating_points.intervals=20", *words)


def newest():
    return RunStore(paths_config.database("csv")).all()[-1]


def undefined_alone_under_attack(record):
    """Accuracy is a number, robust accuracies are null, and the record says why."""
    metrics = record["metrics"]
    assert metrics["accuracy"] > 0.7
    lost = [key for key in metrics if key.startswith("robust_accuracy")]
    assert lost
    assert all(metrics[key] is None for key in lost)
    assert sum(REASON in warning for warning in record["warnings"]) == 1


@pytest.mark.parametrize("model", ["mlp", "logistic"])
def test_networks_train(train, model):
    answer = train(f"model={model}", "trainer.epochs=20")
    assert answer.code == 0, answer
    assert REASON in answer.err
    undefined_alone_under_attack(newest())


@pytest.mark.parametrize("model", LEARNERS)
def test_learners_train_and_take_rows_of_the_file(train, model):
    answer = train(f"model={model}", *LEARNERS[model], "evaluation.metrics.ensemble.intervals=20")
    assert answer.code == 0, answer
    undefined_alone_under_attack(newest())
    decided = predictor(1, "csv")(pd.read_csv("texts.csv"))
    assert (decided["decision"] == pd.read_csv("texts.csv")["hired"]).mean() > 0.7


@pytest.mark.parametrize("words", [("scm=learned", "scm.steps=20"), ("scm=linear",)])
def test_causal_figures_are_there_with_a_graph(train, words):
    answer = train(*words, "dataset.graph={job: [sex], edu: [sex]}", "regularizer=capify")
    assert answer.code == 0, answer
    assert newest()["metrics"]["uai_0.05"] is not None


def test_another_evaluation_is_filed_with_the_same_reason(train):
    assert train().code == 0
    judged = (*SMALL[2:], "device=cpu", "attack.evasion.threat.norm=linf")
    answer = command("evaluate", "dataset=csv", "id=1", "attack=fgsm", *judged)
    assert answer.code == 0, answer
    assert REASON in answer.err
    (later,) = newest()["evaluations"].values()
    assert later["metrics"]["robust_accuracy_fgsm_linf_0.05"] is None


def test_a_causal_attack_moves_what_the_causal_model_says(train):
    assert train("attack=causal_random").code == 0
    assert newest()["metrics"]["robust_accuracy_causal_random_0.05"] is not None


def test_stacks_train(train):
    """By this process, as others would import everything anew."""
    answer = train("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=0,1", "trainer.epochs=20")
    assert answer.code == 0, answer
    assert len(RunStore(paths_config.database("csv")).all()) == 2
    undefined_alone_under_attack(newest())


def test_stacks_are_refused_with_the_words_that_train(train):
    answer = train("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=0,1", "regularizer=adversarial")
    assert answer.code == 2
    assert "attack.evasion.threat.movable_columns=non_sensitive attack.evasion.threat.relax=true" in answer.err


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in OFTEN))
        for name in sorted({*for_tables("regularizer")} - {"erm"})
    ],
)
def test_a_term_trains_or_is_refused_with_words_that_train(train, name):
    answer = train(f"regularizer={name}")
    if answer.code:
        refused(answer, f"regularizer={name} moves columns of numbers", "regularizer=erm")
        words = answer.err.strip().rpartition("as numbers: ")[2].split()
        assert re.fullmatch(r"[\w.]+=\w+", words[0])
        answer = train(f"regularizer={name}", *words)
    assert answer.code == 0, answer


def test_actionable_columns_of_levels_are_nothing_to_move_either(train):
    """Numbers there are, but what may move is not among them."""
    path = "../numbers.csv"
    frame = pd.read_csv("texts.csv").assign(age=lambda rows: np.arange(len(rows)) // 2)
    frame.to_csv(path, index=False)
    words = (f"dataset.path={path}", "dataset.actionable=[edu]", "attack.evasion.threat.movable_columns=actionable")
    assert train(*words).code == 0
    metrics = newest()["metrics"]
    assert metrics["robust_accuracy_0.05"] is not None
    assert metrics["robust_accuracy_pgd_l2_0.05"] is None
