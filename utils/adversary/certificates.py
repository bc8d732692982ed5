"""Certificates of individual fairness: proven fair, proven unfair by a counterexample, or open.

An individual is fair at a radius where no point of its causal perturbation ball (Ehyaei et al. 2024, arXiv 2308.08938,
section 3) is decided otherwise. Bounds prove that; where they leave it open, the ball is cut into boxes, each of which
is bounded, or searched for a counterexample, on its own (branch and bound), until a budget is spent.

Noise of discrete nodes is not drawn: a proof is of all noise that agrees with the row under the SCM's coupling, or with
``coupling`` "any" of every level of positive probability. A counterexample has a noise that agrees.
"""

import copy
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from utils.adversary import bounds
from utils.adversary.bounds import Counterfactuals, Twins
from utils.adversary.taylor import Domain, Furthest, Taylor, between
from utils.scms import discrete
from utils.scms.counterfactual import factual_level, first_alike
from utils.scms.structure import scm_in_double
from utils.threats import slope
from utils.types import SCM, Decide, Mechanism, Predict

TOGETHER = 512  # boxes that are bounded together: their slopes stay in the cache
CLIMBS = 4  # points at which slopes are followed, before balls are cut
TRIALS = 4  # radii at which a largest one is looked for, without cutting balls
TRIALS_OF_STEPS = 8  # of learners, where no slope says which radius to try next
BISECTIONS = 4  # and then
SMALLER = 8.0  # times than a radius that was not
WIDER = 2.0  # than a radius that was proven without cutting
NEARLY = 0.98  # of the radius at which a proof is expected to just succeed
INSIDE = 1 - 1e-6  # of a radius: how far counterexamples go, so that rounding keeps them in the ball


class Budget(NamedTuple):
    """The boxes that a proof may take."""

    each: int  # of an individual
    total: int  # of all
    branches: int  # of the levels of discrete nodes, in a box


class Certificate(NamedTuple):
    """Proofs about n individuals at one radius; those that are neither fair nor unfair are open."""

    fair: Tensor  # (n,) bool
    unfair: Tensor  # (n,) bool
    counterexample: Tensor  # (n, d) of the unfair, model space; nan of others
    margin: Tensor  # (n,) of the fair, in logits: no point is nearer to the threshold; nan of others
    boxes: int  # that were bounded

    def with_rows(self, rows: Tensor, other: "Certificate") -> "Certificate":
        """The proofs, those about some rows replaced."""
        fair, unfair, counterexample, margin = (
            of.index_copy(0, rows, new.to(of)) for of, new in zip(self[:4], other[:4], strict=True)
        )
        return Certificate(fair, unfair, counterexample, margin, self.boxes + other.boxes)


class Individuals(NamedTuple):
    """People whose decisions are to be proven."""

    x: Tensor  # (n, d) model space
    own: Tensor  # (n, d) the SCM's units
    noise: Tensor  # (n, d)
    favourable: Tensor  # (n,) bool, decided as class 1
    level: Tensor  # (n,) of the sensitive attributes


class Judge(NamedTuple):
    """A model of which bounds are known, its thresholds, and the causal model that it is judged by."""

    predict: Predict
    decide: Decide
    scm: SCM
    norm: Literal["l2", "linf"]
    coupling: Literal["own", "any"]

    @property
    def is_learner(self) -> bool:
        """Returns whether the model has no parameters, as what learns without gradients: it has none, and one type."""
        return isinstance(self.predict, nn.Module) and next(self.predict.parameters(), None) is None

    def individuals(self, x: Tensor) -> Individuals:
        """The people of rows x (n, d)."""
        level = factual_level(self.scm, x)
        own = self.scm.own(x)
        return Individuals(x, own, self.scm.to_noise(own), self.decides(x, level), level)

    def in_double(self) -> "Judge | None":
        """The same in double precision, by which models are decided; None where model or device have none.

        Rounding is then no part of what is left open, as of rows that lie within a few roundings of the threshold.
        """
        if not isinstance(self.predict, nn.Module) or self.is_learner or self.scm.loc.device.type == "mps":
            return None
        return self._replace(predict=copy.deepcopy(self.predict).double(), scm=scm_in_double(self.scm))

    def decides(self, x: Tensor, level: Tensor) -> Tensor:
        """A mask (n,) of the rows x (n, d), of sensitive levels (n,), that are decided as class 1."""
        return self.decide.margin(self.predict(x), level) >= 0


