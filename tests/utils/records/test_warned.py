"""Warnings of many records in few sentences."""

import pytest

from utils.records.warned import list_warnings


def warned(*texts):
    return {"warnings": list(texts)}


def test_warnings_that_differ_in_numbers_are_one_kind_with_an_example():
    nine, two = (warned(f"a group has {rows} rows; more") for rows in (9, 2))
    assert list_warnings([nine, two, {}]) == ["warning of 2 of 3 runs, such as: a group has 9 rows"]
    assert list_warnings([nine, nine]) == ["warning of 2 of 2 runs: a group has 9 rows"]
    assert list_warnings([nine]) == ["warning of 1 of 1 run: a group has 9 rows"]


@pytest.mark.parametrize(
    ("sentence", "clause"),
    [
        (
            "left over (pay, p = 3e-28; by HSIC): it is so (a (b; c); d); more",
            "left over (pay, p = 3e-28; by HSIC): it is so (a (b; c); d)",
        ),
        ("an open ( bracket; more", "an open ( bracket"),
        ("a;b; more", "a;b"),
        ("", ""),
    ],
)
def test_a_clause_ends_at_no_semicolon_in_brackets(sentence, clause):
    assert list_warnings([warned(sentence)]) == [f"warning of 1 of 1 run: {clause}"]


def test_p_values_differ_in_numbers_alone():
    assert len(list_warnings([warned("p = 3e-28"), warned("p = 0.2")])) == 1


def test_the_most_frequent_kinds_come_first_and_the_rest_is_counted():
    runs = [warned("a", "b", "c", "d", "e"), warned("e", "d")]
    found = list_warnings(runs)
    assert [said[-1] for said in found[:2]] == ["d", "e"]
    assert found[3:] == ["and 2 kinds of warnings more"]
