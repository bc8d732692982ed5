import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.decides.group_thresholds import GroupThresholds
from utils.decides.random_thresholds import RandomThresholds, coin

DECIDE = RandomThresholds([[-1.0, 0.5, 2.0], [0.0]], [[0.25, 0.45, 0.3], [1.0]])
DTYPES = st.sampled_from([torch.float16, torch.float32, torch.float64])


def rows(n: int, group: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed)) * 2
    return z, torch.full((n,), group)


def test_the_same_rows_are_always_decided_alike():
    z, s = rows(1000, 0)
    order = torch.randperm(1000)
    assert torch.equal(DECIDE(z, s)[order], DECIDE(z[order], s[order]))


def test_the_last_bits_of_a_logit_hardly_ever_toss_another_coin():
    """A logit moves by 1e-6, as between two batches: a step is 1024 of a logit, so 1 row in 1000 changes its step."""
    z, s = rows(100_000, 0)
    assert (DECIDE(z, s) != DECIDE(z + 1e-6, s)).float().mean() < 1e-3


@pytest.mark.parametrize(("low", "high", "share"), [(-1.0, 0.5, 0.25), (0.5, 2.0, 0.7)])
def test_between_thresholds_the_share_of_class_1_is_that_of_the_thresholds_below(low, high, share):
    """Of 20,000 rows within five standard errors of independent coins."""
    z = torch.rand(20_000, 1, generator=torch.Generator().manual_seed(1)) * (high - low) + low
    assert DECIDE(z, torch.zeros(20_000).long()).float().mean().item() == pytest.approx(
        share, abs=5 * math.sqrt(share * (1 - share) / 20_000)
    )


@pytest.mark.parametrize("width", [0.05, 0.3])
def test_the_shares_are_met_in_a_narrow_band(width):
    z = torch.linspace(0.6, 0.6 + width, 5000)[:, None]
    accepted = DECIDE(z, torch.zeros(5000).long()).float().mean().item()
    assert accepted == pytest.approx(0.7, abs=0.5 / (1024 * width) + 0.02)


def test_coins_are_uniform():
    """Kolmogorov's distance of 10,000 coins is below its 0.1 % point."""
    u = np.sort(coin(torch.randn(10_000, generator=torch.Generator().manual_seed(2))).numpy())
    assert np.abs(u - (np.arange(10_000) + 0.5) / 10_000).max() < 1.95 / 100
    assert 0 <= u[0] <= u[-1] < 1


def test_below_and_above_all_thresholds_there_is_no_chance():
    z = torch.tensor([[-1.0001], [2.0], [-math.inf], [math.inf]])
    assert DECIDE(z, torch.zeros(4).long()).tolist() == [0, 1, 0, 1]


def test_a_single_threshold_decides_without_chance():
    z, s = rows(1000, 1)
    assert torch.equal(DECIDE(z, s), GroupThresholds([9.0, 0.0])(z, s))


@given(DTYPES, st.integers(0, 1), st.integers(0, 99))
def test_the_margin_is_non_negative_exactly_where_the_label_is_1(dtype, group, seed):
    z, s = rows(50, group, seed)
    z = z.to(dtype)
    drawn = np.array([-1.0, 0.5, 2.0])[np.searchsorted([0.25, 0.70], coin(z[:, 0]).numpy(), side="right")]
    threshold = drawn if group == 0 else 0.0
    np.testing.assert_array_equal((DECIDE.margin(z, s) >= 0).numpy(), z[:, 0].double().numpy() >= threshold)


def test_the_gradient_of_the_margin_is_1():
    z, s = rows(20, 0)
    assert (torch.func.grad(lambda z: DECIDE.margin(z, s).sum())(z) == 1).all()


def test_chances_add_up_over_the_thresholds_below():
    z = torch.tensor([[-2.0], [-1.0], [1.0], [3.0]])
    torch.testing.assert_close(DECIDE.probability(z, torch.zeros(4).long()), torch.tensor([0.0, 0.25, 0.7, 1.0]))


def test_labels_vmap_over_models():
    z, s = rows(60, 0)
    z, s = z.reshape(3, 20, 1), s.reshape(3, 20)
    assert torch.equal(torch.vmap(DECIDE)(z, s), DECIDE(z, s))


def test_a_record_rebuilds_the_same_thresholds_through_json():
    decide = RandomThresholds([[-math.inf, 0.1, math.inf], [0.0]], [[0.1, 0.6, 0.3], [1.0]])
    record = json.loads(json.dumps(decide.to_record(), allow_nan=False))
    assert record.pop("_target_") == f"{RandomThresholds.__module__}.{RandomThresholds.__qualname__}"
    assert RandomThresholds(**record) == decide


@pytest.mark.parametrize(
    ("logits", "shares", "word"),
    [
        ([[0.0, 1.0]], [[0.5, 0.4]], "add up to 1"),
        ([[0.0, 1.0]], [[1.5, -0.5]], "add up to 1"),
        ([[0.0, 1.0]], [[1.0]], "add up to 1"),
        ([[0.0], []], [[1.0], []], "add up to 1"),
        ([], [], "add up to 1"),
        ([[1.0, 0.0]], [[0.5, 0.5]], "ascending"),
        ([[0.0, math.nan]], [[0.5, 0.5]], "ascending"),
    ],
)
def test_what_are_no_shares_of_thresholds_is_refused(logits, shares, word):
    with pytest.raises(ValueError, match=word):
        RandomThresholds(logits, shares)


def test_three_logits_are_refused():
    with pytest.raises(ValueError, match="1 logit per row, got 3"):
        DECIDE(torch.zeros(2, 3), torch.zeros(2).long())
