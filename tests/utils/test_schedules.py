import math

import pytest

from utils.schedules import constant, cosine, one_cycle, piecewise


def test_the_drops_of_the_bag_of_tricks_are_the_last_10_and_the_last_5_of_110_epochs(option):
    """Pang et al. 2021 (arXiv 2010.00467): .1 until epoch 100, .01 until 105, .001 until 110."""
    shares = {key: option("trainer/schedule", "bag_of_tricks")[key] for key in ("at", "factors")}
    rates = [0.1 * piecewise(epoch, 110, **shares) for epoch in range(110)]
    assert rates == pytest.approx([0.1] * 100 + [0.01] * 5 + [0.001] * 5)


def test_a_drop_in_the_middle_of_an_epoch_waits_for_no_step():
    assert piecewise(4.0, 8, at=[0.5], factors=[0.1]) == 0.1
    assert piecewise(3.99, 8, at=[0.5], factors=[0.1]) == 1.0


@pytest.mark.parametrize(("at", "factors"), [([0.5], [0.1, 0.01]), ([0.9, 0.5], [0.1, 0.01]), ([1.5], [0.1])])
def test_shares_that_do_not_ascend_are_refused(at, factors):
    with pytest.raises(ValueError, match="ascend from 0 to 1"):
        piecewise(0, 10, at=at, factors=factors)


def test_the_cosine_starts_at_1_is_half_in_the_middle_and_ends_at_0():
    assert [cosine(done, 10) for done in (0, 5, 10)] == pytest.approx([1.0, 0.5, 0.0])
    assert cosine(2.5, 10) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_one_cycle_is_linear_up_to_its_peak_and_down_again():
    assert [one_cycle(done, 10, peak=0.4) for done in (0, 2, 4, 7, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_a_peak_outside_the_training_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        one_cycle(0, 10, peak=1.0)


def test_constant_is_constant():
    assert {constant(done, 3) for done in (0, 1.5, 3)} == {1.0}
