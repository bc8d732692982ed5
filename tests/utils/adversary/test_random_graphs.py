"""Certificates over causal graphs drawn at random: nodes of every kind, any coupling, thresholds and norm."""

import random
from dataclasses import replace
from functools import partial

import pytest
import torch

from tests.utils.adversary.test_certificates import (
    HALF,
    certificate,
    logistic,
    network,
    posterior_flips,
    strong_attack,
)
from utils.adversary.certificates import Budget, Judge
from utils.decides.group_thresholds import GroupThresholds
from utils.models.mlp import ACTIVATIONS
from utils.scms import discrete
from utils.scms.counterfactual import factual_level
from utils.scms.discrete import by_gumbel, by_quantile, of_binary, of_categories, of_count, of_ordered
from utils.scms.from_data import threshold_equation
from utils.scms.layers import EquationNet
from utils.scms.linear import Line
from utils.scms.structure import ROOT, Equation, additive, regression_equation, structural
from utils.types import Column

BUDGET = Budget(each=60, total=1500, branches=64)


def line(parents, outputs, scale):
    weight, bias = torch.randn(outputs, len(parents)), torch.randn(outputs)
    return Line(scale * weight, scale * bias).requires_grad_(False)


def net(parents, scale):
    found = EquationNet(len(parents), 10).requires_grad_(False)
    for parameter in found.parameters():
        parameter.mul_(2 * scale)
    return found


def squashed(parents, scale):
    """Not additive: sigmoid(first parent + u)."""
    return Equation(
        parents,
        lambda u, *p: torch.sigmoid(p[0] + u) - 0.5,
        lambda x, *p: torch.logit((x + 0.5).clamp(1e-6, 1 - 1e-6)) - p[0],
    )


def ordered(parents, scale):
    f = discrete.with_cuts("ordered", line(parents, 1, scale), torch.arange(200) % 4, 4)
    return by_quantile(parents, f.requires_grad_(False), of_ordered, low=-1.0, step=0.5)


def count(parents, scale):
    return by_quantile(parents, line(parents, 2, 0.4 * scale), partial(of_count, levels=12), low=-0.3, step=0.2)


NODES = {
    "root": lambda p, scale: ROOT,
    "linear": lambda p, scale: regression_equation(p, line(p, 1, scale)),
    "net": lambda p, scale: regression_equation(p, net(p, scale)),
    "squares": lambda p, scale: additive(p, lambda *v: 0.4 * v[0].square() - v[-1].square()),
    "product": lambda p, scale: additive(p, lambda *v: v[0] * v[-1]),
    "exponential": lambda p, scale: additive(p, lambda *v: (0.5 * v[0]).exp()),
    "squashed": squashed,
    "clamped": lambda p, scale: additive(p, lambda *v: v[0].clamp(-0.5, 0.5) - torch.relu(v[-1])),
    "binary": lambda p, scale: by_quantile(p, line(p, 1, scale), of_binary, low=0.0, step=1.0),
    "count": count,
    "ordered": ordered,
    "threshold": lambda p, scale: threshold_equation(p, line(p, 1, 0.3)),
}


