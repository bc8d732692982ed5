"""Recourse: the cheapest change of what a person can change, with its consequences, that turns a decision to class 1.

The cost of an action is the L2 or L1 norm of its shifts in standard deviations (model space); another level of a
category counts as a shift of its own. The least cost on the border of a decision is approached by linearisation: at a
point the cheapest shift within bounds that a linear answer would need is known in closed form, and taken (Hasofer and
Lind 1974; Rackwitz and Fiessler 1978, the design point of structural reliability). From several starts; then every
change that turns the decision is shortened along its ray and column by column by bisection, and numbers that are whole
are rounded. So an answer is a change that was verified, and the cheapest that was found: no proof that there is none
cheaper, but where all changes that are permitted are few enough whole steps and levels to be tried (``all_tried``).

Nothing is taken for granted of the model but its answers: without a gradient, rays and columns are searched alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.decision import Decision
from utils.scms.actions import Action, Permitted, Reached, perform
from utils.threats import TINY, slope
from utils.types import SCM

NUMBERS = 1 << 20  # of the features that are pushed and judged together
MOST_LEVELS = 64  # combinations of other levels that are tried: of one attribute, then of two
FEWEST_LEVELS, WIDEST = 12, 1 << 23  # of tables with very many columns; numbers that a person's search goes through
PAIRED = 12  # levels, those that bring the decision nearest, of which two change together
RANDOM = 24  # starts
FEW = 2  # where combinations of levels are tried
STEPS, HALVINGS = 12, 14
KEPT = 6  # of a person, the cheapest, that are refined
OVERSHOOT = 1e-4  # of the margin, so that the point on a border is on its far side
ROUNDED = 4  # whole columns that are rounded both ways
MOST_TRIED = 20_000  # whole changes that are tried without a search
ROUNDS, NEARBY, SPREAD, NARROWER = 12, 24, 0.5, 0.75  # of a search nearby: tries of each, shares of a length
PULLS = 3  # rounds over the columns
STRETCH = (1.1, 1.3, 1.7, 2.5)  # of a shift that does not turn the decision
SAME = 5e-4  # between levels, in model space, that are one
ROUNDING = 1e-6  # of a cost, relative

Norm = Literal["l2", "l1"]


@dataclass(frozen=True)
class People:
    """Persons, each in one world or in several draws of the noise.

    Args:
        scm: their causal model.
        noise: (p, k, d), own units.
        level: (p,) of the sensitive attributes, which picks the threshold and is set.
    """

    scm: SCM
    noise: Tensor
    level: Tensor

    @property
    def do(self) -> Mapping[int, Tensor]:
        """The sensitive columns (p, 1, 1), own units."""
        values = self.scm.levels[self.level]
        return {column: values[:, j, None, None] for j, column in enumerate(self.scm.sensitive)}

    @property
    def together(self) -> int:
        """The number of actions of each that are looked at together."""
        return max(1, NUMBERS // self.noise.numel())

    def after(self, action: Action, low: Tensor, high: Tensor) -> Reached:
        """Persons after actions (p, b, d), (p, b, k, d), within bounds (p, d)."""
        wide = Action(*(part.unsqueeze(-2) for part in action))
        return perform(self.scm, self.noise.unsqueeze(1), self.do, wide, *(of[:, None, None] for of in (low, high)))

    @property
    def now(self) -> Tensor:
        """Their features (p, k, d) as they are, model space."""
        do = {column: value[..., 0] for column, value in self.do.items()}
        return self.scm.model(self.scm.to_features(self.noise, do))


class Recourse(NamedTuple):
    """The cheapest change found of each person."""

    action: Action  # (p, d)
    cost: Tensor  # (p,) infinite where none was found
    all_tried: bool  # every permitted change up to the largest cost was tried


def accepted(decision: Decision, people: People, action: Action, low: Tensor, high: Tensor) -> Tensor:
    """A mask (p, b, k) of the worlds of persons that are of class 1 after actions (p, b, d).

    As they are, and with numbers that are whole rounded.
    """

    def of_part(part: Action) -> Tensor:
        x = people.after(part, low, high).x
        level = people.level[:, None, None]
        yes = decision.margin(x, level) >= 0
        if people.scm.whole is None:
            return yes
        rounded = people.scm.model(people.scm.rounded(people.scm.own(x)))
        return yes & (decision.margin(rounded, level) >= 0)

    size = people.together
    parts = [of_part(Action(*of)) for of in zip(*(of.split(size, 1) for of in action), strict=True)]
    return torch.cat(parts, 1)


def find_recourse(
    decision: Decision, people: People, may: Permitted, *, norm: Norm, level_cost: float, most: float, seed: int
) -> Recourse:
    """The cheapest change of each person by which all its worlds are of class 1.

    Args:
        decision: the decision.
        people: p persons.
        may: what they may change.
        norm: of shifts in standard deviations.
        level_cost: of another level of a category, in standard deviations.
        most: the largest cost.
        seed: of random starts.
    """
    search = _Search.begin(decision, people, may, norm, level_cost, most)
    if (grid := search.grid()) is not None:
        return search.cheapest(grid, all_tried=search.every_level)
    starts = search.starts(seed)
    found, last = search.descend(starts)
    best = search.shorten(search.keep(_joined([found, search.stretch(last)]), 4 * KEPT))
    best = search.keep(best, KEPT)
    if last is starts:  # the answer has no gradient
        best = search.explore(best, seed)
    for _ in range(PULLS - 1):
        best = search.shorten(best)
    if search.whole:
        best = search.round(best)
    return search.cheapest(best, all_tried=False)


@dataclass(frozen=True)
class _Search:
    decision: Decision
    people: People
    may: Permitted
    norm: Norm
    level_cost: float
    most: float
    now: Tensor  # (p, k, d) features before any action
    low: Tensor  # (p, d) bounds, of each person its own value at least
    high: Tensor
    combinations: Action  # (c, d) of other levels, the first is none
    every_level: bool  # there are no others

    @classmethod
    def begin(
        cls, decision: Decision, people: People, may: Permitted, norm: Norm, level_cost: float, most: float
    ) -> "_Search":
        """A search, with what persons are now."""
        now = people.now
        low, high = torch.minimum(may.low, now.amin(1)), torch.maximum(may.high, now.amax(1))
        d, count = now.shape[-1], sum(map(len, may.options))
        none = Action(now.new_zeros(1, d), torch.zeros(1, d, dtype=torch.bool), now.new_zeros(1, d))
        search = cls(decision, people, may, norm, level_cost, most, now, low, high, none, every_level=not count)
        return search.with_levels() if count else search

    def with_levels(self) -> "_Search":
        """The same with other levels of one attribute and of two, those first that alone bring the decision nearer."""
        may, d = self.may, self.now.shape[-1]
        single = [(places, value) for places, of in zip(may.levels, may.options, strict=True) for value in of]
        chosen = torch.zeros(len(single), d, dtype=torch.bool)
        value = self.now.new_zeros(len(single), d)
        for i, (places, own) in enumerate(single):
            chosen[i, list(places)], value[i, list(places)] = True, own
        alone = Action(torch.zeros_like(value), chosen, value)
        every = Action(*(of.expand(len(self.now), -1, -1) for of in alone))
        order = self._slope(every)[0].masked_fill(self.cost(every).isinf(), -torch.inf).amax(0).argsort(descending=True)
        best = order[:PAIRED]
        first, second = best[torch.triu_indices(len(best), len(best), 1)]
        apart = ~(chosen[first] & chosen[second]).any(-1)
        pairs = [of[first[apart]] + of[second[apart]] for of in alone]
        combinations = _joined([self.combinations, alone.of(order), Action(*pairs)], 0)
        most = WIDEST // (self.people.noise[0].numel() * (1 + FEW) * (1 + STEPS))
        most = max(FEWEST_LEVELS, min(MOST_LEVELS, most))
        tried = len(may.levels) <= 2 and len(single) <= PAIRED and len(combinations.shift) <= most
        return replace(self, combinations=combinations.of(slice(most)), every_level=tried)

    @property
    def whole(self) -> list[int]:
        """The columns that are moved by whole numbers."""
        return [i for i in self.may.numbers if self.may.step[i] > 0]

    @property
    def free(self) -> Tensor:
        """A mask (d,) of the columns that are moved."""
        found = torch.zeros(self.now.shape[-1], dtype=torch.bool)
        found[list(self.may.numbers)] = True
        return found

    # --- what an action costs and brings ---

    def cost(self, action: Action) -> Tensor:
        """The cost (p, b) of actions (p, b, d); infinite where a level is chosen that the person has."""
        size = action.shift.shape[:2]
        total = action.shift.square().sum(-1) if self.norm == "l2" else action.shift.abs().sum(-1)
        price = self.level_cost**2 if self.norm == "l2" else self.level_cost
        idle = torch.zeros(size, dtype=torch.bool)
        for places in map(list, self.may.levels):
            chosen = action.chosen[..., places].any(-1)
            other = (action.value[..., None, places] - self.now[:, None][..., places]).abs().amax(-1) > SAME
            total = total + price * chosen
            idle |= chosen & ~other.any(-1)
        found = total.sqrt() if self.norm == "l2" else total
        return found.masked_fill(idle, torch.inf)

    def turns(self, action: Action) -> Tensor:
        """A mask (p, b) of actions (p, b, d) that turn the decision in every world."""
        return accepted(self.decision, self.people, action, self.low, self.high).all(-1) & self.cost(action).isfinite()

    def keep(self, action: Action, number: int) -> Action:
        """The cheapest actions of each person, so many, those that turn the decision first."""
        cost = self.cost(action).masked_fill(~self.turns(action), torch.inf)
        best = cost.topk(min(number, cost.shape[1]), dim=1, largest=False).indices
        return Action(*(of.take_along_dim(best.unsqueeze(-1), 1) for of in action))

    def cheapest(self, action: Action, *, all_tried: bool) -> Recourse:
        """The cheapest of actions (p, b, d) that turns the decision, at no more than the most."""
        cost, best = self.cost(action).masked_fill(~self.turns(action), torch.inf).min(1)
        cost = cost.masked_fill(cost > self.most * (1 + ROUNDING), torch.inf)
        chosen = Action(*(of.take_along_dim(best[:, None, None], 1).squeeze(1) for of in action))
        return Recourse(chosen, cost, all_tried)

    # --- all of them ---

    def grid(self) -> Action | None:
        """Every permitted change (p, b, d) up to the most, where all are whole and few; else None."""
        if len(self.whole) < len(self.may.numbers):
            return None
        counts = [math.floor(self.most / float(self.may.step[i])) for i in self.whole]
        total = math.prod(2 * n + 1 for n in counts) * len(self.combinations.shift)
        if total > MOST_TRIED // len(self.now):
            return None
        steps = torch.cartesian_prod(*(torch.arange(-n, n + 1) for n in counts)) if counts else torch.zeros(1, 0)
        shift = self.now.new_zeros(len(steps), self.now.shape[-1])
        shift[:, self.whole] = steps.reshape(len(steps), -1).to(shift) * self.may.step[self.whole]
        shift = shift[self._within(shift)]
        return self.crossed(shift)

    def _within(self, shift: Tensor) -> Tensor:
        size = shift.norm(dim=-1) if self.norm == "l2" else shift.abs().sum(-1)
        return size <= self.most * (1 + ROUNDING)

    def crossed(self, shift: Tensor) -> Action:
        """Every combination of levels with shifts (b, d), of every person: (p, c * b, d), within their bounds."""
        people, levels = len(self.now), self.combinations
        count = len(levels.shift) * len(shift)
        moves = shift.repeat(len(levels.shift), 1).expand(people, count, -1)
        sets = (of.repeat_interleave(len(shift), 0).expand(people, count, -1) for of in levels[1:])
        return self.within_bounds(Action(moves, *sets))

    def within_bounds(self, action: Action) -> Action:
        """Actions with shifts cut to what they move: a number stays within its bounds, a chosen level is not moved."""
        least, most = self.room(action)
        shift = torch.minimum(torch.maximum(action.shift, least), most)
        if self.whole:
            shift = self._in_steps(shift, towards=True)
        return action._replace(shift=torch.where(self.free, shift, 0))

    def _in_steps(self, shift: Tensor, *, towards: bool) -> Tensor:
        """Shifts of whole columns that are cut within a step, to the whole ones ``towards`` 0."""
        step = self.may.step
        whole = shift / torch.where(step > 0, step, 1)
        near = (whole - whole.round()).abs() < 1e-3
        down = torch.where(near, whole.round(), whole.trunc() if towards else whole)
        return torch.where(step > 0, down * step, shift)

    def room(self, action: Action) -> tuple[Tensor, Tensor]:
        """The least and largest shift (p, b, d) of each number that is moved: bounds, and the most it may cost."""
        size = self.people.together
        parts = zip(*(of.split(size, 1) for of in action), strict=True)
        alone = [self.people.after(Action(*of), self.low, self.high).alone for of in parts]
        least = torch.cat([(self.low[:, None, None] - of).amax(2) for of in alone], 1)
        most = torch.cat([(self.high[:, None, None] - of).amin(2) for of in alone], 1)
        return least.clamp(-self.most, 0), most.clamp(0, self.most)

    # --- the search ---

    def starts(self, seed: int) -> Action:
        """Actions (p, b, d) to begin with: none, along every axis, at random; with every combination of levels."""
        d, numbers = self.now.shape[-1], list(self.may.numbers)
        several = len(self.combinations.shift) > 1
        if not numbers:
            return self.crossed(self.now.new_zeros(1, d))
        axes = self.now.new_zeros(2 * len(numbers), d)
        for sign, part in zip((1, -1), axes.chunk(2), strict=True):
            part[torch.arange(len(numbers)), torch.tensor(numbers)] = sign * self.most
        random = self.now.new_zeros(FEW if several else RANDOM, d)
        drawn = seeding.normal(random[:, numbers], seeding.generator(seed, "recourse"))
        length = torch.linspace(0.1, 1, len(random)).unsqueeze(-1) * self.most
        random[:, numbers] = drawn / drawn.norm(dim=-1, keepdim=True) * length
        few = torch.cat([axes.new_zeros(1, d), random]) if several else torch.cat([axes.new_zeros(1, d), axes, random])
        return self.crossed(few)

    def descend(self, action: Action) -> tuple[Action, Action]:
        """The cheapest action on the way of each start that turns the decision, else itself; and the last."""
        way = [action]
        for _ in range(STEPS if self.may.numbers else 0):
            value, gradient = self._slope(action)
            if not gradient.any():
                break
            action = self._step(action, value, gradient)
            way.append(action)
        every = _joined(way)
        cost = self.cost(every).masked_fill(~self.turns(every), torch.inf).unflatten(1, (len(way), -1))
        first = cost.argmin(1, keepdim=True).unsqueeze(-1)
        best = (of.unflatten(1, (len(way), -1)).take_along_dim(first, 1).squeeze(1) for of in every)
        return Action(*best), action

    def _step(self, action: Action, value: Tensor, gradient: Tensor) -> Action:
        """The cheapest shifts that would do if the answer were linear; columns that are not free stay."""
        least, most = self.room(action)
        wanted = OVERSHOOT * (1 + value.abs()) - value + (gradient * action.shift).sum(-1)
        moved = cheapest_of_linear(gradient, wanted, least, most, self.norm)
        return action._replace(shift=torch.where(self.free, moved, action.shift))

    def _slope(self, action: Action) -> tuple[Tensor, Tensor]:
        """The least margin (p, b) over worlds, and its gradient (p, b, d) with regard to shifts that are free."""

        def of_part(part: Action) -> tuple[Tensor, Tensor]:
            def margin(shift: Tensor) -> Tensor:
                x = self.people.after(part._replace(shift=shift), self.low, self.high).x
                return self.decision.slope_of(x, self.people.level[:, None, None]).amin(-1)

            return slope(margin, part.shift)

        size = self.people.together
        found = [of_part(Action(*of)) for of in zip(*(of.split(size, 1) for of in action), strict=True)]
        gradient, value = (torch.cat(of, 1) for of in zip(*found, strict=True))
        return value, torch.where(self.free & ~action.chosen, gradient, 0).nan_to_num(0, 0, 0)

    def stretch(self, action: Action) -> Action:
        """The shortest stretch of each action that turns the decision, if any does."""
        best, turned = action, self.turns(action)
        for factor in STRETCH:
            further = self.within_bounds(action._replace(shift=action.shift * factor))
            better = self.turns(further) & ~turned
            best = best._replace(shift=torch.where(better.unsqueeze(-1), further.shift, best.shift))
            turned = turned | better
        return best

    def explore(self, action: Action, seed: int) -> Action:
        """The cheapest actions of each person among these and ever nearer ones at random, each shorter than its own."""
        source, many = seeding.generator(seed, "recourse nearby"), action.shift.shape[1]
        for i in range(ROUNDS):
            near = Action(*(of.repeat_interleave(NEARBY, 1) for of in action))
            length = near.shift.norm(dim=-1, keepdim=True)
            moved = near.shift + SPREAD * NARROWER**i * length * seeding.normal(near.shift, source) * self.free
            shorter = 1 - SPREAD * NARROWER**i * seeding.uniform(length, source)
            moved = moved / moved.norm(dim=-1, keepdim=True).clamp_min(TINY) * length * shorter
            action = self.keep(_joined([action, self.within_bounds(near._replace(shift=moved))]), many)
        return action

    def shorten(self, action: Action) -> Action:
        """Actions that turn the decision, pulled back along their rays and then column by column, by bisection."""
        turned = self.turns(action)
        for columns in [list(self.may.numbers), *([i] for i in self.may.numbers)]:
            action = self._pull(action, turned, columns)
        return action

    def _pull(self, action: Action, turned: Tensor, columns: list[int]) -> Action:
        if not columns:
            return action
        own = torch.zeros_like(self.free)
        own[columns] = True

        def at(share: Tensor) -> Action:
            return action._replace(shift=torch.where(own, action.shift * share.unsqueeze(-1), action.shift))

        none, enough = torch.zeros(turned.shape), torch.ones(turned.shape)
        enough = torch.where(turned & self.turns(at(none)), 0.0, enough)
        for _ in range(HALVINGS):
            middle = (none + enough) / 2
            yes = turned & self.turns(at(middle))
            none, enough = torch.where(yes, none, middle), torch.where(yes, middle, enough)
        return at(torch.where(turned, enough, 1.0))

    # --- whole numbers ---

    def round(self, action: Action) -> Action:
        """Actions whose whole columns move by whole steps, the others moved anew, each as short as it can be."""
        step, whole = self.may.step, self.whole
        exact = action.shift[..., whole] / step[whole]
        ways = []
        for up in itertools.product((False, True), repeat=min(len(whole), ROUNDED)):
            outwards = torch.tensor([*up, *[True] * (len(whole) - len(up))])
            steps = torch.where(outwards, exact.abs().ceil(), exact.abs().floor()) * exact.sign()
            shift = action.shift.clone()
            shift[..., whole] = steps * step[whole]
            ways.append(action._replace(shift=shift))
        rounded = self.within_bounds(_joined(ways))
        rest = tuple(i for i in self.may.numbers if i not in whole)
        others = replace(self, may=self.may._replace(numbers=rest))
        if rest:
            best, last = others.descend(rounded)
            rounded = self.keep(others.shorten(self.keep(_joined([rounded, best, last]), 4 * KEPT)), KEPT)
        return others.shorten(self._step_back(self.keep(rounded, 2 * KEPT)))

    def _step_back(self, action: Action) -> Action:
        """Whole columns moved a step less for as long as the decision stays turned."""
        for i in self.whole * PULLS:
            less, step = action.shift.clone(), self.may.step[i]
            steps = (less[..., i] / step).round()
            less[..., i] = (steps - steps.sign()) * step
            shorter = self.turns(action._replace(shift=less))
            action = action._replace(shift=torch.where(shorter.unsqueeze(-1), less, action.shift))
        return action


def _joined(actions: Sequence[Action], dim: int = 1) -> Action:
    return Action(*(torch.cat(of, dim) for of in zip(*actions, strict=True)))


def cheapest_of_linear(slope: Tensor, gain: Tensor, low: Tensor, high: Tensor, norm: Norm) -> Tensor:
    """The shortest shift (..., d) with slope . shift >= gain within bounds, in closed form; the largest gain if none.

    L2: shift = clamp(t slope), with the t at which the gain is reached, between two of the values at which columns meet
    their bounds. L1: the columns of the steepest slope first, each up to its bound.

    Args:
        slope: (..., d).
        gain: (...).
        low: (..., d), at most 0.
        high: (..., d), at least 0.
        norm: whose length is least.
    """
    steep, room = slope.abs(), torch.where(slope > 0, high, -low)
    meets = torch.where(steep > 0, room / steep.clamp_min(1e-30), torch.inf)  # the t at which a column is at its bound
    order = meets.argsort(-1) if norm == "l2" else steep.argsort(-1, descending=True)
    a, b = steep.take_along_dim(order, -1), room.take_along_dim(order, -1)
    full = torch.where(a > 0, a * b, 0)
    before = full.cumsum(-1) - full  # the gain of the columns before, at their bounds
    left = (gain.unsqueeze(-1) - before).clamp_min(0)
    if norm == "l1":
        taken = torch.minimum(left / a.clamp_min(1e-30), b) * (a > 0)
        return torch.empty_like(slope).scatter_(-1, order, taken) * slope.sign()
    behind = a.square().flip(-1).cumsum(-1).flip(-1)  # what a t gains from this column on
    t = left / behind.clamp_min(1e-30)
    reached = (t <= meets.take_along_dim(order, -1)) & (behind > 0)
    first = reached.byte().argmax(-1, keepdim=True)
    chosen = torch.where(reached.any(-1, keepdim=True), t.take_along_dim(first, -1), torch.inf)
    shift = torch.where(steep > 0, torch.minimum(chosen * steep.clamp_min(1e-30), room), 0)
    return torch.where(gain.unsqueeze(-1) > 0, shift * slope.sign(), 0)
