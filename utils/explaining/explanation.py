"""One person explained: its decision, its twins, what moves the decision, the worst point near them, a way out.

Everything is computed for several people at a time, p of them, in k draws of the noise and under L sensitive levels; an
``Explanation`` holds one of them, in the owner's words beside the numbers.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from utils.adversary.certificates import Judge
from utils.adversary.recourse import People, accepted, find_recourse
from utils.adversary.worst_point import find_worst
from utils.datasets.tabular import natural
from utils.explaining.asked_people import People as Asked
from utils.explaining.parts import (
    Carried,
    Change,
    Explanation,
    Moved,
    OtherLevel,
    Proven,
    Settings,
    Side,
    WayOut,
    WorstPoint,
)
from utils.explaining.person_words import attributes_of, is_set_by_do
from utils.explaining.proven import prove
from utils.explaining.worlds import Model, Worlds, in_words, make_worlds, natural_units
from utils.scms.actions import Action
from utils.scms.paths import MOST_ARROWS, Twin, split_change

PART = 2048  # worlds of people whose recourse is searched together
NUMBERS = 1 << 25  # of the features of the worlds between people and twins that are made together


def explain(model: Model, asked: Asked, settings: Settings, *, in_full: bool) -> list[Explanation]:
    """The explanations of people; ``in_full`` with what moves the decision."""
    with torch.no_grad():
        worlds = make_worlds(model, asked)
        worst = _find_worst(model, worlds, settings)
        ways = _find_ways_out(model, worlds, settings)
        proven = _prove(model, worlds, settings)
        carried = _split_changes(model, worlds) if in_full else [()] * len(asked.names)
        return [
            replace(_explain_one(model, worlds, i, name, worst[i], proven[i]), way_out=ways[i], carried=carried[i])
            for i, name in enumerate(asked.names)
        ]


# --- one person ------------------------------------------------------------------------------------------------


def _explain_one(model: Model, worlds: Worlds, i: int, name: str, worst: WorstPoint, proven: Proven) -> Explanation:
    """The decision and the twins of a person; the rest is filled in."""
    level = int(worlds.level[i])
    sides = [_side(model, worlds, i, k) for k in range(len(model.levels))]
    others = tuple(side for k, side in enumerate(sides) if k != level)
    columns = model.data.columns
    set_by_do = frozenset(attribute for attribute in attributes_of(columns) if is_set_by_do(columns, attribute))
    return Explanation(name, int(worlds.favourable[i]), sides[level], others, set_by_do, model.draws, worst, proven)


def _side(model: Model, worlds: Worlds, i: int, k: int) -> Side:
    """A person at a level."""
    features = worlds.features[k, :, i]
    values = natural_units(model, features if k != int(worlds.level[i]) else features[:1])
    log_odds, margin = worlds.log_odds[k, :, i].double(), worlds.margin[k, :, i].double()
    threshold = float((log_odds - margin)[0])
    otherwise = float(worlds.otherwise[k, :, i].float().mean())
    return Side(model.levels[k], in_words(model.data, values), values, float(log_odds.mean()), threshold, otherwise)


# --- what moves the decision -----------------------------------------------------------------------------------


def _split_changes(model: Model, worlds: Worlds) -> list[tuple[Carried, ...]]:
    """The change of log-odds of every person and twin, split by arrows and paths."""
    found: list[list[Carried]] = [[] for _ in worlds.x]
    _, count, _, d = worlds.noise.shape
    size = max(1, NUMBERS // (count * d * 2**MOST_ARROWS))
    for k, level in enumerate(model.levels):
        for part in _parts(worlds.level != k, size):
            noise = worlds.noise[:, :, part].transpose(1, 2).flatten(1, 2)  # (L, people * draws, d)
            own = worlds.level[part].repeat_interleave(count)
            at = own[None, :, None].expand(1, -1, noise.shape[-1])
            now, then = model.scm.levels[own], model.scm.levels[k].expand(len(own), -1)
            anew = noise[k] if model.scm.fresh else None
            twin = Twin(noise.gather(0, at).squeeze(0), now, then, anew)
            split = split_change(lambda x: model.decision.score(x)[..., 0], model.scm, model.data.columns, twin)
            whole = _means(split.change, count)
            arrows, paths = (
                [(of.nodes, _means(of.change, count)) for of in parts] for parts in (split.arrows, split.paths)
            )
            for j, i in enumerate(part.tolist()):
                of_arrows, of_paths = (tuple(Moved(name, change[j]) for name, change in of) for of in (arrows, paths))
                found[i].append(Carried(level, whole[j], of_arrows, of_paths, split.exact))
    return [tuple(of) for of in found]


def _parts(chosen: Tensor, size: int) -> list[Tensor]:
    """The places of the chosen people (p,), so many at a time."""
    places = chosen.nonzero().squeeze(-1)
    return list(places.split(size)) if len(places) else []


def _means(values: Tensor, count: int) -> list[float]:
    """The mean of each person over draws, which stand side by side."""
    return values.double().unflatten(0, (-1, count)).mean(1).tolist()


# --- the worst point -------------------------------------------------------------------------------------------


def _find_worst(model: Model, worlds: Worlds, settings: Settings) -> list[WorstPoint]:
    """The worst point of every person over its balls and draws."""
    _, count, people, _ = worlds.noise.shape
    found = find_worst(
        model.decision,
        model.scm,
        worlds.noise.flatten(1, 2),
        worlds.favourable.repeat(count),
        settings.radius,
        steps=settings.steps,
        rel_step=settings.rel_step,
        restarts=settings.restarts,
        samples=settings.samples,
        seed=model.seed,
    )
    turned = found.turned.unflatten(1, (count, people)) | worlds.otherwise
    beyond = found.beyond.unflatten(1, (count, people)).permute(2, 0, 1).flatten(1)  # (p, L * k)
    x = found.x.unflatten(1, (count, people))
    shares = turned.any(0).float().mean(0).tolist()
    return [
        _worst_point(model, worlds, i, divmod(int(beyond[i].argmax()), count), x, settings.radius, shares[i])
        for i in range(people)
    ]


def _worst_point(
    model: Model, worlds: Worlds, i: int, place: tuple[int, int], x: Tensor, radius: float, share: float
) -> WorstPoint:
    level, draw = place
    point = x[level, draw, i].unsqueeze(0)
    log_odds, margin = float(model.decision.score(point)), float(model.decision.margin(point, torch.tensor([level])))
    centre = natural(model.data, worlds.features[level, draw, i].unsqueeze(0).double())
    here, there = (in_words(model.data, values) for values in (natural(model.data, point.double()), centre))
    return WorstPoint(radius, model.levels[level], share, here, there, log_odds, log_odds - margin)


def _prove(model: Model, worlds: Worlds, settings: Settings) -> list[Proven]:
    """The proofs about every person."""
    judge = Judge(model.network, model.decision.decide, model.scm, "l2", "own")
    found = prove(judge, model.data.columns, worlds.x, settings.radius, settings.most_radius, settings.boxes)
    return [
        Proven(
            one.verdict,
            one.margin,
            "" if one.level is None else model.levels[one.level],
            {} if one.counterexample is None else in_words(model.data, natural(model.data, one.counterexample[None])),
            one.largest,
            settings.most_radius,
            one.reason,
        )
        for one in found
    ]


# --- a way out -------------------------------------------------------------------------------------------------


def _find_ways_out(model: Model, worlds: Worlds, settings: Settings) -> list[WayOut | None]:
    """The cheapest change of every person that is refused, and of its twins."""
    levels, count = worlds.noise.shape[:2]
    found: list[WayOut | None] = [None] * len(worlds.x)
    for part in _parts(~worlds.favourable, max(1, PART // (levels * count))):
        noise = worlds.noise[:, :, part].permute(2, 0, 1, 3).flatten(0, 1)  # (people * L, k, d)
        every = torch.arange(levels).repeat(len(part))
        people = People(model.scm, noise, every)
        best = find_recourse(
            model.decision,
            people,
            model.may,
            norm=settings.norm,
            level_cost=settings.level_cost,
            most=settings.most,
            seed=model.seed,
        )
        cost = best.cost.unflatten(0, (-1, levels)).tolist()
        for j, i in enumerate(part.tolist()):
            own = slice(levels * j, levels * (j + 1))
            mine = int(worlds.level[i])
            action = best.action.of(levels * j + mine)
            way = _way_out(model, replace(people, noise=noise[own], level=every[own]), mine, action, cost[j])
            found[i] = replace(way, all_tried=best.all_tried, most=settings.most)
    return found


def _way_out(model: Model, people: People, mine: int, action: Action, cost: Sequence[float]) -> WayOut:
    """The change of a person, what follows from it, and the same change of its twins."""
    names = attributes_of(model.data.columns)
    may = [*model.may.numbers, *(i for places in model.may.levels for i in places)]
    columns = tuple(name for name, places in names.items() if set(places) & set(may))
    if cost[mine] == float("inf"):
        others = tuple(
            OtherLevel(n, 0.0, c) for k, (n, c) in enumerate(zip(model.levels, cost, strict=True)) if k != mine
        )
        return WayOut(cost[mine], (), (), others, all_tried=False, columns=columns, most=0.0)
    now = people.now
    low, high = torch.minimum(model.may.low, now.amin(1)), torch.maximum(model.may.high, now.amax(1))
    same = Action(*(of.expand(len(now), 1, -1) for of in action))
    reached = people.after(same, low, high).x[mine, 0]
    share = accepted(model.decision, people, same, low, high)[:, 0].float().mean(-1).tolist()
    others = tuple(OtherLevel(name, share[k], cost[k]) for k, name in enumerate(model.levels) if k != mine)
    before, after = (in_words(model.data, natural_units(model, of)) for of in (now[mine], reached))
    changes, follows = [], []
    for name, places in names.items():
        moved, chosen = action.shift[list(places)].tolist(), bool(action.chosen[list(places)].any())
        if chosen or any(moved):
            changes.append(Change(name, before[name], after[name], None if chosen else moved[0]))
        elif before[name] != after[name]:
            follows.append(Change(name, before[name], after[name], None))
    return WayOut(cost[mine], tuple(changes), tuple(follows), others, all_tried=False, columns=columns, most=0.0)
