"""FRL: dual ascent on the errors of classes in validation."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from utils.regularizers.frl import ascend, loss_weights
from utils.types import Adaptation, Batch

SHADES = torch.tensor([25, 128, 230], dtype=torch.uint8)  # answered with class 0, 1 and 2
Y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
WRONG, BROKEN = [0, 8], [1, 4, 5]  # of the rows
# errors (.25, 0, .5), on all rows .2; boundary errors (.25, .5, 0), on all rows .3; bounds .07
NATURAL, BOUNDARY = [-0.02, -0.27, 0.23], [-0.12, 0.13, -0.37]


def by_shade(x):
    """Answers by the brightness of an image."""
    return F.one_hot((3 * x.flatten()).long(), 3).to(x)


def one_more(predict, batch, ctx):
    """An attack that changes the shade of the rows of BROKEN, and of those that are wrong anyway."""
    next_shade = SHADES[(batch.y + 1) % 3].to(batch.x).div(255).reshape(-1, 1, 1, 1)
    hit = torch.isin(batch.index, torch.tensor(BROKEN + WRONG)).reshape(-1, 1, 1, 1)
    return torch.where(hit, next_shade, batch.x)


@pytest.fixture
def valid():
    """Ten images of one pixel, as bytes."""
    shade = torch.where(torch.isin(torch.arange(10), torch.tensor(WRONG)), (Y + 2) % 3, Y)
    return Batch(SHADES[shade].reshape(-1, 1, 1, 1), Y, torch.zeros_like(Y), torch.ones(10), torch.arange(10))


@pytest.fixture
def frl(adaptation):
    """The adaptation with the attack of these tests and some settings changed."""

    def make(**changes):
        made = adaptation("frl", **{"warmup": 0.0} | changes)
        made.attack = one_more
        return made

    return make


def test_the_excesses_of_three_classes_by_hand(frl, valid, image_context):
    found = frl().excesses(by_shade, valid, image_context(valid))
    assert torch.allclose(found, torch.tensor([NATURAL, BOUNDARY], dtype=torch.float64))


def test_the_weights_after_one_step_by_hand(frl, valid, image_context):
    """mu = (0, 0, .0115), nu = (0, .013, 0), phi = (-.024, .026, -.074); exp(-.048) and exp(-.148) are below .98."""
    made = frl()
    made.epoch_ended(by_shade, valid, image_context(valid, epoch=0, epochs=10))
    assert made.class_weights() == {
        "margin": pytest.approx([0.98, math.exp(0.052), 0.98]),
        "natural": pytest.approx([1 - 0.0115, 1 - 0.0115, 1 + 2 * 0.0115]),
        "boundary": pytest.approx([1 - 0.013, 1 + 2 * 0.013, 1 - 0.013]),
    }


def test_rows_have_the_weights_of_their_class(frl, valid, image_context):
    made = frl()
    made.epoch_ended(by_shade, valid, image_context(valid, epoch=0, epochs=10))
    batch = valid.rows(torch.tensor([9, 4]))
    ctx = made.adapted(batch, image_context(batch))
    assert ctx.epsilon(batch, ctx).tolist() == pytest.approx([8 / 255 * 0.98, 8 / 255 * math.exp(0.052)])
    assert ctx.emphasis.natural.tolist() == pytest.approx([1.023, 0.9885])
    assert ctx.emphasis.boundary.tolist() == pytest.approx([0.987, 1.026])


def test_the_boundary_error_of_a_linear_model_under_the_default_attack(adaptation, images, image_context, linear):
    """A row is right at x and wrong at x' where 0 < (2y - 1) z <= r sum |w|."""
    batch, model = images(40, classes=2), linear
    with torch.no_grad():
        model[1].bias -= model(batch.x).mean()
    margin = (2 * batch.y - 1) * model(batch.x)[:, 0]
    broken = (margin > 0) & (margin <= 8 / 255 * model[1].weight.abs().sum())
    assert 0 < broken.sum() < 40
    expected = torch.stack([broken[batch.y == c].double().mean() for c in (0, 1)]) - broken.double().mean() - 0.07
    found = adaptation("frl", classes=2).excesses(model, batch, image_context(batch))
    assert torch.allclose(found[1], expected)