class _Boxes(NamedTuple):
    """Parts of balls that are neither proven nor refuted."""

    row: Tensor  # (b,) the individual
    level: Tensor  # (b,) of its twin
    centre: Tensor  # (k, b)
    half: Tensor  # (k, b)

    def rows(self, keep: Tensor) -> "_Boxes":
        """Some of them."""
        return _Boxes(self.row[keep], self.level[keep], self.centre[:, keep], self.half[:, keep])

    def domain(self, radius: Tensor, norm: str, *, whole: bool) -> Domain:
        """The points that they hold of balls of a radius (n,) of each individual."""
        if norm != "l2":
            return Domain(self.centre, self.half, None)
        return Domain(self.centre, self.half, radius[self.row], whole)


@torch.no_grad()
def certify(
    judge: Judge, people: Individuals, radius: float, budget: Budget, smaller: Certificate | None = None
) -> Certificate:
    """Returns who is proven fair, and who unfair, at a radius in the SCM's unit.

    Args:
        judge: model, thresholds and causal model; bounds of all of them are known.
        people: n individuals.
        radius: >= 0; at 0 twins alone count (counterfactual fairness).
        budget: boxes that may be bounded.
        smaller: proofs about the same people at a smaller radius: counterexamples that hold at this one too.

    Raises:
        ValueError: a radius that is none.
        NoBoundsError: no bounds are known of a part, which the message names.
    """
    _require_radius(radius)
    state = _State(judge, people, people.x.new_full(people.level.shape, radius), budget)
    if smaller is not None:
        state.unfair, state.counterexample = smaller.unfair.clone(), smaller.counterexample.clone()
    found = _search(state)
    exact = judge.in_double() if people.x.dtype is not torch.float64 else None
    if exact is None:
        return found
    left = (~found.fair & ~_has_flipped(exact, people, found)).nonzero().squeeze(-1)
    if not len(left):
        return found
    rest = budget._replace(total=budget.total - found.boxes)
    again = certify(exact, exact.individuals(people.x[left].double()), radius, rest)
    return found.with_rows(left, again)


def _has_flipped(judge: Judge, people: Individuals, found: Certificate) -> Tensor:
    """A mask (n,) of the people whose counterexample is decided otherwise than they are, in the judge's precision."""
    at = found.unfair.nonzero().squeeze(-1)
    x, moved = people.x[at].to(judge.scm.loc), found.counterexample[at].to(judge.scm.loc)
    flipped = judge.decides(x, people.level[at]) != judge.decides(moved, factual_level(judge.scm, moved))
    return found.unfair.index_copy(0, at, flipped)


def _search(state: "_State") -> Certificate:
    boxes = state.balls()
    state.judge_rounded()
    whole = True
    while len(boxes.row):
        boxes = state.step(boxes, whole=whole)
        whole = False
    return state.certificate()


@torch.no_grad()
def largest_radius(judge: Judge, people: Individuals, most: float, budget: Budget) -> Tensor:
    """Returns the largest radius (n,) found at which each individual is proven fair, at most ``most``.

    0 where that is proven of the twins alone, nan where not even that is. Trials are at the radius where the last bound
    promised that a proof without cutting balls would just succeed, then by bisection up to WIDER times the largest of
    these, or SMALLER and smaller ones where none succeeded, with the boxes of the budget for each trial.

    Raises:
        ValueError: ``most`` is no radius.
        NoBoundsError: as ``certify``.
    """
    _require_radius(most)
    proven = certify(judge, people, 0.0, budget).fair
    people = Individuals(*(of[proven] for of in people))
    low, high = torch.zeros_like(people.x[:, 0]), torch.full_like(people.x[:, 0], most)
    trial = high
    for _ in range(TRIALS_OF_STEPS if judge.is_learner else TRIALS):
        fair, promised = _State(judge, people, trial, budget).try_balls()
        low, high = torch.where(fair, trial, low), torch.where(fair, high, trial)
        trial = torch.where((promised > low) & (promised < high), promised, _halfway(low, high))
    high = torch.where(low > 0, (low * WIDER).clamp_max(most), high)
    for _ in range(BISECTIONS):
        trial = _halfway(low, high)
        fair = _search(_State(judge, people, trial, budget)).fair
        low, high = torch.where(fair, trial, low), torch.where(fair, high, trial)
    return low.new_full(proven.shape, torch.nan).masked_scatter(proven, low)


