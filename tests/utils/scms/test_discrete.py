"""Discrete nodes: chances against closed forms, posteriors against rejection, levels that come back as they were."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from utils.adversary.bounds import bounds_over, counterfactuals
from utils.scms import discrete
from utils.scms.counterfactual import abduct, chances, twins
from utils.scms.discrete import by_gumbel, by_quantile, of_binary, of_categories, of_count, of_ordered
from utils.scms.linear import Line
from utils.scms.structure import structural
from utils.types import Column

P = ("a", "b")
COUNT = partial(of_count, levels=40)


def line(outputs: int, seed: int = 0, scale: float = 1.0) -> Line:
    source = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(outputs, 2, generator=source), torch.randn(outputs, generator=source)
    return Line(scale * weight, scale * bias).requires_grad_(False)


def ordered(levels: int) -> nn.Module:
    f = discrete.with_cuts("ordered", line(1), torch.arange(200) % levels, levels)
    return f.requires_grad_(False)


EQUATIONS = {
    "binary": by_quantile(P, line(1), of_binary, low=0.0, step=1.0),
    "ordered": by_quantile(P, ordered(4), of_ordered, low=-1.0, step=0.5),
    "count": by_quantile(P, line(2, scale=0.4), COUNT, low=-0.3, step=0.2),
    "gumbel": by_gumbel(P, line(3), of_categories),
    "monotone": by_quantile(P, line(3), of_categories),
}


def parents(n: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(n, generator=source), torch.randn(n, generator=source)


def noise(name: str, n: int) -> Tensor:
    rng = np.random.default_rng(2)
    if name == "gumbel":
        return torch.from_numpy(rng.gumbel(size=(n, 3))).float()
    u = torch.from_numpy(rng.logistic(size=n)).float()
    return u.unsqueeze(-1).expand(n, 3) if name == "monotone" else u


# --- chances ---------------------------------------------------------------------------------------------------


def test_counts_are_negative_binomial_and_with_a_large_dispersion_poisson():
    number = np.arange(60)
    for mean, size in ((3.0, 2.0), (0.4, 0.7), (9.0, 30.0)):
        found = of_count(torch.tensor([[np.log(mean), np.log(size)]]).double(), levels=60)[0].numpy()
        assert found == pytest.approx(stats.nbinom.pmf(number, size, size / (size + mean)), abs=1e-6)
    found = of_count(torch.tensor([[np.log(5.0), 12.0]]).double(), levels=60)[0].numpy()
    assert found == pytest.approx(stats.poisson.pmf(number, 5.0), abs=1e-4)


def test_levels_in_an_order_are_those_of_cut_points():
    cuts = torch.tensor([[-1.0, 0.5, 2.0]])
    below = stats.logistic.cdf([-1.0, 0.5, 2.0])
    assert of_ordered(cuts)[0].tolist() == pytest.approx(np.diff([0, *below, 1]).tolist(), abs=1e-6)


@pytest.mark.parametrize("name", EQUATIONS)
def test_fresh_noise_gives_every_level_with_its_chance(name):
    equation, n = EQUATIONS[name], 200_000
    given = [torch.full((n,), v) for v in (0.4, -0.7)]
    x = equation.push(noise(name, n), *given)
    head, f = equation.push.keywords["head"], equation.push.args[0]
    expected = discrete.chances(head, f, *(g[:1] for g in given))[0]
    levels = x.argmax(-1) if x.ndim > 1 else (x - equation.push.keywords["low"]) / equation.push.keywords["step"]
    shares = torch.bincount(levels.round().long(), minlength=len(expected)) / n
    assert (shares - expected).abs().max() < 4 * 0.5 / n**0.5


# --- posteriors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_value_that_was_seen_comes_back_under_every_draw(name):
    equation, n = EQUATIONS[name], 20_000
    given = parents(n)
    x = equation.push(noise(name, n), *given)
    chance = torch.rand(8, *x.shape, generator=torch.Generator().manual_seed(3))
    chance[0], chance[1] = 0.0, 1 - 2**-24
    assert equation.posterior
    assert torch.equal(equation.push(equation.pull(x, chance, *given), *given), x.expand_as(chance))


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_posterior_is_what_rejection_leaves(name):
    """Noise is drawn until the level comes out; the twin's level then has the same chances either way."""
    equation, n = EQUATIONS[name], 400_000
    own, other = [torch.full((n,), v) for v in (0.4, -0.7)], [torch.full((n,), v) for v in (-0.3, 0.9)]
    u = noise(name, n)
    x, moved = equation.push(u, *own), equation.push(u, *other)
    level = x[np.argmax((x[:, 1] if x.ndim > 1 else x).numpy() != (x[0, 1] if x.ndim > 1 else x[0]).item())]
    kept = (x == level).all(-1) if x.ndim > 1 else x == level
    by_rejection = moved[kept]
    chance = torch.rand(by_rejection.shape, generator=torch.Generator().manual_seed(5))
    m = len(by_rejection)
    drawn = equation.push(equation.pull(x[kept], chance, *(g[:m] for g in own)), *(g[:m] for g in other))
    assert m > 10_000
    assert (drawn.mean(0) - by_rejection.mean(0)).abs().max() < 5 * by_rejection.std(0).max() / m**0.5 * 2**0.5 + 1e-4


