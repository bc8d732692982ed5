"""Local linearity: exact where theory is, differentiable twice."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import functional_call

from utils import seeding
from utils.losses.linearity import local_linearity
from utils.threats import causal, features


def judge(value, ctx, x, *, radius=0.5, steps=10, space="features"):
    threat = (
        features(ctx, norm="l2", movable_columns="all", relax=True)
        if space == "features"
        else causal(ctx, norm="l2", twins=False)
    )
    radii = torch.full((len(x),), radius, dtype=x.dtype)
    return local_linearity(value, lambda found: found, threat, x, radii, ctx, steps=steps, rel_step=1.0)


def test_a_linear_function_departs_nowhere_and_its_gradient_is_its_slope(dataset, context):
    w, x = torch.tensor([1.0, -2.0, 3.0]), dataset("lin").test.x
    gamma, slope = judge(lambda v: v @ w, context("lin"), x)
    assert gamma.abs().max() < 1e-5
    assert torch.allclose(slope, w.expand_as(x))


def test_a_quadratic_departs_by_its_curvature(dataset, context):
    """|F(d) - F(0) - d.grad F(0)| = a norm(d)^2 for F = a norm(x)^2, at most a r^2."""
    gamma, slope = judge(lambda v: 3 * v.square().sum(-1), context("lin"), dataset("lin").test.x, radius=0.5)
    assert torch.allclose(gamma, torch.full_like(gamma, 3 * 0.25), rtol=1e-4)
    assert torch.allclose(slope, 6 * dataset("lin").test.x)


def test_the_ascent_finds_the_direction_of_largest_curvature(dataset, context):
    """F = x2^2 + 10 x3^2 departs by at most 10 r^2, at d = (0, 0, r)."""
    gamma, _ = judge(lambda v: v[..., 1] ** 2 + 10 * v[..., 2] ** 2, context("lin"), dataset("lin").test.x, radius=0.1)
    assert float(gamma.detach().median()) == pytest.approx(0.1, rel=1e-3)
    assert gamma.max() < 0.1 * (1 + 1e-3)


def test_in_the_noise_the_slope_is_that_of_the_reduced_form(dataset, context):
    """On lin x = J u with J = [[1, 0, 0], [2, 1, 0], [-1, -1, 1]]; the attribute does not move."""
    ctx, w = context("lin"), torch.tensor([0.5, 2.0, -1.0])
    gamma, slope = judge(lambda v: ctx.scm.own(v) @ w, ctx, dataset("lin").test.x, space="noise")
    assert torch.allclose(slope, torch.tensor([0.0, 2.0 + 1.0, -1.0]).expand_as(slope), atol=1e-5)
    assert gamma.max() < 1e-4


def test_radius_zero_leaves_no_departure(dataset, context):
    gamma, _ = judge(lambda v: v.sin().sum(-1), context("lin"), dataset("lin").test.x, radius=0.0)
    assert gamma.abs().max() < 1e-6


def small(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)


@pytest.mark.parametrize("space", ["features", "noise"])
def test_the_penalty_is_differentiable_in_the_model(dataset, context, space):
    """gamma and the squared gradient against finite differences in double precision, at a fixed perturbation."""
    model, ctx = small(), context("nlm")
    double = {key: getattr(ctx.scm, key).double() for key in ("levels", "loc", "scale", "unit")}
    ctx, x = replace(ctx, scm=replace(ctx.scm, **double)), dataset("nlm").test.x[:4].double()
    names = [name for name, _ in model.named_parameters()]

    def penalty(*parameters):
        def value(v):
            return functional_call(model, dict(zip(names, parameters, strict=True)), (v,)).squeeze(-1).sin()

        fixed = replace(ctx, generator=seeding.generator(0, "start"))
        gamma, slope = judge(value, fixed, x, steps=0, space=space)
        return gamma, slope.square().sum(-1)

    assert gradcheck(penalty, tuple(p.detach().clone().requires_grad_() for p in model.parameters()))


def test_the_ascent_raises_the_departure_of_its_start(dataset, context):
    model, x = small(torch.float32), dataset("lin").test.x
    found = [judge(lambda v: model(v).squeeze(-1), context("lin"), x, steps=steps)[0].mean() for steps in (0, 10)]
    assert found[1] > 1.05 * found[0]


def test_several_candidates_per_row_are_refused(dataset, context):
    ctx, x = context("lin"), dataset("lin").test.x
    threat, radii = causal(ctx, norm="l2", twins=True), torch.ones(len(x))
    with pytest.raises(ValueError, match="twins=false"):
        local_linearity(nn.Linear(3, 1), lambda z: z.squeeze(-1), threat, x, radii, ctx, steps=1, rel_step=1.0)
