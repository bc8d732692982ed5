"""Stacks: runs of one structure, which differ in numbers alone, and why a run trains alone."""

from typing import Any

from utils.command_line.checks import TRAINER
from utils.command_line.targets import mask, structure
from utils.configuration.run_identity import canonical
from utils.configuration.traits import is_given, is_learner, model_option
from utils.records.typed import Params


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
        return f"scikit-learn trains one model={model_option(params)} at a time"
    if is_given(params):
        return "weights of a file are not trained"
    observing = [name for name, node in params["regularizer"].items() if node.get("adapts")]
    if observing:
        return f"regularizer={observing[0]} observes the training of one model"
    if not params["trainer"].keys() <= set(TRAINER):
        return "a recipe such as trainer.schedule is for one model at a time"
    if "poison" in params["attack"]:
        return "a search for rows to add trains one model on many sets of rows"
    return ""
