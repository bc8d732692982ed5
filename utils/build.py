"""Objects from a configuration: the only place that instantiates what a configuration names."""

import importlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from utils import seeding
from utils.command_line.checks import TRAINER, validate_pixels
from utils.command_line.targets import check_arguments, mask, read_arguments, settings_of, structure
from utils.datasets.synthetic import DRAWING
from utils.decides.threshold import Threshold
from utils.losses.objective import Objective, Weighted, count_logits, make_objective
from utils.models.learner import Learner
from utils.models.pixels import ForImages
from utils.poisoning.rows_csv import checksum, with_file
from utils.records.settings import SEARCH_KEYS, TERM_KEYS, own_settings, without
from utils.records.typed import AttackNode, Node, OfCausalModel, OfContext, OfData, Params
from utils.run_store import canonical, group_id, run_id
from utils.scms.from_data import hash_of_equations
from utils.scms.identity import describe, read_settings
from utils.scms.structure import sensitive_attributes
from utils.system import processes
from utils.system.environment import keep_memory
from utils.training.one_model import PLAIN, Recipe
from utils.types import SCM, Adaptation, AttackName, Context, Dataset, FitDecide, Metric, Poison, Prepare, Scalar
from utils.views.stack import together
from utils.words.numbers import read_radius
from utils.words.quoting import write_word

Shared = Callable[..., Any]  # part, how to make it, the settings it depends on -> the part
OF_OLD = {"confidence": None, "groups_min": 1}  # later settings of thresholds, by the value that changes nothing
OF_GRADIENTS = ("trainer", "objective", "regularizer")  # how a model is trained that learns by gradients


@dataclass(frozen=True)
class Run:
    """All that one training needs, built but not trained."""

    name: str
    params: Params
    run_id: str
    group_id: str
    dataset: Dataset
    model: nn.Module
    nominal: float
    terms: Mapping[str, Weighted]
    ctx: Context
    fit_decide: FitDecide
    make_optimizer: Callable[..., torch.optim.Optimizer]
    metrics: Mapping[str, Metric]
    adaptations: Sequence[Adaptation] = ()
    recipe: Recipe = PLAIN
    poison: Poison | None = None

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.params["seed"]

    @property
    def objective(self) -> Objective:
        """Returns the objective of the training."""
        return make_objective(self.nominal, self.terms, self.adaptations)


