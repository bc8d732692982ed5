"""The change between a person and its twin, split by arrows and paths, against closed forms and plain enumeration."""

import itertools
import math

import pytest
import torch
from torch import nn

from utils import seeding
from utils.datasets.tabular import binary, continuous, mark
from utils.models.mlp import MLP
from utils.scms import paths
from utils.scms.counterfactual import abduct, chances, factual_level, twins
from utils.scms.paths import Twin, split_change
from utils.scms.structure import Equation, additive, structural


def split(model, scm, columns, x, to, chance=None):
    noise, own = abduct(scm, x, chance), factual_level(scm, x)
    now, then = scm.levels[own], scm.levels[to].expand(len(x), -1)
    at = own.reshape(1, -1, 1).expand(1, *x.shape)
    anew = noise[to] if scm.fresh else None
    twin = Twin(noise.take_along_dim(at, 0).squeeze(0), now, then, anew)
    return split_change(lambda v: model(v).squeeze(-1), scm, columns, twin)


def by_name(parts):
    return {part.nodes: part.change for part in parts}


def test_on_a_linear_model_of_a_linear_scm_a_path_carries_the_product_of_its_coefficients(dataset, scm):
    """x2 = 2 x1 + u, x3 = x1 - x2 + u, each model column divided by its deviation."""
    data, own, model = dataset("lin"), scm("lin"), nn.Linear(3, 1)
    weight = model.weight[0].detach() / own.scale
    x = data.test.x[data.test.s == 0][:5]
    found = split(model, own, data.columns, x, 1)
    expected = {
        ("x1",): weight[0],
        ("x1", "x2"): 2 * weight[1],
        ("x1", "x2", "x3"): -2 * weight[2],
        ("x1", "x3"): weight[2],
    }
    assert found.exact
    shown = by_name(found.paths)
    assert shown.keys() == expected.keys()
    for path, product in expected.items():
        assert torch.allclose(shown[path], product.expand(5), atol=1e-5)
    assert torch.allclose(by_name(found.arrows)["x1", "x2"], (2 * weight[1] - 2 * weight[2]).expand(5), atol=1e-5)


@pytest.mark.parametrize("name", ["loan", "nlm"])
def test_parts_add_up_to_the_change_between_person_and_twin(dataset, scm, trained, name):
    data, own, model = dataset(name), scm(name), trained(name)
    x = data.test.x[data.test.s == 1][:20]
    found = split(model, own, data.columns, x, 0)
    change = (model(twins(own, x)[0]) - model(x)).squeeze(-1)
    assert torch.allclose(found.change, change, atol=1e-4)
    for part in found.arrows:
        behind = [of.change for of in found.paths if of.nodes[:2] == part.nodes]
        behind = behind if len(part.nodes) > 1 else [by_name(found.paths)[part.nodes]]
        assert torch.allclose(torch.stack(behind).sum(0), part.change, atol=1e-4)


def test_arrows_have_the_mean_of_their_gains_over_all_orders(dataset, scm, trained):
    """By the definition, order by order, with the equations of loan written out."""
    data, own, model = dataset("loan"), scm("loan"), trained("loan")
    x = data.test.x[data.test.s == 0][:3]
    found = split(model, own, data.columns, x, 1)
    noise = own.to_noise(own.own(x)).unbind(-1)
    equations = {m.columns[0]: m.push for m in own.mechanisms if m.parents}
    a, e, loan, d, i, s = range(1, 7)

    def world(on):
        g = [1.0 if key in on else 0.0 for key in (None, e, loan, d, i)]
        direct, *sees = (torch.full((3,), level) for level in g)
        v = {0: direct, a: noise[a]}
        v[e] = equations[e](noise[e], sees[0], v[a])
        v[loan] = equations[loan](noise[loan], sees[1], v[a])
        v[d] = equations[d](noise[d], sees[2], v[a], v[loan])
        v[i] = equations[i](noise[i], sees[3], v[a], v[e])
        v[s] = equations[s](noise[s], v[i])
        return model(own.model(torch.stack([v[k] for k in range(7)], -1))).squeeze(-1)

    players = [None, e, loan, d, i]
    gains = dict.fromkeys(players, 0.0)
    for order in itertools.permutations(players):
        for place, player in enumerate(order):
            gains[player] += (world(order[: place + 1]) - world(order[:place])) / math.factorial(5)
    shown = by_name(found.arrows)
    for player, gain in gains.items():
        key = ("gender",) if player is None else ("gender", data.columns[player].name)
        assert torch.allclose(shown[key], gain, atol=1e-4)


