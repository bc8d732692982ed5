import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.decides.group_thresholds import GroupThresholds
from utils.decides.threshold import Threshold, logit

NUMBERS = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, 0.1, math.inf, -math.inf]))
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def around(value: float, dtype: torch.dtype) -> torch.Tensor:
    """The number rounded to the type, its neighbours and the infinities, (5, 1)."""
    middle, up, down = (torch.tensor(of, dtype=dtype) for of in (value, math.inf, -math.inf))
    return torch.stack([torch.nextafter(middle, down), middle, torch.nextafter(middle, up), up, down])[:, None]


def test_each_group_has_its_own_threshold():
    z = torch.tensor([[0.5], [0.5], [1.5], [1.5]])
    assert GroupThresholds([0.0, 1.0])(z, torch.tensor([0, 1, 0, 1])).tolist() == [1, 0, 1, 1]


@given(NUMBERS, DTYPES)
def test_labels_are_those_of_a_comparison_in_double_precision(value, dtype):
    z = around(value, dtype)
    labels = GroupThresholds([5.0, value])(z, torch.ones(5).long())
    np.testing.assert_array_equal(labels.numpy(), z[:, 0].double().numpy() >= value)


@given(st.floats(0, 1), DTYPES)
def test_equal_thresholds_decide_as_one_threshold_does(probability, dtype):
    z, s = around(logit(probability), dtype), torch.tensor([0, 1, 0, 1, 0])
    assert torch.equal(GroupThresholds([logit(probability)] * 2)(z, s), Threshold(probability)(z, s))


def test_the_margin_is_the_distance_from_the_groups_threshold():
    z = torch.tensor([[0.0], [2.0]])
    assert GroupThresholds([1.0, 0.5]).margin(z, torch.tensor([0, 1])).tolist() == [-1.0, 1.5]


def test_the_gradient_of_the_margin_is_1():
    decide, s = GroupThresholds([0.3, -math.inf]), torch.tensor([0, 1])
    slope = torch.func.grad(lambda z: decide.margin(z, s).sum())(torch.zeros(2, 1))
    assert slope.tolist() == [[1.0], [1.0]]


def test_labels_vmap_over_models():
    z, s = torch.linspace(-2, 2, 10).reshape(5, 2, 1), torch.tensor([0, 1]).expand(5, 2)
    decide = GroupThresholds([0.1, -0.6])
    assert torch.equal(torch.vmap(decide)(z, s), decide(z, s))


@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_a_record_rebuilds_the_same_thresholds_through_json(logits):
    record = json.loads(json.dumps(GroupThresholds(logits, ["a word"]).to_record(), allow_nan=False))
    assert record.pop("_target_") == f"{GroupThresholds.__module__}.{GroupThresholds.__qualname__}"
    assert GroupThresholds(**record) == GroupThresholds(logits)


@pytest.mark.parametrize("logits", [[], [0.0, math.nan]])
def test_what_are_no_thresholds_is_refused(logits):
    with pytest.raises(ValueError, match="not numbers, one for each group"):
        GroupThresholds(logits)


def test_three_logits_are_refused():
    with pytest.raises(ValueError, match="1 logit per row, got 3"):
        GroupThresholds([0.0])(torch.zeros(2, 3), torch.zeros(2).long())