def bind(node: Mapping[str, Any], key: str, **late: Any) -> Any:
    """Instantiates one node; a partial's settings are checked against its function's signature, radii read.

    Raises:
        ValueError: what the function raised for its settings, or a setting it does not have.
    """
    try:
        found = instantiate(dict(node), _convert_="all", **late)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | OSError):
            raise error.__cause__ from None
        raise ValueError(f"{key}: {error}") from error
    if isinstance(found, partial) and found.func.__module__.startswith("utils."):
        check_arguments(found, key)
        return read_arguments(found)
    return found


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one; with several, the jobs of a sweep or the processes of one take turns.

    Raises:
        ValueError: a device that is not there.
    """
    if name == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = processes.local_rank() if processes.count_launched() > 1 else _job_number()
        return torch.device("cuda", number % count) if count else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name!r} is not known; choose auto, cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r}: torch sees no CUDA device here; choose auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name!r}: torch sees {torch.cuda.device_count()} CUDA devices, numbered from 0")
    return device


def _job_number() -> int:
    """Returns the number of this job in its sweep, 0 outside one."""
    hydra: Any = HydraConfig.get() if HydraConfig.initialized() else None
    return OmegaConf.select(hydra, "job.num") or 0 if hydra and hydra.mode == RunMode.MULTIRUN else 0


def make_repeatable(threads: int, device: torch.device) -> None:
    """Gives the same bits for the same seed, device and thread count."""
    torch.set_num_threads(threads)
    keep_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)  # a few, such as sums for l1 balls, have no such form


def build_dataset(params: OfData, device: torch.device) -> Dataset:
    """The data set, split by the seed, its rows on the device; natural units stay on the CPU, in double precision."""
    dataset: Dataset = bind(params["dataset"], "dataset")(seed=params["seed"])
    if dataset.shape:  # of whose channels the scaling is part of the model
        dataset = replace(dataset, loc=dataset.loc.to(device), scale=dataset.scale.to(device))
    train, valid, test = (rows.to(device) for rows in (dataset.train, dataset.valid, dataset.test))
    return replace(dataset, train=train, valid=valid, test=test)


def _anew(part: str, make: Callable[[], Any], *settings: Any) -> Any:
    """A part made for this run alone."""
    return make()


def build_context(params: OfContext, dataset: Dataset, shared: Shared = _anew) -> Context:
    """Returns the context of methods; the decision threshold is 1/2 until one is fitted."""
    evasion = params["attack"]["evasion"]
    schedule = params["epsilon"]["schedule"] | {"radius": read_radius(params["epsilon"]["radius"])}
    source: seeding.Source = seeding.generator(params["seed"], "attack")
    if dataset.shape:
        source = seeding.Rows(seeding.derive(params["seed"], "attack"), dataset.test.index)
    return Context(
        scm=shared("scm", lambda: build_scm(params, dataset), *_of_data(params), params["scm"]),
        columns=dataset.columns,
        attack=shared("attack", lambda: bind(evasion, "attack.evasion"), evasion),
        epsilon=shared("epsilon", lambda: bind(schedule, "epsilon.schedule"), schedule),
        decide=Threshold(probability=0.5),
        seed=params["seed"],
        generator=source,
        groups=len(dataset.groups),
    )


def _of_data(params: OfData) -> tuple[Any, ...]:
    """The settings that rows and all that is fitted to them depend on."""
    return params["dataset"], params["seed"], params.get("device")


def build_scm(params: OfContext, dataset: Dataset) -> SCM:
    """The causal model of the data set.

    Raises:
        ValueError: none, though the data are a table, whose individuals have twins.
    """
    scm: SCM = bind(params["scm"], "scm")(dataset, seed=params["seed"])
    if not scm.names and not dataset.shape:
        raise ValueError(
            f"scm=none is for images, and dataset={dataset.name} is a table; choose scm=independent, or scm=learned or "
            "scm=linear where its graph is known"
        )
    return scm


def describe_scm(params: OfCausalModel, dataset: Dataset, scm: SCM) -> dict[str, Any] | None:
    """The causal model as a record holds it (see ``utils.scms.identity``); None where there is none, as of images."""
    if not scm.names:
        return None
    return describe(
        params["scm"],
        params["dataset"],
        facts=scm.facts,
        data=dataset.fingerprint,
        drawing=None if dataset.scm is None else DRAWING,
        arrows=dataset.parents,
        equations=hash_of_equations(scm),
    )


def build_model(params: Params, dataset: Dataset, shared: Shared = _anew) -> tuple[nn.Module, Node]:
    """The classifier with its initial weights, and the description that rebuilds it."""
    outputs = count_logits(dataset.classes)
    size: dict[str, Any] = {"inputs": len(dataset.columns), "outputs": outputs}
    if dataset.shape:
        scaling = {"mean": dataset.loc.tolist(), "std": dataset.scale.tolist()}
        size = {"inputs": list(dataset.shape), "outputs": outputs} | scaling
    _check_fits(params, dataset)
    if is_learner(params):
        _refuse_terms(params)
    make = shared("model", lambda: bind(params["model"] | {"_partial_": True}, "model"), params["model"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive(params["seed"], "weights"))
        model: nn.Module = make(**size)
    return model.to(dataset.train.x.device), params["model"] | size


def _check_fits(params: Params, dataset: Dataset) -> None:
    """Refuses a model for images on a table, and the other way round. Raises ValueError."""
    for_images = issubclass(_kind(params), ForImages)
    if for_images != bool(dataset.shape):
        kinds = ("images", "tables") if for_images else ("tables", "images")
        fitting = "small_cnn or preact_resnet18" if dataset.shape else "mlp or logistic"
        raise ValueError(
            f"model={_module(params)} is for {kinds[0]}, and dataset={dataset.name} holds {kinds[1]}; "
            f"choose model={fitting}"
        )


def _kind(params: Params) -> type[nn.Module]:
    """The class of the model that a configuration names."""
    module, _, name = params["model"]["_target_"].rpartition(".")
    kind: type[nn.Module] = getattr(importlib.import_module(module), name)
    return kind


def _module(params: Params) -> str:
    """The last name of the model's module, that of its option."""
    return str(params["model"]["_target_"]).split(".")[-2]


