"""Traits of a run that follow from its configuration, before anything is built."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from utils.records.typed import AttackNode, Params

if TYPE_CHECKING:
    from torch import nn  # which who lists records need not wait for


def model_class(params: Params) -> "type[nn.Module]":
    """The class of the model that a configuration names."""
    module, _, name = params["model"]["_target_"].rpartition(".")
    return cast("type[nn.Module]", getattr(importlib.import_module(module), name))


def model_option(params: Params) -> str:
    """The last name of the model's module, that of its option."""
    return str(params["model"]["_target_"]).split(".")[-2]


def is_learner(params: Params) -> bool:
    """Returns whether the model is one of scikit-learn's: trained at once by its own loss, without gradients."""
    from utils.models.learner import Learner

    return issubclass(model_class(params), Learner)


def is_given(params: Params) -> bool:
    """Returns whether the weights of the model are those of a file, so that it is judged and not trained."""
    return bool(params["model"].get("weights"))


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
    judged = params["trainer"].get("keep", "last") != "last" or bool(params["trainer"].get("ema_floor"))
    return perturbs(params) or (judged and not is_learner(params))


def headline_metrics(nodes: Mapping[str, Any]) -> list[str]:
    """Returns the names of the headline metrics, which report at the training radius too."""
    return [name for name, node in nodes.items() if node.get("training_radius") is not None]


def run_name(params: Params) -> str:
    """``<dataset>_<model>_<regularizer>``, the options' names as typed, terms joined by +, or a file of weights."""
    model = params.get("choices", {}).get("model", model_option(params))
    weights = params["model"].get("weights")
    return f"{params['dataset']['name']}_{model}_{Path(weights).stem if weights else '+'.join(params['regularizer'])}"


def without_poison(params: Params) -> Params:
    """The settings of a run whose rows are chosen, so that no search stands before its training."""
    return params | {"attack": cast(AttackNode, {k: v for k, v in params["attack"].items() if k != "poison"})}
