"""Random search: the best of the points it draws, and no other."""

from functools import partial

import pytest
import torch
from torch import nn

from utils import seeding
from utils.attacks.random_search import random_search
from utils.losses.objective import log_odds_against
from utils.scms.counterfactual import twins
from utils.threats import causal, check_budget, features

FEATURES = partial(features, norm="l2", movable_columns="all", relax=True)
CAUSAL = partial(causal, norm="l2", twins=True)
THREATS = [FEATURES, partial(features, norm="linf", movable_columns="continuous", relax=False), CAUSAL]


def test_it_is_the_worst_of_the_points_on_the_shared_directions(dataset, context, trained):
    """Row by row: all twins x all directions, one after another; the first direction is the centre."""
    model, rows, ctx = trained("nlm"), dataset("nlm").test.rows(slice(0, 10)), context("nlm", radius=0.5)
    found = random_search(model, rows, ctx, threat=CAUSAL, samples=30)
    threat = CAUSAL(ctx)
    directions = threat.ball.uniform(torch.zeros(30, 1, 3), threat.mask, seeding.generator(0, "attack"))
    directions[0] = 0
    for i in range(10):
        row = rows.rows(slice(i, i + 1))
        reach = threat.at(row.x)
        points = torch.cat([reach((0.5 * d).expand(2, 1, 3)).flatten(0, 1) for d in directions])
        worst = log_odds_against(model(points), row.y).max()
        assert log_odds_against(model(found[i : i + 1]), row.y).item() == pytest.approx(worst.item(), abs=1e-4)


@pytest.mark.parametrize("threat", THREATS)
def test_it_keeps_to_its_set(dataset, context, trained, threat):
    rows, ctx = dataset("loan").test, context("loan", radius=0.3)
    moved = random_search(trained("loan"), rows, ctx, threat=threat, samples=50)
    check_budget(threat(ctx), rows.x, moved, ctx.epsilon(rows, ctx))


def test_it_is_never_better_for_the_model_than_the_row_and_its_twins(dataset, context, trained):
    model, rows, ctx = trained("loan"), dataset("loan").test, context("loan", radius=0.3)
    moved = random_search(model, rows, ctx, threat=CAUSAL, samples=5)
    everyone = log_odds_against(model(twins(ctx.scm, rows.x)), rows.y).amax(0)
    assert (log_odds_against(model(moved), rows.y) >= everyone - 1e-4).all()


@pytest.mark.parametrize("threat", THREATS)
def test_rows_together_equal_rows_one_by_one(dataset, context, trained, threat):
    """Every row sees the same directions, however many rows share a forward pass."""
    rows = dataset("nlm").test.rows(slice(0, 20))
    together = random_search(trained("nlm"), rows, context("nlm"), threat=threat, samples=600)
    for i in range(20):
        alone = random_search(trained("nlm"), rows.rows(slice(i, i + 1)), context("nlm"), threat=threat, samples=600)
        worst = [log_odds_against(trained("nlm")(x), rows.y[i : i + 1]) for x in (together[i : i + 1], alone)]
        assert torch.allclose(*worst, atol=1e-5)


def test_one_sample_is_the_row_itself(dataset, context, trained):
    rows = dataset("nlm").test
    assert torch.equal(random_search(trained("nlm"), rows, context("nlm"), threat=FEATURES, samples=1), rows.x)


def test_radius_zero_changes_nothing(dataset, context, trained):
    rows, ctx = dataset("nlm").test, context("nlm", radius=0.0)
    assert torch.equal(random_search(trained("nlm"), rows, ctx, threat=FEATURES, samples=20), rows.x)


def test_it_needs_no_gradient(dataset, context):
    """A forest answers in steps: the flip is found all the same."""
    rows = dataset("imf").test

    def steps(x):
        return torch.where(x[..., 1:2] > 0, 1.0, -1.0)

    rows = rows._replace(y=(rows.x[:, 1] > 0).long())
    near = rows.x[:, 1].abs() < 0.05
    moved = random_search(steps, rows, context("imf", radius=0.1), threat=FEATURES, samples=200)
    flipped = (steps(moved)[:, 0] > 0) != rows.y.bool()
    assert flipped[near].all()
    assert not flipped[rows.x[:, 1].abs() > 0.1].any()


def test_the_model_is_left_as_it_was(dataset, context):
    model = nn.Linear(3, 1)
    moved = random_search(model, dataset("lin").test, context("lin"), threat=CAUSAL, samples=5)
    assert not moved.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_no_sample_is_refused(dataset, context):
    with pytest.raises(ValueError, match="samples=0: expected at least 1 point"):
        random_search(nn.Linear(3, 1), dataset("lin").test, context("lin"), threat=FEATURES, samples=0)
