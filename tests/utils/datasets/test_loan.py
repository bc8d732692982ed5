"""loan: moments, ranges, label. Karimi et al. 2020 (arXiv 2006.06831), Ehyaei et al. 2024 (arXiv 2308.08938)."""

import math

import pytest
import torch

from tests import oracles
from utils.datasets.loan import repayment
from utils.datasets.tabular import natural

ROWS = 20_000
MEAN = [0.5, -0.046973, -0.059363, 0.013939, -0.000971, 0.487126, -2.076182]
DEVIATION = [0.5, 11.074237, 0.137726, 2.787965, 4.545642, 2.512469, 5.564847]


def everybody(data):
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    return natural(data, x).double(), torch.cat([data.train.y, data.valid.y, data.test.y])


def chances(data, x):
    return repayment({c.name: x[:, i] for i, c in enumerate(data.columns)})


def test_means_and_deviations_are_the_published_ones(dataset):
    """The publication estimated them too; .03 standard deviations are allowed."""
    x, _ = everybody(dataset("loan", ROWS))
    assert ((x.mean(0) - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).abs().max() < 0.03
    assert x.std(0).numpy() == pytest.approx(DEVIATION, rel=0.04)


def test_age_and_education_keep_to_their_ranges(dataset):
    """Age is -35 + a gamma variable, education strictly inside (-.5, .5)."""
    x, _ = everybody(dataset("loan", ROWS))
    assert x[:, 1].min() > -35
    assert x[:, 2].abs().max() < 0.5


def test_the_chance_of_repayment_is_the_formula_row_by_row(dataset):
    x, _ = everybody(dataset("loan"))
    for row, found in zip(x[:50].tolist(), chances(dataset("loan"), x)[:50].tolist(), strict=True):
        _, _, _, loan, duration, income, savings = row
        expected = 1 / (1 + math.exp(-0.3 * (-loan - duration + income + savings + income * savings)))
        assert found == pytest.approx(expected, rel=1e-6)


def test_the_rows_are_what_the_equations_make_of_their_noise(dataset):
    """Row by row, in double precision; the noise of a row is abducted by the formulas too."""
    x, _ = everybody(dataset("loan"))
    for row in x[:50].tolist():
        assert oracles.features("loan", oracles.noise("loan", row)) == pytest.approx(row, abs=1e-9)


def test_the_noise_has_the_moments_it_was_drawn_with(dataset):
    """Abducted by the formulas: Bern(.5), Gamma(10, 3.5) - 35, and normals of sd .5, 2, 3, 2, 5."""
    x, _ = everybody(dataset("loan", ROWS))
    noise = torch.tensor([oracles.noise("loan", row) for row in x[:4000].tolist()])
    deviation = torch.tensor([0.5, 3.5 * 10**0.5, 0.5, 2, 3, 2, 5])
    assert ((noise.mean(0) - torch.tensor([0.5, 0, 0, 0, 0, 0, 0])) / deviation).abs().max() < 0.06
    assert noise.std(0).numpy() == pytest.approx(deviation.numpy(), rel=0.05)
    skew = (((noise[:, 1] - noise[:, 1].mean()) / noise[:, 1].std()) ** 3).mean()
    assert float(skew) == pytest.approx(2 / 10**0.5, abs=0.2)  # of a gamma variable of shape 10


def test_no_rule_beats_864(dataset):
    x, y = everybody(dataset("loan", ROWS))
    chance = chances(dataset("loan", ROWS), x)
    assert float(torch.maximum(chance, 1 - chance).mean()) == pytest.approx(0.864, abs=0.006)
    assert float(((chance >= 0.5) == y.bool()).double().mean()) == pytest.approx(0.864, abs=0.012)
    assert float(y.double().mean()) == pytest.approx(float(chance.mean()), abs=0.012)


def test_education_on_the_very_edge_has_a_finite_noise(dataset):
    """Float rounding may put it there."""
    scm = dataset("loan").scm
    edge = torch.tensor([[1.0, 0.0, e, 0.0, 0.0, 0.0, 0.0] for e in (-0.5, 0.5, -0.6, 0.6)])
    assert torch.isfinite(scm.to_noise(edge)).all()


def test_its_schema(dataset):
    columns = dataset("loan").columns
    assert [c.name for c in columns if c.sensitive] == ["gender"]
    assert [c.name for c in columns if c.actionable] == ["education", "income", "savings"]
    assert [c.kind for c in columns] == ["binary"] + ["continuous"] * 6


def test_the_fingerprint_tells_what_was_drawn_and_not_its_last_bits(dataset):
    """Equal settings are one run on every processor; another seed or number of rows is another."""
    prints = [dataset("loan", rows, seed).fingerprint for rows, seed in ((60, 0), (60, 1), (80, 0))]
    assert len(set(prints)) == 3
    assert dataset("loan", 60, 0).fingerprint == prints[0]
