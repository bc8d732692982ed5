"""One person explained: its decision, its twins, what moves the decision, the worst point near them, a way out.

Everything is computed for several people at a time, p of them, in k draws of the noise and under L sensitive levels; an
``Explanation`` holds one of them, in the owner's words beside the numbers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.certificates import Judge
from utils.adversary.decision import Decision
from utils.adversary.recourse import Norm, People, accepted, find_recourse
from utils.adversary.worst_point import find_worst
from utils.datasets.tabular import group_names, natural
from utils.explaining.asked_people import People as Asked
from utils.explaining.person_words import attributes_of, describe_twin, is_set_by_do
from utils.explaining.proven import Verdict, prove
from utils.model_zoo import StoredModel
from utils.models.learner import Learner
from utils.scms.actions import Action, Permitted, permitted
from utils.scms.counterfactual import abduct, chances_of_draws, every_level, factual_level, interventions
from utils.scms.paths import Twin, split_change
from utils.types import SCM, Dataset, Predict

PART = 2048  # worlds of people whose recourse is searched together
NEAR = 1e-3
WORLDS = 4096  # twins whose change is split together
Words = Mapping[str, str]  # by attribute


@dataclass(frozen=True)
class Settings:
    """The parts of the search that a user sets."""

    radius: float
    norm: Norm
    most: float
    level_cost: float
    steps: int
    rel_step: float
    restarts: int
    samples: int
    most_radius: float
    boxes: int


@dataclass(frozen=True)
class Model:
    """A stored model among its data."""

    data: Dataset
    scm: SCM
    decision: Decision
    network: Predict  # that proofs are about
    seed: int

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The names of the sensitive levels."""
        return group_names(self.data.columns)

    @cached_property
    def may(self) -> Permitted:
        """The changes that a person may make."""
        return permitted(self.data.columns, self.data.loc, self.data.scale, self.scm)

    @property
    def draws(self) -> int:
        """The draws of the noise of every row."""
        return self.scm.draws if self.scm.posterior else 1


@dataclass(frozen=True)
class Side:
    """A person at one sensitive level, over draws."""

    level: str
    words: Words  # of each attribute, with shares of draws where they differ
    values: Tensor  # (k, d) natural units
    log_odds: float  # mean over draws
    threshold: float  # log-odds
    otherwise: float  # share of draws decided otherwise than the person


@dataclass(frozen=True)
class Moved:
    """The part of a change of log-odds that an arrow or a path carries, mean over draws."""

    nodes: tuple[str, ...]
    change: float


@dataclass(frozen=True)
class Carried:
    """The parts of the change of log-odds from a person to a twin."""

    level: str
    change: float
    arrows: tuple[Moved, ...]
    paths: tuple[Moved, ...]
    exact: bool


@dataclass(frozen=True)
class WorstPoint:
    """The worst point within the radius of the person and its twins."""

    radius: float
    level: str  # whose ball it is in
    turned: float  # share of draws with a point that is decided otherwise
    words: Words
    centre: Words  # of the twin, or the person, in whose ball it lies
    log_odds: float
    threshold: float


@dataclass(frozen=True)
class Proven:
    """The outcome of a proof within the radius, in words."""

    verdict: Verdict
    margin: float | None  # log-odds that every point of a fair person is away from the threshold
    level: str  # of the counterexample of an unfair person
    words: Words  # and it
    largest: float | None  # radius up to which fairness is proven; None where it is not even of the twins
    most: float  # the largest that was tried
    reason: str  # why nothing can be proven


@dataclass(frozen=True)
class Change:
    """A change of one attribute, by the person or as it follows."""

    attribute: str
    before: str
    after: str
    deviations: float | None  # shift in standard deviations; None of a level, and of what follows


@dataclass(frozen=True)
class OtherLevel:
    """The same change and the cheapest one under another level."""

    level: str
    accepted: float  # share of draws that are of class 1 after the same change
    cost: float  # of the cheapest change found there; 0 where none is needed, infinite where none was found


@dataclass(frozen=True)
class WayOut:
    """The cheapest change found that turns a decision."""

    cost: float  # infinite where none was found
    changes: tuple[Change, ...]
    follows: tuple[Change, ...]
    others: tuple[OtherLevel, ...]
    all_tried: bool  # every permitted change was
    columns: tuple[str, ...]  # attributes that may be changed
    most: float  # the largest cost


@dataclass(frozen=True)
class Explanation:
    """A person explained."""

    name: str
    label: int
    own: Side
    twins: tuple[Side, ...]
    set_by_do: frozenset[str]  # attributes that an intervention sets as a whole
    draws: int
    worst: WorstPoint
    proven: Proven
    carried: tuple[Carried, ...] = ()
    way_out: WayOut | None = None  # None of class 1


