"""What the prediction weighs is what the judge's loss is made of."""

from functools import partial

import pytest
import torch

from utils.decides.fixed import fixed
from utils.poisoning.judge import Judge
from utils.poisoning.predicted_effect import loss_weights, wanted
from utils.types import Batch

BEFORE = {"fpr_gap": 0.3, "accuracy": 0.7, "fnr_group0": 0.4, "mcc": 0.2}
AFTER = {"fpr_gap": 0.1, "accuracy": 0.65, "fnr_group0": 0.5, "mcc": 0.1}


def judge(**changes):
    s = torch.tensor([0, 0, 1, 1])
    valid = Batch(torch.zeros(4, 1), torch.tensor([0, 1, 0, 1]), s, torch.ones(4), torch.arange(4))
    settings = {"metric": "fpr_gap", "objective": "fair", "penalties": {}, "accuracy": "constraint"}
    rest = {"accuracy_loss": 0.01, "accuracy_weight": 0.5, "valid": valid, "groups": ("a", "b")}
    return Judge(**settings | rest | changes, fit_decide=partial(fixed, probability=0.5))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "unfair"},
        {"metric": "accuracy"},
        {"metric": "mcc", "objective": "unfair"},
        {"accuracy": "weight"},
        {"accuracy": "weight", "metric": "accuracy"},
        {"penalties": {"fnr_group0": 0.6, "mcc": -2.0, "fpr_gap": 1.0}},
    ],
)
def test_without_pressure_the_weights_give_every_change_of_the_judges_loss(changes):
    own = judge(**changes)
    change = own(AFTER, BEFORE).loss - own(BEFORE, BEFORE).loss
    assert sum(w * (AFTER[k] - BEFORE[k]) for k, w in loss_weights(own, 0.0).items()) == pytest.approx(change)


def test_pressure_spares_the_accuracy_where_it_is_a_constraint_only():
    assert loss_weights(judge(), 2.0) == {"fpr_gap": 1, "accuracy": -2.0}
    assert loss_weights(judge(accuracy="ignore"), 2.0) == {"fpr_gap": 1}


def test_what_is_hoped_for_is_the_way_to_the_better_end():
    assert wanted(judge(), BEFORE) == pytest.approx(0.3)
    assert wanted(judge(objective="unfair"), BEFORE) == pytest.approx(0.7)
    assert wanted(judge(penalties={"fnr_group0": 0.5}), BEFORE) == pytest.approx(0.3 + 0.5 * 0.4)
