"""A sweep over options takes settings that all of them have, though the default option has none of that name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import SMALL, command, house
from utils.command_line.overrides import normalise
from utils.command_line.swept_options import leave_to_jobs

GROUPS = ("attack", "model", "epsilon")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["attack=a,b", "attack.poison.budget=12"], {"attack.poison.budget=choice(12)"}),
        (["model.hidden=[5,6]", "model=mlp,wide"], {"model.hidden=choice([5,6])"}),
        (["attack=a,b", "attack.poison.budget=12,13", "seed=1"], set()),  # a sweep already
        (["attack=a", "attack.poison.budget=12"], set()),  # of one option, which Hydra composes
        (["model=a,b", "attack.poison.budget=12", "modelling.x=1"], set()),
        (["seed=1,2", "seed.x=1"], set()),  # no group
        (["model=a,b", "model.path='a, b.csv'"], {"model.path=choice('a, b.csv')"}),
        (["model=a,b", "model.x="], set()),
        (["model=a,b", "~model.x", "model.y"], set()),
    ],
)
def test_settings_of_swept_options_are_left_to_the_jobs(words, left):
    found = leave_to_jobs(words, GROUPS)
    assert set(found) - set(words) == left
    assert [word.partition("=")[0] for word in found] == [word.partition("=")[0] for word in words]


@given(st.text(st.characters(codec="ascii"), max_size=9))
def test_what_is_no_word_stays_for_hydra_to_refuse(text):
    word = f"model.x={text}"
    assert leave_to_jobs(["model=a,b", word], GROUPS)[1] in (word, f"model.x=choice({text})")


def test_without_a_sweep_words_stay_as_they_are():
    words = ["model=mlp,logistic", "model.hidden=[5]"]
    assert normalise(words) == words
    assert normalise(["-m", *words])[1:] == ["model=mlp,logistic", "model.hidden=choice([5])"]


@pytest.mark.e2e
def test_every_job_has_the_setting(tmp_path):
    with house(tmp_path):
        words = ("model=random_forest,gradient_boosting", "model.trees=3", *SMALL)
        answer = command("train", "-m", *words, "evaluation=black_box", "evaluation.metrics.unfair_area.samples=10")
    assert answer.code == 0, answer.err
    assert "2 finished" in answer.out
    refused = command("train", "-m", "model=mlp,logistic", "model.hidden=[5]", *SMALL)
    assert refused.code == 2
    assert "model.hidden: there is no such key here; it belongs to model=mlp (#1 model=logistic" in refused.err
