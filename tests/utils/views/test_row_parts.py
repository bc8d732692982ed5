"""Going through a split: all rows once, in order, as numbers; and the same rows for every metric."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from utils.decides.threshold import Threshold
from utils.types import Batch, Context
from utils.views.row_parts import judge_some, parts, sample


def split(n: int, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Batch:
    x = (torch.arange(n) % 256).reshape(n, *(1,) * len(shape)).expand(n, *shape).to(dtype)
    return Batch(x, torch.zeros(n).long(), torch.zeros(n).long(), torch.ones(n), torch.arange(n))


def context(seed: int | tuple[int, ...] = 0) -> Context:
    unused = cast(Any, None)
    return Context(unused, (), unused, unused, Threshold(0.5), seed, torch.Generator())


@pytest.mark.parametrize("shape", [(50, 3), (4, 50, 3)])
def test_a_table_and_a_stack_are_one_part_as_they_are(shape):
    batch = split(shape[0], shape[1:], torch.float32)
    (only,) = parts(batch)
    assert only is batch


@pytest.mark.parametrize(("shape", "size"), [((3, 32, 32), 21), ((1, 14, 14), 334), ((3, 224, 224), 8)])
def test_on_the_cpu_a_part_has_two_to_the_sixteen_numbers_and_at_least_eight_rows(shape, size):
    assert [len(part.y) for part in parts(split(size + 1, shape))] == [size, 1]


def test_the_parts_of_images_are_all_rows_in_order_in_the_unit_range():
    batch = split(700, (1, 14, 14))
    found = list(parts(batch))
    assert torch.equal(torch.cat([part.index for part in found]), batch.index)
    assert torch.equal(torch.cat([part.x for part in found]), batch.x / 255)


def test_no_images_are_one_part_without_rows():
    (only,) = parts(split(0, (1, 14, 14)))
    assert only.x.shape == (0, 1, 14, 14)
    assert only.x.is_floating_point()


def test_a_sample_is_some_of_the_rows_in_their_order_still_bytes():
    found = sample(split(100, (1, 2, 2)), 30, context())
    assert len(set(found.index.tolist())) == 30
    assert torch.equal(found.index, found.index.sort().values)
    assert torch.equal(found.x[:, 0, 0, 0], found.index.to(torch.uint8))


def test_a_smaller_sample_is_part_of_a_larger_one():
    few, more = (set(sample(split(100, (1, 2, 2)), n, context()).index.tolist()) for n in (10, 40))
    assert few < more


def test_another_seed_takes_other_rows():
    one, two = (sample(split(100, (1, 2, 2)), 30, context(seed)).index for seed in (0, 1))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("rows", [None, 100, 101])
def test_no_limit_or_one_above_the_split_takes_all_rows(rows):
    batch = split(100, (1, 2, 2))
    assert sample(batch, rows, context()) is batch


# --- rows that are judged ----------------------------------------------------------------------------------------


def test_fewer_judged_rows_are_some_of_more_in_the_order_of_the_split(dataset):
    data = dataset("lin")
    some, fewer = (judge_some(data, {"rows": rows}) for rows in (50, 20))
    assert (len(some.test.y), some.unjudged) == (50, len(data.test.y) - 50)
    assert set(fewer.test.index.tolist()) < set(some.test.index.tolist()) < set(data.test.index.tolist())
    order = {number: place for place, number in enumerate(data.test.index.tolist())}
    assert [order[number] for number in some.test.index.tolist()] == sorted(order[n] for n in some.test.index.tolist())
    assert torch.equal(some.test.x, data.test.x[[order[number] for number in some.test.index.tolist()]])


def test_a_row_is_judged_whatever_the_order_of_the_split(dataset):
    data = dataset("lin")
    backwards = replace(data, test=data.test.rows(torch.arange(len(data.test.y)).flip(0)))
    some, other = (judge_some(of, {"rows": 50}).test.index for of in (data, backwards))
    assert torch.equal(some, other.flip(0))


def test_no_more_rows_than_there_are_and_no_limit_leave_the_data_as_they_are(dataset):
    data = dataset("lin")
    assert judge_some(data, {"rows": len(data.test.y)}) is data
    assert judge_some(data, {"rows": None}) is judge_some(data, {}) is data
    assert judge_some(replace(data, shape=(1, 8, 8)), {"rows": 5}).test is data.test


def test_of_a_cut_data_set_all_that_are_left_out_are_counted(dataset):
    data = judge_some(judge_some(dataset("lin"), {"rows": 50}), {"rows": 20})
    assert data.unjudged == len(dataset("lin").test.y) - 20