def is_learner(params: Params) -> bool:
    """Returns whether the model is one of scikit-learn's: trained at once by its own loss, without gradients."""
    return issubclass(_kind(params), Learner)


def _refuse_terms(params: Params) -> None:
    """Refuses terms that a learner would not minimise; a weight of 0 counts as none. Raises ValueError."""
    unread = [name for name, node in params["regularizer"].items() if name != "erm" and node["weight"]]
    if unread:
        raise ValueError(
            f"model={_module(params)} minimises a loss of its own, so regularizer={unread[0]} would say nothing to it; "
            "leave regularizer=erm, and weigh the training rows by prepare, or choose thresholds by decide"
        )


def terms(params: Params) -> dict[str, Weighted]:
    """The weighted terms of the objective, by the name of their option."""
    return {
        name: Weighted(float(node["weight"]), bind(own_settings(node, TERM_KEYS), f"regularizer.{name}"))
        for name, node in params["regularizer"].items()
        if not node.get("adapts")
    }


def adaptations(params: Params, dataset: Dataset) -> list[Adaptation]:
    """Returns what adapts the terms to the classes, in the order of the configuration.

    Raises:
        ValueError: there is no term to adapt.
    """
    nodes = {name: node for name, node in params["regularizer"].items() if node.get("adapts")}
    if nodes and len(nodes) == len(params["regularizer"]):
        name = next(iter(nodes))
        raise ValueError(
            f"regularizer={name} adapts a robust loss to the classes and is not one itself: "
            f"{write_word('regularizer', ['trades', name])}"
        )
    device = dataset.train.y.device
    made = [
        bind(own_settings(node, TERM_KEYS), f"regularizer.{name}", classes=dataset.classes)
        for name, node in nodes.items()
    ]
    return [adaptation.to(device) for adaptation in made]


def build_poison(params: Params, dataset: Dataset) -> Poison | None:
    """Returns the search for rows to add to the training rows, where the ``attack`` option has one.

    Raises:
        ValueError: the rows are images.
    """
    node = params["attack"].get("poison")
    if node is None:
        return None
    if dataset.shape:
        name = node["_target_"].rpartition(".")[2]
        raise ValueError(f"attack={name} adds rows to a table, and dataset={dataset.name} holds images")
    found: Poison = bind(own_settings(node, SEARCH_KEYS), "attack.poison")
    return found


def recipe(params: Params) -> Recipe:
    """Returns the recipe of one model's training, where the trainer says more than its numbers."""
    given = {key: value for key, value in params["trainer"].items() if key not in TRAINER}
    found: Recipe = bind({"_target_": "utils.training.one_model.Recipe"} | given, "trainer") if given else PLAIN
    return found


def nominal_weight(params: Params) -> float:
    """Weight of the plain loss: as configured, or 0 beside a term that is a classification loss itself, else 1."""
    given = params["objective"]["nominal"]
    if given is not None:
        return float(given)
    return 0.0 if any(node["own_loss"] and node["weight"] for node in params["regularizer"].values()) else 1.0


def perturbs(params: Params) -> bool:
    """Returns whether any term of the objective reads the training radius; a learner has none."""
    return not is_learner(params) and any(node["perturbs"] for node in params["regularizer"].values())


def reads_radius(params: Params) -> bool:
    """Returns whether the training depends on the radius: by a term, or by attacks on the validation rows."""
    judged = params["trainer"].get("keep") == "best" or bool(params["trainer"].get("ema_floor"))
    return perturbs(params) or (judged and not is_learner(params))


def build_metrics(params: Params) -> dict[str, Metric]:
    """The metrics of a run's evaluation; one that trains without a radius reports none at its training radius."""
    return bind_metrics(
        params["evaluation"]["metrics"], params["attack"]["evasion"], at_training_radius=perturbs(params)
    )


