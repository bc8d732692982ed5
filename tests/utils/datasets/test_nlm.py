"""nlm: moments and label. Ehyaei et al. 2024 (arXiv 2308.08938)."""

import pytest
import torch

from utils.datasets.tabular import natural

ROWS = 20_000


def everybody(data):
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    return natural(data, x).double(), torch.cat([data.train.y, data.valid.y, data.test.y])


def test_means_and_deviations_are_the_published_ones(dataset):
    """E[x3] = .5 - E[x2^2] = .5 - 3."""
    x, _ = everybody(dataset("nlm", ROWS))
    assert x.mean(0).numpy() == pytest.approx([0.5, 1, -2.5], abs=0.08)
    assert x.std(0).numpy() == pytest.approx([0.5, 2**0.5, 3.640], rel=0.03)


def test_the_label_is_bernoulli_of_the_sigmoid_of_the_square(dataset):
    x, y = everybody(dataset("nlm", ROWS))
    chance = torch.sigmoid((x[:, 1] + x[:, 2]).square())
    assert float(y.double().mean()) == pytest.approx(float(chance.mean()), abs=0.012)
    unsure = chance < 0.55
    assert float(y[unsure].double().mean()) == pytest.approx(float(chance[unsure].mean()), abs=0.03)


def test_no_rule_beats_794_which_is_to_say_1_always(dataset):
    """The probability of class 1 is never below a half, so Bayes accuracy is its mean."""
    x, y = everybody(dataset("nlm", ROWS))
    chance = torch.sigmoid((x[:, 1] + x[:, 2]).square())
    assert chance.min() >= 0.5
    assert float(chance.mean()) == pytest.approx(0.794, abs=0.006)
    assert float(y.double().mean()) == pytest.approx(0.794, abs=0.012)


def test_its_graph(dataset):
    assert dataset("nlm").parents == {"x2": ("x1",), "x3": ("x1", "x2")}
