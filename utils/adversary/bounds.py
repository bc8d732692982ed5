"""Sound bounds of counterfactuals and of a network over them: what no point of a causal perturbation ball exceeds.

Taylor models go from the exogenous noise through the structural equations, then through the network. Discrete nodes
have no slope: their levels are enumerated, all that the noise leaves open.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.adversary.taylor import Domain, NoBoundsError, Taylor, between, choose, constant, join
from utils.scms import discrete, flow, from_data
from utils.scms.counterfactual import factual_level
from utils.types import SCM, Mechanism, Predict

BRANCHES = 16  # boxes a row, of levels that its noise leaves open
DEARER = 4  # forward passes that bounds cost for each slope
CENTRED = 16  # roundings of the centre of a box that was halved until its width is that of the last of its digits


class Twins(NamedTuple):
    """Twins of rows: each under one level of the sensitive attributes."""

    own: Tensor  # (p, d) features of the rows, the SCM's own units
    noise: Tensor  # (p, d) of the twins, likewise
    level: Tensor  # (p,) int64, of the sensitive attributes

    def rows(self, keep: Tensor) -> "Twins":
        """Some of them."""
        return Twins(*(part[keep] for part in self))

    def do(self, scm: SCM) -> dict[int, Tensor]:
        """The interventions, (p,) each."""
        return {column: scm.levels[self.level, j] for j, column in enumerate(scm.sensitive)}


class Counterfactuals(NamedTuple):
    """The boxes of counterfactuals of each twin, of which there is at least one; they lie in one of these."""

    row: Tensor  # (q,) the twin that a box is of, in order
    features: Taylor  # (q, d), model space
    levels: Mapping[int, Tensor]  # of each discrete node by its first column, (q,); -1 where they are left open


# the node, its parents' bounds (q, p) and the twin of each -> a mask (q, k) of the levels that may be taken
Possible = Callable[[Mechanism, Taylor, Tensor], Tensor]


def cost_of(slopes: int) -> int:
    """The cost of bounds of a point in forward passes: some for each slope, counted on networks of 100 neurons."""
    return DEARER * (slopes + 2)


def explain_no_bounds(predict: Predict, columns: int) -> str:
    """Returns why no bounds of a model of so many columns are known; nothing where they are."""
    if isinstance(predict, nn.Module) and (parameter := next(predict.parameters(), None)) is not None:
        like = parameter.detach()
    else:
        like = torch.zeros(())
    nowhere = Domain(like.new_zeros(1, 1), like.new_zeros(1, 1), None)
    try:
        bounds_over(predict, constant(like.new_zeros(1, columns), nowhere))
    except NoBoundsError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a model may do anything with what is no tensor
        return f"the model takes tensors alone ({type(error).__name__})"
    return ""


def has_bounds(predict: Predict, columns: int) -> bool:
    """Returns whether bounds of a model of so many columns are known: whether there is a rule for all that it does."""
    return not explain_no_bounds(predict, columns)


def bounds_over(predict: Predict, features: Taylor) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds (p, k) of a model over features, such as counterfactuals.

    A box with an infinite or undefined side may get undefined bounds, which compare as false.

    Raises:
        NoBoundsError: the model does something of which no bounds are known.
    """
    logits = through(predict, features)
    return logits.bounds()


def through(predict: Predict, features: Taylor) -> Taylor:
    """The logits (p, k) of a model over features. Raises NoBoundsError as ``bounds_over``."""
    logits = predict(features)  # type: ignore[arg-type]  # which torch takes for a tensor
    return logits if isinstance(logits, Taylor) else constant(logits, features.domain)


def box(centre: Tensor, half: Tensor) -> Taylor:
    """Returns features in boxes around ``centre`` (p, d), ``half`` (p, d) their width on either side, >= 0."""
    domain = Domain(torch.zeros_like(half.T), half.T, None)
    slope = torch.eye(centre.shape[-1], dtype=centre.dtype, device=centre.device).unsqueeze(1)
    return Taylor(centre, slope.expand(-1, *centre.shape), torch.zeros_like(centre), domain) + 0.0


def ball(scm: SCM, radius: Tensor, norm: str) -> Domain:
    """The whole ball of each twin in the coordinates that a radius moves, around 0; radius (p,) in the SCM's unit."""
    moved = int((scm.unit > 0).sum())
    half = radius.expand(moved, -1)
    return Domain(torch.zeros_like(half), half, radius if norm == "l2" else None, whole=norm == "l2")