def _halfway(low: Tensor, high: Tensor) -> Tensor:
    """A radius between one that is proven and one that is not; well below the latter where the former is 0."""
    return torch.where(low > 0, (low + high) / 2, high / SMALLER)


def _require_radius(radius: float) -> None:
    if not 0 <= radius < torch.inf:
        raise ValueError(f"radius={radius}: expected a number that is at least 0 and not infinite")


class _State:
    """A branch and bound over all individuals at once: what is proven, and what a proof still needs."""

    def __init__(self, judge: Judge, people: Individuals, radius: Tensor, budget: Budget):
        self.judge, self.people, self.radius, self.budget = judge, people, radius, budget
        n = len(people.x)
        self.unfair = torch.zeros(n, dtype=torch.bool, device=people.x.device)
        self.given_up = self.unfair.clone()
        self.spent = torch.zeros(n, dtype=torch.long, device=people.x.device)
        self.counterexample = torch.full_like(people.x, torch.nan)
        self.least = torch.full_like(self.radius, torch.inf)  # margin that is proven

    def balls(self) -> _Boxes:
        """A box around the ball of every twin."""
        levels, n = len(self.judge.scm.levels), len(self.people.x)
        like = self.people.x
        row = torch.arange(n, device=like.device).repeat(levels)
        level = torch.arange(levels, device=like.device).repeat_interleave(n)
        whole = bounds.ball(self.judge.scm, self.radius[row], self.judge.norm)
        return _Boxes(row, level, whole.centre, whole.half)

    def certificate(self) -> Certificate:
        """Returns the outcome."""
        fair = ~self.unfair & ~self.given_up
        margin = torch.where(fair, self.least, torch.nan)
        return Certificate(fair, self.unfair, self.counterexample, margin, int(self.spent.sum()))

    def step(self, boxes: _Boxes, *, whole: bool) -> _Boxes:
        """Bounds every box; returns the halves of those that matter and are left open."""
        boxes = self._within_budget(boxes.rows(self._matters(boxes)))
        self.spent += boxes.row.bincount(minlength=len(self.spent))
        parts = [self._bound(part, whole=whole) for part in _in_parts(boxes)]
        if not parts:
            return boxes
        left = _Boxes(*(torch.cat(of, -1) for of in zip(*parts, strict=True)))
        return left.rows(self._matters(left))

    def _within_budget(self, boxes: _Boxes) -> _Boxes:
        """The boxes that may still be bounded, all of an individual or none: whoever has none is left open."""
        each = boxes.row.bincount(minlength=len(self.spent))
        room = self.budget.total - int(self.spent.sum())
        self.given_up |= (each > 0) & ((self.spent >= self.budget.each) | (each.cumsum(0) > room))
        return boxes.rows(self._matters(boxes))

    def _matters(self, boxes: _Boxes) -> Tensor:
        return (~self.unfair & ~self.given_up)[boxes.row]

    def try_balls(self) -> tuple[Tensor, Tensor]:
        """Returns who is proven fair without cutting balls (n,), and a radius (n,) where each might just be."""
        fair = torch.ones_like(self.unfair)
        promised = torch.full_like(self.radius, torch.inf)
        for boxes in _in_parts(self.balls()):
            held = self._hold(boxes, boxes.domain(self.radius, self.judge.norm, whole=True))
            row = boxes.row[held.row]
            margin = self._margin(held.features, row, boxes.level[held.row])
            fair[row[~margin.proven]] = False
            promised = promised.scatter_reduce(0, row, self.radius[row] * margin.promise(), "amin")
        return fair, promised

    def judge_rounded(self) -> None:
        """Judges the twins with their whole numbers rounded, where the SCM says which columns hold such.

        As unfair areas do, at every radius: the points around twins are judged as they come.
        """
        if self.judge.scm.whole is None:
            return
        for boxes in _in_parts(self.balls()):
            self._judge_rounded(boxes.rows(self._matters(boxes)))

    def _judge_rounded(self, boxes: _Boxes) -> None:
        scm = self.judge.scm
        still = _Boxes(boxes.row, boxes.level, boxes.centre, torch.zeros_like(boxes.half))
        domain = still.domain(torch.zeros_like(self.radius), self.judge.norm, whole=True)
        held = self._hold(still, domain)
        of, low, high = _each_rounding(scm, *(scm.rounded(scm.own(end)) for end in held.features.bounds()))
        domain = held.features.domain.rows(of)
        row, level = boxes.row[held.row[of]], boxes.level[held.row[of]]
        margin = self._margin(between(scm.model(low), scm.model(high), domain), row, level)
        left = ~margin.proven
        at = of[left]
        own, levels = still.rows(held.row[at]), {i: of[at] for i, of in held.levels.items()}
        self._try(own, own.centre, levels, rounded=True)
        self.given_up[row[left]] |= ~self.unfair[row[left]]

    def _bound(self, boxes: _Boxes, *, whole: bool) -> _Boxes:
        """The halves of the boxes that are not proven, once counterexamples in them have been tried."""
        boxes = boxes.rows(self._matters(boxes))
        if not len(boxes.row):
            return boxes
        held = self._hold(boxes, boxes.domain(self.radius, self.judge.norm, whole=whole))
        margin = self._margin(held.features, boxes.row[held.row], boxes.level[held.row])
        open_ = (~margin.proven).nonzero().squeeze(-1)
        self._refute(boxes, held, margin.worst.point, open_, climb=whole and not self.judge.is_learner)
        left = torch.zeros_like(boxes.row, dtype=torch.bool)
        left[held.row[open_]] = True
        left &= ~self.unfair[boxes.row]
        steep = torch.zeros_like(boxes.half)
        row = held.row.expand(len(steep), -1)
        steep = steep.scatter_reduce(1, row, margin.logit.tilt().abs(), "amax")
        return self._halve(boxes.rows(left), steep[:, left])

    def _twins(self, boxes: _Boxes) -> Twins:
        return Twins(self.people.own[boxes.row], self.people.noise[boxes.row], boxes.level)

    def _hold(self, boxes: _Boxes, domain: Domain) -> Counterfactuals:
        """The counterfactuals that boxes hold."""
        twins = self._twins(boxes)
        possible = bounds.by_agreeing_noise(twins, self._anew(boxes))
        return bounds.counterfactuals(self.judge.scm, twins, domain, possible, self.budget.branches)

    def _margin(self, features: Taylor, row: Tensor, level: Tensor) -> "_Margin":
        """The bounds of margins over features (q, d) of individuals (q,) at sensitive levels (q,)."""
        logit = bounds.through(self.judge.predict, features)[..., 0]
        towards = torch.where(self.people.favourable[row], -1.0, 1.0).to(logit.value)  # a flip
        far = logit.furthest(towards)
        margin = self.judge.decide.margin(far.bound.unsqueeze(-1), level)
        proven = torch.where(towards < 0, margin >= 0, margin < 0)
        self.least = self.least.scatter_reduce(0, row[proven], margin.abs()[proven], "amin")
        distance = self.judge.decide.margin(logit.value.unsqueeze(-1), level).abs()
        return _Margin(logit, proven, distance, far)

    def _anew(self, boxes: _Boxes) -> Tensor:
        """A mask (b, d) of the columns whose noise has nothing to do with that of the row."""
        scm = self.judge.scm
        if self.judge.coupling == "any":
            return torch.ones(len(boxes.row), len(scm.names), dtype=torch.bool, device=boxes.row.device)
        if not scm.fresh:
            return torch.zeros(len(boxes.row), len(scm.names), dtype=torch.bool, device=boxes.row.device)
        first = first_alike(scm)
        return first[boxes.level] != first[self.people.level[boxes.row]]

    def _refute(self, boxes: _Boxes, held: Counterfactuals, point: Tensor, open_: Tensor, *, climb: bool) -> None:
        """Tries the centre of each box that is open, and the point of least margin that its slopes promise.

        With ``climb`` these promises are followed, from one such point to the next (Frank and Wolfe 1956).
        """
        if not len(open_):
            return
        own, levels = boxes.rows(held.row[open_]), {i: of[open_] for i, of in held.levels.items()}
        delta = own.centre
        self._try(own, delta, levels)
        for _ in range(CLIMBS if climb else 1):
            delta = point[:, open_] if delta is own.centre else self._climb(own, delta, levels)
            self._try(own, delta, levels)

    def _climb(self, boxes: _Boxes, delta: Tensor, levels: dict[int, Tensor]) -> Tensor:
        """The point (k, b) of whole balls that is furthest along the slopes at another."""
        towards = torch.where(self.people.favourable[boxes.row], -1.0, 1.0)

        def damage(delta: Tensor) -> Tensor:
            features, _ = self._points(boxes, delta, levels)
            return self.judge.predict(features)[..., 0] * towards

        gradient, _ = slope(damage, self._into_ball(boxes, delta))
        return boxes.domain(self.radius, self.judge.norm, whole=True).largest(gradient)[1]

    def _into_ball(self, boxes: _Boxes, delta: Tensor) -> Tensor:
        if self.judge.norm != "l2":
            return delta * INSIDE
        length = delta.square().sum(0).sqrt().clamp_min(torch.finfo(delta.dtype).tiny)
        return delta * (INSIDE * self.radius[boxes.row] / length).clamp_max(1.0)

    def _points(self, boxes: _Boxes, delta: Tensor, levels: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Counterfactuals (b, d) at points delta (k, b), and whether their noise agrees with the row."""
        scm = self.judge.scm
        shift = torch.zeros_like(self.people.noise[boxes.row])
        shift = shift.index_copy(1, (scm.unit > 0).nonzero().squeeze(-1), delta.T) * scm.unit
        return _points(scm, self._twins(boxes), shift, levels, self._anew(boxes))

    def _try(self, boxes: _Boxes, delta: Tensor, levels: dict[int, Tensor], *, rounded: bool = False) -> None:
        """Notes the points that are decided otherwise; delta (k, b), levels of discrete nodes (b,)."""
        scm = self.judge.scm
        features, agrees = self._points(boxes, self._into_ball(boxes, delta), levels)
        if rounded:
            features = scm.model(scm.rounded(scm.own(features)))
        features = features.float().to(features)  # as it is filed
        decided = self.judge.decides(features, boxes.level)
        found = (decided != self.people.favourable[boxes.row]) & agrees & features.isfinite().all(-1)
        row = boxes.row[found]
        self.counterexample[row] = features[found]
        self.unfair[row] = True

    def _halve(self, boxes: _Boxes, steep: Tensor) -> _Boxes:
        """Both halves of boxes along the side that matters most, where they reach into the ball."""
        if not len(boxes.row) or not boxes.half.any():  # there is nothing to cut
            self.given_up[boxes.row] = True
            return boxes.rows(torch.zeros_like(boxes.row, dtype=torch.bool))
        side = (boxes.half * (steep + steep.amax(0) / 2)).argmax(0, keepdim=True)
        quarter = torch.zeros_like(boxes.half).scatter(0, side, boxes.half.gather(0, side) / 2)
        halves = [
            _Boxes(boxes.row, boxes.level, boxes.centre + sign * quarter, boxes.half - quarter) for sign in (-1, 1)
        ]
        both = _Boxes(*(torch.cat(of, -1) for of in zip(*halves, strict=True)))
        if self.judge.norm != "l2":
            return both
        nearest = (both.centre.abs() - both.half).clamp_min(0) / self.radius[both.row]  # whose squares are numbers
        return both.rows(~(nearest.square().sum(0) > 1 + 2e-5))


class _Margin(NamedTuple):
    """The bounds of margins over counterfactuals."""

    logit: Taylor  # (q,)
    proven: Tensor  # (q,) whether all of them are decided as the individual is
    distance: Tensor  # (q,) of the value from the threshold
    worst: Furthest  # (q,)

    def promise(self) -> Tensor:
        """The share (q,) of the radius at which the proof would just succeed, if rests grow with its square."""
        reach, rest = self.worst.reach, self.worst.rest
        rest = rest.clamp_min(torch.finfo(rest.dtype).tiny)
        return NEARLY * 2 * self.distance / (reach + (reach.square() + 4 * rest * self.distance).sqrt())


def _each_rounding(scm: SCM, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (v,) of features between whole numbers (q, d), and their ends (v, d); two where these are neighbours."""
    of = torch.arange(len(low), device=low.device)
    step = scm.whole[0] if scm.whole is not None else torch.zeros_like(scm.loc)
    for i in (step > 0).nonzero().squeeze(-1).tolist():
        apart = (high[:, i] > low[:, i]) & (high[:, i] - low[:, i] < 1.5 * step[i])
        second_low, second_high = low[apart].clone(), high[apart]
        second_low[:, i] = second_high[:, i]
        high = torch.cat(
            [
                torch.where(apart.unsqueeze(-1) & (torch.arange(len(step), device=low.device) == i), low, high),
                second_high,
            ]
        )
        low, of = torch.cat([low, second_low]), torch.cat([of, of[apart]])
    return of, low, high


def _in_parts(boxes: _Boxes) -> list[_Boxes]:
    every = torch.arange(len(boxes.row), device=boxes.row.device)
    return [boxes.rows(part) for part in every.split(TOGETHER) if len(part)]


def _points(scm: SCM, twins: Twins, shift: Tensor, levels: dict[int, Tensor], anew: Tensor) -> tuple[Tensor, Tensor]:
    """Counterfactuals (b, d) in model space with given levels of discrete nodes, and whether such a noise agrees.

    Args:
        scm: turns noise into features.
        twins: of rows.
        shift: (b, d) of their noise.
        levels: of each discrete node by its first column, (b,); below 0 where any will do.
        anew: a mask (b, d) of the columns whose noise need not agree with the row.
    """
    do, noise, agrees = twins.do(scm), twins.noise + shift, torch.ones_like(twins.level, dtype=torch.bool)
    if scm.posterior:
        for mechanism in scm.mechanisms:
            if mechanism.posterior:
                now = scm.to_features(noise, do)
                noise = _set_noise(mechanism, twins, now, noise, levels[mechanism.columns[0]], anew)
        agrees = _agrees(scm, twins, noise, levels, anew, scm.to_features(noise, do))
    return scm.model(scm.to_features(noise, do)), agrees


def _set_noise(mechanism: Mechanism, twins: Twins, now: Tensor, noise: Tensor, level: Tensor, anew: Tensor) -> Tensor:
    """The noise with that of a node by which it has a level where its parents are those of ``now``."""
    places = list(mechanism.columns)
    parents = [[of[:, p] for p in mechanism.parents] for of in (twins.own, now)]
    target = level.clamp_min(0)
    own = discrete.noise_between(mechanism.push, twins.own[:, places], target, *parents)
    free = discrete.noise_between(mechanism.push, None, target, *parents)
    found = torch.where(anew[:, places], free, own)
    found = torch.where((level < 0).unsqueeze(-1), twins.noise[:, places], found)
    return noise.index_copy(1, torch.tensor(places, device=noise.device), found)


def _agrees(scm: SCM, twins: Twins, noise: Tensor, levels: dict[int, Tensor], anew: Tensor, now: Tensor) -> Tensor:
    """A mask (b,) of the noise that gives the levels, and the row itself where it is not drawn anew."""
    found = torch.ones_like(twins.level, dtype=torch.bool)
    for mechanism in scm.mechanisms:
        if mechanism.posterior:
            places, level = list(mechanism.columns), levels[mechanism.columns[0]]
            u = noise[:, places] if len(places) > 1 else noise[:, places[0]]
            parents = [twins.own[:, p] for p in mechanism.parents]
            seen = mechanism.push(u, *parents).reshape(len(level), len(places))
            same = torch.isclose(seen, twins.own[:, places], atol=1e-4).all(-1)
            k = discrete.count_levels(mechanism.push, *parents)
            right = (discrete.read_columns(mechanism.push, now[:, places], k) == level) | (level < 0)
            found &= (same | anew[:, places[0]]) & right
    return found
