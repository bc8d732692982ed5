"""Weights of classes on radius and emphasis of rows."""

from dataclasses import replace

import torch

from utils.regularizers.by_class import alike, by_class, class_sums, warm_epochs
from utils.types import Emphasis

WEIGHTS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], dtype=torch.float64)


def test_each_row_has_the_weights_of_its_class(images, image_context):
    batch = images(4)  # classes 0, 1, 2, 0
    ctx = by_class(WEIGHTS, batch, image_context(batch))
    assert torch.allclose(ctx.epsilon(batch, ctx), 8 / 255 * torch.tensor([1, 2, 3, 1], dtype=torch.float64))
    assert ctx.emphasis.natural.tolist() == [4, 5, 6, 4]
    assert ctx.emphasis.boundary.tolist() == [7, 8, 9, 7]


def test_the_radius_follows_the_rows_that_ask(images, image_context):
    batch = images(4)
    ctx = by_class(WEIGHTS, batch, image_context(batch))
    part = batch.rows(torch.tensor([2, 1]))
    assert torch.equal(ctx.epsilon(part, ctx), ctx.epsilon(batch, ctx)[[2, 1]])


def test_adaptations_compose_by_multiplication(images, image_context):
    batch = images(4)
    given = Emphasis(*(torch.full((4,), value, dtype=torch.float64) for value in (10.0, 100.0)))
    ctx = by_class(WEIGHTS, batch, replace(image_context(batch), emphasis=given))
    ctx = by_class(WEIGHTS, batch, ctx)
    assert torch.allclose(ctx.epsilon(batch, ctx), 8 / 255 * torch.tensor([1, 4, 9, 1], dtype=torch.float64))
    assert ctx.emphasis.natural.tolist() == [160, 250, 360, 160]
    assert ctx.emphasis.boundary.tolist() == [4900, 6400, 8100, 4900]


def test_classes_alike_leave_every_bit_of_a_radius(images, image_context):
    batch = images(4)
    batch = batch._replace(w=batch.w.float())
    plain = image_context(batch)
    ctx = by_class(alike(3), batch, plain)
    radius = ctx.epsilon(batch, ctx)
    assert torch.equal(radius, plain.epsilon(batch, plain))
    assert radius.dtype == torch.float32


def test_sums_are_over_the_rows_of_each_class():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = class_sums(values, torch.tensor([2, 0, 2]), 4)
    assert found.tolist() == [[3, 4], [0, 0], [6, 8], [0, 0]]


def test_the_published_share_of_a_warm_up_is_70_of_110_epochs():
    assert warm_epochs(0.6364, 110) == 70


def test_a_warm_up_is_never_shorter_than_an_epoch():
    assert warm_epochs(0.0, 8) == warm_epochs(0.01, 8) == 1
