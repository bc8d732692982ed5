"""No causal structure."""

from dataclasses import replace

import torch

from utils.scms.counterfactual import twins
from utils.scms.independent import independent

SETTINGS = {"seed": 0, "discrete": "anm", "sampling": "residuals", "radius_unit": "noise"}


def test_twins_differ_in_the_sensitive_attribute_alone(dataset):
    data = dataset("loan")
    found = twins(independent(data, **SETTINGS), data.test.x)
    assert torch.equal(found[:, :, 1:], data.test.x[:, 1:].expand(2, -1, -1))
    assert found[:, :, 0].unique(dim=1).tolist() == [[0], [1]]


def test_every_column_is_its_own_noise_in_standard_deviations(dataset):
    data = dataset("loan")
    model = independent(data, **SETTINGS)
    assert torch.equal(model.to_noise(model.own(data.test.x)), data.test.x)


def test_a_data_set_without_a_graph_will_do(dataset):
    data = replace(dataset("lin"), parents=None, scm=None)
    assert independent(data, **SETTINGS).names == ("x1", "x2", "x3")
