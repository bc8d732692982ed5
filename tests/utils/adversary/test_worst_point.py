"""The worst point of balls: in closed form of a linear model; within the radius, and it turns whom it says."""

import pytest
import torch
from torch import nn

from utils.adversary.decision import Decision
from utils.adversary.worst_point import find_worst
from utils.decides.threshold import Threshold
from utils.scms.counterfactual import abduct

HOW = {"steps": 20, "rel_step": 0.25, "restarts": 2, "samples": 200, "seed": 0}


def decision(model):
    return Decision(model, model, Threshold(0.5))


def test_on_a_linear_model_it_is_the_centre_less_the_radius_along_the_slope(dataset, scm):
    """F(u) = w (x2, x3) with x2 = u2 + .., x3 = u3 - u2 + ..: the slope is (w2 - w3, w3) in the units of the noise."""
    own, model = scm("lin"), nn.Linear(3, 1)
    x = dataset("lin").test.x[:6]
    weight = model.weight[0].detach() / own.scale
    slope = torch.stack([weight[1] - weight[2], weight[2]])
    yes = model(x)[:, 0] >= 0
    found = find_worst(decision(model), own, abduct(own, x), yes, 0.3, **HOW)
    at = model(own.model(own.to_features(abduct(own, x), {0: own.levels})))[..., 0]
    expected = torch.where(yes, -at, at) + 0.3 * slope.norm()
    assert torch.allclose(found.beyond, expected, atol=1e-3)
    away = torch.where(yes, -1.0, 1.0)[None, :, None] * 0.3 * slope / slope.norm()
    assert torch.allclose(found.delta[..., 1:], away.expand(2, -1, -1), atol=0.02)


@pytest.mark.parametrize("radius", [0.0, 0.2])
def test_it_lies_within_the_radius_and_turns_whom_it_says(dataset, scm, trained, radius):
    own, model = scm("loan"), trained("loan")
    x = dataset("loan").test.x[:40]
    yes = model(x)[:, 0] >= 0
    found = find_worst(decision(model), own, abduct(own, x), yes, radius, **HOW)
    assert (found.delta.norm(dim=-1) <= radius + 1e-5).all()
    assert torch.equal((model(found.x)[..., 0] >= 0) != yes, found.turned)
    assert found.turned.any() or radius == 0
    assert not found.delta[..., list(own.sensitive)].any()