def counterfactuals(
    scm: SCM, twins: Twins, domain: Domain, possible: Possible, branches: int = BRANCHES
) -> Counterfactuals:
    """Returns bounds of the counterfactuals of p twins, their noise moved within domains, in model space.

    Args:
        scm: turns noise into features.
        twins: of rows.
        domain: of the coordinates that a radius moves, in its unit.
        possible: the levels of discrete nodes that may be taken.
        branches: boxes of a twin, at the most; where more levels are open, they share one.

    Raises:
        NoBoundsError: an equation does something of which no bounds are known; the message names its node.
    """
    do = twins.do(scm)
    touched = find_touched(scm, twins, domain)
    noise = _moved_noise(scm, twins, domain)
    row = torch.arange(len(twins.level), device=twins.level.device)
    columns, levels = dict[int, Taylor](), dict[int, Tensor]()
    apart = _find_apart(scm, do)
    together = set(apart)
    for mechanism in scm.mechanisms:
        if mechanism.columns[0] in together:
            continue
        place, parents = mechanism.columns, [columns[p] for p in mechanism.parents]
        if place[0] in do:
            columns |= {i: constant(do[i][row], domain) for i in place}
        elif mechanism.parents and (found := _find_levels(scm, mechanism, parents, noise, row, possible)) is not None:
            seen = _levels_seen(mechanism, twins.own[row], found.shape[-1])
            found = torch.where(touched[row, place[0]].unsqueeze(-1), found, seen)
            box_of, low, high, level = _split(mechanism, found, row, branches)
            low, high = low.to(twins.noise), high.to(twins.noise)
            row, domain = row[box_of], domain.rows(box_of)
            columns = {i: of.rows(box_of) for i, of in columns.items()}
            levels = {i: of[box_of] for i, of in levels.items()} | {place[0]: level}
            noise = noise.rows(box_of)
            columns |= {i: between(low[:, j], high[:, j], domain) for j, i in enumerate(place)}
        else:
            own = [noise[..., i] for i in place]
            node = own if not parents else _push(scm, mechanism, own, parents)
            columns |= {i: _unless(touched[row, i], of, twins.own[row, i]) for i, of in zip(place, node, strict=True)}
        _set_missing(scm, place[0], columns, domain)
    v = _put_together(columns, _unless(touched[row][:, apart], noise[..., apart], twins.own[row][:, apart]), apart)
    return Counterfactuals(row, scm.model(v), levels)  # type: ignore[arg-type]


def _find_apart(scm: SCM, do: Mapping[int, Tensor]) -> list[int]:
    """The columns without parents and children that no intervention sets, as most of a wide table: they go together."""
    tied = {p for m in scm.mechanisms for p in m.parents}
    tied |= {*scm.missing, *(flag for flag, _ in scm.missing.values())}
    return [
        i
        for m in scm.mechanisms
        if not m.parents and m.columns[0] not in do and tied.isdisjoint(m.columns)
        for i in m.columns
    ]


def _put_together(columns: Mapping[int, Taylor], others: Taylor, places: Sequence[int]) -> Taylor:
    """Features (p, d) of single columns (p,) and of others (p, c) that have their places."""
    parts = [join(list(columns.values()), others.domain), others] if columns else [others]
    order = torch.tensor([*columns, *places], device=others.value.device).argsort()
    value, slope, rest = (
        torch.cat([getattr(part, name) for part in parts], -1)[..., order] for name in ("value", "slope", "rest")
    )
    return Taylor(value, slope, rest, others.domain)


def around(scm: SCM, noise: Tensor, do: Mapping[int, Tensor], radius: Tensor) -> Taylor:
    """Features (..., n, d) in L2 balls around counterfactuals, in model space, to train by: of a stack too.

    Discrete nodes keep the levels of the balls' centres, so these are no bounds where a radius changes levels.

    Args:
        scm: turns noise into features.
        noise: (..., n, d).
        do: column -> its value (..., n).
        radius: (..., n), in the SCM's unit.

    Raises:
        NoBoundsError: as ``counterfactuals``.
    """
    moved = _moved(scm)
    half = radius.expand(len(moved), *noise.shape[:-1])
    domain = Domain(torch.zeros_like(half), half, radius, whole=True)
    still, columns = scm.to_features(noise, do), dict[int, Taylor]()
    for mechanism in scm.mechanisms:
        places = mechanism.columns
        if places[0] in do or mechanism.posterior or _is_threshold(mechanism):
            columns |= {i: constant(still[..., i], domain) for i in places}
            continue
        own = {i: constant(noise[..., i], domain) for i in places}
        for i in own.keys() & moved.keys():
            unit = torch.zeros_like(half)
            unit[moved[i]] = scm.unit[..., i]
            own[i] = Taylor(noise[..., i], unit, own[i].rest, domain)
        parents = [columns[p] for p in mechanism.parents]
        node = _push(scm, mechanism, [own[i] for i in places], parents) if parents else list(own.values())
        columns |= dict(zip(places, node, strict=True))
    v = join([columns[i] for i in range(len(columns))], domain)
    return scm.model(v)  # type: ignore[arg-type,return-value]