def bind_metrics(
    nodes: Mapping[str, Any], evasion: Mapping[str, Any], *, at_training_radius: bool
) -> dict[str, Metric]:
    """Metrics by name; the ``attack`` option is reported beside the headline attacks unless one is as strong."""
    headline = _at_training_radius(nodes)
    unread = {} if at_training_radius else {name: {"training_radius": None} for name in headline}
    attacks = [
        a for name in headline for a in (nodes[name].get("attack", {}), *nodes[name].get("attacks", {}).values())
    ]
    covered = any(_covers(attack, evasion) for attack in attacks)
    return {
        name: bind({**node, **unread.get(name, {})}, f"evaluation.metrics.{name}")
        for name, node in nodes.items()
        if not (covered and settings_of(node, AttackName))
    }


def _at_training_radius(nodes: Mapping[str, Any]) -> list[str]:
    """Returns the names of the headline metrics, which report at the training radius too."""
    return [name for name, node in nodes.items() if node.get("training_radius") is not None]


def _covers(headline: Mapping[str, Any], evasion: Mapping[str, Any]) -> bool:
    """Returns whether the headline attack is this attack with as many steps or more."""
    same = {**evasion, "steps": None} == {**headline, "steps": None}
    return same and evasion.get("steps", 0) <= headline.get("steps", 0)


def identity(params: Params, fingerprint: str) -> dict[str, Any]:
    """Returns what the result of a run depends on: its configuration, less what it does not read, plus its data."""
    kept = without(params, "identity")
    kept["decide"] = {k: v for k, v in kept["decide"].items() if k not in OF_OLD or v != OF_OLD[k]}
    for key in ("prepare", "added"):  # the rows as they are
        if not kept.get(key):
            kept.pop(key, None)
    if is_learner(params):
        kept = {key: value for key, value in kept.items() if key not in OF_GRADIENTS}
    if not reads_radius(params):
        kept["epsilon"] = {"evaluate": params["epsilon"]["evaluate"]}
    if not perturbs(params):
        metrics = dict(kept["evaluation"]["metrics"])
        for name in _at_training_radius(metrics):
            metrics[name] = {k: v for k, v in metrics[name].items() if k != "training_radius"}
        kept["evaluation"] = kept["evaluation"] | {"metrics": metrics}
    return kept | {"data": fingerprint}


def identity_of(params: Params, dataset: Dataset, scm: SCM) -> dict[str, Any]:
    """The same of a run whose data and causal model are there, which say what of the SCM's settings they read.

    Several sensitive indicators of one attribute once were attributes of their own, so runs of them have other ids now.
    """
    found = identity(params | {"scm": read_settings(params["scm"], scm.facts)}, dataset.fingerprint)
    together = any(len(attribute.places) > 1 for attribute in sensitive_attributes(dataset.columns))
    return found | {"indicators": "together"} if together else found


def structure_of(params: Params) -> str:
    """Returns a text that is equal for runs of one stack: they differ in seed, weights of rows and numbers alone."""
    kept: dict[str, Any] = structure({key: value for key, value in params.items() if key not in ("seed", "prepare")})
    kept["choices"] = {key: value for key, value in params.get("choices", {}).items() if key != "prepare"}
    kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in ("lr", "weight_decay")}
    kept["epsilon"] = kept["epsilon"] | {"radius": mask(params["epsilon"]["radius"])}
    kept["objective"] = {"nominal": mask(params["objective"]["nominal"])}
    kept["regularizer"] = {k: v | {"weight": mask(v["weight"])} for k, v in kept["regularizer"].items()}
    return canonical(kept)


def stackable(params: Params) -> bool:
    """Returns whether runs like this one can be trained as a stack, differing in numbers alone."""
    return not why_alone(params)


def why_alone(params: Params) -> str:
    """Returns why runs like this one are trained one by one; empty where they can be trained as a stack."""
    if is_learner(params):
        return f"scikit-learn trains one model={_module(params)} at a time"
    observing = [name for name, node in params["regularizer"].items() if node.get("adapts")]
    if observing:
        return f"regularizer={observing[0]} observes the training of one model"
    if not params["trainer"].keys() <= set(TRAINER):
        return "a recipe such as trainer.schedule is for one model at a time"
    if "poison" in params["attack"]:
        return "a search for rows to add trains one model on many sets of rows"
    return ""


