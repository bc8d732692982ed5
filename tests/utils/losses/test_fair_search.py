"""The search of SenSeI and SenSR: inFairness' own steps, the same in numpy, long steps, multipliers."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from utils import seeding
from utils.losses.fair_metrics import Twins, sensitive_subspace
from utils.losses.fair_search import Multiplier, find_worst
from utils.scms.counterfactual import twins
from utils.threats import everywhere

PUBLISHED = {"start": 0.1, "steps": 100, "lr": 1e-3, "free_steps": 0, "free_step": 0.25}


def logistic_subspace(data, scm):
    return sensitive_subspace(data, scm, directions="attribute", C=1.0, components=1)


def multiplier(**changes):
    return Multiplier(**{"start": 1.0, "least": 1e-5, "rate": None} | changes)


def squares(model, rows):
    """(h(x) - h(x'))^2, as SenSeI has it."""
    return lambda x: (model(x) - model(rows.x)).square().sum(-1)


@pytest.fixture
def lin(dataset, context):
    """Rows of lin, a linear model in double precision, the context and the metric."""
    rows = dataset("lin").train.rows(slice(0, 40))
    rows, model = rows._replace(x=rows.x.double(), w=rows.w.double()), nn.Linear(3, 1).double()
    return rows, model, context("lin", radius=0.3), logistic_subspace(dataset("lin"), context("lin").scm)


def test_without_long_steps_it_is_adam_on_the_published_objective(lin):
    """By hand: Adam (Kingma and Ba 2015) on -(w.d)^2 + price * d (I - P) d from the same start, float64."""
    rows, model, ctx, metric = lin
    found = find_worst(squares(model, rows), rows, ctx, metric, multiplier(start=2.0), **PUBLISHED)
    u = seeding.uniform(rows.x.unsqueeze(0), seeding.generator(0, "attack"))[0].numpy()
    basis = metric.basis.double().numpy()
    left, w = np.eye(3) - basis @ basis.T, model.weight[0].detach().numpy()
    d, mean, square = 0.2 * u - 0.1, 0.0, 0.0
    for t in range(1, 101):
        slope = -2 * (d @ w)[:, None] * w + 2 * 2.0 * d @ left
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        d = d - 1e-3 * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    assert np.allclose(found.numpy(), rows.x.numpy() + d, atol=1e-5)


@pytest.mark.parametrize("long", [0, 5])
def test_a_model_of_the_attribute_alone_is_found_out_by_long_steps_only(lin, long):
    """In a hundred steps of .001 from at most .1 an attribute of 0 and 1 hardly moves."""
    rows, model, ctx, metric = lin
    model.weight.data = torch.tensor([[1.0, 0.0, 0.0]]).double()
    moved = find_worst(squares(model, rows), rows, ctx, metric, multiplier(), **PUBLISHED | {"free_steps": long})
    step = (moved - rows.x)[:, 0].abs()
    assert (step >= 0.99).all() if long else (step <= 0.3).all()


def test_at_radius_0_only_free_moves_are_left(dataset, context, trained):
    """Of the causal metric the twins, of a subspace what it holds."""
    rows, ctx, model = dataset("loan").test.rows(slice(0, 20)), context("loan", radius=0.0), trained("loan")
    found = find_worst(squares(model, rows), rows, ctx, Twins(), multiplier(), **PUBLISHED | {"steps": 3})
    every = twins(ctx.scm, rows.x)
    assert torch.allclose(squares(model, rows)(found), squares(model, rows)(every).amax(0), atol=1e-4)
    metric = logistic_subspace(dataset("loan"), ctx.scm)
    found = find_worst(squares(model, rows), rows, ctx, metric, multiplier(), **PUBLISHED | {"free_steps": 2})
    assert metric.priced(found - rows.x).abs().max() < 1e-5
    assert (found - rows.x).norm(dim=1).min() > 0.05


def test_in_a_training_the_multiplier_holds_the_mean_square_to_that_of_the_radius(dataset, context, trained):
    """The dual ascent finds the price at which the root mean square of the latent move is the radius."""
    rows, ctx, model = dataset("nlm").train.rows(slice(0, 60)), context("nlm", radius=0.3), trained("nlm")
    price, ctx = multiplier(), replace(ctx, epoch=0)
    search = partial(find_worst, start=0.02, steps=20, lr=0.03, free_steps=0, free_step=0.25)
    root = []
    for _ in range(60):
        moved = search(squares(model, rows), rows, ctx, Twins(), price)
        u, before = (ctx.scm.to_noise(ctx.scm.own(x))[:, 1:] for x in (moved, rows.x))
        root.append((u - before).square().sum(1).mean().sqrt().item())
    assert root[0] > 0.35
    assert np.mean(root[-20:]) == pytest.approx(0.3, abs=0.06)


def test_outside_a_training_it_stays(lin):
    rows, model, ctx, metric = lin
    price = multiplier()
    find_worst(squares(model, rows), rows, ctx, metric, price, **PUBLISHED | {"steps": 1})
    assert price.value.item() == 1.0
    find_worst(squares(model, rows), rows, replace(ctx, epoch=0), metric, price, **PUBLISHED | {"steps": 1})
    assert price.value.item() != 1.0


def test_a_radius_that_grows_from_0_does_not_forbid_all_moves(lin):
    rows, model, ctx, metric = lin
    price = multiplier()
    ctx = replace(ctx, epoch=0, epsilon=everywhere(0.0))
    find_worst(squares(model, rows), rows, ctx, metric, price, **PUBLISHED | {"steps": 1})
    assert price.value.item() == 1.0


@pytest.mark.parametrize(("distance", "after"), [(0.4, 1 + 4 * 0.3), (0.05, 1 - 2 * 0.05), (0.001, 1e-5)])
def test_the_rate_of_sensei_is_the_larger_over_the_smaller(distance, after):
    price = multiplier()
    price.follow(torch.tensor([distance]), torch.tensor([0.1]))
    assert price.value.item() == pytest.approx(after, rel=1e-5)


@pytest.mark.parametrize("key", ["start", "least", "rate"])
def test_a_negative_setting_of_the_multiplier_is_refused(key):
    with pytest.raises(ValueError, match=rf"multiplier\.{key}=-1: expected a number, 0 or more"):
        multiplier(**{key: -1})
