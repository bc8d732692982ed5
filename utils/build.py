"""Objects from a configuration: the only place that instantiates what a configuration names."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils import seeding
from utils.command_line.checks import TRAINER, make_adaptations, validate_pixels
from utils.command_line.targets import check_arguments, make, read_arguments, settings_of
from utils.configuration.precision import choose_precision
from utils.configuration.run_identity import group_id, identity_of, run_id
from utils.configuration.traits import (
    headline_metrics,
    is_given,
    is_learner,
    model_class,
    model_option,
    nominal_weight,
    perturbs,
    run_name,
)
from utils.datasets.synthetic import DRAWING
from utils.decides.threshold import Threshold
from utils.losses.fair_metrics import FairMetric
from utils.losses.objective import Objective, Weighted, count_logits, make_objective
from utils.models.foreign_files import Given, read_given
from utils.models.foreign_weights import load_weights
from utils.models.pixels import ForImages
from utils.records.settings import FILE_KEYS, SEARCH_KEYS, TERM_KEYS, own_settings
from utils.records.typed import Node, OfCausalModel, OfContext, OfData, Params
from utils.regularizers.by_class import require_acting, require_classes, require_robust_terms
from utils.scms.from_data import hash_of_equations
from utils.scms.identity import describe, upgrade
from utils.system.console import count, notice_once, warn_once
from utils.system.devices import choose_device, in_memory, make_repeatable
from utils.system.environment import keep_memory
from utils.system.sources import note, note_unseen
from utils.training.one_model import PLAIN, Recipe
from utils.types import SCM, Adaptation, AttackName, Batch, Context, Dataset, FitDecide, Metric, Poison, Prepare, Term
from utils.views.row_parts import judge_some
from utils.words.numbers import read_radius
from utils.words.quoting import write_word

Shared = Callable[..., Any]  # part, how to make it, the settings it depends on -> the part


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
    added: Mapping[str, Any] | None = None  # what a record says of the rows of a file that are trained on too
    changed: Mapping[str, Any] | None = None  # and of the training rows that a file removes or changes

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
        found = make({**node, **late}, key)
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise ValueError(f"{key}: {node.get('_target_')} ended in {type(error).__name__}: {error}") from error
    if isinstance(found, partial) and found.func.__module__.startswith("utils."):
        check_arguments(found, key)
        return read_arguments(found)
    return found


def build_dataset(params: OfData, device: torch.device) -> Dataset:
    """The data set, split by the seed, its rows on the device; natural units stay on the CPU, in double precision."""
    dataset: Dataset = bind(params["dataset"], "dataset")(seed=params["seed"])
    return _on_device(dataset, device)


def _on_device(dataset: Dataset, device: torch.device) -> Dataset:
    """The data set with its rows on the device."""
    if dataset.shape:
        keep_memory()  # of tables it would keep what reading them took
        # the scaling of channels is part of the model
        dataset = replace(dataset, loc=dataset.loc.to(device), scale=dataset.scale.to(device))
    train, valid, test = (rows.to(device) for rows in (dataset.train, dataset.valid, dataset.test))
    return replace(dataset, train=train, valid=valid, test=test)


class Parts:
    """Parts of runs that are never changed: those of a stack, and of the one that the process trained before it."""

    def __init__(self) -> None:
        self._now: dict[str, Any] = {}
        self._before: dict[str, Any] = {}

    def share(self, part: str, make: Callable[[], Any], *settings: Any) -> Any:
        """The part of an earlier run with these settings, or else what is made.

        Where one has rows of its own, those that the stack before has left are let go first.
        """
        key = json.dumps([part, *settings])
        if key not in self._now:
            if part == "dataset" and key not in self._before:
                self._before.clear()
            self._now[key] = self._before.pop(key) if key in self._before else make()
        return self._now[key]

    def turn(self) -> None:
        """Begins another stack, whose runs may share the parts of this one."""
        self._before, self._now = self._now, {}

    def settle(self) -> None:
        """Lets parts of the stack before go that no run of this one has."""
        self._before.clear()


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
    scm: SCM = bind(upgrade(params["scm"]), "scm")(dataset, seed=params["seed"])
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
    if is_learner(params) or is_given(params):
        _refuse_terms(params)
    given = _given(params, dataset)
    if given is not None:
        size |= {"mean": given.mean, "std": given.std}
    node = own_settings(params["model"], FILE_KEYS)
    make = shared("model", lambda: bind(node | {"_partial_": True}, "model"), node)
    with seeding.weights(params["seed"], "weights"):
        model: nn.Module = make(**size)
    if given is not None:
        load_weights(model, given)
        size |= {"weights_sha256": given.sha256}
    elif not is_learner(params) and not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"model={model_option(params)} has no parameters, so there is nothing to train")
    described = {key: value for key, value in params["model"].items() if key not in FILE_KEYS or value is not None}
    return model.to(dataset.train.x.device), described | size


def _given(params: Params, dataset: Dataset) -> Given | None:
    """The weights of a file, where the model has some; says what was taken from it. Raises ValueError."""
    if not is_given(params):
        if params["model"].get("weights_scaling") is not None:
            raise ValueError("model.weights_scaling is of the pixels of model.weights=FILE, and no file is given")
        return None
    given = read_given(params["model"], note)
    if len(given.mean) != dataset.shape[0]:
        raise ValueError(
            f"model.weights={given.path} is of a network for images of {count(len(given.mean), 'channel')}, and "
            f"dataset={dataset.name} has images of {dataset.shape[0]}"
        )
    notice_once(given.told)
    epsilon = params["epsilon"]
    if read_radius(epsilon["radius"]) not in [read_radius(radius) for radius in epsilon["evaluate"]]:
        warn_once(
            f"epsilon.radius={epsilon['radius']} is one of training, and weights of a file are not trained; they are "
            f"judged at those of {write_word('epsilon.evaluate', epsilon['evaluate'])}"
        )
    return given


def _check_fits(params: Params, dataset: Dataset) -> None:
    """Refuses a model for images on a table, and the other way round. Raises ValueError."""
    for_images = issubclass(model_class(params), ForImages)
    if for_images != bool(dataset.shape):
        kinds = ("images", "tables") if for_images else ("tables", "images")
        fitting = "small_cnn or preact_resnet18" if dataset.shape else "mlp or logistic"
        raise ValueError(
            f"model={model_option(params)} is for {kinds[0]}, and dataset={dataset.name} holds {kinds[1]}; "
            f"choose model={fitting}"
        )


def _refuse_terms(params: Params) -> None:
    """Refuses terms that nothing would minimise; a weight of 0 counts as none. Raises ValueError."""
    unread = [name for name, node in params["regularizer"].items() if name != "erm" and node["weight"]]
    if unread:
        why = "minimises a loss of its own" if is_learner(params) else "is not trained, with weights of a file"
        remedy = ", and weigh the training rows by prepare, or choose thresholds by decide" * is_learner(params)
        raise ValueError(
            f"model={model_option(params)} {why}, so regularizer={unread[0]} would say nothing to it; leave "
            f"regularizer=erm{remedy}"
        )


def terms(params: Params) -> dict[str, Weighted]:
    """The weighted terms of the objective, by the name of their option."""
    return {
        name: Weighted(float(node["weight"]), bind(own_settings(node, TERM_KEYS), f"regularizer.{name}"))
        for name, node in params["regularizer"].items()
        if not node.get("adapts")
    }


def own_terms(found: Mapping[str, Weighted], params: Params, dataset: Dataset, scm: SCM) -> dict[str, Weighted]:
    """The terms of one run: what they learn from the training rows is fitted, and state of theirs is no other run's.

    Raises:
        ValueError: a fair metric that the data do not allow, such as of images.
    """
    return {
        name: of._replace(term=_own_term(of.term, params["regularizer"][name], dataset, scm))
        for name, of in found.items()
    }


def _own_term(term: Term, node: Mapping[str, Any], dataset: Dataset, scm: SCM) -> Term:
    metrics = settings_of(own_settings(node, TERM_KEYS), FairMetric)
    if metrics and dataset.shape:
        raise ValueError(f"{node['_target_'].split('.')[-1]} compares the columns of rows, and images have none")
    settings = getattr(term, "keywords", {})
    made = {name: settings[name](dataset, scm) for name in metrics}
    made |= {name: copy.deepcopy(value) for name, value in settings.items() if isinstance(value, nn.Module)}
    if not made:
        return term
    device = dataset.train.x.device
    return partial(term, **{name: of.to(device) if isinstance(of, nn.Module) else of for name, of in made.items()})


def adaptations(params: Params, dataset: Dataset) -> list[Adaptation]:
    """Returns what adapts the terms to the classes, in the order of the configuration.

    Raises:
        ValueError: there is no term to adapt, an adaptation that would not act, or a class without rows.
    """
    require_robust_terms(params["regularizer"])
    made = make_adaptations(params["regularizer"], dataset.classes)
    require_acting(made, params["trainer"]["epochs"])
    require_classes(made, dataset)
    return [adaptation.to(dataset.train.y.device) for adaptation in made.values()]


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


def recipe(params: Params, dataset: Dataset) -> Recipe:
    """Returns the recipe of one model's training, where the trainer says more than its numbers."""
    given = {key: value for key, value in params["trainer"].items() if key not in TRAINER}
    found: Recipe = bind({"_target_": "utils.training.one_model.Recipe"} | given, "trainer") if given else PLAIN
    return choose_precision(found, params, dataset.shape)