def test_two_categories_with_gumbel_noise_are_one_binary_node():
    """The chance that the twin changes its level, in closed form: (p' - p) / (1 - p) for those at 0."""
    n, f = 200_000, line(1)
    both = Line(torch.cat([torch.zeros(1, 2), f.linear.weight]), torch.cat([torch.zeros(1), f.linear.bias]))
    own, other = [torch.full((n,), v) for v in (0.4, -0.7)], [torch.full((n,), v) for v in (-0.9, 0.9)]
    p, q = (float(f(torch.stack([g[0] for g in of], -1)).sigmoid()) for of in (own, other))
    low, high = (own, other) if p < q else (other, own)
    chance = torch.rand(n, 2, generator=torch.Generator().manual_seed(5))
    equation = by_gumbel(P, both.requires_grad_(False), of_categories)
    zero = torch.tensor([1.0, 0.0]).expand(n, 2)
    flipped = equation.push(equation.pull(zero, chance, *low), *high)[:, 1].mean()
    assert float(flipped) == pytest.approx(abs(q - p) / (1 - min(p, q)), abs=0.005)


# --- twins -----------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("a", "binary", levels=(0.0, 1.0), sensitive=True),
    Column("b", "continuous"),
    *(Column(f"job={i}", "binary", levels=(0.0, 1.0), attribute="job") for i in range(3)),
    Column("member", "binary", levels=(0.0, 1.0)),
    Column("kids", "continuous", integer=True, bounds=(0.0, 39.0), discrete="count"),
)


def causal_model(coupling: str = "gumbel"):
    job = EQUATIONS["gumbel" if coupling == "gumbel" else "monotone"]
    equations = {"job": job, "member": EQUATIONS["binary"], "kids": EQUATIONS["count"]}
    return structural(COLUMNS, equations, lambda n, rng: torch.from_numpy(rng.random((n, 7))).float())


def rows(n: int, coupling: str = "gumbel") -> Tensor:
    scm, source = causal_model(coupling), torch.Generator().manual_seed(7)
    u = torch.rand(n, 7, generator=source)
    u[:, 0], u[:, 1] = (u[:, 0] < 0.5).float(), torch.randn(n, generator=source)
    u[:, 5:] = torch.logit(u[:, 5:])
    u[:, 2:5] = torch.logit(u[:, 2:5]) if coupling == "monotone" else -(-u[:, 2:5].log()).log()
    return scm.to_features(u)


@pytest.mark.parametrize("coupling", ["gumbel", "monotone"])
def test_every_twin_is_a_possible_row_and_the_factual_one_is_the_person(coupling):
    scm, x = causal_model(coupling), rows(2000, coupling)
    source = torch.Generator().manual_seed(8)
    chance = chances(scm, x, lambda like: torch.rand(like.shape, generator=source))
    found = twins(scm, x, chance)
    assert torch.equal(found[..., 2:5].sum(-1), torch.ones(2, 2000))
    assert set(found[..., 5].unique().tolist()) <= {0.0, 1.0}
    level = (found[..., 6] + 0.3) / 0.2
    assert (level - level.round()).abs().max() < 1e-4
    assert level.min() > -0.5
    own = found.gather(0, x[:, 0].long().expand(7, -1).T.unsqueeze(0)).squeeze(0)
    assert torch.equal(own[:, :6], x[:, :6])
    torch.testing.assert_close(own, x)


def test_a_batch_of_draws_is_one_row_at_a_time():
    scm, x = causal_model(), rows(20)
    chance = torch.rand(5, 20, 7, generator=torch.Generator().manual_seed(8))
    together = scm.to_noise(x, chance)
    assert together.shape == (5, 20, 7)
    alone = torch.stack([torch.stack([scm.to_noise(x[i], c[i]) for i in range(20)]) for c in chance])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    again = torch.stack([scm.to_features(u) for u in together])
    torch.testing.assert_close(again, x.expand(5, -1, -1))


def test_no_radius_moves_what_is_drawn():
    assert causal_model().unit.tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert causal_model().posterior == (2, 3, 4, 5, 6)


@pytest.mark.parametrize("branches", [1, 16])
def test_bounds_hold_what_the_equations_give_and_are_told_level_by_level(branches, monkeypatch):
    """Each shifted row lies in one of its boxes; with one box a row, levels that a shift may change are left open."""
    monkeypatch.setattr("utils.adversary.bounds.BRANCHES", branches)
    scm, x = causal_model(), rows(300)
    predict = nn.Linear(7, 1).requires_grad_(False)
    chance = torch.rand(1, 300, 7, generator=torch.Generator().manual_seed(8))
    noise = abduct(scm, x, chance)
    source, told, boxes = torch.Generator().manual_seed(9), 0, 0
    for radius in (0.01, 0.3):
        shifts = torch.zeros(40, 7)
        shifts[:, 1] = radius * (2 * torch.rand(40, generator=source) - 1)
        for level in (0.0, 1.0):
            do = {0: torch.full((300,), level)}
            row, held = counterfactuals(scm, noise[int(level)], shifts, do)
            assert row.unique().tolist() == list(range(300))
            moved = torch.stack([scm.to_features(noise[int(level)] + shift, do) for shift in shifts])
            inside = ((moved[:, row] - held.value).abs() <= held.reach() + 1e-5).all(-1)  # (samples, boxes)
            assert torch.zeros(40, 300).index_add(1, row, inside.float()).ge(1).all()
            low, high = bounds_over(predict, held)
            answers = predict(moved)[:, row]
            assert ((low <= answers) & (answers <= high))[inside].all()
            told += int((held.rest[:, 2:].amax(-1) < 1e-3).sum()) if radius < 0.1 else 0
            boxes += len(row)
    assert told > 300  # of 600
    assert boxes == 1200 if branches == 1 else 1250 < boxes < 4000
