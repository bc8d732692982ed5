"""AutoAttack: the published ensemble on a trained net, and how it puts attacks together."""

import copy
from functools import partial

import pytest
import torch
from omegaconf import OmegaConf
from pyautoattack import AutoAttack
from torch import nn

from tests.utils.attacks.robust_digits import PUBLISHED, batch, by_chance, image_context, images, right, robust_net
from utils import build
from utils.attacks.autoattack import autoattack
from utils.threats import check_budget, pixels
from utils.views.stack import UnstackableError

RADIUS = {"linf": 0.1, "l2": 0.5, "l1": 1.0}
LINF = partial(pixels, norm="linf")


def ensemble(option, norm="linf", **changes):
    """The option of the ``attack`` group, with settings of its attacks changed: name, then setting, then value."""
    whole = OmegaConf.create({"attack": option("attack", "autoattack") | {"norm": norm}})
    node = OmegaConf.to_container(whole, resolve=True)["attack"]["evasion"]
    for name, settings in changes.items():
        node["attacks"][name] |= settings
    return build.bind(node, "attack.evasion")


def published(model, rows, *, norm, radius, steps=100, queries=5000):
    """x' of the authors' code, its standard version but for steps and queries."""
    with torch.random.fork_rng():
        theirs = AutoAttack(model, norm=PUBLISHED[norm], eps=radius, seed=0, version="standard")
        theirs.verbose = False
        for one in (theirs.apgd, theirs.apgd_targeted, theirs.fab):
            one.n_iter = steps
        theirs.square.n_queries = queries
        return theirs.run_standard_evaluation(rows.x, rows.y, batch_size=len(rows.y))[0]


# The published code


@pytest.mark.parametrize("norm", ["linf", pytest.param("l2", marks=pytest.mark.slow)])
def test_it_is_as_strong_as_the_published_code(option, norm):
    rows = images().rows(slice(0, 80))
    few = {name: {"steps": 10} for name in ("apgd_ce", "apgd_t", "fab_t")} | {"square": {"queries": 50}}
    moved = ensemble(option, norm, **few)(robust_net(), rows, image_context(RADIUS[norm]))
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm], steps=10, queries=50)
    ours, other = (right(robust_net(), x, rows.y) for x in (moved, theirs))
    assert 10 < other.sum() < right(robust_net(), rows.x, rows.y).sum() - 10
    assert abs(ours.sum() - other.sum()) <= by_chance(ours, other)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_standard_version_is_within_two_rows_of_a_thousand_of_the_published_one(option, norm):
    rows = images().rows(slice(0, 1000))
    moved = ensemble(option, norm)(robust_net(), rows, image_context(RADIUS[norm]))
    theirs = published(robust_net(), rows, norm=norm, radius=RADIUS[norm])
    ours, other = (right(robust_net(), x, rows.y).sum() for x in (moved, theirs))
    assert 100 < other < 900
    assert ours <= other + 2
    assert abs(ours - other) <= 2 or norm == "l1"  # there ours is stronger


def test_the_option_is_the_published_ensemble(option):
    """Croce & Hein 2020, section 5: 100 steps, 9 targets, 5,000 queries, in this order."""
    attacks = ensemble(option).keywords["attacks"]
    assert list(attacks) == ["apgd_ce", "apgd_t", "fab_t", "square"]
    assert [attacks[name].keywords["steps"] for name in ("apgd_ce", "apgd_t", "fab_t")] == [100, 100, 100]
    assert [attacks[name].keywords["targets"] for name in ("apgd_t", "fab_t")] == [9, 9]
    assert attacks["square"].keywords["queries"] == 5000


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_one_setting_chooses_the_norm_of_all(option, norm):
    threats = [attack.keywords["threat"] for attack in ensemble(option, norm).keywords["attacks"].values()]
    assert [threat.keywords["norm"] for threat in threats] == [norm] * 4


# How attacks are put together


def towards(predict, rows, ctx, *, threat, value, who):
    """Moves the rows of some numbers by a value."""
    chosen = torch.isin(rows.index, torch.tensor(who))
    return (rows.x + value * chosen.reshape(-1, 1, 1, 1)).clamp(0, 1)


