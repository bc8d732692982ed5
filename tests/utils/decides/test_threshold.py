import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.decides.threshold import Threshold, logit

PROBABILITIES = st.one_of(st.floats(0, 1), st.integers(0, 100).map(lambda i: i / 100))
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def groups(z: torch.Tensor) -> torch.Tensor:
    return torch.zeros(z.shape[:-1], dtype=torch.int64)


def labels(threshold: Threshold, z: torch.Tensor) -> torch.Tensor:
    return threshold(z, groups(z))


def around(probability: float, dtype: torch.dtype) -> torch.Tensor:
    """The threshold's logit rounded to the type, its two neighbours, 0 and the infinities, (6, 1)."""
    middle = torch.tensor(logit(probability), dtype=dtype)
    up, down = torch.tensor(math.inf, dtype=dtype), torch.tensor(-math.inf, dtype=dtype)
    near = [torch.nextafter(middle, down), middle, torch.nextafter(middle, up)]
    return torch.stack([*near, torch.zeros_like(up), up, down])[:, None]


def test_a_point_on_the_threshold_is_class_1():
    assert labels(Threshold(0.5), torch.zeros(1, 1)).item() == 1


def test_a_point_just_below_the_threshold_is_class_0():
    assert labels(Threshold(0.5), torch.tensor([[-1e-30]])).item() == 0


def test_probability_0_accepts_every_logit():
    assert labels(Threshold(0.0), torch.tensor([[-math.inf], [-1e30], [0.0]])).tolist() == [1, 1, 1]


def test_probability_1_accepts_only_an_infinite_logit():
    assert labels(Threshold(1.0), torch.tensor([[1e30], [math.inf]])).tolist() == [0, 1]


@given(PROBABILITIES, DTYPES)
def test_labels_are_those_of_a_comparison_in_double_precision(probability, dtype):
    z = around(probability, dtype)
    expected = z[:, 0].double().numpy() >= logit(probability)
    np.testing.assert_array_equal(labels(Threshold(probability), z).numpy(), expected)


@given(PROBABILITIES, DTYPES)
def test_the_margin_is_non_negative_exactly_where_the_label_is_1(probability, dtype):
    z = around(probability, dtype)
    threshold = Threshold(probability)
    assert ((threshold.margin(z, groups(z)) >= 0) == (labels(threshold, z) == 1)).all()


def test_the_margin_is_the_logit_minus_that_of_the_threshold():
    z = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    torch.testing.assert_close(Threshold(0.8).margin(z, groups(z)), z[:, 0] - math.log(4))


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_gradient_of_the_margin_is_1_even_on_the_threshold(probability):
    slope = torch.func.grad(lambda z: Threshold(probability).margin(z, groups(z)).sum())(torch.zeros(1, 1))
    assert slope.item() == 1


def test_leading_dimensions_of_the_logits_are_kept():
    z = torch.zeros(2, 3, 4, 1)
    assert labels(Threshold(0.3), z).shape == Threshold(0.3).margin(z, groups(z)).shape == (2, 3, 4)


def test_labels_vmap_over_models():
    z = torch.linspace(-2, 2, 10).reshape(5, 2, 1)
    batched = torch.vmap(lambda rows: Threshold(0.6)(rows, groups(rows)))(z)
    assert torch.equal(batched, labels(Threshold(0.6), z))


def test_three_logits_are_decided_by_the_largest():
    assert labels(Threshold(0.99), torch.tensor([[0.0, 2.0, 1.0]])).item() == 1


def test_three_logits_have_no_margin():
    with pytest.raises(ValueError, match="1 logit per row, got 3"):
        Threshold(0.5).margin(torch.zeros(4, 3), torch.zeros(4))


def test_two_logits_are_refused():
    with pytest.raises(ValueError, match="the logit of class 1"):
        Threshold(0.5)(torch.zeros(4, 2), torch.zeros(4))


@given(PROBABILITIES)
def test_a_record_rebuilds_the_same_threshold(probability):
    record = Threshold(probability).to_record()
    assert record.pop("_target_") == f"{Threshold.__module__}.{Threshold.__qualname__}"
    assert Threshold(**record) == Threshold(probability)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(ValueError, match="not a probability"):
        Threshold(probability)
