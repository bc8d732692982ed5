"""Random streams: one for each purpose."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from utils.seeding import Rows, _mix, derive, generator, rng


def test_a_seed_is_the_leading_63_bits_of_sha_256():
    assert derive(7, "split") == int(hashlib.sha256(b"7:split").hexdigest()[:16], 16) >> 1


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.text(), st.text())
def test_other_seeds_or_purposes_have_other_streams(a, b, p, q):
    assert (derive(a, p) == derive(b, q)) == ((a, p) == (b, q))


@given(st.integers(), st.text())
def test_a_derived_seed_suits_numpy_and_torch(seed, purpose):
    assert 0 <= derive(seed, purpose) < 2**63


def test_a_stream_starts_at_the_same_place_every_time():
    assert rng(0, "data").random() == rng(0, "data").random()
    assert torch.equal(torch.rand(3, generator=generator(0, "x")), torch.rand(3, generator=generator(0, "x")))


def test_one_more_random_choice_moves_no_other_stream(dataset):
    """More rows of the same seed: another draw, but the generator of the attacks is where it was."""
    before = torch.rand(3, generator=generator(0, "attack"))
    dataset("lin", 777)
    assert torch.equal(torch.rand(3, generator=generator(0, "attack")), before)


# Numbers by row


def rows(first: int, last: int, key: str = "attack") -> Rows:
    return Rows(derive(0, key), torch.arange(first, last))


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_the_numbers_of_a_row_do_not_depend_on_the_batch(draw):
    whole = getattr(rows(0, 50), draw)(torch.zeros(2, 50, 3, 4))
    part = getattr(rows(20, 30), draw)(torch.zeros(2, 10, 3, 4))
    assert torch.equal(part, whole[:, 20:30])


def test_rows_draws_purposes_and_candidates_are_different_streams():
    source, like = rows(0, 20), torch.zeros(2, 20, 8)
    first, second, other = source.uniform(like), source.uniform(like), rows(0, 20, "augmentation").uniform(like)
    for numbers in (first, second, other):
        assert len(numbers.unique()) > 315  # of 320 numbers of 24 bits
    assert not (first == second).any()
    assert not (first == other).any()


def test_rows_draw_the_uniform_and_the_normal_distribution():
    """Kolmogorov and Smirnov's test, and correlations between neighbouring rows and numbers."""
    like = torch.zeros(1, 2000, 50)
    u, z = rows(0, 2000).uniform(like), rows(0, 2000, "normal").normal(like)
    assert stats.kstest(u.flatten(), "uniform").pvalue > 0.01
    assert stats.kstest(z.flatten(), "norm").pvalue > 0.01
    for a, b in ((u[0, 1:], u[0, :-1]), (u[0, :, 1:], u[0, :, :-1])):
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.01


def test_uniform_numbers_of_rows_are_below_1_and_known():
    """SplitMix64 with the seed 1234567 gives 6457827717110365317 first (Vigna's reference implementation)."""
    golden = 0x9E3779B97F4A7C15
    z = torch.tensor([(1234567 + golden) % 2**64 - (2**64 if (1234567 + golden) % 2**64 >= 2**63 else 0)])
    assert int(_mix(z)) == 6457827717110365317
    assert float(rows(0, 3000).uniform(torch.zeros(1, 3000, 50)).max()) < 1
