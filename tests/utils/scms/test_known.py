"""The true SCM of a generated data set."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from utils.datasets.tabular import natural
from utils.scms.known import known

SETTINGS = {"seed": 0, "draws": 16, "sampling": "noise", "radius_unit": "noise"}


@pytest.mark.parametrize("name", ["lin", "nlm", "imf", "loan"])
def test_its_own_units_are_the_natural_units_of_the_data(dataset, name):
    data = dataset(name)
    torch.testing.assert_close(known(data, **SETTINGS).own(data.test.x), natural(data, data.test.x).float())


def test_the_noise_of_lin_has_the_moments_it_was_drawn_with(dataset):
    data = dataset("lin", 20_000)
    model = known(data, **SETTINGS)
    noise = model.to_noise(model.own(data.train.x))
    assert noise.mean(0).numpy() == pytest.approx([0.5, 0, 0], abs=0.03)
    assert noise.std(0).numpy() == pytest.approx([0.5, 1, 1], abs=0.03)
    assert torch.corrcoef(noise.T).triu(1).abs().max() < 0.03


def test_a_data_set_without_a_true_scm_is_referred_to_a_learned_one(dataset):
    with pytest.raises(ValueError, match=r"'toy'.*scm=learned, scm=linear or scm=independent"):
        known(dataset("toy"), **SETTINGS)


def test_a_data_set_without_a_graph_is_referred_to_an_independent_one(dataset):
    with pytest.raises(ValueError, match="use scm=independent$"):
        known(replace(dataset("toy"), parents=None), **SETTINGS)


def test_residual_sampling_draws_the_noise_of_the_training_rows(dataset):
    data = dataset("loan")
    model = known(data, **SETTINGS | {"sampling": "residuals"})
    seen = model.to_noise(model.own(data.train.x))
    drawn = model.sample_noise(300, np.random.default_rng(0))
    assert all(torch.isin(drawn[:, i], seen[:, i]).all() for i in range(7))


def test_the_publication_drew_from_the_noise_itself(dataset):
    first, second = (known(dataset("loan"), **SETTINGS | {"sampling": word}) for word in ("noise", "published"))
    drawn = [model.sample_noise(10, np.random.default_rng(0)) for model in (first, second)]
    assert torch.equal(*drawn)


def test_another_sampling_is_refused(dataset):
    with pytest.raises(ValueError, match="scm.sampling='gauss' is not known; choose noise, residuals or published"):
        known(dataset("loan"), **SETTINGS | {"sampling": "gauss"})
