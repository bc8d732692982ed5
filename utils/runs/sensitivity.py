"""A stored model under causal models that differ from its own: how far its causal figures hang on that choice.

The chosen one comes first; then no graph, the other kinds of equations, every coupling of drawn noise, and the graph
with each arrow left out or turned around (``utils.scms.alternatives``), fitted as the chosen one is. Where that has no
fitted equations, as a known one has none, arrows are those of linear equations. Equations that agree are fitted once.

Refits of the chosen one to bootstrap samples of the training rows say how far its equations are known. Of a model that
was trained against them their mean also says what it gains by the errors of these equations: on average its figure is
too favourable by about what that mean lies above it (the optimism of Efron and Tibshirani 1993, chapter 17). Of any
other model it says nothing of the kind.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from omegaconf import OmegaConf

from utils import seeding
from utils.build import build_scm, describe_scm
from utils.metrics.intervals import Measured
from utils.records.typed import OfContext
from utils.runs.causal_figures import AREA, name_of_many
from utils.runs.judging import evaluate
from utils.scms.alternatives import Change, changes
from utils.scms.identity import FITTED, part_of
from utils.scms.judgement import flows_for
from utils.scms.scoring import equations_of
from utils.system.console import count, notice
from utils.types import SCM, Batch, Context, Dataset, Metric, Predict, Variant
from utils.words.ranges import CONFIG

FILED = re.compile(r"(uai_(cf|any_|ar_|)[^a-z]*(_any)?|counterfactual_flip_rate)(_low|_high)?")
COUPLINGS = ("gumbel", "monotone", "independent")
LEVEL = 0.95  # of the interval over refits


@dataclass(frozen=True)
class Settings:
    """The settings ``alternatives`` of ``evaluate.py``."""

    most: int  # causal models; 1: refits alone
    rows: int | None  # individuals under each
    draws: int
    samples: int  # random points per twin
    refits: int | None


class Alternative(NamedTuple):
    """A causal model that a model is judged under."""

    name: str
    scm: SCM
    causal: Mapping[str, Any]  # as ``describe_scm`` has it


class Alternatives(NamedTuple):
    """The causal models that models of one split are judged under."""

    models: Sequence[Alternative]  # the chosen one first
    left_out: int  # more than were asked for
    refits: Sequence[SCM]  # the chosen one, fitted to samples of the training rows

    @property
    def names(self) -> list[str]:
        """The names of all, refits last."""
        return [*(one.name for one in self.models), *(f"refit {i + 1} of the first" for i in range(len(self.refits)))]


# --- causal models ---------------------------------------------------------------------------------------------


def require_judgeable(scm: Mapping[str, Any], settings: Settings, chosen: Mapping[str, Any], named: str) -> None:
    """Refuses a record without a causal model, as of images, and refits alone of one that is not fitted.

    Args:
        scm: settings of the record's own causal model.
        settings: what is asked for.
        chosen: settings of the causal model to begin with.
        named: the record, for messages.

    Raises:
        ValueError: as said.
    """
    if part_of(scm) in ("", "none"):
        raise ValueError(f"{named} has no causal model, as images have none; sensitivity=true judges causal figures")
    if settings.most == 1 and part_of(chosen) not in (*FITTED, "discovered"):
        raise ValueError(
            f"{named}: alternatives.most=1 judges by refits alone, and the equations of scm={part_of(chosen)} are not "
            "fitted; ask for more causal models, or leave the record out"
        )


def _require_graph(data: Dataset, named: str) -> None:
    """Refuses data whose causal graph is not known, so that no other can be told. Raises ValueError."""
    if not data.parents:
        raise ValueError(
            f"{named}: dataset={data.name} has no causal graph with an arrow that could be left out; give one by "
            "dataset.graph={child:[parents]}, of its columns and attributes, or leave sensitivity=true out"
        )


def build_alternatives(params: OfContext, data: Dataset, settings: Settings, chosen: str, named: str) -> Alternatives:
    """The causal models of a data set, fitted.

    Args:
        params: settings of the data set, of the chosen causal model and the seed.
        data: the data set, with the graph that is chosen.
        settings: how many, and how many refits.
        chosen: the chosen one in words.
        named: whose it is, for messages.

    Raises:
        ValueError: the graph of the data set is not known.
    """
    _require_graph(data, named)
    first = _build(f"{chosen} ({part_of(params['scm'])})", params, data)
    refits = settings.refits if settings.refits and first.scm.refit else 0
    if settings.most == 1:
        notice(f"{named}: fitting {count(refits, 'refit')}")
        own = _drawn(first, settings.draws)
        return Alternatives([own], 0, _refits(own.scm, data, params["seed"], refits))
    others = [*_of_other_equations(params, data), *_of_other_noise(params, data, first.scm)]
    base, prefix = first, ""
    if first.scm.refit is None:
        base, prefix = next(one for one in others if one.name == "linear"), "linear, "
        params = _with_scm(params, "linear")
    others += (_prefixed(one, prefix) for one in _of_other_couplings(params, data, base.scm))
    found = [first, *others]
    graphs = changes(data.columns, data.parents or {})
    kept = graphs[: max(0, settings.most - len(found))]
    notice(f"{named}: fitting {count(len(kept), 'graph')} with an arrow changed, {count(refits, 'refit')}")
    found += (_prefixed(one, prefix) for one in _of_graphs(params, data, base.scm, kept))
    models = [_drawn(_in_units_of(first, one, data), settings.draws) for one in found]
    again = _refits(models[0].scm, data, params["seed"], refits)
    return Alternatives(models, len(graphs) - len(kept), again)


def _prefixed(one: Alternative, prefix: str) -> Alternative:
    return one._replace(name=f"{prefix}{one.name}")


def _build(name: str, params: OfContext, data: Dataset) -> Alternative:
    scm = build_scm(params, data)
    return Alternative(name, scm, describe_scm(params, data, scm) or {})


def _drawn(one: Alternative, draws: int) -> Alternative:
    return one._replace(scm=replace(one.scm, draws=min(one.scm.draws, draws)))


def _of_other_equations(params: OfContext, data: Dataset) -> Iterator[Alternative]:
    """Yields the causal models without arrows, with linear equations and with learned ones, but for the own one."""
    for option, name in (("independent", "no graph"), ("linear", "linear"), ("learned", "learned")):
        if option != part_of(params["scm"]):
            yield _build(name, _with_scm(params, option), data)


def _of_other_noise(params: OfContext, data: Dataset, scm: SCM) -> Iterator[Alternative]:
    """Yields the causal model with flows for numbers whose noise depends on their parents, by data and where it can."""
    if find_spec("zuko") is None or params["scm"].get("discrete") not in (None, "posterior"):
        return
    if nodes := flows_for(equations_of(scm, data.columns), scm.judgement().facts):
        learned = _with_scm(params, "learned")["scm"]
        name = f"noise of {', '.join(nodes)} by flows"
        yield _build(name, _with(params, scm={**learned, "nodes": {**learned["nodes"], **nodes}}), data)


def _of_other_couplings(params: OfContext, data: Dataset, scm: SCM) -> Iterator[Alternative]:
    """Yields the causal models with the other couplings of drawn noise: gumbel is monotone where it is one number."""
    drawn, own = [m for m in scm.mechanisms if m.posterior], params["scm"].get("coupling")
    several = any(len(m.columns) > 1 for m in drawn)
    known = COUPLINGS if several else ("gumbel", "independent")
    own = own if several or own != "monotone" else "gumbel"
    for coupling in (of for of in known if drawn and of != own):
        yield _build(f"coupling {coupling}", _with(params, scm={**params["scm"], "coupling": coupling}), data)


def _of_graphs(params: OfContext, data: Dataset, scm: SCM, graphs: Sequence[Change]) -> Iterator[Alternative]:
    """Yields the causal models of other graphs."""
    assert scm.refit is not None
    for graph, made in zip(graphs, scm.refit([Variant(graph.parents) for graph in graphs]), strict=True):
        asked = _with(params, dataset={**params["dataset"], "graph": {c: list(of) for c, of in graph.parents.items()}})
        causal = describe_scm(asked, replace(data, parents=graph.parents), made) or {}
        yield Alternative(graph.name, made, causal)


def _with(params: OfContext, **parts: Any) -> OfContext:
    return cast("OfContext", {**params, **parts})


def defaults_of(option: str) -> dict[str, Any]:
    """The settings of an option of ``scm`` as its yaml has them."""
    found: Any = OmegaConf.to_container(OmegaConf.load(CONFIG / "scm" / f"{option}.yaml"))
    return dict(found)


def _with_scm(params: OfContext, option: str) -> OfContext:
    """The same with another option of ``scm``: its defaults, but for the settings that both have."""
    defaults = defaults_of(option)
    own = {key: value for key, value in params["scm"].items() if key in defaults and not key.startswith("_")}
    if own.get("sampling") == "noise":  # which is that of known equations
        del own["sampling"]
    if option == "linear":  # whose equations are lines
        own["nodes"] = {name: kind for name, kind in own.get("nodes", {}).items() if kind != "flow"}
    return _with(params, scm=defaults | own)


def _in_units_of(first: Alternative, one: Alternative, data: Dataset) -> Alternative:
    """A causal model whose radii mean what those of the first do: of known equations, natural units of the columns."""
    if one is first or first.causal["option"] != "known" or first.scm.radius_unit != "noise":
        return one
    causal = {**one.causal, "fingerprint": f"{one.causal['fingerprint']}, natural units"}
    return one._replace(scm=replace(one.scm, unit=one.scm.unit / data.scale.to(one.scm.unit)), causal=causal)


def _refits(scm: SCM, data: Dataset, seed: int, number: int) -> Sequence[SCM]:
    """The SCM fitted to so many bootstrap samples of the training rows, with as many draws."""
    if not number or scm.refit is None:
        return []
    n, rng = len(data.train.y), seeding.rng(seed, "refits of the causal model")
    counts = torch.from_numpy(rng.multinomial(n, [1 / n] * n, size=number))
    counts = counts.to(data.train.w)
    return [replace(made, draws=scm.draws) for made in scm.refit([Variant(counts=of) for of in counts])]


# --- figures ---------------------------------------------------------------------------------------------------


def node_of(metrics: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The settings of the unfair area under many causal models. Raises ValueError where it is not among the metrics."""
    if "unfair_area" not in metrics:
        raise ValueError("sensitivity=true judges unfair areas, and this evaluation has none; leave evaluation=... out")
    node = dict(metrics["unfair_area"])
    node["samples"] = min(node["samples"], settings.samples)
    node |= {} if settings.rows is None else {"rows": settings.rows, "n": min(node["n"], settings.rows)}
    return node