def build_metrics(params: Params) -> dict[str, Metric]:
    """The metrics of a run's evaluation; one that trains without a radius reports none at its training radius."""
    return bind_metrics(
        params["evaluation"]["metrics"], params["attack"]["evasion"], at_training_radius=perturbs(params)
    )


def bind_metrics(
    nodes: Mapping[str, Any], evasion: Mapping[str, Any], *, at_training_radius: bool
) -> dict[str, Metric]:
    """Metrics by name; the ``attack`` option is reported beside the headline attacks unless one is as strong."""
    headline = headline_metrics(nodes)
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


def _covers(headline: Mapping[str, Any], evasion: Mapping[str, Any]) -> bool:
    """Returns whether the headline attack is this attack with as many steps or more."""
    same = {**evasion, "steps": None} == {**headline, "steps": None}
    return same and evasion.get("steps", 0) <= headline.get("steps", 0)


@in_memory()
def build_run(params: Params, parts: Parts | None = None, dataset: Dataset | None = None) -> Run:
    """Builds everything that one training needs; the ``dataset`` too, unless it is given.

    Parts that are never changed are those of earlier runs with the same, where they are among these ``parts``.

    Raises:
        ValueError: parts that do not fit each other, or settings out of range.
    """
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    shared = _anew if parts is None else parts.share
    if dataset is None:
        dataset = shared("dataset", lambda: build_dataset(params, device), *_of_data(params))
    else:
        dataset = _on_device(dataset, device)
        note_unseen("rows in memory")
    if dataset.shape:
        validate_pixels(params, dataset.shape)
    model, description = build_model(params, dataset, shared)
    ctx = build_context(params, dataset, shared)  # of the data set's own rows
    named, optimizer = identity_of(params, dataset, ctx.scm), params["trainer"]["optimizer"]
    minimised = shared("terms", lambda: terms(params), params["regularizer"])
    minimised = own_terms(minimised, params, dataset, ctx.scm)  # before any prepare, as the SCM is fitted
    people = dataset.train
    if params["prepare"]:
        prepare: Prepare = bind(params["prepare"], "prepare")
        rng = seeding.rng(params["seed"], "prepare")
        dataset = replace(dataset, train=prepare(dataset.train, dataset.groups, rng))
    dataset, told = _with_files(dataset, people, params)
    dataset = judge_some(dataset, params["evaluation"])
    named |= {key: of["sha256"] for key, of in told.items()}
    if is_given(params):
        named |= {"weights": description["weights_sha256"]}
    return Run(
        name=run_name(params),
        params=params | {"model": description},
        run_id=run_id(named),
        group_id=group_id(named if dataset.scm is None else {k: v for k, v in named.items() if k != "data"}),
        dataset=dataset,
        model=model,
        nominal=nominal_weight(params),
        terms=minimised,
        ctx=ctx,
        fit_decide=shared("decide", lambda: bind(params["decide"], "decide"), params["decide"]),
        make_optimizer=shared("optimizer", lambda: bind(optimizer, "trainer.optimizer"), optimizer),
        metrics=shared(
            "metrics", lambda: build_metrics(params), params["evaluation"], params["attack"], perturbs(params)
        ),
        adaptations=adaptations(params, dataset),
        recipe=recipe(params, dataset),
        poison=build_poison(params, dataset),
        added=told.get("added"),
        changed=told.get("changed"),
    )


