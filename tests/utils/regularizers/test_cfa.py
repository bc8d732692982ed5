"""CFA: radius and regularisation of each class by its robustness in training."""

import copy
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from utils.regularizers.cfa import Cfa, calibrate
from utils.types import Adaptation, Emphasis

BETA = 6.0


def taught(cfa, batch, ctx, wrong, *, at=0, epochs=20):
    """The adaptation after an epoch in which the rows of these numbers were answered wrongly at x'."""
    ctx = replace(ctx, epoch=at, epochs=epochs)
    answer = torch.where(torch.isin(batch.index, torch.tensor(wrong)), (batch.y + 1) % 3, batch.y)
    cfa.observed(torch.nn.functional.one_hot(answer, 3).double(), batch, ctx)
    cfa.epoch_ended(nn.Identity(), batch, ctx)
    return cfa


def test_the_weights_by_hand():
    """t = (.75, .25): radius t + .5; beta_i = 7.5 and 4.5; natural 7 / (1 + beta_i), boundary that times beta_i / 6."""
    found = calibrate(torch.tensor([0.75, 0.25]), 0.5, 0.5, BETA)
    expected = [[1.25, 0.75], [7 / 8.5, 7 / 5.5], [7 / 8.5 * 7.5 / 6, 7 / 5.5 * 4.5 / 6]]
    assert torch.allclose(found, torch.tensor(expected))


def test_without_beta_the_radius_alone_is_calibrated():
    found = calibrate(torch.tensor([0.75, 0.25]), 0.5, 0.5, None)
    assert found.tolist() == [[1.25, 0.75], [1, 1], [1, 1]]


def test_a_class_at_half_its_rows_right_is_trained_as_without():
    assert calibrate(torch.tensor([0.5]), 0.5, 0.5, BETA).tolist() == [[1], [1], [1]]


def test_with_trades_it_is_the_calibrated_loss_of_the_paper(adaptation, images, image_context, network, term):
    """(1 + beta) times l / (1 + beta_i) + beta_i / (1 + beta_i) KL, with beta_i = (.5 + t_i) beta."""
    batch = images()
    cfa = taught(adaptation("cfa", beta=BETA), batch, image_context(batch), [0, 1, 4, 7])
    t = torch.tensor([0.75, 0.25, 1.0], dtype=torch.float64)  # 4 rows each; of class 1 those of 1, 4 and 7
    own = (0.5 + t[batch.y]) * BETA
    adapted, model = cfa.adapted(batch, image_context(batch)), network.eval()
    one, none = torch.ones_like(own), torch.zeros_like(own)
    natural, divergence = (
        term("trades", beta=1.0)(model, batch, replace(adapted, emphasis=only))
        for only in (Emphasis(one, none), Emphasis(none, one))
    )
    found = term("trades", beta=BETA)(model, batch, adapted)
    assert torch.allclose(found / (1 + BETA), natural / (1 + own) + own / (1 + own) * divergence, atol=1e-12)


def test_the_share_is_of_the_rows_of_the_class_over_all_batches(adaptation, images, image_context):
    batch, cfa = images(), adaptation("cfa", beta=None)
    ctx = image_context(batch, epoch=0, epochs=20)
    answer = batch.y.clone()
    answer[[0, 3]] = 2  # two of the four rows of class 0
    for part in (slice(0, 2), slice(2, 12)):
        cfa.observed(torch.nn.functional.one_hot(answer, 3).double()[part], batch.rows(part), ctx)
    cfa.epoch_ended(nn.Identity(), batch, ctx)
    assert cfa.class_weights()["margin"] == [1, 1.5, 1.5]


def test_each_epoch_is_judged_by_itself(adaptation, images, image_context):
    batch, cfa = images(), adaptation("cfa", beta=None)
    taught(cfa, batch, image_context(batch), [0, 3, 6, 9], at=0)
    taught(cfa, batch, image_context(batch), [1], at=1)
    assert cfa.class_weights()["margin"] == [1.5, 1.25, 1.5]


def test_the_published_warm_up_is_ten_of_two_hundred_epochs(adaptation, images, image_context):
    batch, cfa = images(), adaptation("cfa", beta=None)
    taught(cfa, batch, image_context(batch), [0], at=8, epochs=200)
    assert cfa.class_weights()["margin"] == [1, 1, 1]
    taught(cfa, batch, image_context(batch), [0], at=9, epochs=200)
    assert cfa.class_weights()["margin"] == [1.25, 1.5, 1.5]


def test_a_class_that_an_epoch_has_no_rows_of_keeps_its_weights(adaptation, images, image_context):
    batch, cfa = images(), adaptation("cfa", beta=None)
    taught(cfa, batch, image_context(batch), [2])
    rest = batch.rows(batch.y != 2)
    taught(cfa, rest, image_context(rest), [], at=1)
    assert cfa.class_weights()["margin"] == [1.5, 1.5, 1.25]


def test_outside_a_training_it_learns_nothing(adaptation, images, image_context):
    batch, cfa = images(), adaptation("cfa", beta=BETA)
    before = copy.deepcopy(cfa.state_dict())
    taught(cfa, batch, image_context(batch), [0], at=None, epochs=0)
    assert all(torch.equal(value, before[name]) for name, value in cfa.state_dict().items())


def test_beside_no_term_that_attacks_it_is_refused(adaptation, images, image_context):
    batch = images()
    with pytest.raises(ValueError, match=r"regularizer=cfa learns.*\[trades,cfa\]"):
        adaptation("cfa", beta=BETA).epoch_ended(nn.Identity(), batch, image_context(batch, epoch=0, epochs=2))


def test_a_resumed_run_knows_the_weights(adaptation, images, image_context):
    batch = images()
    cfa = taught(adaptation("cfa", beta=BETA), batch, image_context(batch), [0, 1])
    resumed = adaptation("cfa", beta=BETA)
    resumed.load_state_dict(cfa.state_dict())
    assert resumed.class_weights() == cfa.class_weights()
    assert isinstance(resumed, Adaptation)


@pytest.mark.parametrize(("beside", "beta"), [("trades", 6.0), ("mart", 5.0), ("pgd_at", None)])
def test_beta_is_that_of_the_term_beside_it(option, beside, beta):
    term = option("regularizer", beside)[beside] | ({} if beta is None else {"beta": beta})
    both = OmegaConf.create({"regularizer": {beside: term, **option("regularizer", "cfa")}})
    assert both.regularizer.cfa.beta == beta


@pytest.mark.parametrize("setting", [{"warmup": 1.1}, {"margin_offset": -0.1}, {"weight_offset": -0.1}, {"beta": -1.0}])
def test_settings_out_of_range_are_refused(setting):
    ((name, value),) = setting.items()
    fine = {"classes": 3, "warmup": 0.05, "margin_offset": 0.5, "weight_offset": 0.5, "beta": 6.0}
    with pytest.raises(ValueError, match=rf"regularizer\.cfa\.{name}={value}: expected"):
        Cfa(**fine | setting)
