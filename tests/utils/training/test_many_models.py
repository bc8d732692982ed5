"""Fitting: repeatable to the bit, every row every epoch, no silent divergence, lower objectives."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.commands import environment
from utils import build, seeding
from utils.configuration.traits import nominal_weight
from utils.losses.objective import make_objective
from utils.training.many_models import DivergenceError
from utils.training.one_model import fit

LOGISTIC = {"optimizer": torch.optim.Adam, "epochs": 3, "batch_size": 100, "lr": 0.01}
REGULARIZERS = ["erm", "adversarial", "causal_al", "causal_al_random", "causal_adv", "capify", "llr", "ross"]


def run(data, model, objective, ctx, *, seed=0, **changes):
    """Fit and return the watched figures."""
    settings, seen = LOGISTIC | changes, []
    fit(
        model,
        objective,
        changes.get("train", data.train),
        changes.get("valid", data.valid),
        ctx,
        make_optimizer=settings["optimizer"],
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        weight_decay=0.0,
        order=seeding.generator(seed, "order"),
        watch=lambda epoch, figures: seen.append((epoch, figures)),
    )
    return seen


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def objective_of(option, name):
    """The objective of an option as the configuration states it, with few points where it searches at random."""
    params = {"regularizer": option("regularizer", name), "objective": {"nominal": None}}
    if name == "causal_al_random":
        params["regularizer"][name]["attack"]["samples"] = 20
    return make_objective(nominal_weight(params), build.terms(params))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_the_same_seed_gives_the_same_bits(dataset, context, option, name):
    models = [network(), network()]
    for model in models:
        run(dataset("lin"), model, objective_of(option, name), context("lin"), epochs=2)
    assert torch.equal(parameters(models[0]), parameters(models[1]))


def test_another_batch_order_gives_another_model(dataset, context):
    models = [network(), network()]
    for seed, model in enumerate(models):
        run(dataset("lin"), model, make_objective(1.0, {}), context("lin"), seed=seed)
    assert not torch.equal(parameters(models[0]), parameters(models[1]))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_training_lowers_the_objective(dataset, context, option, name):
    data, model, objective = dataset("lin"), network(), objective_of(option, name)

    def value():
        return objective(model, data.train, context("lin", radius=0.1))[0].item()  # a fresh stream each time

    before = value()
    run(data, model, objective, context("lin", radius=0.1), epochs=8)
    assert value() < before - 0.02


def test_the_last_smaller_batch_counts_and_every_row_is_seen_once_an_epoch(dataset, context):
    data, sizes, rows = dataset("lin"), [], []

    def objective(predict, batch, ctx):
        sizes.append(len(batch.y))
        rows.extend(batch.index.tolist())
        return predict(batch.x).mean(), {}

    run(data, network(), objective, context("lin"), train=data.train.rows(slice(0, 23)), batch_size=10, epochs=2)
    assert sizes == [10, 10, 3, 10, 10, 3]
    wanted = sorted(data.train.index[:23].tolist())
    assert [sorted(rows[:23]), sorted(rows[23:])] == [wanted, wanted]
    assert rows[:23] != rows[23:]  # a new order every epoch


def test_one_step_is_the_optimizers(dataset, context):
    """One full batch of gradient descent: w - lr grad."""
    data, model = dataset("lin"), nn.Linear(3, 1)
    before = copy.deepcopy(model)
    loss = nn.functional.binary_cross_entropy_with_logits(before(data.train.x)[:, 0], data.train.y.float())
    gradient = torch.autograd.grad(loss, list(before.parameters()))
    run(
        data,
        model,
        make_objective(1.0, {}),
        context("lin"),
        optimizer=torch.optim.SGD,
        lr=0.5,
        epochs=1,
        batch_size=10**6,
    )
    for new, old, g in zip(model.parameters(), before.parameters(), gradient, strict=True):
        assert torch.allclose(new, old - 0.5 * g, atol=1e-6)


def test_progress_grows_from_zero_by_epochs(dataset, context):
    seen = []

    def objective(predict, batch, ctx):
        seen.append(ctx.progress)
        return predict(batch.x).mean(), {}

    run(dataset("lin"), network(), objective, context("lin"), epochs=4, batch_size=10**6)
    assert seen == [0, 0.25, 0.5, 0.75]


def test_every_epoch_is_watched_with_loss_and_validation_accuracy(dataset, context):
    data, model = dataset("lin"), network()
    seen = run(data, model, make_objective(1.0, {}), context("lin"))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    right = ((model(data.valid.x)[:, 0] >= 0).long() == data.valid.y).double().mean()
    assert seen[-1][1]["valid_accuracy"] == pytest.approx(float(right))
    assert seen[-1][1]["loss"] < seen[0][1]["loss"]


def test_without_validation_rows_only_the_loss_is_watched(dataset, context):
    data = dataset("lin")
    seen = run(data, network(), make_objective(1.0, {}), context("lin"), valid=data.valid.rows(slice(0, 0)))
    assert set(seen[0][1]) == {"loss"}


def test_a_trained_model_is_in_eval_mode(dataset, context):
    model = network()
    run(dataset("lin"), model, make_objective(1.0, {}), context("lin"), epochs=1)
    assert not model.training


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_naming_epoch_and_step(dataset, context, bad):
    data, calls = dataset("lin"), []  # 320 training rows: 4 steps an epoch

    def objective(predict, batch, ctx):
        calls.append(1)
        return predict(batch.x).mean() * (bad if len(calls) == 6 else 1.0), {}

    with pytest.raises(DivergenceError, match=r"epoch 2, step 2; lower trainer\.lr \(now 0\.01\)"):
        run(data, network(), objective, context("lin"))


def test_divergence_in_the_very_last_step_is_noticed(dataset, context):
    """The loss of the step is finite, what it makes of the parameters is not."""
    with pytest.raises(DivergenceError, match=r"parameters left the finite numbers in epoch 1, step 1"):
        run(
            dataset("lin"),
            network(),
            lambda predict, batch, ctx: (predict(batch.x * 1e4).square().mean(), {}),
            context("lin"),
            optimizer=torch.optim.SGD,
            lr=1e38,
            epochs=1,
            batch_size=10**6,
        )


def test_a_regularizer_keeps_the_rows_as_they_are(dataset, context, option):
    data = dataset("lin")
    before = data.train.x.clone()
    run(data, network(), objective_of(option, "causal_adv"), context("lin"), epochs=1)
    assert torch.equal(data.train.x, before)


BARE = """
import sys, torch
from functools import partial
from utils.system.optimizers import without_compiler
makers = [(getattr(torch.optim, n), a) for n, a in (("Adam", {"amsgrad": True}), ("SGD", {"momentum": 0.9}))]
def fitted(make):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = make([weight], lr=0.1, weight_decay=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (weight ** 4).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    return weight.detach()
ours = [fitted(without_compiler(partial(kind, **given))) for kind, given in makers]
assert "torch._dynamo" not in sys.modules
assert all(torch.equal(own, fitted(partial(kind, **given))) for own, (kind, given) in zip(ours, makers))
"""


@pytest.mark.slow  # imports the compiler
def test_an_optimizer_without_the_compiler_takes_the_same_steps():
    done = subprocess.run([sys.executable, "-c", BARE], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
