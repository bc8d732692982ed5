"""Certificates of individual fairness: who is proven fair, who is proven unfair, and who is left open.

Where unfair areas are what attacks find, at least that much, these are proofs (``utils.adversary.certificates``). Where
no noise is drawn, uai_<radius> <= 1 - fair_certified_<radius>; else that holds of uai_any_<radius>, as a certificate is
of all noise that agrees with the row. Where nobody is open, the unfair area is 1 - fair_certified_<radius>, exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.adversary.bounds import explain_no_bounds
from utils.adversary.causal_balls import choose_individuals
from utils.adversary.certificates import Budget, Certificate, Individuals, Judge, certify, largest_radius
from utils.adversary.taylor import NoBoundsError
from utils.metrics.directions import Key
from utils.metrics.intervals import Measured, Share, Spread
from utils.metrics.measuring import measure, of_shares
from utils.scms import discrete
from utils.types import Batch, Column, Context, Figures, Predict, Radii

KEYS = {
    "fair_certified": Key(1, "proven fair", "share of individuals", headline=4, causal=True),
    "unfair_certified": Key(-1, "proven unfair", "share of individuals", headline=5, causal=True),
    "open": Key(-1, "neither proven fair nor unfair", "share of individuals", headline=5, causal=True),
    "fair_certified_cf": Key(1, "proven counterfactually fair", "share of individuals", causal=True),
    "unfair_certified_cf": Key(-1, "proven counterfactually unfair", "share of individuals", causal=True),
    "open_cf": Key(-1, "neither proven counterfactually fair nor unfair", "share of individuals", causal=True),
    "fair_certified_any": Key(1, "proven fair under any coupling", "share of individuals", headline=4, causal=True),
    "unfair_certified_any": Key(-1, "proven unfair under some coupling", "share of individuals", causal=True),
    "open_any": Key(-1, "neither proven fair nor unfair under any coupling", "share of individuals", causal=True),
    "fair_certified_cf_any": Key(
        1, "proven counterfactually fair under any coupling", "share of individuals", causal=True
    ),
    "unfair_certified_cf_any": Key(
        -1, "proven counterfactually unfair under some coupling", "share of individuals", causal=True
    ),
    "open_cf_any": Key(
        -1,
        "neither proven counterfactually fair nor unfair under any coupling",
        "share of individuals",
        causal=True,
    ),
    "proven_radius_p10": Key(1, "radius at which nine in ten are proven fair", causal=True, most=None),
    "proven_radius_p50": Key(1, "radius at which half are proven fair", causal=True, most=None),
    "proven_radius_p90": Key(1, "radius at which one in ten is proven fair", causal=True, most=None),
    "proven_radius_any_p10": Key(
        1, "radius at which nine in ten are proven fair under any coupling", causal=True, most=None
    ),
    "proven_radius_any_p50": Key(1, "radius at which half are proven fair under any coupling", causal=True, most=None),
    "proven_radius_any_p90": Key(
        1, "radius at which one in ten is proven fair under any coupling", causal=True, most=None
    ),
}
QUANTILES = (10, 50, 90)
SHARES = ("fair_certified", "unfair_certified", "open")


def proofs(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radii: Radii,
    norm: Literal["l2", "linf"],
    coupling: Literal["own", "any"],
    individuals: Literal["rows", "scm"],
    n: int,
    rows: int | None,
    boxes: int,
    boxes_total: int,
    branches: int,
    radius_rows: int,
    radius_most: float,
    radius_boxes: int,
    level: float,
) -> Figures | Sequence[Figures]:
    """Shares of individuals who are proven fair, proven unfair and neither, at every radius and at radius 0 (``cf``).

    ``fair_certified_<r>``: no point within the radius of any twin is decided otherwise; ``unfair_certified_<r>``: one
    is, and is filed; ``open_<r>``: the rest, which more boxes would tell apart. ``fair_certified_group<i>_<r>`` is of
    the individuals of one group. ``proven_radius_p<q>``: q in a hundred individuals have no larger radius at which they
    are proven fair; 0 of those who are not even at 0. All have intervals.

    Under another coupling or norm the keys are others: ``fair_certified_any_<r>``, ``fair_certified_linf_<r>``.

    All are None where the model, its thresholds or the causal model have no bounds; ``reasons`` say which.

    Args:
        predict: a two-class model.
        batch: the rows to judge with ``individuals="rows"``.
        ctx: gives SCM and decision.
        radii: in the SCM's radius unit.
        norm: of the balls.
        coupling: "own" proves for all noise of discrete nodes that agrees with the row under the SCM's coupling; "any"
            for every level that has a chance, whatever the coupling.
        individuals: "rows" of the batch, or "scm": n fresh draws of the SCM.
        n: number of fresh draws.
        rows: the most individuals that are judged, the first of them; None: as many as for unfair areas.
        boxes: that an individual's proof may take, at one radius.
        boxes_total: that all may take, at one radius.
        branches: boxes for the levels of discrete nodes, within one box; more levels share one.
        radius_rows: individuals whose largest radius is looked for, the first of them; 0: none.
        radius_most: the largest radius that is looked for.
        radius_boxes: that an individual's proof may take at each radius that is tried.
        level: of the intervals, in (0, 1).
    """
    settings = _Settings(radii, Budget(boxes, boxes_total, branches), radius_rows, radius_most, radius_boxes, level)
    with torch.no_grad():
        x, _, _ = choose_individuals(batch, ctx, individuals, n, rows)
    index = batch.index[..., : x.shape[-2]] if individuals == "rows" else None
    models: Sequence[Predict] = predict.each if ctx.each else [predict]  # type: ignore[attr-defined]
    found = []
    for i, (model, own) in enumerate(zip(models, ctx.each or (ctx,), strict=True)):
        judge = Judge(model, own.decide, own.scm, norm, coupling)
        people, numbers = (x[i], None if index is None else index[i]) if ctx.each else (x, index)
        found.append(_figures(judge, people, numbers, own, settings))
    return found if ctx.each else found[0]


class _Settings(NamedTuple):
    radii: Radii
    budget: Budget
    radius_rows: int
    radius_most: float
    radius_boxes: int
    level: float


def _figures(judge: Judge, x: Tensor, index: Tensor | None, ctx: Context, settings: _Settings) -> Measured:
    """The figures of one model from the proofs about individuals x (n, d)."""
    radii = {"cf": 0.0, **dict(sorted(settings.radii.items(), key=lambda of: of[1]))}
    names = _Names("_any" if judge.coupling == "any" else "", "_linf" if judge.norm == "linf" else "")
    if reason := explain_undefined_proofs(judge, ctx.columns):
        return _undefined(radii, settings, names, reason)
    people = judge.individuals(x)
    try:
        proven = dict(_prove(judge, people, radii, settings.budget))
        some = judge.individuals(x[: settings.radius_rows])
        budget = settings.budget._replace(each=settings.radius_boxes)
        largest = largest_radius(judge, some, settings.radius_most, budget) if settings.radius_rows else None
    except NoBoundsError as error:
        return _undefined(radii, settings, names, str(error))
    ends = _groups(people.level, ctx.groups)
    found = _of_proofs(proven, ends, names, settings.level)
    if largest is not None:
        some_ends = {end: of[: len(largest)] for end, of in ends.items()}
        found.add(_of_radii(largest, some_ends, names, settings.level))
    if index is not None:
        found.arrays = _arrays(index, proven, largest)
    return found


def _groups(level: Tensor, groups: int) -> dict[str, Tensor]:
    """Masks (n,) of the individuals that figures are of, by the ends of their keys: all, and each group."""
    every = {"": torch.ones_like(level, dtype=torch.bool)}
    return every if groups == 1 else every | {f"_group{i}": level == i for i in range(groups)}


class _Names(NamedTuple):
    """The keys of proofs of one kind: figures of another coupling, or of balls of another norm, have other ones."""

    coupling: str  # "_any" or nothing
    norm: str  # "_linf" or nothing

    def share(self, share: str, spelling: str, end: str = "") -> str:
        """``fair_certified_group0_0.05`` of the radius .05, ``fair_certified_cf_group0`` of twins alone."""
        if spelling == "cf":
            return f"{share}_cf{self.coupling}{end}"
        return f"{share}{self.coupling}{end}{self.norm}_{spelling}"

    def radius(self, q: int, end: str = "") -> str:
        """``proven_radius_p50_group0``."""
        return f"proven_radius{self.coupling}_p{q}{end}{self.norm}"


def _of_proofs(proofs: Mapping[str, Certificate], ends: Mapping[str, Tensor], names: _Names, level: float) -> Measured:
    shares: dict[str, Share] = {}
    for spelling, proof in proofs.items():
        masks = zip(SHARES, (proof.fair, proof.unfair, ~proof.fair & ~proof.unfair), strict=True)
        shares |= {
            names.share(key, spelling, end): (int((mask & of).sum()), int(of.sum()))
            for key, mask in masks
            for end, of in ends.items()
        }
    return of_shares(shares, level)


def _of_radii(largest: Tensor, ends: Mapping[str, Tensor], names: _Names, level: float) -> Measured:
    """Quantiles of the largest proven radius (n,); nobody who is not proven fair at 0 has one, which counts as 0."""
    values, spreads = {}, {}
    for end, of in ends.items():
        own = largest[of].nan_to_num(0.0).double().cpu().numpy()
        for q in QUANTILES:
            key = names.radius(q, end)
            values[key], spreads[key] = _quantile(own, q / 100, level)
    return measure(values, {}, level, spreads)


def explain_undefined_proofs(judge: Judge, columns: Sequence[Column]) -> str:
    """Returns why nothing can be proven about a model and its thresholds; nothing where it can."""
    if not judge.decide.monotone:
        return "a coin decides beside the thresholds, so nobody's decision is certain"
    if reason := explain_no_bounds(judge.predict, len(columns)):
        return reason
    if judge.coupling == "any":
        return _explain_uncounted(judge, columns)
    return ""


def _explain_uncounted(judge: Judge, columns: Sequence[Column]) -> str:
    """Returns which numbers have a chance that no enumeration of levels reaches."""
    for mechanism in judge.scm.mechanisms:
        column = columns[mechanism.columns[0]]
        if mechanism.posterior and column.discrete == "count":
            most = discrete.most_of_count(mechanism.push)
            if column.bounds is None or column.bounds[1] > most:
                bound = (
                    f"the schema permits up to {column.bounds[1]:g}" if column.bounds else "the schema has no bounds"
                )
                return (
                    f"coupling=any enumerates the values of {column.name} up to {most}, the largest in the data, and "
                    f"{bound}; give bounds up to there"
                )
    return ""


def _undefined(radii: Mapping[str, float], settings: _Settings, names: _Names, reason: str) -> Measured:
    keys = [names.share(key, spelling) for spelling in radii for key in SHARES]
    keys += [names.radius(q) for q in QUANTILES if settings.radius_rows]
    found = Measured(dict.fromkeys(keys))
    found.reasons.append(
        f"{', '.join(key for key in keys if key.startswith('fair'))} and the figures beside are undefined: {reason}"
    )
    return found


def _prove(
    judge: Judge, people: Individuals, radii: Mapping[str, float], budget: Budget
) -> Iterator[tuple[str, Certificate]]:
    """The proofs at every radius, in their order: who is unfair at one is at every larger one."""
    before: Certificate | None = None
    for spelling, radius in radii.items():
        proof = certify(judge, people, radius, budget, before)
        yield spelling, proof
        before = proof


def _quantile(values: NDArray[np.float64], share: float, level: float) -> tuple[float, Spread]:
    """The quantile of values (n,) and its interval, by the order statistics that hold it (Thompson 1936); or nan."""
    if not len(values):
        return np.nan, Spread(None, None, None)
    from scipy.stats import binom

    ordered, n = np.sort(values), len(values)
    low = int(binom.ppf((1 - level) / 2, n, share)) - 1
    high = int(binom.ppf((1 + level) / 2, n, share)) + 1
    ends = [float(ordered[i]) if 0 <= i < n else None for i in (low, high)]
    middle = float(np.quantile(ordered, share, method="inverted_cdf"))
    return middle, Spread(ends[0], ends[1], None)


def _arrays(index: Tensor, proofs: Mapping[str, Certificate], largest: Tensor | None) -> dict[str, NDArray[Any]]:
    """The proofs of every row as a file keeps them: 1 fair, -1 unfair, 0 open, counterexamples and bounds."""
    found: dict[str, NDArray[Any]] = {"row": index.cpu().numpy().astype(np.int64)}
    for spelling, proof in proofs.items():
        found[f"verdict_{spelling}"] = (proof.fair.to(torch.int8) - proof.unfair.to(torch.int8)).cpu().numpy()
        found[f"margin_{spelling}"] = proof.margin.float().cpu().numpy()
        found[f"counterexample_{spelling}"] = proof.counterexample[proof.unfair].float().cpu().numpy()
    if largest is not None:
        found["proven_radius"] = largest.float().cpu().numpy()
    return found
