"""SenSeI: inFairness on the same rows, the same start and the same network; stacks; what it trains."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils import seeding
from utils.epsilons.constant import constant
from utils.losses.objective import Weighted, cross_entropy, find_states, make_objective
from utils.models.mlp import MLP
from utils.scms.counterfactual import twins
from utils.training import many_models
from utils.training.many_models import fit_many
from utils.training.one_model import PLAIN, fit
from utils.views.stack import Stack, stack_batches, stack_contexts, together


@pytest.mark.filterwarnings("ignore:.*:Warning")
def test_inner_step_loss_and_multiplier_are_those_of_infairness(dataset, context, own_term, same_start):
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
    same_start()
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


class Fitting:
    """Two small models of lin with terms, contexts and batch orders of their own, to be trained as a stack."""

    def __init__(self, dataset, context, own_term):
        self.data = [dataset("lin", 200, seed) for seed in (0, 1)]
        terms = [own_term("sensei", of, context("lin").scm, steps=3) for of in self.data]
        self.terms = {"sensei": Weighted(1.0, together(terms, "sensei"))}
        torch.manual_seed(0)
        self.stack = Stack([MLP(3, 1, hidden=[4], activation="tanh") for _ in range(2)])
        alike = partial(constant, radius=0.05)
        self.ctx = stack_contexts([replace(context("lin", seed=seed), epsilon=alike) for seed in (0, 1)])

    def run(self, folder, until=None):
        """Trains for three epochs, or is interrupted after ``until``; the parameters and the multipliers."""

        def watch(epoch, _):
            if epoch == until:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            fit_many(
                self.stack,
                make_objective(1.0, self.terms),
                stack_batches([of.train for of in self.data]),
                stack_batches([of.valid for of in self.data]),
                self.ctx,
                make_optimizer=torch.optim.Adam,
                epochs=3,
                batch_size=50,
                lr=[0.01, 0.01],
                weight_decay=[0.0, 0.0],
                orders=[seeding.generator(seed, "order") for seed in (0, 1)],
                watch=watch,
                checkpoints=[folder / f"{i}.pt" for i in (0, 1)],
                states=find_states(self.terms),
            )
        return [p.detach() for p in self.stack.parameters()], self.terms["sensei"].term.keywords["multiplier"].value


def test_a_stack_goes_on_from_its_checkpoints_with_its_multipliers(dataset, context, own_term, tmp_path, monkeypatch):
    """To the same bits, which depend on the multipliers by the rows that they price."""
    monkeypatch.setattr(many_models, "PAUSE", -1.0)
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole, value = Fitting(dataset, context, own_term).run(tmp_path / "whole")
    Fitting(dataset, context, own_term).run(tmp_path / "parts", until=2)
    resumed, again = Fitting(dataset, context, own_term).run(tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(resumed, whole, strict=True))
    assert torch.equal(again, value)
    assert not torch.equal(value, torch.ones(2, 1))


def test_a_single_training_keeps_the_multiplier_in_its_checkpoint(dataset, context, own_term, tmp_path):
    data, values = dataset("lin", 200), []
    for _ in range(2):  # the second has nothing left to train
        term = own_term("sensei", data, context("lin").scm, steps=3)
        terms = {"sensei": Weighted(1.0, term)}
        fit(
            nn.Linear(3, 1),
            make_objective(1.0, terms),
            data.train,
            data.valid,
            context("lin"),
            make_optimizer=torch.optim.Adam,
            epochs=1,
            batch_size=50,
            lr=0.01,
            weight_decay=0.0,
            order=seeding.generator(0, "order"),
            watch=lambda *_: None,
            recipe=replace(PLAIN, checkpoint_every=1),
            states=find_states(terms),
            checkpoint=tmp_path / "one.pt",
        )
        values.append(term.keywords["multiplier"].value.item())
    assert values[0] == values[1] != 1.0
