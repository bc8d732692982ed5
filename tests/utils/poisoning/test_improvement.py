"""Closed forms beside means of draws; the search for their largest place beside a grid."""

import math

import pytest
import torch

from utils.poisoning.features import Parameter
from utils.poisoning.improvement import best_place, log_improvement, log_permitted, log_volume, undominated

AT = torch.zeros(1, 1, dtype=torch.float64)


class Certain:
    """A process that predicts the same everywhere."""

    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def predict(self, at):
        return torch.full((len(at),), self.mean, dtype=at.dtype), torch.full((len(at),), self.sd, dtype=at.dtype)

    def draws(self, seed):
        return self.mean + self.sd * torch.randn(400_000, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (-1.0, 0.5), (1.0, 0.5)])
def test_the_improvement_is_that_of_draws(mean, sd):
    process = Certain(mean, sd)
    drawn = (0.2 - process.draws(0)).clamp_min(0).mean()
    found = log_improvement(process, torch.tensor(0.2, dtype=torch.float64))(AT).exp()
    assert float(found) == pytest.approx(float(drawn), rel=0.02)


def test_the_logarithm_of_an_improvement_that_is_no_number_falls_on():
    """phi(z) / z^2 to first order, at z = -60: e^-1800 is no double."""
    found = float(log_improvement(Certain(60.0, 1.0), torch.tensor(0.0, dtype=torch.float64))(AT))
    assert found == pytest.approx(-1800 - math.log(2 * math.pi) / 2 - 2 * math.log(60), abs=0.01)


def test_the_chance_that_a_limit_is_kept_is_that_of_draws():
    process = Certain(0.3, 0.4)
    found = log_permitted(process, torch.tensor(0.1, dtype=torch.float64))(AT).exp()
    assert float(found) == pytest.approx(float((process.draws(0) <= 0.1).double().mean()), abs=0.005)


def test_the_volume_of_two_losses_is_that_of_draws():
    """Added to the union of the boxes above three points, by rectangles of a grid."""
    known = torch.tensor([[0.0, 1.0], [0.5, 0.4], [1.0, 0.0], [0.8, 0.8]], dtype=torch.float64)
    processes = [Certain(0.3, 0.3), Certain(0.2, 0.4)]
    draws = torch.stack([process.draws(seed)[:2000] for seed, process in enumerate(processes)], 1).double()
    line = (torch.arange(-600, 440) + 0.5) / 400
    free = torch.ones(len(line), len(line), dtype=torch.bool)
    for a, b in known:
        free &= ~((line[:, None] >= a) & (line >= b))
    beyond = line < 1.1
    free &= beyond[:, None] & beyond
    cells = free.double().flip(0, 1).cumsum(0).cumsum(1).flip(0, 1) / 400**2  # volume above each cell
    first, second = ((draws.T + 1.5) * 400).long().clamp(0, len(line) - 1)
    found = log_volume(processes, known)(AT).exp()
    assert float(found) == pytest.approx(float(cells[first, second].mean()), rel=0.03)


def test_what_is_undominated_is_no_worse_than_any():
    values = torch.tensor([[0.0, 2.0], [1.0, 1.0], [1.0, 2.0], [2.0, 0.0], [1.0, 1.0]])
    assert undominated(values).tolist() == [[0.0, 2.0], [1.0, 1.0], [2.0, 0.0], [1.0, 1.0]]


def test_the_best_place_is_at_most_one_off_that_of_a_grid():
    """A narrow hill at a corner and one choice, beside a broad one that is lower."""
    parameters = [*(Parameter(name, "int", 0, 40) for name in "abcd"), Parameter("e", "choice", 0, 2, (0.0, 1.0, 2.0))]
    top = torch.tensor([1 / 82, 81 / 82, 0.5, 81 / 82, 0.0, 1.0, 0.0], dtype=torch.float64)
    top[-3:] *= math.sqrt(0.5)

    def score(x):
        return torch.exp(-8 * (x - top).square().sum(1)) + 0.5 * torch.exp(-(x - 0.5).square().sum(1))

    near = torch.full((1, 5), 0.5, dtype=torch.float64)
    for seed in range(5):
        place = best_place(parameters, score, near, torch.Generator().manual_seed(seed))
        *numbers, choice = (p.at(float(u)) for p, u in zip(parameters, place, strict=True))
        assert numbers == pytest.approx([0, 40, 20, 40], abs=1)
        assert choice == 1.0
