"""SenSeI: inFairness on the same rows, the same start and the same network; stacks; what it trains."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils import seeding
from utils.epsilons.constant import constant
from utils.losses.objective import Weighted, cross_entropy, find_states
from utils.models.mlp import MLP
from utils.scms.counterfactual import twins
from utils.views.stack import Stack, stack_batches, stack_contexts, together


def same_start(monkeypatch, seed=0):
    """inFairness draws its start as we do ours."""
    stream = seeding.generator(seed, "attack")
    monkeypatch.setattr(torch, "rand_like", lambda x: seeding.uniform(x.unsqueeze(0), stream)[0])


@pytest.mark.filterwarnings("ignore:.*:Warning")
def test_inner_step_loss_and_multiplier_are_those_of_infairness(dataset, context, own_term, monkeypatch):
    """Over three batches, so that the multiplier has moved twice; without long steps, which inFairness lacks."""
    fairalgo = pytest.importorskip("inFairness.fairalgo", reason="needs pip install -r tests/requirements.txt")
    distances = pytest.importorskip("inFairness.distances")
    data, ctx = dataset("lin"), replace(context("lin", radius=0.1**0.5), epoch=0)
    model, metric, apart = MLP(3, 1, hidden=[8], activation="tanh"), None, distances.SquaredEuclideanDistance()
    metric = distances.LogisticRegSensitiveSubspace()
    metric.fit(data.train.x, protected_idxs=data.sensitive)
    apart.fit(num_dims=1)

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(logits[:, 0], y.float())

    theirs = fairalgo.SenSeI(model, metric, apart, loss, rho=5.0, eps=0.1, auditor_nsteps=100, auditor_lr=1e-3)
    term = own_term("sensei", data, ctx.scm, free_steps=0)
    term.keywords["metric"].basis.copy_(torch.linalg.svd(metric.basis_vectors_, full_matrices=False)[0])
    same_start(monkeypatch)
    for i in range(3):
        rows = data.train.rows(slice(100 * i, 100 * i + 100))
        ours = (cross_entropy(model(rows.x), rows.y) + term(model, rows, ctx)).mean()
        assert ours.item() == pytest.approx(theirs(rows.x, rows.y).loss.item(), rel=1e-4)
        assert term.keywords["multiplier"].value.item() == pytest.approx(theirs.lamb.item(), rel=1e-3)
        model.requires_grad_(True)


def test_at_radius_0_the_causal_one_is_the_largest_difference_between_twins(dataset, context, own_term, trained):
    rows, ctx, model = dataset("nlm").test, context("nlm", radius=0.0), trained("nlm")
    apart = (model(twins(ctx.scm, rows.x)) - model(rows.x)).square().sum(-1).amax(0)
    found = own_term("sensei_causal", dataset("nlm"), ctx.scm)(model, rows, ctx)
    assert torch.allclose(found, 5 * apart, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["sensei", "sensei_causal", "sensr"])
def test_each_model_of_a_stack_has_the_multiplier_that_it_has_alone(dataset, context, own_term, name):
    models = [MLP(3, 1, hidden=[8], activation="tanh") for _ in range(2)]
    data = [dataset("lin", 500, seed) for seed in (0, 1)]
    batches = [of.train.rows(slice(0, 30)) for of in data]

    def terms():
        return [own_term(name, of, context("lin").scm, steps=5) for of in data]

    def contexts():
        made = [replace(context("lin", seed=i), epsilon=partial(constant, radius=0.1 + i)) for i in (0, 1)]
        return [replace(ctx, epoch=0) for ctx in made]

    of_stack, alone, stacked, own = together(terms(), name), terms(), stack_contexts(contexts()), contexts()
    for _ in range(2):
        found = of_stack(Stack(models), stack_batches(batches), stacked)
        for i, (term, model, rows, ctx) in enumerate(zip(alone, models, batches, own, strict=True)):
            torch.testing.assert_close(found[i], term(model, rows, ctx), rtol=1e-3, atol=1e-5)
    value = torch.stack([term.keywords["multiplier"].value for term in alone])
    torch.testing.assert_close(of_stack.keywords["multiplier"].value, value, rtol=1e-3, atol=0)
    assert value[0] != value[1]


def test_terms_of_two_runs_share_no_state(dataset, context, own_term):
    ctx = context("lin")
    terms = [own_term("sensei", dataset("lin"), ctx.scm) for _ in range(2)]
    states = [find_states({"sensei": Weighted(1.0, term)}) for term in terms]
    assert [len(of) for of in states] == [2, 2]  # metric and multiplier
    assert not {id(state) for state in states[0]} & {id(state) for state in states[1]}


def test_it_makes_lin_fair_between_twins(dataset, context, own_term, train_on):
    data, ctx, flips = dataset("lin"), context("lin"), []
    for name in (None, "sensei_causal"):
        terms = {} if name is None else {name: Weighted(1.0, own_term(name, data, ctx.scm))}
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        train_on(data, model, ctx, terms, nominal=1.0, epochs=15)
        decided = model(twins(ctx.scm, data.test.x))[..., 0] >= 0
        flips.append((decided[0] != decided[1]).double().mean())
    assert flips[0] > 0.3
    assert flips[1] < 0.1
