"""Group weights: by hand, and what they do to a group's error."""

from dataclasses import replace

import pytest
import torch

from utils.losses.objective import Weighted
from utils.metrics.group import group
from utils.prepares.group_weights import group_weights
from utils.regularizers.erm import erm
from utils.types import Batch

S = torch.tensor([0, 0, 0, 0, 1, 1])
Y = torch.tensor([0, 0, 1, 1, 0, 1])
W = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 3.0])
NAMES = ("women", "men")
TERMS = {"erm": Weighted(1.0, erm)}


def weighed(weights, classes="all", names=NAMES, w=W):
    batch = Batch(torch.zeros(6, 1), Y, S, w, torch.arange(6))
    return group_weights(batch, names, None, weights=weights, classes=classes).w.tolist()


def test_each_row_counts_by_its_group_on_top_of_what_it_counted():
    assert weighed([1, 2]) == [1, 1, 1, 1, 2, 6]


def test_only_rows_of_the_classes_are_weighed():
    assert weighed([2.0, 5.0], classes=[1]) == [1, 1, 2, 2, 1, 15]


def test_balanced_groups_weigh_the_same_and_the_sum_stays():
    """n / (G n_g) of weights 4 and 4, so nothing; without the weight of the last row 6 / (2 * 4) and 6 / (2 * 2)."""
    assert weighed(None) == [1, 1, 1, 1, 1, 3]
    assert weighed(None, w=torch.ones(6)) == [0.75, 0.75, 0.75, 0.75, 1.5, 1.5]


def test_balancing_one_class_leaves_the_others():
    """Positives: two women, one man; 3 / (2 * 2) and 3 / (2 * 1)."""
    assert weighed(None, classes=[1], w=torch.ones(6)) == [1, 1, 0.75, 0.75, 1, 1.5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": [1]}, r"prepare\.weights=\[1\]: expected 2 numbers above 0, .* in this order: women, men"),
        ({"weights": [1, 0]}, r"prepare\.weights=\[1, 0\]: expected 2 numbers above 0"),
        ({"weights": None, "names": (*NAMES, "others")}, "no training row of group others; choose prepare=none"),
        ({"weights": [1, 2], "classes": [2]}, r"group women is of a class in prepare\.classes=\[2\]; choose other"),
    ],
)
def test_what_cannot_be_weighed_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        weighed(**settings)


def test_a_weight_on_the_positives_of_a_group_lowers_its_false_negative_rate(dataset, context, train_on):
    data, figures = dataset("loan", 2000), []
    for weights in ([1, 1], [6, 1]):
        torch.manual_seed(0)
        model = torch.nn.Linear(len(data.columns), 1)
        train = group_weights(data.train, data.groups, None, weights=weights, classes=[1])
        train_on(replace(data, train=train), model, context("loan"), TERMS, nominal=0.0, epochs=5)
        figures.append(group(model, data.test, context("loan"), groups_min=10, intervals=2, level=0.95))
    assert figures[1]["fnr_group0"] < figures[0]["fnr_group0"] - 0.05
