"""Abduction, action, prediction: closed forms, row-by-row references, and what must not move."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from utils.scms.counterfactual import (
    counterfactual,
    draw,
    factual_level,
    least_shift,
    twins,
)

GENERATED = ["lin", "nlm", "imf", "loan"]
EVERY = [*GENERATED, "learned", "linear", "threshold"]
INVERTIBLE = EVERY[:-1]  # a threshold equation has one value of x for many noises


def data_of(name):
    return name if name in GENERATED else "toy"


def rows(dataset, name, n=40):
    return dataset(data_of(name)).train.x[:n]


def noises(columns):
    """Noise of ordinary size, several standard deviations wide; the first column is sensitive."""
    row = st.lists(st.floats(-4, 4, width=32), min_size=columns - 1, max_size=columns - 1)
    return st.tuples(st.sampled_from([0.0, 1.0]), row).map(lambda pair: torch.tensor([[pair[0], *pair[1]]]))


def test_twins_on_lin_move_by_the_total_effects(dataset, scm):
    """do(x1 = a) moves x2 by 2 (a - x1), and x3 by (a - x1) - 2 (a - x1) = -(a - x1)."""
    own = scm("lin").own(rows(dataset, "lin"))
    moved = scm("lin").own(twins(scm("lin"), rows(dataset, "lin")))
    for level in (0, 1):
        change = level - own[:, 0]
        expected = torch.stack([own[:, 0] + change, own[:, 1] + 2 * change, own[:, 2] - change], -1)
        assert torch.allclose(moved[level], expected, atol=1e-5)


@pytest.mark.parametrize("name", GENERATED)
def test_twins_equal_the_formulas_row_by_row(dataset, scm, name):
    x = rows(dataset, name)
    found = scm(name).own(twins(scm(name), x))
    for i, row in enumerate(scm(name).own(x).double().tolist()):
        assert found[:, i].numpy() == pytest.approx(np.array(oracles.twins(name, row)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", GENERATED)
def test_noise_equals_the_formulas_row_by_row(dataset, scm, name):
    own = scm(name).own(rows(dataset, name))
    for found, row in zip(scm(name).to_noise(own), own.double().tolist(), strict=True):
        assert found.numpy() == pytest.approx(np.array(oracles.noise(name, row)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_abduction_then_prediction_gives_the_row_back(scm, name, data):
    model = scm(name)
    v = model.to_features(data.draw(noises(len(model.names))))
    if name == "threshold":
        v = v.round()
    assert torch.allclose(model.to_features(model.to_noise(v)), v, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", INVERTIBLE)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_prediction_then_abduction_gives_the_noise_back(scm, name, data):
    """Education of loan lies strictly inside (-.5, .5), so its noise comes back less sharply in float32."""
    u = data.draw(noises(len(scm(name).names)))
    assert torch.allclose(scm(name).to_noise(scm(name).to_features(u)), u, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_the_factual_twin_is_the_row_itself(dataset, scm, name):
    x = rows(dataset, name)
    level = factual_level(scm(name), x)
    factual = twins(scm(name), x)[level, torch.arange(len(x))]
    assert torch.allclose(factual, x, atol=1e-4)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_a_twin_of_a_twin_is_a_twin(dataset, scm, name):
    """A twin shares the noise of its row, so the twins of all twins are the twins of the row."""
    once = twins(scm(name), rows(dataset, name))
    twice = twins(scm(name), once)  # (level, level of the twin, n, d)
    assert torch.allclose(twice, once.unsqueeze(1).expand_as(twice), atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_rows_together_equal_rows_one_by_one(dataset, scm, name):
    x = rows(dataset, name)
    alone = torch.stack([twins(scm(name), row) for row in x], 1)
    assert torch.allclose(twins(scm(name), x), alone, atol=1e-5)


def test_do_on_a_root_leaves_other_roots_alone(dataset, scm):
    x = rows(dataset, "loan")
    assert torch.allclose(twins(scm("loan"), x)[:, :, 1], x[:, 1].expand(2, -1), atol=1e-6)


def test_do_moves_the_column_and_its_descendants_only(dataset, scm):
    """In loan the loan amount causes the duration and nothing else."""
    x = rows(dataset, "loan")
    amount = scm("loan").own(x)[:, 3] + 1
    change = counterfactual(scm("loan"), x, {3: amount}) - x
    assert (change.abs() > 1e-4).any(0).tolist() == [False, False, False, True, True, False, False]
    assert torch.allclose(change[:, 3:5] * scm("loan").scale[3:5], torch.ones(len(x), 2), atol=1e-4)


def test_do_cuts_the_column_from_its_own_noise(dataset, scm):
    x = rows(dataset, "lin")
    moved = scm("lin").own(counterfactual(scm("lin"), x, {1: torch.tensor(0.3)}))
    assert torch.allclose(moved[:, 1], torch.tensor(0.3))


def test_two_sensitive_attributes_have_the_product_of_their_levels_as_twins(dataset, scm):
    """b is set by intervention too, so its own equation no longer matters."""
    model = replace(scm("linear"), sensitive=(0, 1), levels=torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    x = rows(dataset, "toy")
    found = twins(model, x)
    assert torch.equal(found[:, :, :2], model.levels.unsqueeze(1).expand(-1, len(x), -1))
    assert torch.allclose(found[factual_level(model, x), torch.arange(len(x))], x, atol=1e-5)


def test_fresh_individuals_come_from_the_distribution_of_the_data(dataset, scm):
    data = dataset("loan", 20_000)
    fresh = draw(data.scm, 20_000, np.random.default_rng(1))
    assert fresh.mean(0).numpy() == pytest.approx(data.train.x.mean(0).numpy(), abs=0.04)
    assert fresh.std(0).numpy() == pytest.approx(data.train.x.std(0).numpy(), abs=0.04)


def test_the_same_stream_draws_the_same_individuals(scm):
    first, second = (draw(scm("nlm"), 5, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_the_least_shift_of_an_invertible_equation_is_the_difference_of_the_noises(dataset, scm, name):
    x = rows(dataset, name)
    model, moved = scm(name), x.flip(0)
    expected = model.to_noise(model.own(moved)) - model.to_noise(model.own(x))
    assert torch.allclose(least_shift(model, x, moved), expected, atol=1e-5)


def test_the_least_shift_of_a_threshold_equation_is_the_way_to_its_edge(scm):
    """b = 1[u < p] with u = p / 2 abducted from b = 1: b = 0 is reached at u = p, and b = 1 without moving."""
    model = scm("threshold")
    x = torch.tensor([[1.0, 1.0, 0.0]])
    half = float(model.to_noise(x)[0, 1])
    assert float(least_shift(model, x, torch.tensor([[1.0, 0.0, 0.0]]))[0, 1]) == pytest.approx(half, abs=1e-5)
    assert float(least_shift(model, x, x)[0, 1]) == 0
    rare = torch.tensor([[0.0, 1.0, 0.0]])  # b = 1 is rarer under a = 0, so its noise gives b = 1 under a = 1 too
    assert float(least_shift(model, rare, x)[0, 1]) == 0


def test_every_individual_drawn_has_a_level_that_exists(dataset, scm):
    """Also where the sensitive column has parents and its equation gives numbers between the levels."""
    model = replace(scm("loan"), sensitive=(2,), levels=torch.tensor([[-0.25], [0.25]]))
    drawn = model.own(draw(model, 200, np.random.default_rng(0)))
    assert set(drawn[:, 2].round(decimals=4).tolist()) == {-0.25, 0.25}
