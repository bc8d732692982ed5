"""Votes of learners on parts of the rows: against all ways to change some of them, and the parts' own answers."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.linear_model import LogisticRegression

from utils.decides.threshold import Threshold
from utils.models.partition_vote import BASES, PartitionVote
from utils.models.partitioned import Partitioned


def voting(votes):
    """A model whose parts vote for the given classes, whatever they are asked."""
    model = PartitionVote(1, 1, parts=len(votes), base="logistic_sklearn")
    model.trained = Partitioned(LogisticRegression(), len(votes))
    model.trained.parts_, model.trained.classes_ = list(votes), np.array([0, 1])
    return model


def label(votes, probability=0.5):
    return int(Threshold(probability)(voting(votes)(torch.zeros(1, 1)), torch.zeros(1, dtype=torch.long)))


@pytest.mark.parametrize("parts", range(1, 8))
def test_the_label_is_that_of_the_majority_and_class_1_where_votes_are_equal(parts):
    for votes in product((0, 1), repeat=parts):
        assert label(votes) == int(2 * sum(votes) >= parts)


@pytest.mark.parametrize("probability", [0.5, 0.3, 2 / 3, 1.0])
@pytest.mark.parametrize("parts", [*range(1, 6), pytest.param(6, marks=pytest.mark.slow)])
def test_a_label_is_certain_exactly_where_no_set_of_votes_turns_it(parts, probability):
    """All sets of at most m parts whose votes are turned; the ends of the range are reached."""
    decide, x, s = Threshold(probability), torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    for of_one, m in product(range(parts + 1), range(parts + 2)):
        votes = [1] * of_one + [0] * (parts - of_one)
        sets = [turned for size in range(min(m, parts) + 1) for turned in combinations(range(parts), size)]
        reached = {label([v ^ (i in of) for i, v in enumerate(votes)], probability) for of in sets}
        ends = {int(decide(end, s)) for end in voting(votes).logit_range(x, m)}
        assert ends == reached


def test_the_range_of_no_rows_is_the_answer_itself(dataset):
    data = dataset("lin")
    model = PartitionVote(3, 1, parts=11, base="logistic_sklearn")
    model.fit(data.train, 0)
    x = data.test.x[:12].reshape(3, 4, 3).double()
    least, largest = model.logit_range(x, 0)
    assert torch.equal(least, model(x))
    assert torch.equal(largest, model(x))
    assert least.dtype is torch.float64


def test_log_odds_are_those_of_the_share_of_the_votes():
    z = voting([1, 1, 1, 0])(torch.zeros(2, 1))
    assert z.sigmoid().flatten().tolist() == pytest.approx([0.75, 0.75], abs=1e-6)


@pytest.mark.parametrize("base", BASES)
def test_a_base_has_the_settings_of_its_own_option(base, option):
    node = {key: value for key, value in option("model", base).items() if key != "defaults"}
    assert BASES[base].get_params() == instantiate(node, inputs=1, outputs=1).estimator.get_params()


@pytest.mark.parametrize("base", BASES)
def test_its_file_gives_the_same_answers_again(base, dataset):
    data = dataset("lin", 100)
    one, other = (PartitionVote(3, 1, parts=2, base=base) for _ in range(2))
    one.fit(data.train, 1)
    other.from_bytes(one.to_bytes())
    assert torch.equal(one(data.test.x), other(data.test.x))


def test_the_same_rows_give_the_same_file(dataset):
    models = [PartitionVote(3, 1, parts=5, base="logistic_sklearn") for _ in range(2)]
    for model in models:
        model.fit(dataset("lin").train, 1)
    assert models[0].to_bytes() == models[1].to_bytes()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"parts": 4}, "3 parts in place of 4"),
        ({"base": "random_forest"}, "a LogisticRegression in place of a RandomForestClassifier"),
        ({"inputs": 2}, "other columns"),
    ],
)
def test_a_file_of_another_vote_is_refused(made, said, dataset):
    settings = {"inputs": 3, "outputs": 1, "parts": 3, "base": "logistic_sklearn"}
    model = PartitionVote(**settings)
    model.fit(dataset("lin").train, 0)
    with pytest.raises(ValueError, match=said):
        PartitionVote(**settings | made).from_bytes(model.to_bytes())


def test_a_part_that_votes_for_no_class_or_holds_nan_is_refused(dataset):
    model = PartitionVote(3, 1, parts=3, base="logistic_sklearn")
    model.fit(dataset("lin").train, 0)
    coefficients, model.trained.parts_[0] = model.trained.parts_[0].coef_, 7
    with pytest.raises(ValueError, match="class 7"):
        PartitionVote(3, 1, parts=3, base="logistic_sklearn").from_bytes(model.to_bytes())
    model.trained.parts_[0] = model.trained.parts_[1]
    model.trained.parts_[0].coef_ = coefficients * np.nan
    with pytest.raises(ValueError, match="not finite"):
        PartitionVote(3, 1, parts=3, base="logistic_sklearn").from_bytes(model.to_bytes())


@pytest.mark.parametrize(("setting", "value"), [("parts", 0), ("base", "mlp")])
def test_a_setting_out_of_range_is_named(setting, value):
    with pytest.raises(ValueError, match=f"model.{setting}={value!r}"):
        PartitionVote(3, 1, **{"parts": 3, "base": "logistic_sklearn"} | {setting: value})


def test_three_classes_are_voted_on_but_not_bounded():
    model = PartitionVote(1, 3, parts=4, base="logistic_sklearn")
    model.trained = Partitioned(LogisticRegression(), 4)
    model.trained.parts_, model.trained.classes_ = [2, 2, 0, 2], np.array([0, 1, 2])
    assert model(torch.zeros(1, 1)).argmax() == 2
    with pytest.raises(ValueError, match="two classes"):
        model.logit_range(torch.zeros(1, 1), 1)
