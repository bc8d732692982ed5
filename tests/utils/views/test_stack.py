"""A stack is its models side by side: the oracle is each of them alone."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from utils import seeding
from utils.command_line.targets import mask, structure
from utils.decides.threshold import Threshold
from utils.models.logistic import Logistic
from utils.models.mlp import MLP
from utils.views.stack import (
    EachDecides,
    Stack,
    UnstackableError,
    stack_batches,
    stack_contexts,
    stack_scms,
    together,
)


class Product(nn.Module):
    """A layer that is neither linear nor elementwise."""

    def __init__(self):
        super().__init__()
        self.form = nn.Bilinear(4, 4, 2)

    def forward(self, x):
        return self.form(x, x)


class Centred(nn.Module):
    """Its answer for a row depends on the other rows."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, x):
        return self.linear(x - x.mean(-2, keepdim=True))


def mlp(activation="tanh"):
    return MLP(4, 1, hidden=[8, 5], activation=activation)


MAKERS = {
    "mlp": mlp,
    "relu": lambda: mlp("relu"),
    "logistic": lambda: Logistic(4, 3),
    "one input": lambda: nn.Linear(1, 2),
    "no bias": lambda: nn.Sequential(nn.Linear(4, 1, bias=False)),
    "other layers": Product,
}


def alone(models, x):
    return torch.stack([model(rows) for model, rows in zip(models, x, strict=True)])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_stack_answers_as_its_models_do(make):
    models = [make() for _ in range(3)]
    x = torch.randn(3, 7, 1 if isinstance(models[0], nn.Linear) else 4)
    assert torch.allclose(Stack(models)(x), alone(models, x), atol=1e-6)


def test_what_stands_in_front_of_models_and_rows_broadcasts():
    models = [mlp() for _ in range(3)]
    x = torch.randn(2, 5, 3, 7, 4)
    assert torch.allclose(Stack(models)(x)[1, 4], Stack(models)(x[1, 4]), atol=1e-6)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_models_get_back_the_parameters_of_the_stack(make):
    models = [make() for _ in range(3)]
    stack = Stack(models)
    with torch.no_grad():
        for p in stack.together.parameters():
            p.mul_(2)
    before = [[p.clone() for p in model.parameters()] for model in models]
    stack.hand_back()
    for old, model in zip(before, models, strict=True):
        assert all(torch.equal(2 * b, p) for b, p in zip(old, model.parameters(), strict=True))


def test_layers_of_fewer_inputs_take_the_first_and_get_back_weights_of_these():
    few, many = nn.Linear(2, 3), nn.Linear(5, 3)
    x, stack = torch.randn(5, 7), Stack([few, many])
    padded = torch.cat([x[:2], torch.zeros(3, 7)])
    found = stack(torch.stack([padded.T, x.T]))
    assert torch.allclose(found[0], few(x[:2].T), atol=1e-6)
    assert torch.allclose(found[1], many(x.T), atol=1e-6)
    found.sum().backward()
    assert not stack.together.weight.grad[0, 2:].any()
    before = few.weight.clone(), many.weight.clone()
    stack.hand_back()
    assert torch.equal(few.weight, before[0])
    assert torch.equal(many.weight, before[1])


def test_the_bits_of_a_model_do_not_depend_on_its_stack():
    """At one thread; the widths are those of the default network."""
    models = [MLP(7, 1, hidden=[100, 100], activation="tanh") for _ in range(9)]
    x = torch.randn(9, 100, 7)
    together_ = Stack(models)(x)
    for m in (1, 2, 5):
        assert torch.equal(Stack(models[:m])(x[:m]), together_[:m])


def test_a_model_that_keeps_state_is_refused():
    with pytest.raises(UnstackableError, match="state"):
        Stack([nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2)])


def test_a_model_that_mixes_rows_is_not_mistaken_for_one_that_does_not():
    """Centring acts on the rows of one model also in the stack, where rows are the second dimension but one."""
    models = [Centred() for _ in range(2)]
    x = torch.randn(2, 6, 4)
    assert torch.allclose(Stack(models)(x), alone(models, x), atol=1e-6)


# --- settings --------------------------------------------------------------------------------------------------


def test_equal_settings_stay_as_they_are_and_numbers_become_a_column():
    bound = [partial(print, weight=w, norm="l2") for w in (1.0, 2.0)]
    stacked = together(bound, "term")
    assert stacked.keywords["norm"] == "l2"
    assert stacked.keywords["weight"].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("values", [["l2", "linf"], [partial(print), partial(len)], [True, 0.5]])
def test_settings_that_differ_in_more_than_numbers_are_refused(values):
    with pytest.raises(UnstackableError, match="norm"):
        together(values, "norm")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1, "number"), ("8/255", "number"), (0, "0"), ("0.0", "0"), ("l2", "l2")]
)
def test_a_number_is_masked_down_to_whether_it_is_0(value, shown):
    assert mask(value) == shown


def test_the_structure_of_a_method_leaves_out_the_numbers_that_a_stack_may_hold():
    node = {"_target_": "utils.regularizers.ross.ross", "step": 0.75, "mask": "actionable"}
    assert structure(node) == structure(node | {"step": 0.1})
    assert structure(node) != structure(node | {"mask": "all"})


def test_the_structure_of_an_attack_keeps_its_numbers():
    node = {"_target_": "utils.attacks.pgd.pgd", "steps": 5, "rel_step": 0.5}
    assert structure(node) != structure(node | {"rel_step": 0.25})


# --- causal models, rows, decisions ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loan", "nlm", "learned", "linear", "threshold"])
def test_a_stacked_causal_model_abducts_and_predicts_as_each(scm, dataset, name):
    own = scm(name)
    data = dataset(name if name in ("loan", "nlm") else "toy")
    x = torch.stack([data.train.x[:50], data.train.x[50:100]])
    stacked = stack_scms([own, own])
    noise = stacked.to_noise(stacked.own(x))
    for i in range(2):
        assert torch.allclose(noise[i], own.to_noise(own.own(x[i])), atol=1e-5)
        back = stacked.model(stacked.to_features(noise))[i]
        assert torch.allclose(back, own.model(own.to_features(noise[i])), atol=1e-5)


def test_causal_models_over_different_columns_are_refused(scm):
    with pytest.raises(UnstackableError, match="graphs"):
        stack_scms([scm("loan"), scm("nlm")])


def test_rows_of_different_number_are_refused(dataset):
    with pytest.raises(UnstackableError, match="numbers of rows"):
        stack_batches([dataset("loan").train, dataset("loan").test])


def test_every_model_of_a_stack_draws_from_its_own_stream(context):
    first = context("loan", seed=3)
    contexts = [first, replace(context("loan", seed=4), epsilon=first.epsilon, attack=first.attack)]
    stacked = stack_contexts(contexts)
    like = torch.zeros(2, 2, 5, 7)  # candidates, models, rows, columns
    drawn = stacked.normal(like)
    for i, seed in enumerate((3, 4)):
        assert torch.equal(drawn[:, i], seeding.normal(like[:, i], seeding.generator(seed, "attack")))


def test_every_model_of_a_stack_decides_by_its_own_threshold():
    decide = EachDecides([Threshold(0.2), Threshold(0.8)])
    logits = torch.zeros(3, 2, 4, 1)
    s = torch.zeros(4, dtype=torch.long)
    assert decide(logits, s)[0].tolist() == [[1] * 4, [0] * 4]
    assert torch.allclose(decide.margin(logits, s)[2, 1], Threshold(0.8).margin(logits[2, 1], s))
