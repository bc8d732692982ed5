"""Random streams: one for each purpose."""

import hashlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.seeding import derive, generator, rng


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
