"""lin: moments, label, graph. Ehyaei et al. 2024 (arXiv 2308.08938)."""

import pytest
import torch

from utils.datasets.tabular import natural

ROWS = 20_000  # a mean is known to .007 standard deviations


def everybody(data):
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    return natural(data, x).double(), torch.cat([data.train.y, data.valid.y, data.test.y])


def test_means_and_deviations_are_the_published_ones(dataset):
    x, _ = everybody(dataset("lin", ROWS))
    assert x.mean(0).numpy() == pytest.approx([0.5, 1, -0.5], abs=0.03)
    assert x.std(0).numpy() == pytest.approx([0.5, 2**0.5, 1.5], rel=0.03)


def test_the_label_is_bernoulli_of_the_sigmoid(dataset):
    x, y = everybody(dataset("lin", ROWS))
    chance = torch.sigmoid(x[:, 1] + x[:, 2])
    assert float(y.double().mean()) == pytest.approx(float(chance.mean()), abs=0.015)
    sure, unsure = chance > 0.8, chance < 0.2
    for part in (sure, unsure):
        assert float(y[part].double().mean()) == pytest.approx(float(chance[part].mean()), abs=0.03)


def test_no_rule_beats_705(dataset):
    """Bayes accuracy: the mean of max(p, 1 - p)."""
    x, y = everybody(dataset("lin", ROWS))
    chance = torch.sigmoid(x[:, 1] + x[:, 2])
    assert float(torch.maximum(chance, 1 - chance).mean()) == pytest.approx(0.705, abs=0.005)
    assert float(((chance >= 0.5) == y.bool()).double().mean()) == pytest.approx(0.705, abs=0.015)


def test_its_schema_and_graph(dataset):
    data = dataset("lin")
    assert [(c.name, c.kind, c.sensitive, c.actionable) for c in data.columns] == [
        ("x1", "binary", True, False),
        ("x2", "continuous", False, True),
        ("x3", "continuous", False, True),
    ]
    assert data.parents == {"x2": ("x1",), "x3": ("x1", "x2")}


@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan"])
def test_a_seed_makes_the_data_and_another_seed_makes_others(dataset, name):
    first, other = dataset(name), dataset(name, 500, 1)
    assert first.fingerprint != other.fingerprint
    function = dataset.__wrapped__  # past the cache
    assert function(name, 500, 0).fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan"])
def test_the_true_scm_is_the_one_that_drew_the_rows(dataset, name):
    """Its equations and its graph name the same parents; its own units are the data's."""
    data = dataset(name)
    names = data.scm.names
    found = {names[m.columns[0]]: tuple(names[p] for p in m.parents) for m in data.scm.mechanisms if m.parents}
    assert found == data.parents
    assert torch.equal(data.scm.loc, data.loc.float())
    assert torch.equal(data.scm.scale, data.scale.float())