def without_poison(params: Params) -> Params:
    """The settings of a run whose rows are chosen, so that no search stands before its training."""
    return params | {"attack": cast(AttackNode, {k: v for k, v in params["attack"].items() if k != "poison"})}


def run_name(params: Params) -> str:
    """``<dataset>_<model>_<regularizer>``, the options' names as typed, terms joined by +."""
    model = params.get("choices", {}).get("model", _module(params))
    return f"{params['dataset']['name']}_{model}_{'+'.join(params['regularizer'])}"


def stacked_objective(runs: Sequence[Run]) -> Objective:
    """The objective of a stack: the losses (m,) that its runs would minimise one by one.

    Raises:
        UnstackableError: terms that differ in more than numbers.
    """

    device = runs[0].dataset.train.x.device

    def weight(of: Sequence[Scalar], name: str) -> Scalar:
        value = together(of, name, device)
        return value.squeeze(1) if isinstance(value, torch.Tensor) else value

    every = {
        name: Weighted(
            weight([run.terms[name].weight for run in runs], f"regularizer.{name}.weight"),
            together([run.terms[name].term for run in runs], f"regularizer.{name}", device),
        )
        for name in runs[0].terms
    }
    return make_objective(weight([run.nominal for run in runs], "objective.nominal"), every)


@contextmanager
def in_memory() -> Iterator[None]:
    """Turns an allocation that fails into what a user can do about it. Raises ValueError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or "allocate" in str(error)):
            raise
        asked = re.search(r"\d+ bytes|[\d.]+ [KMGTPE]iB", str(error))
        size = f" ({asked[0]} at once)" if asked else ""
        raise ValueError(
            f"this needs more memory than there is{size}; lower what is large, such as dataset.rows, model.hidden or "
            "trainer.batch_size"
        ) from error


@in_memory()
def build_run(params: Params, made: dict[str, Any] | None = None) -> Run:
    """Builds everything that one training needs.

    Parts that are never changed are taken from ``made`` where an earlier run of a stack had the same, and left there.

    Raises:
        ValueError: parts that do not fit each other, or settings out of range.
    """
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)

    def shared(part: str, make: Callable[[], Any], *settings: Any) -> Any:
        if made is None:
            return make()
        key = json.dumps([part, *settings])
        if key not in made:
            made[key] = make()
        return made[key]

    dataset: Dataset = shared("dataset", lambda: build_dataset(params, device), *_of_data(params))
    if params["prepare"]:
        prepare: Prepare = bind(params["prepare"], "prepare")
        dataset = replace(dataset, train=prepare(dataset.train, dataset.groups))
    if dataset.shape:
        validate_pixels(params, dataset.shape)
    model, description = build_model(params, dataset, shared)
    ctx = build_context(params, dataset, shared)  # of the data set's own rows
    named, optimizer = identity_of(params, dataset, ctx.scm), params["trainer"]["optimizer"]
    if rows := params.get("added"):
        path = Path(rows).expanduser()
        named |= {"added": checksum(path)}
        dataset = replace(dataset, train=with_file(dataset, path))
    return Run(
        name=run_name(params),
        params=params | {"model": description},
        run_id=run_id(named),
        group_id=group_id(named if dataset.scm is None else {k: v for k, v in named.items() if k != "data"}),
        dataset=dataset,
        model=model,
        nominal=nominal_weight(params),
        terms=shared("terms", lambda: terms(params), params["regularizer"]),
        ctx=ctx,
        fit_decide=shared("decide", lambda: bind(params["decide"], "decide"), params["decide"]),
        make_optimizer=shared("optimizer", lambda: bind(optimizer, "trainer.optimizer"), optimizer),
        metrics=shared(
            "metrics", lambda: build_metrics(params), params["evaluation"], params["attack"], perturbs(params)
        ),
        adaptations=adaptations(params, dataset),
        recipe=recipe(params),
        poison=build_poison(params, dataset),
    )
