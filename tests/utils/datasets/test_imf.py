"""imf: independence, moments and label. Ehyaei et al. 2024 (arXiv 2308.08938)."""

import pytest
import torch

from utils.datasets.tabular import natural

ROWS = 20_000


def everybody(data):
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    return natural(data, x).double(), torch.cat([data.train.y, data.valid.y, data.test.y])


def test_means_and_deviations_are_those_of_their_distributions(dataset):
    x, _ = everybody(dataset("imf", ROWS))
    assert x.mean(0).numpy() == pytest.approx([0.5, 0, 0], abs=0.03)
    assert x.std(0).numpy() == pytest.approx([0.5, 1, 1], rel=0.03)


def test_the_columns_are_independent(dataset):
    x, _ = everybody(dataset("imf", ROWS))
    assert torch.corrcoef(x.T).triu(1).abs().max() < 0.03
    assert dataset("imf").parents == {}


def test_no_rule_beats_725(dataset):
    x, y = everybody(dataset("imf", ROWS))
    chance = torch.sigmoid(x[:, 1] + x[:, 2])
    assert float(torch.maximum(chance, 1 - chance).mean()) == pytest.approx(0.725, abs=0.005)
    assert float(((chance >= 0.5) == y.bool()).double().mean()) == pytest.approx(0.725, abs=0.015)
    assert float(y.double().mean()) == pytest.approx(0.5, abs=0.015)
