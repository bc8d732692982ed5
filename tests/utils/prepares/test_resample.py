"""Sampling: the publication's sizes of cells, and which rows stay, go and are repeated."""

from collections import Counter

import numpy as np
import pytest
import torch

from utils.prepares.resample import resample
from utils.types import Batch

NAMES = ("women", "men")


@pytest.fixture
def applicants():
    """The publication's ten: of 5 women 2 and of 5 men 4 are hired."""
    s, y = torch.tensor([0] * 5 + [1] * 5), torch.tensor([1, 1, 0, 0, 0, 1, 1, 1, 1, 0])
    x = torch.tensor([9.0, 6.0, 4.0, 3.0, 1.0, 9.0, 8.0, 7.0, 5.0, 2.0]).unsqueeze(1)
    return Batch(x, y, s, torch.ones(10), torch.arange(10))


def sizes(rows):
    return Counter(zip(rows.s.tolist(), rows.y.tolist(), strict=True))


@pytest.mark.parametrize("choice", ["uniform", "preferential"])
def test_the_cells_have_the_sizes_of_the_publication(applicants, choice):
    made = resample(applicants, NAMES, np.random.default_rng(0), choice=choice)
    assert sizes(made) == {(0, 1): 3, (0, 0): 2, (1, 1): 3, (1, 0): 2}


def test_preferential_sampling_repeats_and_leaves_out_at_the_border(applicants):
    """The worst hired woman and the best refused man come twice; the best refused woman, the worst hired man go."""
    made = resample(applicants, NAMES, None, choice="preferential")
    assert sorted(made.index.tolist()) == [0, 1, 1, 3, 4, 5, 6, 7, 9, 9]


def test_uniform_sampling_depends_on_the_stream_alone(applicants):
    one, again, other = (
        resample(applicants, NAMES, np.random.default_rng(seed), choice="uniform").index.tolist() for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_rows_are_repeated_as_often_as_each_other():
    """100 rows of one cell where 20 are wanted times five."""
    s = torch.tensor([0] * 102 + [1] * 102)
    y = torch.tensor([1] * 2 + [0] * 100 + [1] * 100 + [0] * 2)
    rows = Batch(torch.zeros(204, 1), y, s, torch.ones(204), torch.arange(204))
    made = resample(rows, NAMES, np.random.default_rng(0), choice="uniform")
    assert sizes(made) == {(0, 1): 51, (0, 0): 51, (1, 1): 51, (1, 0): 51}
    assert sorted(Counter(made.index[(made.s == 0) & (made.y == 1)].tolist()).values()) == [25, 26]


def test_an_empty_cell_is_named():
    rows = Batch(torch.zeros(3, 1), torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]), torch.ones(3), torch.arange(3))
    with pytest.raises(ValueError, match="no training row of group men is of class 1"):
        resample(rows, NAMES, np.random.default_rng(0), choice="uniform")


def test_images_stay_bytes():
    x = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).reshape(4, 3, 2, 2)
    rows = Batch(x, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]), torch.ones(4), torch.arange(4))
    made = resample(rows, NAMES, np.random.default_rng(0), choice="uniform")
    assert made.x.dtype is torch.uint8
    assert torch.equal(made.x, x)
