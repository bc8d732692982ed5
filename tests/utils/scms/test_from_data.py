"""What a fitted SCM of any kind promises: held-out fit, binary columns, noise of fresh individuals."""

import numpy as np
import pytest
import torch

from utils.scms.counterfactual import draw, twins
from utils.scms.linear import linear

SETTINGS = {
    "seed": 0,
    "discrete": "anm",
    "nodes": {},
    "coupling": "gumbel",
    "draws": 1,
    "sampling": "residuals",
    "radius_unit": "noise",
}


def test_held_out_r2_is_one_less_the_share_of_the_residual_variance(dataset):
    data = dataset("lin")
    model = linear(data, **SETTINGS)
    residual = model.to_noise(data.valid.x).square().mean(0)
    variance = data.valid.x.var(0, correction=0)
    assert model.facts["scm_r2_x2"] == pytest.approx(float(1 - residual[1] / variance[1]), abs=1e-6)
    assert set(model.facts) == {"scm_r2_x2", "scm_r2_x3"}


def test_r2_of_lin_is_what_its_equations_explain(dataset):
    """var(2 x1) / var(x2) = 1 / 2, and 1 - 1 / 2.25 = 5/9 for x3, whose sd is 1.5."""
    facts = linear(dataset("lin", 20_000), **SETTINGS).facts
    assert [facts["scm_r2_x2"], facts["scm_r2_x3"]] == pytest.approx([1 / 2, 5 / 9], abs=0.03)


def test_an_additive_binary_child_may_leave_0_and_1_in_counterfactuals(dataset, scm):
    assert not torch.isin(twins(scm("linear"), dataset("toy").test.x)[:, :, 1], torch.tensor([0.0, 1.0])).all()


def test_a_threshold_keeps_a_binary_child_at_0_or_1(dataset, scm):
    assert torch.isin(twins(scm("threshold"), dataset("toy").test.x)[:, :, 1], torch.tensor([0.0, 1.0])).all()


def test_a_threshold_is_monotone_in_the_probability(dataset, scm):
    """a = 1 makes b more probable, so its twin at a = 1 has b at least as often."""
    at_0, at_1 = twins(scm("threshold"), dataset("toy").train.x)[:, :, 1]
    assert (at_1 >= at_0).all()


def test_the_noise_of_a_threshold_equation_is_the_middle_of_what_agrees_with_the_row(dataset, scm):
    """p / 2 where b = 1, (1 + p) / 2 where b = 0; with one binary parent, p is the share of its group in train."""
    a, b, _ = dataset("toy").train.x.unbind(-1)
    p = torch.where(a == 1, b[a == 1].mean(), b[a == 0].mean())
    found = scm("threshold").to_noise(dataset("toy").train.x)[:, 1]
    assert torch.allclose(found, torch.where(b == 1, p / 2, (1 + p) / 2), atol=1e-5)


def test_fresh_individuals_of_a_threshold_equation_have_its_probability(dataset):
    """P(b = 1 | a) = .1 + .2 a."""
    model = linear(dataset("toy", 20_000), **SETTINGS | {"discrete": "threshold"})
    a, b, _ = draw(model, 20_000, np.random.default_rng(0)).unbind(-1)
    assert [float(b[a == 0].mean()), float(b[a == 1].mean())] == pytest.approx([0.1, 0.3], abs=0.02)


@pytest.mark.parametrize("name", ["linear", "learned"])
def test_fresh_individuals_have_residuals_of_the_training_rows(dataset, scm, name):
    drawn = draw(scm(name), 500, np.random.default_rng(0))
    seen = scm(name).to_noise(dataset("toy").train.x)[:, 2]
    nearest = (scm(name).to_noise(drawn)[:, 2].unsqueeze(1) - seen).abs().amin(1)
    assert nearest.max() < 1e-5


@pytest.mark.parametrize(("key", "value"), [("discrete", "logistic"), ("sampling", "gauss"), ("radius_unit", "sd")])
def test_an_unknown_word_is_refused(dataset, key, value):
    with pytest.raises(ValueError, match=f"scm.{key}='{value}' is not known; choose"):
        linear(dataset("toy"), **SETTINGS | {key: value})


def test_published_noise_belongs_to_additive_equations(dataset):
    with pytest.raises(ValueError, match=r"scm.discrete=anm"):
        linear(dataset("toy"), **SETTINGS | {"discrete": "threshold", "sampling": "published"})


def test_published_noise_is_only_there_for_its_data_sets(dataset):
    with pytest.raises(ValueError, match="no noise was published for data set 'toy'"):
        linear(dataset("toy"), **SETTINGS | {"sampling": "published"})
