"""FAIR-TAT: inner attacks that lead to the classes that many are mistaken for."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from utils.losses.objective import Weighted, make_objective
from utils.regularizers.fair_tat import FairTat
from utils.types import Adaptation

ROWS = 3000


def taught(fair_tat, batch, ctx, taken_for):
    """The adaptation after an epoch whose rows were taken for these classes."""
    fair_tat.observed(nn.functional.one_hot(taken_for, 3).double(), batch, ctx)
    fair_tat.epoch_ended(nn.Identity(), batch, ctx)
    return fair_tat


def targets(fair_tat, batch, ctx):
    """The classes that the rows are led to."""
    return fair_tat.adapted(batch, ctx).towards


def test_it_is_an_adaptation_that_acts_in_every_epoch(adaptation):
    fair_tat = adaptation("fair_tat")
    assert isinstance(fair_tat, Adaptation)
    assert fair_tat.acts_from(1) == 0
    assert fair_tat.remarks(()) == []


def test_in_the_first_epoch_every_other_class_is_as_likely(adaptation, images, image_context):
    """Standard error of a share of 1,000 rows: .016."""
    batch = images(ROWS)
    found = targets(adaptation("fair_tat"), batch, image_context(batch, epoch=0, epochs=5))
    assert not (found == batch.y).any()
    for c in range(3):
        share = found[batch.y == c].bincount(minlength=3) / (ROWS / 3)
        assert share.tolist() == pytest.approx([0.0 if k == c else 0.5 for k in range(3)], abs=0.07)


def test_later_ones_are_drawn_by_the_false_positives_of_the_last_epoch(adaptation, images, image_context):
    """Of 8 rows of each class 0 and 1 all go to 2, and 4 of class 2 to class 1: shares (0, .2, .8) of 20.

    A row of class 0 goes to 1 or 2 by exp(.4) : exp(1.6).
    """
    some = images(24)
    taken_for = torch.where(some.y < 2, 2, torch.where(torch.arange(24) < 12, 1, 2))
    ctx = image_context(some, epoch=0, epochs=5)
    fair_tat = taught(adaptation("fair_tat"), some, ctx, taken_for)
    chances = torch.tensor([0, 0.4, 1.6], dtype=torch.float64).softmax(-1)
    assert fair_tat.class_weights()["target"] == pytest.approx(chances.tolist())
    batch = images(ROWS)
    found = targets(fair_tat, batch, image_context(batch, epoch=1, epochs=5))
    share = found[batch.y == 0].bincount(minlength=3) / (ROWS / 3)
    assert share.tolist() == pytest.approx([0, *(chances[1:] / chances[1:].sum()).tolist()], abs=0.07)
    assert not (found == batch.y).any()


def test_the_radius_is_that_of_cfa(adaptation, images, image_context):
    """Classes 0 and 1 are never right at x', class 2 half the time: .5, .5 and 1 times the radius."""
    batch = images(24)
    taken_for = torch.where(batch.y < 2, 2, torch.where(torch.arange(24) < 12, 1, 2))
    ctx = image_context(batch, epoch=0, epochs=5)
    fair_tat = taught(adaptation("fair_tat"), batch, ctx, taken_for)
    assert fair_tat.class_weights()["margin"] == [0.5, 0.5, 1.0]
    assert fair_tat.class_weights()["natural"] == [1, 1, 1]


def test_draws_depend_on_seed_epoch_and_row_alone(adaptation, images, image_context):
    batch, fair_tat = images(60), adaptation("fair_tat")
    ctx = image_context(batch, epoch=1, epochs=5)
    whole = targets(fair_tat, batch, ctx)
    part = batch.rows(torch.arange(59, -1, -2))
    assert torch.equal(targets(fair_tat, part, ctx), whole[torch.arange(59, -1, -2)])
    assert not torch.equal(targets(fair_tat, batch, replace(ctx, epoch=2)), whole)
    assert not torch.equal(targets(fair_tat, batch, replace(ctx, seed=1)), whole)


def test_the_inner_attack_leads_to_the_target(term, images, image_context):
    """Of three classes whose logits are means of thirds of the image: towards class 2 its pixels rise to the radius."""
    batch = images(6)._replace(y=torch.zeros(6, dtype=torch.int64))
    thirds = [slice(0, 5), slice(5, 10), slice(10, 15)]

    def model(x):
        flat = x.flatten(1)
        return torch.stack([flat[:, third].mean(1) for third in thirds], -1)

    seen = []

    def noting(x):
        seen.append(x)
        return model(x)

    pgd_at = term("pgd_at", start="clean", steps=4)
    ctx = image_context(batch, towards=torch.full((6,), 2))
    pgd_at(noting, batch, replace(ctx, view=model))
    moved = (seen[-1] - batch.x).flatten(1) * 255 / 8
    assert torch.allclose(moved[:, thirds[2]], torch.ones(6, 5).double())
    assert torch.allclose(moved[:, thirds[0]], -torch.ones(6, 5).double())


def test_of_two_classes_it_is_the_attack_of_the_term(adaptation, term, images, image_context, linear):
    batch = images(8, classes=2)
    pgd_at = {"pgd_at": Weighted(1.0, term("pgd_at"))}
    ctx = image_context(batch, epoch=0, epochs=5)
    alone, _ = make_objective(0.0, pgd_at)(linear, batch, ctx)
    beside, _ = make_objective(0.0, pgd_at, [adaptation("fair_tat", classes=2)])(linear, batch, ctx)
    assert beside.item() == pytest.approx(alone.item(), rel=1e-9)


def test_a_sharpness_below_0_is_refused():
    with pytest.raises(ValueError, match=r"regularizer\.fair_tat\.sharpness"):
        FairTat(classes=3, sharpness=-1.0, margin_offset=0.5)
