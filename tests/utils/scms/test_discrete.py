"""Discrete nodes: chances against closed forms, posteriors against rejection, levels that come back as they were."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from utils.adversary.bounds import Twins, ball, bounds_over, box, by_drawn_noise, counterfactuals
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
def test_bounds_hold_what_the_equations_give_and_are_told_level_by_level(branches):
    """Each shifted row lies in one of its boxes; with one box a row, levels that a shift may change are left open."""
    scm, x = causal_model(), rows(300)
    predict = nn.Linear(7, 1).requires_grad_(False)
    chance = torch.rand(1, 300, 7, generator=torch.Generator().manual_seed(8))
    noise = abduct(scm, x, chance)
    source, told, boxes = torch.Generator().manual_seed(9), 0, 0
    for radius in (0.01, 0.3):
        shifts = torch.zeros(40, 1, 7)
        shifts[..., 1] = radius * (2 * torch.rand(40, 1, generator=source) - 1)
        for level in (0, 1):
            twins = Twins(x, noise[level], torch.full((300,), level))
            domain = ball(scm, torch.full((300,), radius), "l2")
            row, held, levels = counterfactuals(scm, twins, domain, by_drawn_noise(twins), branches)
            assert row.unique().tolist() == list(range(300))
            moved = scm.to_features(noise[level] + shifts, twins.do(scm))[:, row]  # (samples, boxes)
            low, high = held.bounds()
            inside = ((low - 1e-5 <= moved) & (moved <= high + 1e-5)).all(-1)
            assert torch.zeros(40, 300).index_add(1, row, inside.float()).ge(1).all()
            low, high = bounds_over(predict, held)
            answers = predict(moved)
            assert ((low <= answers) & (answers <= high))[inside].all()
            kids = ((moved[..., 6] + 0.3) / 0.2).round().long()
            assert (levels[6].eq(-1) | levels[6].eq(kids))[inside].all()
            told += int((held.rest[:, 2:].amax(-1) < 1e-3).sum()) if radius < 0.1 else 0
            boxes += len(row)
    assert told > 300  # of 600
    assert boxes == 1200 if branches == 1 else 1250 < boxes < 4000


# --- the levels that agree with a row ---------------------------------------------------------------------------


def found_levels(name: str, x: Tensor) -> Tensor:
    """The levels (...) of a node's columns."""
    keywords = EQUATIONS[name].push.keywords
    where = {key: keywords[key] for key in ("low", "step") if key in keywords}
    return discrete.read_level(x, 1000 if where else 3, **where)


def as_columns(name: str, x: Tensor) -> Tensor:
    return x if x.ndim > 1 and name in ("gumbel", "monotone") else x.unsqueeze(-1)


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("name", EQUATIONS)
def test_every_level_that_some_noise_of_the_row_gives_is_among_those_that_agree(name, size):
    """2,000 posterior draws and parents in a box around others; those at its edge are drawn too."""
    equation, n = EQUATIONS[name], 60
    own, other = parents(n), [p.flip(0) * 1.5 for p in parents(n)]
    x = equation.push(noise(name, n), *own)
    source = torch.Generator().manual_seed(4)
    moved = [p + size * (2 * torch.rand(2000, n, generator=source) - 1) for p in other]
    moved[0][:500], moved[1][:500] = (p + size * s for p, s in zip(other, (1, -1), strict=True))
    chance = torch.rand(2000, *x.shape, generator=source)
    chance[:2], chance[2:4] = 0.0, 1 - 2**-24
    drawn = equation.push(equation.pull(x, chance, *own), *moved)
    of = box(torch.stack(other, -1), torch.full((n, 2), size))
    low, high = (end.reshape(n, -1) for end in bounds_over(equation.push.args[0], of))
    agreeing = discrete.agreeing_levels(equation.push, (low, high), as_columns(name, x), *own)
    assert agreeing.gather(1, found_levels(name, drawn).T).all()
    assert agreeing.float().mean() < 0.9, "not all agree"


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_level_that_agrees_has_a_noise_that_gives_it_and_the_row(name):
    equation, n = EQUATIONS[name], 300
    own, other = parents(n), [p.flip(0) * 1.5 for p in parents(n)]
    x = equation.push(noise(name, n), *own)
    scores = equation.push.args[0](torch.stack(other, -1)).reshape(n, -1)
    agreeing = discrete.agreeing_levels(equation.push, (scores, scores), as_columns(name, x), *own)
    row, target = agreeing.nonzero().unbind(-1)
    given, now = ([p[row] for p in of] for of in (own, other))
    u = discrete.noise_between(equation.push, as_columns(name, x)[row], target, given, now)
    u = u if x.ndim > 1 else u.squeeze(-1)
    gives_row = equation.push(u, *given) == x[row]
    both = (gives_row.all(-1) if x.ndim > 1 else gives_row) & (found_levels(name, equation.push(u, *now)) == target)
    assert both.float().mean() > 0.97, "but for those on the edge"
    free = discrete.noise_between(equation.push, None, target, given, now)
    free = free if x.ndim > 1 else free.squeeze(-1)
    assert torch.equal(found_levels(name, equation.push(free, *now)), target)


