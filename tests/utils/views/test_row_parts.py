"""Going through a split: all rows once, in order, as numbers; and the same rows for every metric."""

from typing import Any, cast

import pytest
import torch

from utils.decides.threshold import Threshold
from utils.types import Batch, Context
from utils.views.row_parts import parts, sample


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
