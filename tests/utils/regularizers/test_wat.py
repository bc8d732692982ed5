"""WAT: weights of classes by their robust losses on the validation rows."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from utils.regularizers.wat import Wat, hedge
from utils.types import Adaptation, Context

LOSSES = torch.tensor([3.0, 1.0, 2.0, 2.0], dtype=torch.float64)  # of three classes, and their mean


def still(predict, batch, ctx: Context):
    """An attack that moves nothing."""
    return batch.x


def answering(probabilities: list[list[float]]):
    """A model that answers row i of a batch, whatever it is, by the i-th probabilities, again and again."""
    logits = torch.tensor(probabilities, dtype=torch.float64).log()
    return lambda x: logits[torch.arange(len(x)) % len(logits)]


def test_the_weights_of_three_classes_by_hand():
    """q = 3 exp(.1 L) / (e^.3 + e^.1 + 2 e^.2); a weight is (q_i + q_mean) / 1.5."""
    total = math.exp(0.3) + math.exp(0.1) + 2 * math.exp(0.2)
    expected = [3 * (math.exp(0.1 * own) + math.exp(0.2)) / total / 1.5 for own in (3, 1, 2)]
    assert hedge(LOSSES, 0.1).tolist() == pytest.approx(expected)
    assert hedge(LOSSES, 0.1)[0] > hedge(LOSSES, 0.1)[2] > hedge(LOSSES, 0.1)[1]


def test_while_nothing_was_lost_or_at_rate_0_all_weights_are_1():
    assert hedge(torch.zeros(4), 0.1).tolist() == pytest.approx([1, 1, 1])
    assert hedge(LOSSES, 0.0).tolist() == pytest.approx([1, 1, 1])


def test_a_large_rate_gives_all_to_the_class_that_lost_most():
    assert hedge(LOSSES, 1e3).tolist() == pytest.approx([2, 0, 0])


def test_it_is_an_adaptation_that_leaves_radii_alone(adaptation):
    wat = adaptation("wat", beta=None)
    assert isinstance(wat, Adaptation)
    assert not wat.sets_margins
    assert wat.acts_from(5) == 1


def test_losses_of_a_class_are_means_over_its_rows_and_add_up_over_epochs(images, image_context):
    """Two classes' rows in turn: -log .8 and the mean of -log .5 and -log .25; a still attack has no divergence."""
    batch = images(4, classes=2)
    model = answering([[0.8, 0.2], [0.5, 0.5], [0.8, 0.2], [0.75, 0.25]])
    wat = Wat(classes=2, rate=0.1, beta=6.0, attack=still)
    ctx = image_context(batch, epoch=0, epochs=3)
    for epoch in (0, 1):
        wat.epoch_ended(model, batch, replace(ctx, epoch=epoch))
    first, second = -math.log(0.8), -(math.log(0.5) + math.log(0.25)) / 2
    assert wat.losses.tolist() == pytest.approx([2 * first, 2 * second, first + second])
    w = hedge(wat.losses, 0.1).tolist()
    assert wat.class_weights() == {"margin": [1, 1], "natural": pytest.approx(w), "boundary": pytest.approx(w)}


@pytest.mark.parametrize(("beta", "parts"), [(6.0, (1.0, 6.0)), (0.0, (1.0, 0.0))])
def test_the_loss_is_that_of_trades(images, image_context, beta, parts):
    """Rows answered (.8, .2) at x and (.4, .6) at x': CE = -log .8, KL = .8 log 2 + .2 log(1/3)."""
    batch = images(2, classes=2)._replace(y=torch.zeros(2, dtype=torch.int64))
    clean, moved = ([[p, 1 - p]] for p in (0.8, 0.4))

    def model(x):
        return answering(clean if torch.equal(x, batch.x) else moved)(x)

    wat = Wat(classes=2, rate=0.1, beta=beta, attack=lambda p, rows, c: rows.x + 0.1)
    found = wat.class_losses(model, batch, image_context(batch))
    natural, boundary = -math.log(0.8), 0.8 * math.log(2) + 0.2 * math.log(1 / 3)
    assert found.tolist() == pytest.approx([parts[0] * natural + parts[1] * boundary, 0])
    alone = Wat(classes=2, rate=0.1, beta=None, attack=lambda p, rows, c: rows.x + 0.1)
    assert alone.class_losses(model, batch, image_context(batch)).tolist() == pytest.approx([-math.log(0.4), 0])


def test_the_last_epoch_and_no_epoch_measure_nothing(images, image_context):
    batch, wat = images(4, classes=2), Wat(classes=2, rate=0.1, beta=None, attack=still)
    for epoch in (None, 2):
        wat.epoch_ended(answering([[0.9, 0.1]]), batch, image_context(batch, epoch=epoch, epochs=3))
    assert not wat.losses.any()


def test_it_asks_for_validation_rows(adaptation, images, image_context):
    batch = images()
    with pytest.raises(
        ValueError, match=r"regularizer=wat measures the classes on the validation split.*dataset\.valid"
    ):
        adaptation("wat", beta=None).epoch_ended(nn.Identity(), batch.rows(slice(0, 0)), image_context(batch))


@pytest.mark.parametrize("setting", [{"rate": -1.0}, {"beta": -1.0}])
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValueError, match=f"regularizer.wat.{next(iter(setting))}"):
        Wat(**{"classes": 3, "rate": 0.1, "beta": None, "attack": still} | setting)