def _moved(scm: SCM) -> dict[int, int]:
    """The columns whose noise a radius moves, and the place of each among the coordinates of its ball."""
    moves = (scm.unit > 0).reshape(-1, len(scm.names)).any(0)
    return {int(i): j for j, i in enumerate(moves.nonzero().squeeze(-1))}


def find_touched(scm: SCM, twins: Twins, domain: Domain) -> Tensor:
    """Returns a mask (p, d) of the columns of each twin that may differ from those of its row."""
    moved = (domain.half > 0) | (domain.centre != 0)
    place = _moved(scm)
    own = scm.levels[factual_level(scm, scm.model(twins.own))]
    nobody = torch.zeros(len(twins.level), dtype=torch.bool, device=twins.level.device)
    found = {column: scm.levels[twins.level, j] != own[:, j] for j, column in enumerate(scm.sensitive)}
    for mechanism in scm.mechanisms:
        for i in mechanism.columns:
            if i not in found:
                own_noise = moved[place[i]] if i in place else nobody
                by_parents = [found[p] for p in mechanism.parents]
                found[i] = torch.stack([own_noise, *by_parents]).any(0) if by_parents else own_noise
        if (i := mechanism.columns[0]) in scm.missing:
            found[i] = found[i] | found[scm.missing[i][0]]
    return torch.stack([found[i] for i in range(len(scm.names))], -1)


def _moved_noise(scm: SCM, twins: Twins, domain: Domain) -> Taylor:
    """The noise (p, d) of all columns, moved within domains."""
    own, moved = constant(twins.noise, domain), _moved(scm)
    i, j = (torch.tensor(list(of), dtype=torch.long, device=own.value.device) for of in (moved, moved.values()))
    slope, shift = own.slope.clone(), torch.zeros_like(own.value)
    slope[j, :, i] = scm.unit[i].unsqueeze(-1)
    shift[:, i] = scm.unit[i] * domain.centre[j].T
    rounding = discrete.ROUNDING * twins.own.abs() + CENTRED * shift.abs()  # of its abduction
    return Taylor(own.value + shift, slope, torch.finfo(own.dtype).eps * rounding, domain) + 0.0


@contextmanager
def _naming(scm: SCM, mechanism: Mechanism) -> Iterator[None]:
    """Lets a NoBoundsError name the node whose equation has none."""
    try:
        yield
    except NoBoundsError as error:
        raise _of_equation(scm, mechanism, error) from None


def _push(scm: SCM, mechanism: Mechanism, noise: list[Taylor], parents: list[Taylor]) -> list[Taylor]:
    """The columns of a node."""
    with _naming(scm, mechanism):
        node = mechanism.push(noise[0] if len(noise) == 1 else join(noise, noise[0].domain), *parents)
    return [node] if len(noise) == 1 else [node[..., j] for j in range(len(noise))]  # type: ignore[list-item,misc]


def _of_equation(scm: SCM, mechanism: Mechanism, error: NoBoundsError) -> NoBoundsError:
    """The error, naming the node."""
    name = scm.names[mechanism.columns[0]]
    if isinstance(mechanism.push, partial) and mechanism.push.func is flow.push_flow:
        return NoBoundsError(f"no bounds are known of flows, and {name} is one")
    return NoBoundsError(f"in the equation of {name} {error}")


def _unless(touched: Tensor, moved: Taylor, own: Tensor) -> Taylor:
    """The column as it was (p,) where nothing touches it."""
    known = constant(own, moved.domain)
    rounding = discrete.ROUNDING * torch.finfo(own.dtype).eps * (own.abs() + moved.value.abs())
    return choose(touched, moved, Taylor(known.value, known.slope, rounding, moved.domain))