@dataclass(frozen=True)
class Worlds:
    """People and their twins as tensors."""

    x: Tensor  # (p, d)
    noise: Tensor  # (L, k, p, d) own units
    features: Tensor  # (L, k, p, d) model space, of the factual level the rows themselves
    level: Tensor  # (p,)
    margin: Tensor  # (L, k, p)
    log_odds: Tensor  # (L, k, p)
    otherwise: Tensor  # (L, k, p) decided otherwise than the person

    @property
    def favourable(self) -> Tensor:
        """People of class 1, (p,)."""
        return self.margin.gather(0, self.level.expand(1, *self.margin.shape[1:])).squeeze(0)[0] >= 0


def decision_of(stored: StoredModel) -> Decision:
    """The decision of a stored model; of one without a gradient, such as a forest, answers alone."""
    if isinstance(stored.network, Learner):
        return Decision(lambda x: stored.score(x.detach()), stored.score, stored.decision)
    return Decision(stored, stored.score, stored.decision)


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


def make_worlds(model: Model, asked: Asked) -> Worlds:
    """People and twins by the draws that an evaluation of the record takes for its rows."""
    scm, k = model.scm, model.draws
    rows = seeding.Rows(seeding.derive(model.seed, "posterior"), asked.index)
    x = asked.x.repeat(k, 1)
    noise = abduct(scm, x, chances_of_draws(scm, asked.x, rows, k))
    level, every = factual_level(scm, asked.x), every_level(scm, x)
    twins = scm.model(scm.to_features(noise, interventions(scm, x)))
    features = torch.where((every == level.repeat(k)).unsqueeze(-1), x, twins)
    log_odds = model.decision.score(features)[..., 0]
    margin = model.decision.margin(features, every)
    own = margin.gather(0, level.repeat(k).unsqueeze(0)) >= 0
    otherwise = (margin >= 0) != own
    if scm.whole is not None:
        rounded = scm.model(scm.rounded(scm.own(features)))
        otherwise |= (model.decision.margin(rounded, every) >= 0) != own
    wide = (k, len(asked.x))
    return Worlds(
        asked.x,
        noise.unflatten(1, wide),
        features.unflatten(1, wide),
        level,
        *(of.unflatten(1, wide) for of in (margin, log_odds, otherwise)),
    )


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
    values = _natural(model, features if k != int(worlds.level[i]) else features[:1])
    log_odds, margin = worlds.log_odds[k, :, i].double(), worlds.margin[k, :, i].double()
    threshold = float((log_odds - margin)[0])
    otherwise = float(worlds.otherwise[k, :, i].float().mean())
    return Side(model.levels[k], in_words(model.data, values), values, float(log_odds.mean()), threshold, otherwise)


def _natural(model: Model, features: Tensor) -> Tensor:
    """Features (..., d) in natural units, whole numbers rounded."""
    found = natural(model.data, model.scm.model(model.scm.rounded(model.scm.own(features))).double())
    whole = torch.tensor([c.integer or c.kind != "continuous" for c in model.data.columns])
    near = whole & ((found - found.round()).abs() < NEAR)  # single precision took it off the whole number
    return torch.where(near, found.round(), found)


def in_words(data: Dataset, values: Tensor) -> dict[str, str]:
    """Attributes of a person over draws (k, d), natural units: a text, or the texts with their shares, or a range."""
    each = [describe_twin(data, row) for row in values]
    found = {}
    for name, places in attributes_of(data.columns).items():
        counts = Counter(row[name] for row in each)
        own = data.columns[places[0]]
        if len(counts) > 1 and own.kind == "continuous" and own.discrete != "ordered":
            column = values[:, places[0]]
            found[name] = f"{each[int(column.argmin())][name]} to {each[int(column.argmax())][name]}"
        else:
            shares = (f"{text} ({n} of {len(each)})" for text, n in counts.most_common())
            found[name] = ", ".join(shares) if len(counts) > 1 else next(iter(counts))
    return found


# --- what moves the decision -----------------------------------------------------------------------------------


def _split_changes(model: Model, worlds: Worlds) -> list[tuple[Carried, ...]]:
    """The change of log-odds of every person and twin, split by arrows and paths."""
    found: list[list[Carried]] = [[] for _ in worlds.x]
    count = worlds.noise.shape[1]
    for k, level in enumerate(model.levels):
        for part in _parts(worlds.level != k, max(1, WORLDS // count)):
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
    before, after = (in_words(model.data, _natural(model, of)) for of in (now[mine], reached))
    changes, follows = [], []
    for name, places in names.items():
        moved, chosen = action.shift[list(places)].tolist(), bool(action.chosen[list(places)].any())
        if chosen or any(moved):
            changes.append(Change(name, before[name], after[name], None if chosen else moved[0]))
        elif before[name] != after[name]:
            follows.append(Change(name, before[name], after[name], None))
    return WayOut(cost[mine], tuple(changes), tuple(follows), others, all_tried=False, columns=columns, most=0.0)