def draw(seed):
    """A judge and 30 rows: a graph of two to five nodes behind one or two sensitive attributes, a model, thresholds."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    attributes, coupling = choose.choice([1, 1, 2]), choose.choice(["gumbel", "monotone", "independent", "any"])
    columns = [Column(f"s{i}", "binary", levels=(0.0, 1.0), sensitive=True) for i in range(attributes)]
    names, equations = [c.name for c in columns], {}
    gumbel = coupling in ("gumbel", "any")
    for name in (f"c{i}" for i in range(choose.randint(2, 5))):
        kind, scale = choose.choice([*NODES, "block"]), choose.choice([0.3, 1.0, 2.0])
        parents = tuple(choose.sample(names, min(len(names), choose.randint(1, 3))))
        if kind == "block":
            columns += [Column(f"{name}={i}", "binary", levels=(0.0, 1.0), attribute=name) for i in range(3)]
            equations[name] = (by_gumbel if gumbel else by_quantile)(parents, line(parents, 3, scale), of_categories)
            names.append(f"{name}={choose.randint(0, 2)}")
            continue
        binary = kind in ("binary", "threshold")
        columns.append(Column(name, "binary" if binary else "continuous", levels=(0.0, 1.0) if binary else ()))
        names.append(name)
        if kind != "root":
            equations[name] = NODES[kind](parents, scale)
    causal = structural(tuple(columns), equations, lambda n, rng: torch.zeros(n, len(columns)))
    x, causal = rows_of(causal, columns, attributes, gumbel), replace(causal, fresh=coupling == "independent", draws=2)
    causal, x = in_other_units(causal, x, attributes, choose)
    kind = choose.choice(["logistic", *sorted(ACTIVATIONS)])
    if kind == "logistic":
        model = logistic(len(columns), seed)
        model.linear.bias -= model(x).median() + 0.01
    else:
        model = network(x, kind, gain=choose.choice([1.0, 2.0, 3.0]), seed=seed)
    groups = GroupThresholds(tuple(choose.uniform(-0.5, 0.5) for _ in range(2**attributes)))
    norm, decide = choose.choice(["l2", "l2", "linf"]), choose.choice([HALF, groups])
    return Judge(model, decide, causal, norm, "any" if coupling == "any" else "own"), x


def rows_of(causal, columns, attributes, gumbel):
    """Rows of drawn noise, in the units of the equations."""
    u = torch.rand(30, len(columns))
    uniform = u.clamp(1e-6, 1 - 1e-6)
    for i, column in enumerate(columns):
        if i < attributes:
            u[:, i] = (u[:, i] < 0.5).float()
        elif causal.unit[i] > 0:
            u[:, i] = torch.randn(30) if column.kind == "continuous" else uniform[:, i]
        else:
            u[:, i] = -(-uniform[:, i].log()).log() if column.attribute and gumbel else torch.logit(uniform[:, i])
    return causal.to_features(u)


def in_other_units(causal, x, attributes, choose):
    """Sometimes another model space, coordinates with radii of their own, and columns that hold whole numbers."""
    d = len(causal.names)
    if choose.random() < 0.5:
        loc, scale = 0.5 * torch.randn(d), torch.rand(d) + 0.3
        loc[:attributes], scale[:attributes] = 0.0, 1.0
        causal = replace(causal, loc=loc, scale=scale)
    if choose.random() < 0.3:
        causal = replace(causal, unit=causal.unit * (3 * torch.rand(d) + 0.05))
    if choose.random() < 0.3:
        step = 0.5 * (torch.rand(d) < 0.5) * (causal.unit > 0)
        causal = replace(causal, whole=(step, -5.0 * (step > 0), 5.0 * (step > 0)))
    return causal, causal.model(x)


def check(seed):
    """Returns how many are fair and how many unfair, once no draw and no attack has flipped any of the fair."""
    judge, x = draw(seed)
    fair = unfair = 0
    for radius in (0.0, 0.1, 0.5):
        found = certificate(judge, x, radius, BUDGET)
        people, wrong = x[found.fair], x[found.unfair]
        assert not (found.fair & posterior_flips(judge, x, radius, 300, seed)).any()
        if len(people) and radius and (judge.scm.unit > 0).any():
            assert not strong_attack(judge, people, radius, restarts=8, steps=15, samples=0, seed=seed).any()
        before = judge.decides(wrong, factual_level(judge.scm, wrong))
        moved = found.counterexample[found.unfair]
        assert (judge.decides(moved, factual_level(judge.scm, moved)) != before).all()
        fair, unfair = fair + len(people), unfair + len(wrong)
    return fair, unfair


def test_no_draw_and_no_attack_flips_who_is_proven_fair_on_graphs_drawn_at_random():
    fair, unfair = zip(*map(check, range(6)), strict=True)
    assert sum(fair) > 60
    assert sum(unfair) > 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 200))
def test_as_on_many_more_graphs(seed):
    check(seed)
