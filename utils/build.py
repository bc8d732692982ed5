"""From a configuration to objects: the only place that instantiates what a configuration names."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from utils import seeding
from utils.decides.threshold import Threshold
from utils.objective import Objective, Weighted, make_objective
from utils.radius import radius_value
from utils.run_store import group_id, run_id
from utils.targets import check_arguments
from utils.types import Context, Dataset, FitDecide, Metric
from utils.validation import TERM_KINDS

Params = dict[str, Any]  # a resolved configuration: plain dicts, lists, numbers and text
TERM_KEYS = ("weight", *TERM_KINDS)  # what a term's yaml says beside its settings
# what a run's result does not depend on, so that its identity leaves it out
NOT_IDENTITY = ("device", "threads", "existing", "choices")


@dataclass(frozen=True)
class Run:
    """All that one training needs, built but not trained."""

    name: str
    params: Params
    run_id: str
    group_id: str
    dataset: Dataset
    model: nn.Module
    objective: Objective
    ctx: Context
    fit_decide: FitDecide
    make_optimizer: Callable[..., torch.optim.Optimizer]
    metrics: Mapping[str, Metric]


def bind(node: Mapping[str, Any], key: str, **late: Any) -> Any:
    """Instantiate one node; a partial's settings are checked against its function's signature.

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
    return found


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one.

    Raises:
        ValueError: a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name!r} is not known; choose auto, cpu, cuda or cuda:<number>") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r}: torch sees no CUDA device here; choose auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name!r}: torch sees {torch.cuda.device_count()} CUDA devices, numbered from 0")
    return device


def make_repeatable(threads: int, device: torch.device) -> None:
    """Same seed, device and thread count: the same bits."""
    torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def build_dataset(params: Params, device: torch.device) -> Dataset:
    """The data set, split by the seed, on the device."""
    dataset: Dataset = bind(params["dataset"], "dataset")(seed=params["seed"])
    return replace(
        dataset,
        train=dataset.train.to(device),
        valid=dataset.valid.to(device),
        test=dataset.test.to(device),
        loc=dataset.loc.to(device),
        scale=dataset.scale.to(device),
    )


def build_context(params: Params, dataset: Dataset) -> Context:
    """What methods may know; the decision threshold is 1/2 until one is fitted."""
    scm = bind(params["scm"], "scm")(dataset, seed=params["seed"])
    radius = radius_value(params["epsilon"]["radius"])
    schedule = bind(params["epsilon"]["schedule"] | {"radius": radius}, "epsilon.schedule")
    return Context(
        scm=scm,
        columns=dataset.columns,
        attack=bind(params["attack"]["evasion"], "attack.evasion"),
        epsilon=schedule,
        decide=Threshold(probability=0.5),
        seed=params["seed"],
        generator=seeding.generator(params["seed"], "attack"),
    )


def build_model(params: Params, dataset: Dataset) -> tuple[nn.Module, Params]:
    """The classifier with its initial weights, and the description that rebuilds it."""
    outputs = 1 if dataset.classes == 2 else dataset.classes
    description = params["model"] | {"inputs": len(dataset.columns), "outputs": outputs}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive(params["seed"], "weights"))
        model = bind(description, "model")
    return model.to(dataset.train.x.device), description


def terms(params: Params) -> dict[str, Weighted]:
    """The weighted terms of the objective, by the name of their option."""
    return {
        name: Weighted(
            float(node["weight"]),
            bind({k: v for k, v in node.items() if k not in TERM_KEYS}, f"regularizer.{name}"),
        )
        for name, node in params["regularizer"].items()
    }


def nominal_weight(params: Params) -> float:
    """Weight of the plain loss: as configured, or 0 beside a term that is a classification loss itself, else 1."""
    given = params["objective"]["nominal"]
    if given is not None:
        return float(given)
    return 0.0 if any(node["own_loss"] and node["weight"] for node in params["regularizer"].values()) else 1.0


def perturbs(params: Params) -> bool:
    """Whether any term of the objective reads the training radius."""
    return any(node["perturbs"] for node in params["regularizer"].values())


def build_metrics(params: Params) -> dict[str, Metric]:
    """The metrics of a run's evaluation; one that trains without a radius reports none at its training radius."""
    nodes = dict(params["evaluation"]["metrics"])
    if "robust" in nodes and not perturbs(params):
        nodes["robust"] = nodes["robust"] | {"training_radius": None}
    return bind_metrics(nodes, params["attack"]["evasion"])


def bind_metrics(nodes: Mapping[str, Any], evasion: Mapping[str, Any]) -> dict[str, Metric]:
    """Metrics by name; the ``attack`` option is reported beside the headline attack unless that one is as strong."""
    kept = dict(nodes)
    if "attacked" in kept and _covers(kept.get("robust", {}).get("attack", {}), evasion):
        del kept["attacked"]
    return {name: bind(node, f"evaluation.metrics.{name}") for name, node in kept.items()}


def _covers(headline: Mapping[str, Any], evasion: Mapping[str, Any]) -> bool:
    """Whether the headline attack is this attack with as many steps or more."""
    same = {**evasion, "steps": None} == {**headline, "steps": None}
    return same and evasion.get("steps", 0) <= headline.get("steps", 0)


def identity(params: Params, fingerprint: str) -> Params:
    """What the result of a run depends on: its configuration, less what it does not read, plus its data."""
    kept = {key: value for key, value in params.items() if key not in NOT_IDENTITY}
    kept["dataset"] = {key: value for key, value in kept["dataset"].items() if key != "path"}
    if not perturbs(params):
        kept["epsilon"] = {"evaluate": params["epsilon"]["evaluate"]}
        metrics = dict(kept["evaluation"]["metrics"])
        if "robust" in metrics:
            metrics["robust"] = {k: v for k, v in metrics["robust"].items() if k != "training_radius"}
        kept["evaluation"] = kept["evaluation"] | {"metrics": metrics}
    return kept | {"data": fingerprint}


def run_name(params: Params) -> str:
    """``<dataset>_<model>_<regularizer>``, the options' names as typed, terms joined by +."""
    module = params["model"]["_target_"].split(".")[-2]
    model = params.get("choices", {}).get("model", module)
    return f"{params['dataset']['name']}_{model}_{'+'.join(params['regularizer'])}"


def build_run(params: Params) -> Run:
    """Build everything that one training needs.

    Raises:
        ValueError: parts that do not fit each other, or settings out of range.
    """
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    dataset = build_dataset(params, device)
    ctx = build_context(params, dataset)
    model, description = build_model(params, dataset)
    named = identity(params, dataset.fingerprint)
    return Run(
        name=run_name(params),
        params=params | {"model": description},
        run_id=run_id(named),
        group_id=group_id(named if dataset.scm is None else {k: v for k, v in named.items() if k != "data"}),
        dataset=dataset,
        model=model,
        objective=make_objective(nominal_weight(params), terms(params)),
        ctx=ctx,
        fit_decide=bind(params["decide"], "decide"),
        make_optimizer=bind(params["trainer"]["optimizer"], "trainer.optimizer"),
        metrics=build_metrics(params),
    )