def _find_levels(
    scm: SCM, mechanism: Mechanism, parents: list[Taylor], noise: Taylor, row: Tensor, possible: Possible
) -> Tensor | None:
    """A mask (q, k) of the levels of a node; None where it is not discrete."""
    if not (mechanism.posterior or _is_threshold(mechanism)):
        return None
    given = join(parents, parents[0].domain)
    with _naming(scm, mechanism):
        if mechanism.posterior:
            return possible(mechanism, given, row)
        low, high = through(mechanism.push.args[0], given).bounds()  # type: ignore[attr-defined]
    least, most = noise[..., mechanism.columns[0]].bounds()
    # x = 1 where the noise is below the chance
    return torch.stack([~(most < from_data.as_chance(low)), ~(least >= from_data.as_chance(high))], -1)


def _is_threshold(mechanism: Mechanism) -> bool:
    return isinstance(mechanism.push, partial) and mechanism.push.func is from_data.threshold_noise


def _levels_seen(mechanism: Mechanism, own: Tensor, k: int) -> Tensor:
    """A mask (q, k) of the level that each row has."""
    seen = own[:, list(mechanism.columns)]
    level = discrete.read_columns(mechanism.push, seen, k) if mechanism.posterior else (seen[:, 0] > 0.5).long()
    return torch.arange(k, device=own.device) == level.unsqueeze(-1)


def _split(mechanism: Mechanism, possible: Tensor, row: Tensor, branches: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The boxes (b,) of new ones, one for each possible level (q, k), and the ends (b, c) of the node's columns there.

    Last the level of each, -1 where a twin would have more than ``branches`` boxes: it keeps those that it has.
    """
    count, boxes = possible.sum(-1), row.bincount()[row]
    apart = (count == 1) | (count * boxes <= branches)
    first = torch.arange(possible.shape[-1], device=row.device) == 0
    box_of, level = torch.where(apart.unsqueeze(-1), possible, first).nonzero().unbind(-1)
    if not mechanism.posterior:  # of two levels, 0 and 1
        told = level.to(torch.get_default_dtype()).unsqueeze(-1)
        return box_of, told * apart[box_of].unsqueeze(-1), torch.where(apart[box_of].unsqueeze(-1), told, 1.0), level
    low, high = discrete.enclose(mechanism.push, possible)
    told = discrete.columns_at(mechanism.push, level, possible.shape[-1])
    low, high = (torch.where(apart[box_of].unsqueeze(-1), told, end[box_of]) for end in (low, high))
    return box_of, low, high, torch.where(apart[box_of], level, -1)


def _set_missing(scm: SCM, column: int, columns: dict[int, Taylor], domain: Domain) -> None:
    """A column holds one number wherever its flag is 1."""
    if column not in scm.missing:
        return
    flag, held = scm.missing[column]
    low, high = columns[flag].bounds()
    own, held = columns[column], held.to(low).expand_as(low)
    surely, never = low > 0.5, high <= 0.5
    least, most = own.bounds()
    either = between(torch.minimum(least, held), torch.maximum(most, held), domain)
    columns[column] = choose(surely, constant(held, domain), choose(never, own, either))


# --- the levels that discrete nodes may take -----------------------------------------------------------------


def by_drawn_noise(twins: Twins) -> Possible:
    """Levels by the noise that the twins have, which is known."""

    def possible(mechanism: Mechanism, parents: Taylor, row: Tensor) -> Tensor:
        noise = twins.noise[row][:, list(mechanism.columns)]
        return discrete.possible_levels(mechanism.push, _scores(mechanism, parents), (noise, noise))

    return possible


def by_agreeing_noise(twins: Twins, anew: Tensor) -> Possible:
    """Levels by any noise that agrees with what a row has, under the coupling of its equation.

    Args:
        twins: of rows.
        anew: a mask (p, d) of the columns whose noise does not depend on the row: every level is possible.
    """

    def possible(mechanism: Mechanism, parents: Taylor, row: Tensor) -> Tensor:
        own = twins.own[row]
        x, given = own[:, list(mechanism.columns)], [own[:, p] for p in mechanism.parents]
        found = discrete.agreeing_levels(mechanism.push, _scores(mechanism, parents), x, *given)
        return found | anew[row, mechanism.columns[0]].unsqueeze(-1)

    return possible


def _scores(mechanism: Mechanism, parents: Taylor) -> tuple[Tensor, Tensor]:
    """The range (q, s) of what the regression of a discrete node gives, which drops a dimension of size 1."""
    assert isinstance(mechanism.push, partial)
    low, high = bounds_over(mechanism.push.args[0], parents)
    return (low, high) if low.ndim > 1 else (low.unsqueeze(-1), high.unsqueeze(-1))