@pytest.mark.parametrize("dispersion", [0.0, 6.0, 9.0, 12.0])
def test_roundings_of_a_count_with_a_large_dispersion_leave_its_levels_possible(dispersion):
    """Weights are differences of numbers as large as exp(12) 12, of which single precision keeps one decimal."""
    n, source = 2000, torch.Generator().manual_seed(0)
    equation = by_quantile(P, nn.Identity(), COUNT, low=0.0, step=1.0)
    mean, size = torch.randn(n, generator=source) + 1.5, dispersion + 0.1 * torch.randn(n, generator=source)
    u = torch.logit(torch.rand(n, generator=source))
    for width in (0.0, 1e-5, 1e-2):
        low, high = (torch.stack([mean + way, size + way], -1) for way in (-width, width))
        possible = discrete.possible_levels(equation.push, (low, high), (u.unsqueeze(-1), u.unsqueeze(-1)))
        for _ in range(5):
            at = (of + width * (2 * torch.rand(n, generator=source) - 1) for of in (mean, size))
            assert possible.gather(1, equation.push(u, *at).long().unsqueeze(-1)).all()


@pytest.mark.parametrize("shared", [0.0, 30.0, 1e4])
def test_what_all_scores_share_costs_their_chances_no_digit(shared):
    scores = shared + 2 * torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    chance = scores.double().softmax(-1) * (1 - 3 * discrete.LEAST_CHANCE) + discrete.LEAST_CHANCE
    for end in discrete._enclose_log_chances((scores, scores)):
        torch.testing.assert_close(end.double(), chance.log(), rtol=1e-6, atol=1e-6)
    for end in discrete._enclose_distribution(of_categories, (scores, scores)):
        torch.testing.assert_close(end.double(), scores.double().softmax(-1).cumsum(-1)[:, :-1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", EQUATIONS)
def test_undefined_scores_leave_every_level_open(name):
    equation = EQUATIONS[name]
    own = parents(4)
    x = equation.push(noise(name, 4), *own)
    columns = as_columns(name, x)
    width = equation.push.args[0](torch.stack(own, -1)).reshape(4, -1).shape[-1]
    unknown = torch.full((4, width), torch.nan)
    assert discrete.agreeing_levels(equation.push, (unknown, unknown), columns, *own).all()
    u = noise(name, 4).reshape(4, -1)
    assert discrete.possible_levels(equation.push, (unknown, unknown), (u, u)).all()


def test_a_check_of_agreeing_levels_finds_out_one_that_is_left_out(monkeypatch):
    """The test above can fail: without Gumbel levels that grow as the seen one does, draws are found outside."""
    own = discrete.agreeing_levels
    monkeypatch.setattr(discrete, "agreeing_levels", lambda *args: own(*args) & (torch.arange(3) < 2))
    with pytest.raises(AssertionError):
        test_every_level_that_some_noise_of_the_row_gives_is_among_those_that_agree("gumbel", 0.3)


@pytest.mark.parametrize("log_size", [-6.0, 0.0, 6.0, 9.0, 12.0])
def test_chances_of_a_count_are_those_of_scipy_in_single_precision(log_size):
    """A large size is nearly Poisson; what could be drawn above the last number is left out."""
    log_mean = torch.tensor([-3.0, 0.0, 0.5, 3.0])
    found = of_count(torch.stack([log_mean, torch.full_like(log_mean, log_size)], -1), levels=40)
    size = math.exp(log_size)
    expected = stats.nbinom.pmf(np.arange(40), size, size / (size + np.exp(log_mean.double().numpy()[:, None])))
    assert np.abs(found.numpy() - expected / expected.sum(-1, keepdims=True)).max() < 2e-6
