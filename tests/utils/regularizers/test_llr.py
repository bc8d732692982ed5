"""Local linearity regularisation."""

import pytest
import torch
from torch import nn

from utils import build
from utils.losses.linearity import local_linearity
from utils.threats import features


@pytest.fixture(scope="module")
def llr(option):
    """The term with some settings changed."""

    def run(model, rows, ctx, **changes):
        node = option("regularizer", "llr")["llr"] | {"mask": "actionable", "steps": 10, "rel_step": 1.0} | changes
        return build.terms({"regularizer": {"llr": node}})["llr"].term(model, rows, ctx)

    return run


def test_on_a_linear_model_there_is_no_departure(dataset, context, llr):
    found = llr(nn.Linear(3, 1), dataset("lin").test, context("lin", radius=0.5), gradient=0.0)
    assert found.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("mask", "kept"), [("actionable", [2, 5, 6]), ("non_sensitive", range(1, 7)), ("all", range(7))]
)
def test_on_a_linear_model_the_penalty_is_the_square_of_the_masked_weights(dataset, context, llr, mask, kept):
    """mu norm(m w)^2; actionable on loan are education, income and savings."""
    model, rows = nn.Linear(7, 1), dataset("loan").test
    found = llr(model, rows, context("loan"), linearity=0.0, gradient=2.0, mask=mask)
    assert torch.allclose(found, (2 * model.weight[0, list(kept)].square().sum()).expand_as(found), atol=1e-5)


def test_the_parts_add_up_with_their_weights(dataset, context, trained, llr):
    model, rows, ctx = trained("loan"), dataset("loan").test, context("loan", radius=0.3)
    gamma, slope = local_linearity(
        model,
        lambda logits: logits[..., 0],
        features(ctx, norm="l2", movable_columns="all", relax=True),
        rows.x,
        ctx.epsilon(rows, ctx),
        ctx,
        steps=10,
        rel_step=1.0,
    )
    found = llr(model, rows, context("loan", radius=0.3), linearity=2.0, gradient=3.0, mask="all")
    assert torch.allclose(found, 2 * gamma + 3 * slope.square().sum(-1), rtol=1e-4, atol=1e-5)


def test_more_curvature_is_more_departure(dataset, context, llr):
    """z = a norm(x)^2 departs by a r^2."""
    rows = dataset("lin").test
    found = [
        llr(lambda x, a=a: a * x.square().sum(-1, keepdim=True), rows, context("lin", radius=0.5), gradient=0.0)
        for a in (1.0, 4.0)
    ]
    assert torch.allclose(found[0], torch.full_like(found[0], 0.25), rtol=1e-3)
    assert torch.allclose(found[1], 4 * found[0], rtol=1e-3)


@pytest.mark.parametrize("part", ["linearity", "gradient"])
def test_each_part_carries_gradient_to_the_model(dataset, context, llr, part):
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    weights = {"linearity": 0.0, "gradient": 0.0} | {part: 1.0}
    llr(model, dataset("lin").test, context("lin", radius=0.5), **weights).mean().backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_three_classes_are_refused(dataset, context, llr):
    with pytest.raises(ValueError, match="llr is defined for two classes, and this model has 3"):
        llr(nn.Linear(3, 3), dataset("lin").test, context("lin"))
