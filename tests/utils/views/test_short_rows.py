"""Rows in short against the same rows written out, by whatever is asked of them."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from utils.types import Batch
from utils.views.row_parts import parts
from utils.views.short_rows import Places, ShortRows

N = 40
PLACES = Places(11, torch.tensor([0, 10]), torch.tensor([4]), torch.tensor([1, 5]), (3, 5))


def short(*front: int, seed: int = 0) -> ShortRows:
    source = torch.Generator().manual_seed(seed)
    levels = torch.stack([torch.randint(k, (*front, N), generator=source) for k in PLACES.levels], -1)
    return ShortRows(
        torch.randn(*front, N, 2, generator=source),
        torch.randint(2, (*front, N, 1), generator=source).to(torch.uint8),
        levels.to(torch.int16),
        PLACES,
    )


def ordinary(rows: ShortRows) -> Tensor:
    """The rows by definition, number by number."""
    x = torch.zeros(rows.shape)
    for at in np.ndindex(*rows.shape[:-1]):
        x[(*at, 0)], x[(*at, 10)] = rows.numbers[at]
        x[(*at, 4)] = rows.flags[at][0]
        for first, level in zip(PLACES.first.tolist(), rows.levels[at].tolist(), strict=True):
            x[(*at, first + level)] = 1
    return x


KEYS = [
    3,
    -1,
    slice(None),
    slice(2, 9),
    torch.tensor([5, 5, 0]),
    torch.arange(N) % 3 == 0,
    np.arange(N) % 2 == 0,
    [1, 2],
    (slice(None), 4),
    (slice(None), -1),
    (slice(3, 7), [0, 2, 7]),
    (slice(None), torch.tensor([1, 9])),
    (slice(None), slice(2, 6)),
    (torch.arange(N) > 30, 6),
    (torch.tensor([1, 2]), torch.tensor([3, 4])),
    (..., slice(0, 5), slice(None)),
    (..., 2),
    (None, slice(0, 2)),
    torch.arange(N * 11).reshape(N, 11) % 2 == 0,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_what_is_taken_is_what_the_ordinary_rows_hold(key):
    rows = short()
    taken = rows[key]
    assert not isinstance(taken, ShortRows)
    assert torch.equal(taken, ordinary(rows)[key])


def test_a_stack_is_in_short_and_so_is_each_of_its_models():
    one, other = short(seed=1), short(seed=2)
    stack = torch.stack([one, other])
    assert isinstance(stack, ShortRows)
    assert isinstance(stack[1], ShortRows)
    assert torch.equal(stack[1].written_out(), ordinary(other))
    keep = torch.tensor([[3, 1], [0, 39]])
    model = torch.arange(2).unsqueeze(1)
    assert torch.equal(stack[model, keep], torch.stack([ordinary(one), ordinary(other)])[model, keep])
    assert torch.equal(stack[..., :3, :], torch.stack([ordinary(one)[:3], ordinary(other)[:3]]))
    assert torch.equal(stack[..., 2], torch.stack([ordinary(one)[:, 2], ordinary(other)[:, 2]]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: 2 * x + 1,
        lambda x: x.T,
        lambda x: x.mean(0),
        lambda x: torch.cat([x, x]),
        lambda x: torch.stack([x, torch.zeros(N, 11)]),
        lambda x: x.double(),
        lambda x: x.to(torch.float64),
        lambda x: torch.from_numpy(x.cpu().numpy()),
        lambda x: torch.from_numpy(np.asarray(x)),
        lambda x: torch.tensor(x.tolist()),
        lambda x: nn.functional.linear(x, torch.ones(2, 11)),
        lambda x: torch.where(x > 0, x, -x),
        lambda x: x.split(7)[2],
        lambda x: x.clone().add_(1),
        lambda x: x.new_zeros(3),
        lambda x: torch.zeros(2, dtype=torch.float64).to(x),
        lambda x: copy.deepcopy(x)[:2],
        lambda x: pickle.loads(pickle.dumps(x))[:2],
        lambda x: x.gather(0, torch.zeros(1, 11, dtype=torch.int64)),
    ],
)
def test_any_operation_gives_what_the_ordinary_rows_give(ask):
    rows = short()
    found, right = ask(rows), ask(ordinary(rows))
    assert torch.equal(found, right)
    assert found.dtype == right.dtype
    assert type(found) is Tensor


def test_it_says_its_shape_without_writing_anything_out(monkeypatch):
    rows = short()
    monkeypatch.setattr(ShortRows, "written_out", lambda _: pytest.fail("written out"))
    assert (rows.shape, rows.ndim, len(rows), rows.dtype) == ((N, 11), 2, N, torch.float32)
    assert rows.is_floating_point()
    assert rows.numel() == N * 11
    assert nn.Linear(2, 2).to(rows).weight.dtype is torch.float32
    assert rows.stored == N * (2 * 4 + 1 + 2 * 2)
    assert "ShortRows((40, 11)" in repr(rows)
    assert isinstance(rows.to("cpu"), ShortRows)
    assert rows.detach() is rows


@pytest.mark.parametrize("front", [(), (3,)])
def test_parts_are_ordinary_rows_in_their_order(front, monkeypatch):
    monkeypatch.setattr("utils.views.row_parts.WRITTEN_OUT", 11 * 9 * 3)
    x = short(*front)
    y = torch.arange(x.shape[:-1].numel()).reshape(x.shape[:-1])
    found = list(parts(Batch(x, y, y, y.float(), y)))
    assert len(found) > 1
    assert all(type(part.x) is Tensor for part in found)
    assert torch.equal(torch.cat([part.x for part in found], -2), ordinary(x))
    assert torch.equal(torch.cat([part.index for part in found], -1), y)


def test_there_is_a_part_of_no_rows():
    none = Batch(short()._each(lambda part: part[:0]), *(torch.zeros(0).long() for _ in range(4)))
    (only,) = parts(none)
    assert only.x.shape == (0, 11)
