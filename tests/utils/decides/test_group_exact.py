from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.decides.rows import every_policy, gap, made, rows_of, scored
from utils.decides import group_exact as fits
from utils.decides.exact_thresholds import TOGETHER

NAMES = ("women", "men")
group_exact = partial(fits.group_exact, confidence=None, groups_min=1)


@settings(max_examples=40, deadline=None)
@given(rows_of(2), st.sampled_from(list(TOGETHER)), st.sampled_from([0.0, 0.1, 0.4]))
def test_of_the_permitted_policies_it_is_the_most_accurate_by_brute_force(rows, rate, permitted):
    z, batch = made(rows)
    labels = group_exact(z, batch, NAMES, rate=rate, permitted=permitted)(z, batch.s)
    fewest = min(e for e, g in every_policy(z, batch, 2, TOGETHER[rate]) if g <= permitted + 1e-12)
    assert (labels != batch.y).sum() == fewest
    assert gap(labels, batch.y, batch.s, 2, TOGETHER[rate]) <= permitted + 1e-12


def test_rows_are_decided_alike_in_single_and_double_precision():
    z, batch = scored(500)
    decide = group_exact(z, batch, NAMES, rate="fnr", permitted=0.02)
    assert torch.equal(decide(z, batch.s), decide(z.double(), batch.s))


def test_the_last_bits_of_a_score_do_not_change_its_side():
    z, batch = scored(300, step=0.01)
    decide = group_exact(z, batch, NAMES, rate="fnr", permitted=0.02)
    for noise in (-1e-6, 1e-6):
        assert torch.equal(decide(z + noise, batch.s), decide(z, batch.s))


@pytest.mark.parametrize("permitted", [-0.1, 2, float("nan")])
def test_a_gap_outside_0_and_1_is_refused(permitted):
    with pytest.raises(ValueError, match=r"decide.permitted=.*in \[0, 1\]"):
        group_exact(*scored(50), NAMES, rate="fnr", permitted=permitted)
