"""Judging a model: all metrics on the same rows, each from a stream of its own, the model left as it is."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from evals.evaluation import evaluate
from utils.seeding import Rows


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
    from functools import partial

    from utils.metrics.classification import classification
    from utils.metrics.robust import robust

    model, test, ctx = trained("loan"), dataset("loan").test, context("loan")
    weights, rows, decide = deepcopy(model.state_dict()), test.x.clone(), deepcopy(ctx.decide)
    metrics = {
        "classification": partial(classification, intervals=5, level=0.9),
        "robust": partial(robust, radii=[0.1], training_radius=None, attack=ctx.attack, intervals=5, level=0.9),
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
