"""SCMs fitted to data: the graph they need, the equations they judge, the noise they sample."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from utils.scms import discrete, flow
from utils.scms.identity import FLOW, POSTERIOR, REAL_VALUED, STILL, THRESHOLDED, WHOLE, Coupling, Noise, Reading
from utils.scms.judgement import judge
from utils.scms.published_noise import published_noise
from utils.scms.scoring import equations_of, scores
from utils.scms.structure import (
    Equation,
    Regression,
    SampleNoise,
    attributes,
    in_radius_units,
    on_device,
    regression_equation,
    resample,
    sensitive_attributes,
    structural,
)
from utils.types import SCM, Column, Dataset, Variant
from utils.views.short_rows import ShortRows
from utils.words.near import near
from utils.words.quoting import write_word

Floats = NDArray[np.float64]
Prior = Literal["uniform", "logistic", "gumbel"]
Kind = Literal["additive", "flow", "logistic", "multinomial", "ordered", "count"]
PRIORS: Mapping[Prior, Callable[[np.random.Generator, int], Floats]] = {
    "uniform": lambda rng, n: rng.random(n),
    "logistic": lambda rng, n: rng.logistic(size=n),
    "gumbel": lambda rng, n: rng.gumbel(size=n),
}
NUMERIC = ("additive", "flow")  # whose noise a radius moves
FEW_LEVELS = 10  # whole numbers of at most so many values are levels
OBSERVED = 2**26  # numbers of rows in short whose noise is resampled
LEAST_CHANCE = 1e-3  # of a threshold equation, so that a noise agrees with every row


def require_graph(dataset: Dataset, option: str) -> Mapping[str, tuple[str, ...]]:
    """The causal graph as child -> parents, roots left out.

    Raises:
        ValueError: none is known for the data set.
    """
    if dataset.parents is None:
        names = [(column.attribute or column.name, column.sensitive) for column in dataset.columns]
        child = next(name for name, sensitive in names if not sensitive)
        graph = {child: list(dict.fromkeys(name for name, sensitive in names if sensitive))}
        raise ValueError(
            f"scm={option} needs a causal graph and data set {dataset.name!r} has none; "
            f"use scm=independent, or give that of a table of your own, such as {write_word('dataset.graph', graph)}"
        )
    return {child: parents for child, parents in dataset.parents.items() if parents}


def threshold_equation(parents: tuple[str, ...], f: Regression) -> Equation:
    """A binary child x = 1[u < f(parents)], f read as a probability, u in (0, 1).

    Abduction takes the middle of the interval that agrees with what was seen, so counterfactuals stay in
    {0, 1} and are monotone in the probability (the latent-threshold reading of a binary node; Pearl 2009,
    section 7.1, with one representative noise in place of its posterior).
    """
    return Equation(parents, partial(threshold_noise, f), partial(_middle, f))


def as_chance(expected: Tensor) -> Tensor:
    """The probability (...) that an expected value (...) of a binary child stands for; monotone."""
    return expected.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)


def threshold_noise(f: Regression, u: Tensor, *p: Tensor) -> Tensor:
    """The child (...) of noise u (...) and parents p, (...) each: 1 where u < f(p), else 0; its gradient is 0."""
    return (u < as_chance(f(torch.stack(p, -1)))).to(u.dtype)


def _middle(f: Regression, x: Tensor, *p: Tensor) -> Tensor:
    chance = as_chance(f(torch.stack(p, -1)))
    return torch.where(x > 0.5, chance / 2, (1 + chance) / 2)


def prior_at(kinds: Mapping[int, Prior], sample: SampleNoise) -> SampleNoise:
    """The sampler with noise of these kinds at some columns, which gives each value with its own probability."""

    def with_prior(n: int, rng: np.random.Generator) -> Tensor:
        noise = sample(n, rng)
        for column, kind in kinds.items():
            noise[:, column] = torch.from_numpy(PRIORS[kind](rng, n)).to(noise)
        return noise

    return with_prior


class Node(NamedTuple):
    """A node with parents: what an equation of it is fitted to."""

    name: str  # of its column, or of the attribute whose indicators it is
    columns: tuple[int, ...]
    parents: tuple[str, ...]  # names of columns
    kind: Kind
    levels: int = 0  # of a discrete one
    low: float = 0.0  # what its column holds at the first level, model space
    step: float = 1.0  # from one level to the next
    width: float = 0.0  # from one number to the next of a flow's column of whole numbers

    @property
    def scores(self) -> int:
        """Returns how many numbers its regression gives."""
        return {"multinomial": self.levels, "count": 2, "flow": flow.SCORES}.get(self.kind, 1)

    def level(self, x: Tensor) -> Tensor:
        """Its levels (n,) in rows x (n, d), model space."""
        if len(self.columns) > 1:
            return x[:, list(self.columns)].argmax(-1)
        return ((x[:, self.columns[0]] - self.low) / self.step).round().long().clamp(0, self.levels - 1)

    @property
    def head(self) -> discrete.Head:
        """Returns what turns its regression into chances of its levels."""
        if self.kind == "count":
            return partial(discrete.of_count, levels=self.levels)
        return {"logistic": discrete.of_binary, "ordered": discrete.of_ordered}.get(self.kind, discrete.of_categories)

    def equation(self, f: Regression, *, threshold: bool, monotone: bool) -> Equation:
        """Its equation with a fitted regression."""
        if self.kind == "additive":
            return (threshold_equation if threshold else regression_equation)(self.parents, f)
        if self.kind == "flow":
            return flow.by_flow(self.parents, f)
        if len(self.columns) > 1:
            make = discrete.by_quantile if monotone else discrete.by_gumbel
            return make(self.parents, f, self.head)
        return discrete.by_quantile(self.parents, f, self.head, low=self.low, step=self.step)


def nodes_of(dataset: Dataset, reading: Reading, kinds: Mapping[str, str], noise: Noise) -> tuple[Node, ...]:
    """The nodes with parents, in the order of the graph.

    With the reading ``posterior`` a discrete node has the mechanism of its type, or that which ``kinds`` gives it:
    binary ones are logistic, the indicators of an attribute multinomial, whole numbers of at most FEW_LEVELS values
    and ordered columns ordered, declared counts counts; other numbers have the ``noise``. Else all are additive.

    Raises:
        ValueError: ``kinds`` names what is no node with parents, or a mechanism that does not fit its type; or flows
            are asked for with another reading.
    """
    if reading != "posterior" and (noise == "flow" or "flow" in kinds.values()):
        raise ValueError(f"flow equations are for scm.discrete=posterior, not {reading}; leave one of them out")
    columns, parents = dataset.columns, dataset.parents or {}
    places = {c.name: i for i, c in enumerate(columns)}
    blocks = _blocks(columns, parents) if reading == "posterior" else {}
    usual = None if reading == "posterior" else "additive"
    found: dict[str, Node] = {}
    for child in (child for child, of in parents.items() if of):
        i = places[child]
        name = columns[i].attribute if columns[i].attribute in blocks else child
        own = blocks.get(name, (i,))
        if name not in found:
            found[name] = _node(dataset, name, own, parents[child], usual or kinds.get(name), noise)
    if unknown := [name for name in kinds if name not in found]:
        raise ValueError(
            f"scm.nodes: {unknown[0]!r} is no attribute with parents in the graph"
            f"{near(unknown[0], list(found))} Those are: {', '.join(found)}."
        )
    return tuple(found.values())


def _blocks(columns: Sequence[Column], parents: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
    """The places of the indicators of attributes that are one node: none is sensitive, all have the same parents."""
    return {
        name: places
        for name, places in attributes(columns).items()
        if not any(columns[i].sensitive for i in places) and len({parents.get(columns[i].name) for i in places}) == 1
    }


def _node(
    dataset: Dataset, name: str, own: tuple[int, ...], parents: tuple[str, ...], kind: str | None, noise: Noise
) -> Node:
    first = dataset.columns[own[0]]
    fitting: list[Kind] = ["additive"]
    levels, low, step = len(own), 0.0, 1.0
    if len(own) > 1:
        fitting = ["multinomial"]
    elif first.sensitive or first.attribute:
        pass  # interventions set it, or it is no node without the others of its attribute
    elif first.kind == "binary":
        fitting, levels = ["logistic", "additive"], 2
    elif first.kind == "categorical" and len(set(steps := np.diff(first.levels).tolist())) == 1:
        fitting, levels, low, step = ["ordered", "additive"], len(first.levels), first.levels[0], steps[0]
    elif first.kind == "continuous" and first.integer:
        low, high = _range(dataset, own[0])
        fitting, levels = ["additive"], int(high - low) + 1
        if 1 < levels <= discrete.MOST_LEVELS:
            usual: Kind = "ordered" if first.discrete == "ordered" or levels <= FEW_LEVELS else "additive"
            fitting = list(dict.fromkeys((usual, "ordered", "additive")))
            if 0 <= low <= high < discrete.MOST_LEVELS:
                fitting = ["count", *fitting] if first.discrete == "count" else [*fitting, "count"]
    if first.kind == "continuous" and not first.sensitive:
        fitting = _with_flow(fitting, noise)
    chosen = fitting[0] if kind is None else kind
    if chosen not in fitting:
        raise ValueError(f"scm.nodes.{name}={kind!r} does not fit this column; choose {' or '.join(fitting)}")
    if chosen == "count":
        low, levels = 0.0, int(high) + 1
    scale = float(dataset.scale[own[0]]) if len(own) == 1 else 1.0
    loc = float(dataset.loc[own[0]]) if len(own) == 1 else 0.0
    width = 1 / scale if chosen == "flow" and first.integer else 0.0
    return Node(name, own, parents, chosen, levels, (low - loc) / scale, step / scale, width)


def _with_flow(fitting: Sequence[Kind], noise: Noise) -> list[Kind]:
    """The mechanisms of a column of numbers, a flow first where that is to take the place of additive noise."""
    first: list[Kind] = ["flow"] if noise == "flow" and fitting[0] == "additive" else []
    return list(dict.fromkeys((*first, *fitting, "flow")))


def _range(dataset: Dataset, i: int) -> tuple[float, float]:
    """The least and the largest whole number of a column in all rows, which is the same under every split."""
    ends = [of.x[:, i].aminmax() for of in (dataset.train, dataset.valid, dataset.test) if len(of.y)]
    scale, loc = float(dataset.scale[i]), float(dataset.loc[i])
    return (
        round(loc + scale * min(float(low) for low, _ in ends)),
        round(loc + scale * max(float(high) for _, high in ends)),
    )


def build_scm(
    dataset: Dataset,
    nodes: Sequence[Node],
    regressions: Sequence[Regression],
    *,
    reading: Reading,
    coupling: Coupling,
    draws: int,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """The SCM of fitted regressions, with what the rows that are held out say of each equation among its facts.

    Args:
        dataset: whose rows it is of.
        nodes: those with parents.
        regressions: of each node, stacked parents on standardised columns -> expected child, or what the head takes.
        reading: ``anm`` reads a binary child as additive noise, as published (counterfactuals may leave
            {0, 1}); ``threshold`` keeps it in {0, 1} by one middle noise; ``posterior`` gives discrete nodes the
            mechanisms of ``nodes``, keeps the noise of discrete roots as it is, and has whole numbers rounded; a
            sensitive binary column and a single indicator of an attribute are read as by ``threshold``.
            Indicators of a sensitive attribute, which interventions set together, are additive in any.
        coupling: of a posterior: ``gumbel``, ``monotone`` or ``independent``.
        draws: of a posterior, in an evaluation.
        sampling: noise for fresh individuals: ``residuals`` of the training rows, or ``published``.
        radius_unit: ``noise`` or ``noise_sd``.
    """
    if sampling not in ("published", "residuals"):
        raise ValueError(f"scm.sampling={sampling!r} is not known; choose residuals or published")
    if coupling not in ("gumbel", "monotone", "independent"):
        raise ValueError(f"scm.coupling={coupling!r} is not known; choose gumbel, monotone or independent")
    columns, x = dataset.columns, dataset.train.x
    in_sets = {i for a in sensitive_attributes(columns) if len(a.places) > 1 for i in a.places}
    binary = {
        node.name: columns[node.columns[0]]
        for node in nodes
        if node.kind == "additive" and columns[node.columns[0]].kind == "binary" and node.columns[0] not in in_sets
    }
    beside = {name for name, c in binary.items() if reading == "posterior" and (c.sensitive or c.attribute)}
    cutting = binary.keys() if reading == "threshold" else beside
    equations = {
        node.name: node.equation(f, threshold=node.name in cutting, monotone=coupling != "gumbel")
        for node, f in zip(nodes, regressions, strict=True)
    }
    scm = structural(columns, equations, resample(x[:1], columns))  # until its own noise is known
    facts = scores(equations_of(scm, columns), dataset)
    facts |= {f"{THRESHOLDED if name in cutting else REAL_VALUED}{name}": 1.0 for name in binary}
    flows = {f"{FLOW}{node.name}": 1.0 for node in nodes if node.kind == "flow"}
    facts |= flows
    if reading == "posterior":
        scm, own = _with_discrete(scm, dataset, nodes, draws=draws, fresh=coupling == "independent")
        facts |= own
    scm = on_device(scm, x.device)
    sample = published_noise(dataset.name, scm.names) if sampling == "published" else _later(scm, x, columns, reading)
    kinds: dict[int, Prior] = {scm.names.index(name): "uniform" for name in cutting}
    for m in scm.mechanisms if scm.posterior else ():
        gumbel = len(m.columns) > 1 and coupling == "gumbel"
        kinds |= dict.fromkeys(m.columns if m.posterior else (), "gumbel" if gumbel else "logistic")
    scm = replace(scm, sample_noise=prior_at(kinds, sample), facts=facts)
    scm = in_radius_units(scm, dataset, radius_unit)
    if flows and radius_unit == "noise":  # their noise is that of a normal distribution
        scm = replace(scm, radius_unit="noise_and_flow_sd")
    return replace(scm, judgement=cache(partial(judge, scm, dataset)))


class Sampled(NamedTuple):
    """A node whose equation is to be fitted, to how many of each training row."""

    node: Node
    counts: Tensor | None = None  # (n,); None: one


@torch.no_grad()
def refit(
    variants: Sequence[Variant],
    *,
    dataset: Dataset,
    reading: Reading,
    kinds: Mapping[str, str],
    noise: Noise,
    fitted: Mapping[Node, Regression],
    fit: Callable[[Sequence[Sampled]], Sequence[Regression]],
    build: Callable[[Dataset, Sequence[Node], Sequence[Regression]], SCM],
) -> list[SCM]:
    """The SCMs of other graphs, and of samples of the training rows, like one that was fitted to the data set.

    Every equation is fitted once: one with the parents that it had, on all rows, is that of the first.

    Args:
        variants: what is to be fitted.
        dataset: whose rows it is of.
        reading: of discrete columns.
        kinds: mechanisms of single nodes, as for ``nodes_of``; that of what has no parents any more counts no more.
        noise: of numbers.
        fitted: the equations that are there.
        fit: the regressions of nodes, all at once.
        build: as ``build_scm``.
    """
    data = [dataset if of.parents is None else replace(dataset, parents=of.parents) for of in variants]
    nodes = [nodes_of(own, reading, _of_children(kinds, own), noise) for own in data]
    samples = [None if of.counts is None else i for i, of in enumerate(variants)]
    wanted = [[(node, sample) for node in own] for own, sample in zip(nodes, samples, strict=True)]
    known = {(node, None): f for node, f in fitted.items()}
    new = list(dict.fromkeys(key for own in wanted for key in own if key not in known))
    made = fit([Sampled(node, None if i is None else variants[i].counts) for node, i in new]) if new else ()
    regressions = known | dict(zip(new, made, strict=True))
    return [
        build(own, of, [regressions[key] for key in keys]) for own, of, keys in zip(data, nodes, wanted, strict=True)
    ]


def _of_children(kinds: Mapping[str, str], dataset: Dataset) -> dict[str, str]:
    """Those of the kinds that are of nodes with parents."""
    parents = dataset.parents or {}
    there = {name for c in dataset.columns if parents.get(c.name) for name in (c.name, c.attribute)}
    return {name: kind for name, kind in kinds.items() if name in there}


def _with_discrete(
    scm: SCM, dataset: Dataset, nodes: Sequence[Node], *, draws: int, fresh: bool
) -> tuple[SCM, dict[str, float]]:
    """The SCM with draws of the posterior, discrete roots that no radius moves and whole numbers; and its facts."""
    with_parents, names = {i for node in nodes for i in node.columns}, {node.name for node in nodes}
    step = torch.zeros_like(scm.unit)
    least, largest, unit, facts = step.clone(), step.clone(), scm.unit.clone(), {}
    for i, c in enumerate(dataset.columns):
        few = c.integer and np.ptp(_range(dataset, i)) < FEW_LEVELS
        kept = i not in with_parents or (c.attribute and c.name in names)  # a root, or a single indicator
        if not c.sensitive and kept and (c.kind != "continuous" or c.discrete or few):
            unit[i] = 0.0
            facts[f"{STILL}{c.attribute or c.name}"] = 1.0
    for node in nodes:
        i = node.columns[0]
        if node.kind in NUMERIC and dataset.columns[i].integer and dataset.columns[i].kind == "continuous":
            ends = (torch.tensor(_range(dataset, i)).to(dataset.loc) - dataset.loc[i]) / dataset.scale[i]
            step[i], (least[i], largest[i]) = 1 / dataset.scale[i], ends
            facts[f"{WHOLE}{node.name}"] = 1.0
    drawn = [node.name for node in nodes if node.kind not in NUMERIC]
    whole = (step, least, largest) if step.any() else None
    scm = replace(scm, unit=unit, draws=draws if drawn else 1, fresh=fresh, whole=whole, missing=_missing(dataset))
    return scm, facts | {f"{POSTERIOR}{name}": 1.0 for name in drawn}


def _missing(dataset: Dataset) -> dict[int, tuple[int, Tensor]]:
    """The columns whose missing numbers a flag tells, with its place and what they hold in its stead, model space."""
    names, found = [c.name for c in dataset.columns], dict[int, tuple[int, Tensor]]()
    for flag, c in enumerate(dataset.columns):
        for rows in (dataset.train, dataset.valid, dataset.test) if c.tells else ():
            i = names.index(c.tells)
            for value in rows.x[rows.x[:, flag] > 0.5, i][:1]:
                found[i] = flag, value
    return found


def _later(scm: SCM, x: Tensor, columns: Sequence[Column], reading: Reading) -> SampleNoise:
    """The sampler of the noise of rows x (n, d), which is a table as large as theirs and made once it is asked for.

    Of rows in short, which are in the random order of the split, it is that of the first ones, OBSERVED numbers.
    """

    def make() -> SampleNoise:
        rows = x[: OBSERVED // x.shape[-1]] if isinstance(x, ShortRows) else x
        return resample(scm.to_noise(rows), columns, every=reading == "posterior")

    made = cache(make)
    return lambda n, rng: made()(n, rng)


def hash_of_equations(scm: SCM) -> str | None:
    """16 hex digits of the SHA-256 of all that the equations of an SCM were fitted to; None where nothing was."""
    digest, names = hashlib.sha256(), []
    for mechanism in sorted(scm.mechanisms, key=itemgetter(0)):
        name, push = ",".join(scm.names[i] for i in mechanism.columns), mechanism.push
        if isinstance(push, partial) and isinstance(push.args[0], nn.Module):
            names.append(name)
            for key, value in push.args[0].state_dict().items():
                digest.update(f"{name}.{key}".encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16] if names else None
