"""Checks of the evaluation: silent for an honest network, loud for networks that hide their gradients."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

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
    assert found["check_zero_slope"] == 0
    (sentence,) = warnings_of(found)
    assert "attacks on the cross-entropy stand still there; ours climb the log-odds, and their figures hold" in sentence


def test_a_quantised_input_is_seen_by_gradient_black_box_and_large_radius(honest):
    """Its derivative is 0 wherever it exists (the shattered gradients of Athalye et al. 2018, arXiv 1802.00420)."""
    model, batch, ctx = honest
    found = check(lambda x: model((2 * x).round() / 2), batch, ctx, radius=0.2)
    assert found["check_zero_gradient"] == found["check_zero_slope"] == 1
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


# --- wrappers ----------------------------------------------------------------------------------------------------


class Through(torch.autograd.Function):
    """A value as it is, and a slope in its place."""

    @staticmethod
    def forward(ctx, value, slope):
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx, gradient):
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def in_steps(x, slope):
    """x in steps of 1/2, with another slope than 0."""
    return Through.apply(x + ((2 * x).round() / 2 - x).detach(), torch.as_tensor(slope, dtype=x.dtype))


def one_pixel(x):
    slope = torch.zeros_like(x[0])
    slope[..., 3, 3] = 1
    return in_steps(x, slope.expand_as(x))


def noise_of(x, scale):
    """Noise that is drawn by the input, the same for the same image."""
    seeds = (x.detach().flatten(1) * 1e4).sum(1).round().long()
    drawn = [torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return scale * torch.stack(drawn) if drawn else torch.zeros_like(x)


RANDOM, FLAT, LARGE_LOGITS = "answers are random", "no attack by gradients moves", "large logits"
BLACK_BOX, FAILS = "broken by a black-box attack", "turns every image grey"
# a model in a wrapper, and what is said of it; where nothing is, or of large logits, the figure under gradients holds
WRAPPERS = {
    "a quantiser without gradient": (lambda m, x: m((2 * x).round() / 2), {FLAT, BLACK_BOX, FAILS}),
    "a quantiser with the gradient of one pixel": (lambda m, x: m(one_pixel(x)), {BLACK_BOX, FAILS}),
    "a quantiser with a slope of .001": (lambda m, x: m(in_steps(x, 1e-3)), set()),
    "one-hot logits": (lambda m, x: F.one_hot(m(x).argmax(-1), 10) + 0 * m(x), {FLAT, BLACK_BOX, FAILS}),
    "a sine of the input": (lambda m, x: m(x + 0.1 * (300 * x).sin()), {BLACK_BOX, FAILS}),
    "noise on the input": (lambda m, x: m(x + 0.05 * torch.randn(x.shape)), {RANDOM}),
    "noise on the logits": (lambda m, x: m(x) + 0.5 * torch.randn(len(x), 10), {RANDOM}),
    "noise drawn by the input": (lambda m, x: m(x + noise_of(x, 0.05)), set()),
    "logits x 1e4": (lambda m, x: 1e4 * m(x), {LARGE_LOGITS}),
    "logits x 1e8": (lambda m, x: 1e8 * m(x), {LARGE_LOGITS}),
    "rounded logits": (lambda m, x: (100 * m(x)).round() / 100, {FLAT, BLACK_BOX, FAILS}),
    "rounded logits with a slope of 1": (lambda m, x: m(x) + ((10 * m(x)).round() / 10 - m(x)).detach(), set()),
    "logits through a saturated tanh": (lambda m, x: (1e3 * m(x)).tanh(), {FLAT, BLACK_BOX, FAILS}),
}


ALIKE = {  # others, here or above, are seen or not in the same way
    "a quantiser without gradient",
    "one-hot logits",
    "noise on the input",
    "logits x 1e8",
    "rounded logits with a slope of 1",
    "logits through a saturated tanh",
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in WRAPPERS])
def test_what_each_check_sees_and_what_it_does_not(honest, name):
    """Of what is not seen the black box breaks hardly a row that the gradient attack leaves: nothing is inflated."""
    model, batch, ctx = honest
    wrap, expected = WRAPPERS[name]
    found = check(partial(wrap, model), batch, ctx)
    said = " ".join(warnings_of(found))
    assert {phrase for phrase in (RANDOM, FLAT, LARGE_LOGITS, BLACK_BOX, FAILS) if phrase in said} == expected
    assert len(warnings_of(found)) == len(expected)
    if not expected - {LARGE_LOGITS}:
        assert found["check_black_box"] <= 0.02
