from types import SimpleNamespace

import pytest
import torch

from utils.scms.none import none


def test_it_has_no_columns_and_draws_nothing():
    scm = none(SimpleNamespace(loc=torch.zeros(3)), seed=0)
    assert scm.names == ()
    assert scm.sample_noise(5, None).shape == (5, 0)


def test_what_needs_a_causal_model_says_so():
    scm = none(SimpleNamespace(loc=torch.zeros(3)), seed=0)
    with pytest.raises(ValueError, match="needs a structural causal model, and images have none"):
        scm.own(torch.zeros(2, 3))
