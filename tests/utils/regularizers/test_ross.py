"""One step of recourse."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils import build


@pytest.fixture(scope="module")
def ross(option):
    """The term with some settings changed."""

    def run(model, rows, ctx, **changes):
        node = option("regularizer", "ross")["ross"] | {"step": 0.75, "mask": "actionable"} | changes
        return build.terms({"regularizer": {"ross": node}})["ross"].term(model, rows, ctx)

    return run


def test_one_step_by_hand(dataset, context, ross):
    """x = (0, 0, 0), w = (9, 3, 4), b = 0: .75 along (0, 3, 4) / 5, so z' = .75 * 5 and l = log(1 + exp(-3.75))."""
    model = nn.Linear(3, 1).requires_grad_(False)
    model.weight.copy_(torch.tensor([[9.0, 3.0, 4.0]]))
    model.bias.zero_()
    row = dataset("lin").test.rows(slice(0, 1))
    found = ross(model, row._replace(x=torch.zeros(1, 3)), context("lin"))
    assert found.item() == pytest.approx(0.023247, abs=1e-5)


@pytest.mark.parametrize(("mask", "kept"), [("actionable", [1, 2]), ("all", [0, 1, 2])])
def test_on_a_linear_model_recourse_adds_the_step_times_the_norm_of_the_masked_weights(
    dataset, context, ross, mask, kept
):
    model, rows = nn.Linear(3, 1), dataset("lin").test
    found = ross(model, rows, context("lin"), step=0.5, mask=mask)
    expected = F.softplus(-(model(rows.x)[:, 0] + 0.5 * model.weight[0, kept].norm()))
    assert torch.allclose(found, expected, atol=1e-5)


def test_it_does_not_depend_on_the_labels_or_the_radius(dataset, context, ross, trained):
    rows = dataset("loan").test
    first = ross(trained("loan"), rows, context("loan", radius=0.0))
    assert torch.equal(first, ross(trained("loan"), rows._replace(y=1 - rows.y), context("loan", radius=5.0)))


def test_a_flat_model_moves_no_row(dataset, context, ross):
    model = nn.Linear(3, 1)
    nn.init.zeros_(model.weight)
    found = ross(model, dataset("lin").test, context("lin"))
    assert torch.allclose(found, F.softplus(-model.bias).expand_as(found))


def test_its_gradient_holds_the_step_fixed(dataset, context, ross):
    """d/dw of softplus(-z(x')), x' constant."""
    model, rows = nn.Linear(3, 1), dataset("lin").test
    (found,) = torch.autograd.grad(ross(model, rows, context("lin")).mean(), model.weight)
    direction = model.weight.detach() * torch.tensor([0.0, 1.0, 1.0])
    moved = rows.x + 0.75 * direction / direction.norm()
    (expected,) = torch.autograd.grad(F.softplus(-model(moved)).mean(), model.weight)
    assert torch.allclose(found, expected, atol=1e-6)