def _with_files(dataset: Dataset, people: Batch, params: Params) -> tuple[Dataset, dict[str, dict[str, Any]]]:
    """The data set whose training rows are changed, then added to, by the files of the configuration.

    Also what a record says of each file. ``people`` are the training rows of the data set before any prepare.
    """
    told: dict[str, dict[str, Any]] = {}
    if not (params.get("changed") or params.get("added")):
        return dataset, told
    from utils.poisoning.changes_csv import find_changes, with_changes  # import pandas, which other runs do not need
    from utils.poisoning.origins import count_origins
    from utils.poisoning.rows_csv import checksum, with_file

    if changes := params.get("changed"):
        path, before = note(Path(changes).expanduser()), dataset.train
        sha256 = checksum(path)
        dataset = replace(dataset, train=with_changes(dataset, path))
        told["changed"] = {"path": changes, "sha256": sha256, **find_changes(before, dataset.train).counts()}
    if rows := params.get("added"):
        path = note(Path(rows).expanduser())
        sha256 = checksum(path)
        dataset = replace(dataset, train=with_file(dataset, path))
        own = dataset.train.rows(dataset.train.index < 0)
        counted = count_origins(own, people, dataset.groups, dataset.class_names)
        told["added"] = {"path": rows, "sha256": sha256, **counted}
    return dataset, told
