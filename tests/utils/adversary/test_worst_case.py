"""The worst case over attacks, on a model of one pixel where it can be said by hand."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from utils import seeding
from utils.adversary.worst_case import threat_of, within_budget, worst_case
from utils.decides.threshold import Threshold
from utils.scms.none import none
from utils.threats import everywhere, pixels
from utils.types import Batch, Context

PIXELS = partial(pixels, norm="linf")


def brightness(x):
    """Class 1 where the pixel is .5 or more."""
    return x.flatten(1) - 0.5


def shift(predict, batch, ctx, *, threat, way):
    return (batch.x + way * ctx.epsilon(batch, ctx).reshape(-1, 1, 1, 1)).clamp(0, 1)


def noise(predict, batch, ctx, *, threat):
    return (batch.x + 0.1 * ctx.generator.uniform(threat(ctx).zero(batch.x)).squeeze(0)).clamp(0, 1)


DARKER, BRIGHTER = (partial(shift, threat=PIXELS, way=way) for way in (-1, 1))


@pytest.fixture
def batch():
    """Wrong from the start; broken by darkening; by brightening; by neither. The radius is .125."""
    x, y = torch.tensor([0.25, 0.5625, 0.4375, 0.75]).reshape(4, 1, 1, 1), torch.tensor([1, 1, 0, 1])
    return Batch(x, y, torch.zeros(4).long(), torch.ones(4), torch.tensor([7, 3, 9, 5]))


@pytest.fixture
def ctx(batch):
    return Context(
        scm=none(SimpleNamespace(loc=torch.zeros(1)), seed=0),
        columns=(),
        attack=DARKER,
        epsilon=everywhere(0.125),
        decide=Threshold(0.5),
        seed=0,
        generator=seeding.Rows(0, batch.index),
    )


def test_each_row_names_the_first_attack_that_breaks_it(batch, ctx):
    _, first = worst_case(brightness, batch, ctx, {"darker": DARKER, "brighter": BRIGHTER})
    assert first.tolist() == [-2, 0, 1, -1]


def test_the_order_of_the_attacks_is_that_of_the_positions(batch, ctx):
    _, first = worst_case(brightness, batch, ctx, {"brighter": BRIGHTER, "darker": DARKER})
    assert first.tolist() == [-2, 1, 0, -1]


def test_a_broken_row_comes_with_the_point_that_broke_it_and_any_other_as_it_is(batch, ctx):
    moved, _ = worst_case(brightness, batch, ctx, {"darker": DARKER, "brighter": BRIGHTER})
    assert moved.flatten().tolist() == [0.25, 0.4375, 0.5625, 0.75]


def test_an_attack_sees_only_rows_that_are_still_right(batch, ctx):
    seen = []

    def watched(predict, rows, ctx, *, way):
        seen.append(rows.index.tolist())
        return shift(predict, rows, ctx, threat=PIXELS, way=way)

    worst_case(brightness, batch, ctx, {"darker": partial(watched, way=-1), "brighter": partial(watched, way=1)})
    assert seen == [[3, 9, 5], [9, 5]]


def test_without_attacks_it_is_what_is_wrong_from_the_start(batch, ctx):
    moved, first = worst_case(brightness, batch, ctx, {})
    assert first.tolist() == [-2, -1, -1, -1]
    assert torch.equal(moved, batch.x)


def test_an_attack_that_leaves_its_set_is_caught(batch, ctx):
    far = replace(ctx, epsilon=everywhere(0.2))

    def cheat(predict, rows, ctx, *, threat):
        return DARKER(predict, rows, far)

    with pytest.raises(AssertionError, match="left its ball"):
        worst_case(brightness, batch, ctx, {"cheat": partial(cheat, threat=PIXELS)})


def test_an_attack_draws_the_same_numbers_whatever_stands_beside_it(batch, ctx):
    """And another attack draws others: each has a stream of its own, by row."""
    found = {}

    def kept(predict, rows, ctx, *, name):
        moved = noise(predict, rows, ctx, threat=PIXELS)
        found[name] = dict(zip(rows.index.tolist(), (moved - rows.x).flatten().tolist(), strict=True))
        return rows.x

    worst_case(brightness, batch, ctx, {"a": partial(kept, name="alone")})
    worst_case(
        brightness, batch, ctx, {"darker": DARKER, "a": partial(kept, name="after"), "b": partial(kept, name="b")}
    )
    assert found["after"] == {row: found["alone"][row] for row in (9, 5)}
    assert not set(found["after"].values()) & set(found["b"].values())


def test_within_budget_gives_what_the_attack_gives(batch, ctx):
    assert torch.equal(within_budget(BRIGHTER, brightness, batch, ctx), batch.x + 0.125)


def test_the_threat_of_an_attack_is_what_its_settings_name():
    assert threat_of(DARKER) is PIXELS
    assert threat_of(lambda predict, batch, ctx: batch.x) is None
