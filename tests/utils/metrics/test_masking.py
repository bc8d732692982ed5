"""Checks of the evaluation: silent for an honest network, loud for networks that hide their gradients."""

from functools import partial

import pytest
import torch

from utils.attacks.pgd import pgd
from utils.attacks.square import square
from utils.metrics.masking import masking, warnings_of
from utils.threats import pixels

PIXELS = partial(pixels, norm="linf")
PGD = partial(pgd, threat=PIXELS, steps=20, rel_step=0.1, restarts=1, random_start=True)
SQUARE = partial(square, threat=PIXELS, queries=300, p_init=0.8, restarts=1)


def check(model, batch, ctx, *, radius=0.1, rows=100, attack=PGD, black_box=SQUARE, large=0.5):
    return masking(model, batch, ctx, radius=radius, rows=rows, attack=attack, black_box=black_box, large=large)


@pytest.fixture
def honest(digits, image_context):
    model, batch = digits()
    return model, batch, image_context(batch)


def identity(predict, batch, ctx, *, threat):
    return batch.x


def test_an_honest_network_passes_every_check(honest):
    found = check(*honest)
    assert warnings_of(found) == []
    assert found["check_random"] == 0
    assert found["check_zero_gradient"] == 0
    assert found["check_large_radius"] == 0


def test_saturated_logits_are_seen_by_their_gradient(honest):
    """Logits times 1e6: the probability of the label is exactly 1 in floating point."""
    model, batch, ctx = honest
    found = check(lambda x: 1e6 * model(x), batch, ctx)
    assert found["check_zero_gradient"] > 0.9
    assert any("gradient of exactly 0" in sentence for sentence in warnings_of(found))


def test_a_quantised_input_is_seen_by_gradient_black_box_and_large_radius(honest):
    """Its derivative is 0 wherever it exists (the shattered gradients of Athalye et al. 2018, arXiv 1802.00420)."""
    model, batch, ctx = honest
    found = check(lambda x: model((2 * x).round() / 2), batch, ctx, radius=0.2)
    assert found["check_zero_gradient"] == 1
    assert found["check_black_box"] > 0.1
    assert len(warnings_of(found)) == 3


def test_random_answers_are_seen(honest):
    model, batch, ctx = honest
    stream = torch.Generator().manual_seed(0)
    found = check(lambda x: model(x + 0.05 * torch.randn(x.shape, generator=stream)), batch, ctx)
    assert found["check_random"] == 1
    assert any("random" in sentence for sentence in warnings_of(found))


def test_the_black_box_counts_for_rows_that_the_gradient_attack_leaves(linear_task, image_context):
    """The gradient attack does nothing, so every row that the exact attack breaks is one."""
    model, batch = linear_task(classes=2)

    def corner(predict, rows, ctx, *, threat):
        way = (model.weight[1 - rows.y] - model.weight[rows.y]).sign().reshape(rows.x.shape)
        return rows.x + ctx.epsilon(rows, ctx).reshape(-1, 1, 1, 1) * way

    def logit(x):
        z = model(x)
        return z[..., 1:] - z[..., :1]

    exact, lazy = partial(corner, threat=PIXELS), partial(identity, threat=PIXELS)
    settings = {"radius": 0.02, "rows": None, "large": 0.02}
    found = check(logit, batch, image_context(batch), attack=lazy, black_box=exact, **settings)
    lost = model.kept(batch, 0) & ~model.kept(batch, 0.02)
    assert found["check_black_box"] == pytest.approx(float(lost.double().mean()))
    assert check(logit, batch, image_context(batch), attack=exact, black_box=exact, **settings)["check_black_box"] == 0


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_large_radius_reaches_plain_grey_where_no_model_beats_the_largest_class(honest, norm):
    def grey(predict, batch, ctx, *, threat):
        at_large = ctx.epsilon(batch, ctx)[0] > 0.4
        return torch.full_like(batch.x, 0.5) if at_large else batch.x

    attack = partial(grey, threat=partial(pixels, norm=norm))
    found = check(*honest, attack=attack, black_box=attack)
    assert 0 <= found["check_large_radius"] <= found["check_chance"] < 0.3


def test_chance_is_the_share_of_the_largest_class(honest):
    model, batch, ctx = honest
    lazy = partial(identity, threat=PIXELS)
    found = check(model, batch, ctx, rows=None, attack=lazy, black_box=lazy)
    assert found["check_chance"] == pytest.approx(int(batch.y.bincount().max()) / len(batch.y))


def test_an_attack_that_does_nothing_fails_at_the_large_radius(honest):
    lazy = partial(identity, threat=PIXELS)
    (sentence,) = warnings_of(check(*honest, attack=lazy, black_box=lazy))
    assert "turns every image grey" in sentence


def test_checks_twice_give_the_same(honest):
    assert check(*honest, rows=30) == check(*honest, rows=30)


def test_an_attack_without_a_threat_is_refused(honest):
    with pytest.raises(ValueError, match="names no threat"):
        check(*honest, attack=lambda predict, batch, ctx: batch.x)


def test_no_rows_and_no_checks_give_no_warnings(honest):
    assert warnings_of(check(*honest, rows=0)) == []
    assert warnings_of({"accuracy": 0.9}) == []