def spread(rows: Batch, settings: Settings) -> Batch:
    """At most so many of the rows, evenly spread, so that no order of theirs matters."""
    n, most = len(rows.y), settings.rows or len(rows.y)
    return rows if n <= most else rows.rows(torch.arange(most) * n // most)


def judge(
    predict: Predict,
    rows: Batch,
    ctx: Context,
    metric: Mapping[str, Metric],
    given: Alternatives,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The unfair areas of a model under every causal model, their mean and range over refits, as a record holds them.

    ``tell`` hears the name of each before it begins.
    """
    figures = list[Measured]()
    for name, scm in zip(given.names, (*(one.scm for one in given.models), *given.refits), strict=True):
        tell(name)
        figures.append(evaluate(predict, rows, replace(ctx, scm=scm), metric))
    keys = [key for key in figures[0] if AREA.fullmatch(key)]
    first, again = figures[: len(given.models)], figures[len(given.models) :]
    unit = given.models[0].scm.radius_unit
    models = [
        {"name": one.name, "fingerprint": one.causal["fingerprint"]}
        | {"metrics": _filed(of, radii=one.scm.radius_unit == unit)}
        for one, of in zip(given.models, first, strict=True)
    ]
    held: dict[str, Any] = {"models": models, "left_out": given.left_out}
    held["individuals"] = int(first[0].shares["uai_cf"][1])
    filed = _extremes([of["metrics"] for of in models], keys) if len(models) > 1 else {}
    if again:
        means = {key: float(np.mean(_column(again, key))) for key in keys}
        ends = {f"{key}{end}": value for key in keys for end, value in _interval(_column(again, key))}
        held["refits"] = {"number": len(again), "metrics": means | ends}
        filed |= {name_of_many(key, "refits"): mean for key, mean in means.items()}
    return {"metrics": filed, "sensitivity": held}


def _filed(figures: Measured, *, radii: bool) -> dict[str, float | None]:
    """The figures that a record holds of a causal model; of twins alone without ``radii``, whose units are others."""
    kept = {key: value for key, value in figures.items() if FILED.fullmatch(key)}
    return {key: value for key, value in kept.items() if radii or key.startswith(("uai_cf", "counterfactual"))}


def _column(figures: Sequence[Mapping[str, float | None]], key: str) -> list[float]:
    """The values of a figure that are defined."""
    return [value for of in figures if (value := of.get(key)) is not None]


def _interval(values: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Yields the ends of the middle of some values, as a share LEVEL of very many would be in it."""
    ends = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    yield from zip(("_low", "_high"), ends.tolist(), strict=True)


def _extremes(figures: Sequence[Mapping[str, float | None]], keys: Sequence[str]) -> dict[str, float]:
    """The least and the largest of every figure."""
    ends = (("least", min), ("most", max))
    return {name_of_many(key, end): of(_column(figures, key)) for key in keys for end, of in ends}