def test_where_orders_are_drawn_parts_still_add_up(dataset, scm, trained, monkeypatch):
    monkeypatch.setattr(paths, "MOST_ARROWS", 2)
    data, own, model = dataset("loan"), scm("loan"), trained("loan")
    x = data.test.x[data.test.s == 1][:20]
    found = split(model, own, data.columns, x, 0)
    change = (model(twins(own, x)[0]) - model(x)).squeeze(-1)
    assert (found.exact, found.paths) == (False, ())
    assert torch.allclose(torch.stack([part.change for part in found.arrows]).sum(0), change, atol=1e-4)
    monkeypatch.undo()
    exact = by_name(split(model, own, data.columns, x, 0).arrows)
    for part in found.arrows:
        assert torch.allclose(part.change, exact[part.nodes], atol=0.2 * float(change.abs().max()))


def levels_scm(fresh=False):
    """a sets chances of b; c = a b + a + u: an interaction, through a node of two levels."""
    from dataclasses import replace

    from utils.scms.discrete import by_quantile, of_binary

    columns = mark([*binary("a", "b"), *continuous("c")], ["a"], ["c"])
    equations = {
        "b": by_quantile(("a",), lambda p: 3 * p[..., 0] - 1, of_binary, low=0.0, step=1.0),
        "c": additive(("a", "b"), lambda a, b: a * b + a),
    }
    own = structural(columns, equations, lambda n, rng: torch.from_numpy(rng.random((n, 3))).float())
    return columns, replace(own, draws=4, fresh=fresh)


def test_an_interaction_is_shared_by_the_arrows_that_make_it():
    """c is a b + a: of a person a = 0, b = 0 whose twin has b = 1 it changes by 2, 1 of it by both arrows into it."""
    columns, own = levels_scm()
    x = torch.tensor([[0.0, 0.0, 0.0]])
    chance = torch.full((1, 1, 3), 0.9)  # a noise high among those of b = 0: its twin has b = 1
    found = split(lambda v: v[..., 2:], own, columns, x, 1, chance)
    shown = by_name(found.arrows)
    assert found.change.tolist() == [2.0]
    assert [float(shown[key]) for key in (("a",), ("a", "b"), ("a", "c"))] == [0.0, 0.5, 1.5]


def test_noise_that_is_drawn_anew_is_a_part_of_its_own():
    columns, own = levels_scm(fresh=True)
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    rows = seeding.Rows(3, torch.arange(2))
    found = split(lambda v: v.sum(-1, keepdim=True), own, columns, x, 1, chances(own, x, rows.uniform))
    assert (paths.ANEW,) in by_name(found.arrows)
    moved = twins(own, x, chances(own, x, rows.uniform))[1].sum(-1) - x.sum(-1)
    assert torch.allclose(found.change, moved, atol=1e-5)


def test_a_flag_that_a_number_is_missing_is_on_the_path_of_that_number():
    """The number is held at 5 where its flag, which the attribute sets, is 1."""
    from dataclasses import replace

    columns = mark([*binary("a", "flag"), *continuous("c")], ["a"], ["c"])
    copy = Equation(("a",), lambda u, a: torch.maximum(u, a), lambda x, a: x)
    own = structural(columns, {"flag": copy}, lambda n, rng: torch.from_numpy(rng.random((n, 3))).float())
    order = {own.names[m.columns[0]]: m for m in own.mechanisms}
    own = replace(own, missing={2: (1, torch.tensor(5.0))}, mechanisms=tuple(order[n] for n in ("a", "flag", "c")))
    found = split(lambda v: v[..., 2:], own, columns, torch.tensor([[0.0, 0.0, 2.0]]), 1)
    assert {key: float(part) for key, part in by_name(found.paths).items()} == {
        ("a",): 0.0,
        ("a", "flag"): 0.0,
        ("a", "flag", "c"): 3.0,
    }


def test_a_network_of_many_arrows_is_split_within_the_limits(dataset, scm):
    data = dataset("loan")
    model = MLP(len(data.columns), 1, hidden=[8], activation="tanh")
    found = split(model, scm("loan"), data.columns, data.test.x[data.test.s == 0][:16], 1)
    assert len(found.arrows) == 5
    assert len(found.paths) == 9
