"""The same radius for every row, all through training."""

from dataclasses import replace

from utils.epsilons.constant import constant


def test_every_row_has_the_radius_at_any_progress(dataset, context):
    rows = dataset("lin").test
    for progress in (0.0, 0.5, 1.0):
        found = constant(rows, replace(context("lin"), progress=progress), radius=0.25)
        assert found.tolist() == [0.25] * len(rows.y)
