"""Added rows are counted as what they are, on rows made by hand and against a comparison of every pair of rows."""

import torch

from utils.poisoning.origins import Origins, count_origins, find_origins
from utils.types import Batch
from utils.words.added_rows import describe_origins


def batch(x, y, s=None, index=None):
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    s = torch.zeros_like(y) if s is None else torch.tensor(s)
    return Batch(x, y, s, torch.ones(len(y)), torch.arange(len(y)) if index is None else torch.tensor(index))


PEOPLE = batch([[0, 1], [0, 1], [2, 3], [4, 5]], [0, 1, 1, 0])
# a copy whose twin has the other label, a copy, a relabelled one twice, an invented one, one beyond everybody
ROWS = batch([[0, 1], [2, 3], [4, 5], [4, 5], [0, 3], [9, 1]], [0, 1, 1, 1, 0, 1], s=[0, 1, 1, 1, 0, 0])


def test_each_row_is_a_copy_or_relabelled_or_invented():
    found = find_origins(ROWS, PEOPLE)
    assert found.copies.tolist() == [True, True, False, False, False, False]
    assert found.relabelled.tolist() == [False, False, True, True, False, False]
    assert found.invented.tolist() == [False, False, False, False, True, True]
    assert found.contradicted.tolist() == [True, False, True, True, False, False]
    assert found.beyond.tolist() == [False, False, False, False, False, True]


def test_a_record_counts_them_by_group_and_class():
    assert count_origins(ROWS, PEOPLE, ["f", "m"], ["no", "yes"]) == {
        "rows": 6,
        "distinct": 5,
        "cells": {"f": {"no": 2, "yes": 1}, "m": {"yes": 3}},
        "copies": 2,
        "relabelled": 2,
        "invented": 2,
        "contradicted": 3,
        "beyond": 1,
    }


def test_rows_that_were_added_before_are_no_people():
    extended = Batch(*map(torch.cat, zip(PEOPLE, ROWS._replace(index=-1 - torch.arange(6)), strict=True)))
    assert count_origins(ROWS, extended, ["f", "m"], []) == count_origins(ROWS, PEOPLE, ["f", "m"], [])


def test_it_agrees_with_a_comparison_of_every_pair():
    gen = torch.Generator().manual_seed(0)
    of = [torch.randint(0, 4, (n, 3), generator=gen).float() for n in (150, 90)]
    labels = [torch.randint(0, 3, (len(x),), generator=gen) for x in of]
    people, rows = (batch(x.tolist(), y.tolist()) for x, y in zip(of, labels, strict=True))
    twins = (rows.x[:, None] == people.x[None]).all(-1)  # (m, n)
    same = rows.y[:, None] == people.y[None]
    copies, there = (twins & same).any(1), twins.any(1)
    within = (rows.x >= people.x.min(0).values) & (rows.x <= people.x.max(0).values)
    expected = Origins(copies, ~copies & there, ~there, (twins & ~same).any(1), ~within.all(1))
    assert all(torch.equal(one, other) for one, other in zip(find_origins(rows, people), expected, strict=True))


def test_no_rows_are_nothing():
    counted = count_origins(ROWS.rows(slice(0, 0)), PEOPLE, ["f", "m"], [])
    assert (counted["rows"], counted["cells"], counted["copies"]) == (0, {}, 0)
    assert describe_origins(counted) == []


def test_words_name_only_what_there_is():
    counted = count_origins(ROWS.rows(slice(1, 4)), PEOPLE, ["f", "m"], [])
    assert [text.partition(",")[0] for text in describe_origins(counted)] == [
        "1 of 3: copies of records",
        "2 of 3: people's features with a chosen label",
    ]
