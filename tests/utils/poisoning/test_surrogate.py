"""Smooth metrics: in the limit those of ``utils.metrics``, and with the sign of the hard gap."""

import numpy as np
import pytest
import torch

from utils.decides.threshold import Threshold
from utils.metrics import confusion
from utils.metrics.confusion import RATES as HARD
from utils.metrics.group import GAPS
from utils.poisoning.surrogate import METRICS, RATES, surrogate
from utils.types import Batch

LOGITS = torch.linspace(-3, 3, 400, dtype=torch.float64)[
    torch.randperm(400, generator=torch.Generator().manual_seed(0))
]


def rows(groups, seed=0):
    source = torch.Generator().manual_seed(seed)
    y, s = (torch.rand(400, generator=source) < 0.4).long(), torch.randint(groups, (400,), generator=source)
    return Batch(LOGITS.unsqueeze(1), y, s, torch.ones(400, dtype=torch.float64), torch.arange(400))


def at(name, batch, groups, temperature=1e-6, probability=0.6, sizes=None):
    sizes, decide = sizes or {}, Threshold(probability)
    return surrogate(batch.x, batch, decide, {name: 1.0}, groups=groups, sizes=sizes, temperature=temperature).item()


def counted(batch, groups, probability=0.6):
    labels = Threshold(probability)(batch.x, batch.s).numpy()
    return confusion.counts(batch.y.numpy(), labels, batch.s.numpy(), groups=groups, classes=2)


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("name", [name for name in METRICS if name in GAPS])
def test_at_a_small_temperature_a_gap_is_that_of_hard_labels(name, groups):
    batch = rows(groups)
    assert at(name, batch, groups) == pytest.approx(float(GAPS[name](counted(batch, groups))), abs=1e-9)


@pytest.mark.parametrize(("attribute", "of"), [("sex", lambda s: s // 3), ("age group", lambda s: s % 3)])
@pytest.mark.parametrize("name", ["fnr_gap", "demographic_parity_difference"])
def test_the_gap_of_an_attribute_alone_is_that_of_its_groups(name, attribute, of):
    """Six groups, of two levels of sex by three of age."""
    batch = rows(6)
    alone = batch._replace(s=of(batch.s))
    levels = int(alone.s.max()) + 1
    found = at(f"{name}_by_{attribute}", batch, 6, sizes={"sex": 2, "age group": 3})
    assert found == pytest.approx(float(GAPS[name](counted(alone, levels))), abs=1e-9)


@pytest.mark.parametrize("name", list(RATES))
def test_at_a_small_temperature_a_rate_of_a_group_is_that_of_hard_labels(name):
    batch = rows(2)
    assert at(f"{name}_group1", batch, 2) == pytest.approx(float(HARD[name](counted(batch, 2))[1]), abs=1e-9)


def test_at_a_small_temperature_accuracies_and_correlation_are_those_of_hard_labels():
    batch = rows(2)
    table = counted(batch, 2).sum(0)
    exact = confusion.RATES["accuracy"](table), confusion.recalls(table).mean(), confusion.matthews(table)
    found = [at(name, batch, 2) for name in ("accuracy", "balanced_accuracy", "mcc")]
    assert found == pytest.approx([float(value) for value in exact], abs=1e-9)


def test_the_false_positive_gap_is_the_difference_of_mean_soft_labels_of_the_negatives():
    batch = rows(2)
    soft, negative = torch.sigmoid(LOGITS / 0.5), batch.y == 0
    means = [soft[negative & (batch.s == g)].mean().item() for g in (0, 1)]
    assert abs(at("fpr_gap", batch, 2, temperature=0.5, probability=0.5)) == pytest.approx(abs(means[0] - means[1]))


def test_a_gap_falls_with_the_hard_one_even_where_the_soft_one_has_the_other_sign():
    """Two negatives of each group: hard rates 1/2 and 0, soft ones .51 / 2 and .49."""
    z = torch.tensor([0.04, -9.0, -0.04, -0.04], dtype=torch.float64).unsqueeze(1).requires_grad_()
    batch = Batch(z.detach(), torch.zeros(4).long(), torch.tensor([0, 0, 1, 1]), torch.ones(4), torch.arange(4))
    value = surrogate(z, batch, Threshold(0.5), {"fpr_gap": 1.0}, groups=2, sizes={}, temperature=1.0)
    (slope,) = torch.autograd.grad(value, z)
    assert value < 0
    assert slope[0] > 0
    assert slope[2] < 0


def test_weights_add_metrics():
    batch = rows(2)
    both = {"fpr_gap": 2.0, "accuracy": -0.5}
    found = surrogate(batch.x, batch, Threshold(0.5), both, groups=2, sizes={}, temperature=1.0).item()
    each = [at(name, batch, 2, temperature=1.0, probability=0.5) for name in both]
    assert found == pytest.approx(float(np.dot([2.0, -0.5], each)))


@pytest.mark.parametrize("name", ["auc", "fpr_group2", "prevalence_group0", "fpr_gap_group0"])
def test_a_metric_without_a_stand_in_is_refused(name):
    with pytest.raises(ValueError, match="smooth stand-in.*bo_poison"):
        at(name, rows(2), 2)
