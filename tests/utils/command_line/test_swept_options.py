"""A sweep over options takes settings that all of them have, though the default option has none of that name."""

import pytest

import paths_config
from tests.commands import SMALL, command
from utils.command_line.swept_options import find_swept
from utils.run_store import RunStore

TREES = ("evaluation=black_box", "evaluation.metrics.unfair_area.samples=10")
BOTH = "model=random_forest,gradient_boosting"


def filed():
    return RunStore(paths_config.database("loan")).all()


@pytest.mark.parametrize(
    ("words", "swept"),
    [
        (["attack=a,b", "attack.poison.budget=12"], ["attack"]),
        (["model=a", "seed=range(3)", "trainer/schedule=choice(x,y)"], ["seed", "trainer/schedule"]),
        (["model=a,b", "x=${"], []),  # which Hydra refuses
    ],
)
def test_what_is_swept_is_read_from_the_words(words, swept):
    assert find_swept(words) == swept


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("word", "key", "value"),
    [("model.trees=3", "trees", 3), ("model.max_depth=null", "max_depth", None), ("model.trees=${seed}", "trees", 1)],
)
def test_every_job_has_the_setting(home, word, key, value):
    words = (BOTH, word, "seed=1", *SMALL, *TREES)
    answer = command("train", "-m", *words, *(() if "trees" in word else ("model.trees=2",)))
    assert answer.code == 0, answer.err
    assert [record["params"]["model"][key] for record in filed()] == [value, value]


@pytest.mark.e2e
def test_a_setting_that_all_have_reaches_the_sweep_itself(home):
    """Which prints the metrics that ``evaluation.watch`` names; quotes are those that were typed."""
    words = ("evaluation=tabular,black_box", "evaluation.watch=[mcc]", "model=logistic", *SMALL)
    answer = command("train", "-m", *words, "dataset=loan,lin", "dataset.name='12'")
    assert answer.code == 0, answer.err
    assert "Best by mcc" in answer.out
    assert "uai" not in answer.out
    assert len(RunStore(paths_config.database("12")).all()) == 4


@pytest.mark.e2e
@pytest.mark.parametrize(
    "words", [("-m", "model=mlp,logistic"), ("-m", "model=logistic,mlp"), ("-m", "model=choice(logistic,mlp)")]
)
def test_a_job_without_the_setting_is_refused_before_any_is_run(home, words):
    refused = command("train", *words, "model.hidden=[5]", *SMALL)
    assert refused.code == 2
    assert "1 of 2 jobs cannot be run, so none was: model.hidden: there is no such key here" in refused.err
    assert "; sweep that option in a line of its own, both lines file into one database" in refused.err
    assert "model=logistic model.hidden=[5]" in refused.err


@pytest.mark.e2e
@pytest.mark.parametrize("words", [("-m",), ("-m", "seed=0,1", "model=logistic"), ("model=logistic",)])
def test_without_a_sweep_over_options_a_missing_key_is_told_at_once(home, words):
    refused = command("train", *words, "model=logistic", "model.hidden=[5]", *SMALL)
    assert refused.code == 2
    assert refused.err.startswith("error: model.hidden: there is no such key here; it belongs to model=mlp")


@pytest.mark.e2e
def test_a_preset_that_sweeps_takes_them_too(home):
    words = ("+experiment=capify_small", "regularizer=erm", "dataset=loan", "seed=0", "epsilon=0.05", *SMALL, *TREES)
    answer = command("train", *words, BOTH, "model.trees=3")
    assert answer.code == 0, answer.err
    assert "2 finished" in answer.out


@pytest.mark.e2e
def test_a_search_keeps_them_as_fixed_words(home):
    words = ("-m", BOTH, "model.trees=3", *SMALL, *TREES, "hydra/sweeper=optuna", "hydra.sweeper.trials=2")
    answer = command("train", *words, "hydra.sweeper.objectives=[accuracy]")
    assert answer.code == 0, answer.err
    assert {record["params"]["model"]["trees"] for record in filed()} == {3}
