"""Judging a model: all metrics on the same rows, each from a stream of its own, the model left as it is."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch

from utils.runs.judging import FEW, FEW_IMAGES, MetricError, a_few, evaluate, evaluate_many, rehearse
from utils.seeding import Rows
from utils.threats import slope
from utils.types import Batch
from utils.views.stack import Stack, stack_batches, stack_contexts


def constant(value):
    return lambda predict, batch, ctx: {"accuracy": value}


def draw(name):
    """A metric that reports a random number."""
    return lambda predict, batch, ctx: {name: float(torch.rand(1, generator=ctx.generator))}


def test_metrics_are_one_flat_dictionary(dataset, context, trained):
    metrics = {"one": constant(0.5), "two": lambda predict, batch, ctx: {"mcc": None, "auc": 0.7}}
    found = evaluate(trained("loan"), dataset("loan").test, context("loan"), metrics)
    assert found == {"accuracy": 0.5, "mcc": None, "auc": 0.7}


def test_no_metrics_give_no_figures(dataset, context, trained):
    assert evaluate(trained("loan"), dataset("loan").test, context("loan"), {}) == {}


def test_two_metrics_of_one_key_are_refused(dataset, context, trained):
    metrics = {"one": constant(0.5), "two": constant(0.6)}
    with pytest.raises(ValueError, match=r"evaluation\.metrics\.two reports \['accuracy'\]"):
        evaluate(trained("loan"), dataset("loan").test, context("loan"), metrics)


def test_a_metric_gives_the_same_figure_alone_and_among_others(dataset, context, trained):
    """In any order: one more metric moves no other."""
    model, test, ctx = trained("loan"), dataset("loan").test, context("loan")
    a, b = draw("a"), draw("b")
    alone = evaluate(model, test, ctx, {"a": a})
    assert evaluate(model, test, ctx, {"b": b, "a": a})["a"] == alone["a"]
    assert evaluate(model, test, ctx, {"a": a, "b": b})["a"] == alone["a"]


def test_metrics_draw_from_different_streams(dataset, context, trained):
    found = evaluate(trained("loan"), dataset("loan").test, context("loan"), {"a": draw("a"), "b": draw("b")})
    assert found["a"] != found["b"]


def test_evaluating_twice_gives_equal_figures(dataset, context, trained):
    model, test, ctx = trained("loan"), dataset("loan").test, context("loan")
    assert evaluate(model, test, ctx, {"a": draw("a")}) == evaluate(model, test, ctx, {"a": draw("a")})


def test_another_seed_gives_other_draws(dataset, context, trained):
    model, test = trained("loan"), dataset("loan").test
    one, two = (evaluate(model, test, context("loan", seed=seed), {"a": draw("a")}) for seed in (0, 1))
    assert one != two


def test_the_stream_of_the_context_is_left_alone(dataset, context, trained):
    ctx = context("loan")
    before = ctx.generator.get_state()
    evaluate(trained("loan"), dataset("loan").test, ctx, {"a": draw("a")})
    assert torch.equal(ctx.generator.get_state(), before)


def test_real_metrics_leave_model_rows_and_threshold_alone(dataset, context, trained):
    from utils.metrics.classification import classification
    from utils.metrics.robust import robust

    model, test, ctx = trained("loan"), dataset("loan").test, context("loan")
    weights, rows, decide = deepcopy(model.state_dict()), test.x.clone(), deepcopy(ctx.decide)
    metrics = {
        "classification": partial(classification, intervals=5, level=0.9),
        "robust": partial(robust, radii={"0.1": 0.1}, training_radius=None, attack=ctx.attack, intervals=5, level=0.9),
    }
    found = evaluate(model, test, ctx, metrics)
    assert found["robust_accuracy_0.1"] <= found["accuracy"]
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(test.x, rows)
    assert ctx.decide == decide


def test_metrics_that_draw_by_row_have_streams_of_their_own(dataset, context, trained):
    """As of images: by the seed and the name of the metric, on the rows of the context."""
    model, test = trained("lin"), dataset("lin").test
    ctx = replace(context("lin"), generator=Rows(1, test.index))

    def draw(name):
        return lambda predict, batch, own: {name: float(own.generator.uniform(batch.x.unsqueeze(0)).sum())}

    alone = evaluate(model, test, ctx, {"a": draw("a")})
    both = evaluate(model, test, ctx, {"b": draw("b"), "a": draw("a")})
    assert both["a"] == alone["a"] != both["b"]
    assert evaluate(model, test, replace(ctx, seed=1), {"a": draw("a")}) != alone


# --- gradients -------------------------------------------------------------------------------------------------


def test_a_metric_needs_no_word_on_gradients(dataset, context):
    """A model that is trained further has parameters with gradients, and NumPy takes no tensor that has one."""
    model, test = torch.nn.Linear(3, 1), dataset("lin").test
    metric = {"mean": lambda predict, batch, ctx: {"logit": float(predict(batch.x).numpy().mean())}}
    expected = (test.x @ model.weight.T + model.bias).mean().item()
    assert evaluate(model, test, context("lin"), metric)["logit"] == pytest.approx(expected, rel=1e-5)


def asks(predict, batch, ctx):
    with torch.enable_grad():
        x = batch.x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(predict(x).sum(), x)
    return {"steepness": float(gradient.norm(dim=-1).mean())}


def by_slope(predict, batch, ctx):
    gradient, _ = slope(lambda x: predict(x).squeeze(-1), batch.x)
    return {"steepness": float(gradient.norm(dim=-1).mean())}


@pytest.mark.parametrize("metric", [asks, by_slope])
def test_a_metric_that_wants_a_gradient_asks_for_it_where_it_differentiates(dataset, context, metric):
    """That of a linear model is its weights."""
    model = torch.nn.Linear(3, 1)
    found = evaluate(model, dataset("lin").test, context("lin"), {"steepness": metric})
    assert found["steepness"] == pytest.approx(model.weight.norm().item(), rel=1e-5)


# --- errors ----------------------------------------------------------------------------------------------------


def forgets(predict, batch, ctx):
    x = batch.x.clone().requires_grad_()
    return {"steepness": torch.autograd.grad(predict(x).sum(), x)[0].norm().item()}


def indexes(predict, batch, ctx):
    return {"first": {}["first"]}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (forgets, r"mine ended in RuntimeError at line \d+ of test_judging\.py: .*; .* within torch\.enable_grad"),
        (indexes, r"mine ended in KeyError at line \d+ of test_judging\.py: 'first'$"),
        (partial(indexes), r"mine ended in KeyError at line \d+ of test_judging\.py: 'first'$"),
        (lambda predict, batch, ctx: torch.zeros(2), r"mine returned tensor\(\[0\., 0\.\]\): expected figures by key"),
        (lambda predict, batch, ctx: {"x": predict(batch.x)}, r"mine gives x=tensor.*expected a number, or None"),
        (lambda predict, batch, ctx: {"x": "high"}, r"mine gives x='high': expected a number"),
        (lambda predict, batch, ctx: [{"x": 1.0}], r"mine returned \[\{'x': 1\.0\}\]: expected figures by key"),
    ],
)
def test_an_error_of_a_metric_names_it_and_its_place(dataset, context, trained, metric, message):
    with pytest.raises(MetricError, match=rf"^evaluation\.metrics\.{message}"):
        evaluate(trained("loan"), dataset("loan").test, context("loan"), {"one": constant(0.5), "mine": metric})


def test_what_a_metric_says_itself_stays_as_it_is(dataset, context, trained):
    def refuses(predict, batch, ctx):
        raise ValueError("steps=0: expected at least 1")

    with pytest.raises(MetricError, match=r"^evaluation\.metrics\.mine: steps=0: expected at least 1$"):
        evaluate(trained("loan"), dataset("loan").test, context("loan"), {"mine": refuses})


def test_want_of_memory_is_no_fault_of_a_metric(dataset, context, trained):
    def full(predict, batch, ctx):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        evaluate(trained("loan"), dataset("loan").test, context("loan"), {"mine": full})


# --- stacks ----------------------------------------------------------------------------------------------------


def of_one_model(predict, batch, ctx):
    if batch.y.ndim > 1:
        raise KeyError("stacks")
    return {"positive": float((predict(batch.x) > 0).double().mean())}


@pytest.mark.parametrize(
    "metric",
    [
        of_one_model,
        lambda predict, batch, ctx: {"positive": (predict(batch.x) > 0).double().mean().item()},  # mixes models
        lambda predict, batch, ctx: ctx.of_each(
            lambda own, z: {"positive": float((z > 0).double().mean())}, predict(batch.x)
        ),
    ],
    ids=["fails", "mixes", "knows"],
)
def test_the_figures_of_a_stack_are_those_of_its_models(dataset, context, metric):
    models, test = [torch.nn.Linear(3, 1) for _ in range(3)], dataset("lin").test
    alone = [evaluate(model, test, context("lin"), {"mine": metric}) for model in models]
    ctx = stack_contexts([context("lin")] * 3)
    together = evaluate_many(Stack(models), stack_batches([test] * 3), ctx, [{"mine": metric}] * 3)
    assert together == alone


def test_an_error_of_a_metric_names_it_in_a_stack_too(dataset, context):
    models, test = [torch.nn.Linear(3, 1) for _ in range(2)], dataset("lin").test
    ctx = stack_contexts([context("lin")] * 2)
    with pytest.raises(MetricError, match=r"^evaluation\.metrics\.mine ended in KeyError"):
        evaluate_many(Stack(models), stack_batches([test] * 2), ctx, [{"mine": indexes}] * 2)


# --- rehearsals ------------------------------------------------------------------------------------------------


def test_a_rehearsal_has_rows_of_every_class_in_every_group(dataset):
    few = a_few(dataset("toy").train)
    cells = torch.stack([few.y, few.s], 1).unique(dim=0, return_counts=True)
    assert cells[0].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert cells[1].tolist() == [FEW] * 4


def test_where_rows_are_few_a_rehearsal_has_them_all(dataset):
    train = dataset("toy").train
    only = train.rows(torch.arange(3))
    assert sorted(a_few(only).index.tolist()) == sorted(only.index.tolist())
    assert len(a_few(train.rows(slice(0, 0))).y) == 0


def test_a_rehearsal_on_images_takes_one_of_each_class_up_to_a_number():
    n = torch.arange(200)
    pixels, still = torch.zeros(200, 1, 2, 2, dtype=torch.uint8), torch.zeros(200, dtype=torch.int64)
    assert a_few(Batch(pixels, n % 10, still, torch.ones(200), n)).y.tolist() == list(range(10))
    assert len(a_few(Batch(pixels, n % 50, still, torch.ones(200), n)).y) == FEW_IMAGES


def test_a_rehearsal_makes_few_repetitions_of_everything(dataset, context, trained):
    heard = []

    def attack(predict, batch, ctx, *, steps, restarts, rel_step):
        heard.append((steps, restarts, rel_step))
        return batch.x

    def metric(predict, batch, ctx, *, attacks, intervals, radii):
        heard.append((intervals, radii, len(batch.y)))
        attacks["mine"](predict, batch, ctx)
        ctx.attack(predict, batch, ctx)
        return {}

    own = partial(attack, steps=100, restarts=1, rel_step=50)
    asked = {"mine": partial(metric, attacks={"mine": own}, intervals=1000, radii=[500])}
    rehearse(trained("loan"), dataset("loan").test, replace(context("loan"), attack=own), asked)
    assert heard == [(2, [500], 4 * FEW), (2, 1, 50), (2, 1, 50)]


def test_a_rehearsal_changes_no_figure(dataset, context, trained):
    model, test, ctx = trained("loan"), dataset("loan").test, context("loan")
    first = evaluate(model, test, ctx, {"a": draw("a")})
    rehearse(model, test, ctx, {"a": draw("a")})
    assert evaluate(model, test, ctx, {"a": draw("a")}) == first
