"""A radius that grows from zero."""

from dataclasses import replace

import pytest

from utils.epsilons.ramp import ramp


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0.0), (0.125, 0.25), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0), (1.0, 1.0)]
)
def test_it_is_linear_until_the_warmup_ends_then_constant(dataset, context, progress, share):
    rows = dataset("lin").test
    found = ramp(rows, replace(context("lin"), progress=progress), radius=0.4, warmup=0.5)
    assert found.shape == rows.w.shape
    assert found.tolist() == pytest.approx([0.4 * share] * len(rows.w))


def test_an_evaluation_has_the_whole_radius(dataset, context):
    """A context outside of training has made all its progress."""
    assert ramp(dataset("lin").test, context("lin"), radius=0.5, warmup=1.0)[0] == 0.5


@pytest.mark.parametrize("warmup", [0.0, -0.5, 1.5])
def test_a_warmup_that_is_no_share_is_refused(dataset, context, warmup):
    with pytest.raises(ValueError, match=r"expected a share in \(0, 1\]; or use epsilon=constant"):
        ramp(dataset("lin").test, context("lin"), radius=0.5, warmup=warmup)
