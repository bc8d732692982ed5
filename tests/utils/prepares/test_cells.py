"""Weight of groups and classes, by counting."""

import pytest
import torch

from utils.prepares.cells import cells
from utils.types import Batch

S = torch.tensor([0, 0, 0, 1, 1, 2])
Y = torch.tensor([0, 1, 1, 0, 0, 1])
W = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
ROWS = Batch(torch.zeros(6, 1), Y, S, W, torch.arange(6))


def test_the_weights_of_the_rows_are_summed_by_group_and_class():
    assert cells(ROWS, ("a", "b", "c"), "reweigh").tolist() == [[1, 5], [9, 0], [0, 6]]


def test_a_declared_group_without_rows_has_no_weight():
    assert cells(ROWS, ("a", "b", "c", "d"), "reweigh")[3].tolist() == [0, 0]


def test_one_group_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"prepare=reweigh .* of one \(all\); choose prepare=none, or data with"):
        cells(ROWS, ("all",), "reweigh")
