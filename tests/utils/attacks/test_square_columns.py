"""Attacks that ask for answers alone, on columns, against the exact worst case of a linear model."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from utils import build, seeding
from utils.adversary.worst_case import worst_case
from utils.threats import everywhere
from utils.types import Batch, Column

FROZEN = 2  # columns that do not move
ROWS = 1000


@pytest.fixture
def share(context, option):
    """Of the rows of a linear model that can be lost, the share that some attacks of evaluation=black_box lose.

    An L2 ball of radius r moves the logit w x by r norm(w) at the most, w of the columns that move: the dual norm.
    """
    threat = option("attack", "square_columns")["evasion"]["threat"]
    nodes = option("evaluation", "black_box")["metrics"]["ensemble"]["attacks"]
    attacks = {name: build.bind(node | {"threat": threat}, name) for name, node in nodes.items()}

    def of(columns, radius, names):
        draw = seeding.generator(0, "test")
        model = nn.Linear(columns + FROZEN, 1, bias=False).requires_grad_(False)
        model.weight.copy_(torch.randn(1, columns + FROZEN, generator=draw))
        x = torch.randn(ROWS, columns + FROZEN, generator=draw)
        logit, zeros = model(x)[:, 0], torch.zeros(ROWS, dtype=torch.long)
        batch = Batch(x, (logit >= 0).long(), zeros, torch.ones(ROWS), torch.arange(ROWS))
        kinds = [Column(f"x{i}", "continuous" if i < columns else "binary") for i in range(columns + FROZEN)]
        base = context("lin")
        own = replace(
            base, columns=tuple(kinds), epsilon=everywhere(radius), scm=replace(base.scm, loc=torch.zeros(len(kinds)))
        )
        first = worst_case(model, batch, own, {name: attacks[name] for name in names})[1]
        reach = radius * model.weight[0, :columns].norm()
        assert not ((first >= 0) & (logit.abs() > 1.001 * reach)).any()
        return float((first >= 0)[logit.abs() < 0.999 * reach].float().mean())

    return of


@pytest.mark.parametrize("radius", [0.5, pytest.param(0.1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("columns", [1, 2, 4, 8, 12])
def test_both_together_lose_nine_of_ten_rows_that_can_be_lost(share, columns, radius):
    assert share(columns, radius, ["random", "square"]) > 0.9


def test_of_one_column_the_search_by_windows_sees_one_side(share):
    """Which is why points all over the ball come first."""
    assert share(1, 0.5, ["square"]) < 0.6
    assert share(1, 0.5, ["random"]) > 0.9


def test_of_many_columns_points_all_over_the_ball_are_too_few(share):
    assert share(12, 0.5, ["random"]) < 0.8
    assert share(12, 0.5, ["square"]) > 0.9