def brightness(x):
    """Class 1 where the mean is at least .5."""
    return x.mean((1, 2, 3)).sub(0.5).unsqueeze(1)


def bright(n=6):
    return batch(torch.full((n, 1, 2, 2), 0.55), torch.ones(n, dtype=torch.int64))


def test_a_row_moves_as_the_first_attack_that_breaks_it_says():
    attacks = {
        "weak": partial(towards, threat=LINF, value=-0.01, who=range(6)),
        "first": partial(towards, threat=LINF, value=-0.08, who=[1, 2]),
        "second": partial(towards, threat=LINF, value=-0.1, who=[2, 4]),
    }
    rows = bright()
    moved = autoattack(brightness, rows, image_context(0.1), attacks=attacks)
    by = (moved - rows.x).mean((1, 2, 3))
    assert torch.allclose(by, torch.tensor([0, -0.08, -0.08, 0, -0.1, 0]), atol=1e-6)


def test_an_attack_sees_only_rows_that_are_right_so_far():
    seen = []

    def listen(predict, rows, ctx, *, threat, name):
        seen.append((name, rows.index.tolist()))
        return towards(predict, rows, ctx, threat=threat, value=-0.1, who=[0, 3])

    rows = bright()._replace(y=torch.tensor([1, 0, 1, 1, 1, 0]))  # rows 1 and 5 are wrong
    attacks = {name: partial(listen, threat=LINF, name=name) for name in ("a", "b")}
    moved = autoattack(brightness, rows, image_context(0.1), attacks=attacks)
    assert seen == [("a", [0, 2, 3, 4]), ("b", [2, 4])]
    assert torch.equal(moved[[1, 5]], rows.x[[1, 5]])


def test_an_attack_that_leaves_its_ball_is_caught():
    attacks = {"cheat": partial(towards, threat=LINF, value=-0.3, who=[0])}
    with pytest.raises(AssertionError, match="left its ball"):
        autoattack(brightness, bright(), image_context(0.1), attacks=attacks)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_are_attacked_as_well(option, norm, classes):
    """The targets are all other classes, and the two classes of one logit are told apart by its sign."""
    x = images().x[:60]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1 if classes == 2 else 3)).requires_grad_(False)
    model[1].bias.sub_(model(x).mean(0))
    few = {name: {"steps": 5} for name in ("apgd_ce", "apgd_t", "fab_t")} | {"square": {"queries": 5}}
    ctx, s = image_context(RADIUS[norm] / 4), torch.zeros(60, dtype=torch.int64)
    rows = batch(x, ctx.decide(model(x), s))
    moved = ensemble(option, norm, **few)(model, rows, ctx)
    check_budget(pixels(ctx, norm=norm), x, moved, ctx.epsilon(rows, ctx))
    assert 0 < (ctx.decide(model(moved), s) == rows.y).sum() < 60


def test_the_model_is_left_as_it_was(option):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).eval()
    before = copy.deepcopy(model.state_dict())
    few = {name: {"steps": 3} for name in ("apgd_ce", "apgd_t", "fab_t")} | {"square": {"queries": 3}}
    moved = ensemble(option, **few)(model, images().rows(slice(0, 20)), image_context(0.01))
    assert not moved.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


# What is refused


def test_an_attack_without_a_threat_is_refused():
    with pytest.raises(ValueError, match="attacks.mine names no threat"):
        autoattack(brightness, bright(), image_context(0.1), attacks={"mine": lambda predict, rows, ctx: rows.x})


def test_no_attack_at_all_is_refused():
    with pytest.raises(ValueError, match="attacks is empty"):
        autoattack(brightness, bright(), image_context(0.1), attacks={})


def test_a_stack_is_refused():
    rows = bright()
    attacks = {"weak": partial(towards, threat=LINF, value=0.0, who=[])}
    with pytest.raises(UnstackableError, match="one model at a time"):
        autoattack(brightness, rows._replace(y=rows.y[None]), image_context(0.1), attacks=attacks)
