"""The plain loss."""

import torch
from torch import nn

from tests import oracles
from utils.regularizers.erm import erm


def test_it_is_the_loss_of_every_row(dataset, context):
    rows, model = dataset("lin").test, nn.Linear(3, 1)
    found = erm(model, rows, context("lin"))
    expected = [oracles.bce(z, y) for z, y in zip(model(rows.x)[:, 0].tolist(), rows.y.tolist(), strict=True)]
    assert torch.allclose(found.double(), torch.stack(expected), atol=1e-6)


def test_it_carries_gradient_to_the_model(dataset, context):
    model = nn.Linear(3, 1)
    erm(model, dataset("lin").test, context("lin")).mean().backward()
    assert model.weight.grad.abs().sum() > 0
