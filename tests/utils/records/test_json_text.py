"""Compared with the standard library."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.records.json_text import write_json, write_key

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
SMALL = st.floats(-1e-3, 1e-3) | st.floats(1e14, 1e18)


LIKE_NUMBERS = st.text(',:[]{}-e0.1"\\')
MIXED = st.lists(SMALL | LIKE_NUMBERS | st.dictionaries(LIKE_NUMBERS, SMALL | LIKE_NUMBERS))


@given(VALUES | MIXED, st.booleans())
@example({"a": [":1e5,0.00001]", 1e-5, "0.00001"], ",1e-5": -1e-05}, False)
@example([1e-05, 1.5e-05, 0.0001, 1e15, 1e16, -0.0, 5e-324, 1e22], True)
@example({"1e-5": "0.00001", "b": 0.00001, "a": ['\\"2e7', 3e-7]}, True)
@example(2**70, False)
@example("\x7f", False)
def test_the_text_is_that_of_the_standard_library(value, sort):
    assert write_json(value, sort=sort) == json.dumps(value, sort_keys=sort, separators=(",", ":"))


def test_a_key_is_written_as_a_text():
    assert write_key('a"é') == json.dumps('a"é')


@pytest.mark.parametrize("sort", [True, False])
def test_what_json_cannot_hold_is_refused(sort):
    with pytest.raises(TypeError):
        write_json({"a": {1, 2}}, sort=sort)