def test_the_weights_of_the_losses_are_1_on_average():
    found = loss_weights(torch.tensor([0.1, 0.3, 0.0]))
    assert torch.allclose(found, torch.tensor([0.9, 1.5, 0.6]))
    assert float(found.mean()) == pytest.approx(1)


def test_multipliers_are_not_negative():
    assert ascend(torch.tensor([0.1, 0.0]), torch.tensor([-0.2, 0.3]), 0.5).tolist() == pytest.approx([0, 0.3])


def test_multipliers_are_scaled_to_the_limit_of_their_sum():
    assert ascend(torch.tensor([0.4, 0.2]), torch.tensor([0.2, 0.2]), 0.5).tolist() == pytest.approx([0.3, 0.2])


def test_the_steps_of_the_losses_halve_after_every_third(frl, valid, image_context):
    """mu of class 2 rises by .05 * .23, nu of class 1 by .1 * .13, times 1, 1/2, 1/4; phi by .1 * .13 every time."""
    made, seen = frl(), []
    for epoch in range(3):
        made.epoch_ended(by_shade, valid, image_context(valid, epoch=epoch, epochs=4))
        seen.append(made.multipliers.clone())
    assert [float(mu[2]) for _, mu, _ in seen] == pytest.approx([0.0115, 0.01725, 0.020125])
    assert [float(nu[1]) for _, _, nu in seen] == pytest.approx([0.013, 0.0195, 0.02275])
    assert [float(phi[1]) for phi, _, _ in seen] == pytest.approx([0.026, 0.052, 0.078])


@pytest.mark.parametrize(("epoch", "moves"), [(3, False), (4, True), (8, True), (9, False)])
def test_the_ascent_is_from_the_end_of_the_warm_up_to_the_last_epoch(frl, valid, image_context, epoch, moves):
    """Of 10 epochs the first 5 warm up, and after the last there is nothing left to weigh."""
    made = frl(warmup=0.5)
    made.epoch_ended(by_shade, valid, image_context(valid, epoch=epoch, epochs=10))
    assert bool(made.multipliers.any()) == moves


def test_a_class_without_validation_rows_keeps_its_multipliers(frl, valid, image_context):
    made, rest = frl(), valid.rows(Y != 1)
    made.epoch_ended(by_shade, rest, image_context(rest, epoch=0, epochs=10))
    assert made.multipliers[:, 1].tolist() == [0, 0, 0]
    assert made.multipliers.isfinite().all()


def test_an_empty_validation_split_is_refused(frl, valid, image_context):
    none = valid.rows(slice(0, 0))
    with pytest.raises(ValueError, match=r"regularizer=frl.*validation split.*dataset\.valid"):
        frl(warmup=0.9).epoch_ended(by_shade, none, image_context(none, epoch=0, epochs=10))


def test_outside_a_training_it_learns_nothing(frl, valid, image_context):
    made = frl()
    before = copy.deepcopy(made.state_dict())
    made.epoch_ended(by_shade, valid, image_context(valid, epoch=None))
    made.observed(by_shade(valid.rows(slice(None)).x), valid, image_context(valid, epoch=None))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_a_resumed_run_goes_on_as_an_uninterrupted_one(frl, valid, image_context):
    ctx = image_context(valid, epoch=0, epochs=10)
    made, resumed = frl(), frl()
    made.epoch_ended(by_shade, valid, ctx)
    resumed.load_state_dict(made.state_dict())
    for each in (made, resumed):
        each.epoch_ended(by_shade, valid, replace(ctx, epoch=1))
    assert resumed.class_weights() == made.class_weights()
    assert isinstance(resumed, Adaptation)


@pytest.mark.parametrize("setting", [{"warmup": 1.1}, {"limit": 1.0}, {"halve_every": 0.0}, {"smallest": 4.0}])
def test_settings_out_of_range_are_refused(adaptation, setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=rf"regularizer\.frl\.{name}={value}.*expected"):
        adaptation("frl", **setting)
