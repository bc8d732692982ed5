"""Records as JSON holds them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.records.plain import to_plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor([[1, 2]]), [[1, 2]]),
        (torch.tensor(True), True),
        (float("nan"), None),
        (-math.inf, None),
        ({1: (Path("a") / "b",)}, {"1": ["a/b"]}),
        ("8/255", "8/255"),
    ],
)
def test_values_become_plain(value, plain):
    made = to_plain({"here": value})["here"]
    assert (made, type(made)) == (plain, type(plain))
    assert to_plain(value) == plain


def test_what_is_plain_already_is_not_gone_through_again_and_what_is_made_of_it_is():
    plain = to_plain({"metrics": {"auc": np.float32(0.5)}})
    assert to_plain(plain) is plain
    assert to_plain(plain | {"seed": np.int64(1)}) == {"metrics": {"auc": 0.5}, "seed": 1}


def test_a_value_that_json_cannot_hold_is_named_by_its_place():
    with pytest.raises(ValueError, match=r"complex .* at metrics.auc"):
        to_plain({"metrics": {"auc": 1j}})


@pytest.mark.parametrize("value", [0.1, 1e16, -1e-7, 2**53 + 1, 2**70, "é\ud800\t\n", [None, True, {"a": [1.5]}], {}])
def test_the_texts_of_values_are_ascii_and_read_back_the_same(value):
    plain = to_plain({"here": value})
    for text in (plain.texts["here"], plain.canonical_texts["here"]):
        assert text.isascii()
        assert "\t" not in text
        assert repr(json.loads(text)) == repr(value)


def test_equal_mappings_have_one_canonical_text():
    one, other = to_plain({"a": {"x": 1, "y": {"b": 2, "a": 3}}}), to_plain({"a": {"y": {"a": 3, "b": 2}, "x": 1}})
    assert one.canonical_texts == other.canonical_texts == {"a": '{"x":1,"y":{"a":3,"b":2}}'}
