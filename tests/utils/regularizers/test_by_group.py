"""Groups and aims of a batch."""

from dataclasses import replace

import pytest
import torch

from utils.regularizers.by_group import members, weights_among
from utils.types import Batch

BATCH = Batch(
    torch.zeros(4, 1),
    torch.tensor([0, 1, 1, 0]),
    torch.tensor([0, 2, 0, 2]),
    torch.tensor([1.0, 2.0, 3.0, 4.0]),
    torch.arange(4),
)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("acceptance_rate", [[1, 2, 3, 4]]),
        ("fnr", [[0, 2, 3, 0]]),
        ("fpr", [[1, 0, 0, 4]]),
        ("equalized_odds", [[0, 2, 3, 0], [1, 0, 0, 4]]),
    ],
)
def test_an_aim_is_about_the_rows_of_its_class(rate, expected):
    assert weights_among(BATCH, rate).tolist() == expected


def test_every_row_is_a_member_of_its_group(context):
    assert members(BATCH, replace(context("lin"), groups=3), "x").tolist() == [[1, 0, 1, 0], [0] * 4, [0, 1, 0, 1]]


def test_one_group_is_refused_with_what_to_do(context):
    with pytest.raises(ValueError, match="regularizer=group_gap compares groups.* choose data with a sensitive"):
        members(BATCH, context("lin"), "group_gap")


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match="rate='ppv' is not known; choose acceptance_rate, fnr"):
        weights_among(BATCH, "ppv")
