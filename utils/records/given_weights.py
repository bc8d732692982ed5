"""Weights that others trained, given as a file: what is known of them, and which settings of their record count."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.records.settings import FILE_KEYS, Settings, flat

TRAINING = ("trainer", "objective", "regularizer", "prepare", "added", "changed")  # parts that only a training reads
OF_TRAINING = (*TRAINING, "epsilon")  # the same among the options, where the radius is that of the training
DIGITS = 8  # of a SHA-256
UNSEEN = "whether their training saw the test rows is not known"


def name_file(params: Settings) -> str:
    """Returns the name of the file whose weights were judged, ``r18.pt``; "" where the model was trained here."""
    model = params.get("model")
    weights = model.get("weights") if isinstance(model, Mapping) else None
    return Path(str(weights)).name if weights else ""


def describe(params: Settings) -> str:
    """``weights of r18.pt (sha256 0b9b94f0), not trained here``; "" where the model was trained here."""
    return f"weights of {name_with_hash(params)}, not trained here" if name_file(params) else ""


def name_with_hash(params: Settings) -> str:
    """``r18.pt (sha256 0b9b94f0)``, of a model whose weights a file gave."""
    found = str(params["model"].get("weights_sha256") or "")[:DIGITS]
    return name_file(params) + (f" (sha256 {found})" if found else "")


def without_training(params: Settings) -> Settings:
    """Returns the settings without those that only a training reads, where nothing was trained; else as they are."""
    if not name_file(params):
        return params
    kept = {key: value for key, value in params.items() if key not in TRAINING}
    if isinstance(epsilon := kept.get("epsilon"), Mapping):
        kept["epsilon"] = {key: value for key, value in epsilon.items() if key == "evaluate"}
    if isinstance(choices := kept.get("choices"), Mapping):
        kept["choices"] = {key: value for key, value in choices.items() if key not in OF_TRAINING}
    if isinstance(judged := kept.get("evaluation"), Mapping):
        kept["evaluation"] = {**judged, "metrics": _without_radius(judged.get("metrics") or {})}
    return kept


def _without_radius(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of metrics without the radius of a training that there was not."""
    return {
        name: {key: value for key, value in of.items() if key != "training_radius"} if isinstance(of, Mapping) else of
        for name, of in metrics.items()
    }


def tell_settings(params: Settings) -> dict[str, Any]:
    """Returns the settings by which a label tells runs apart; of weights of a file its hash, in short, and scaling."""
    found = flat(without_training(params), "label")
    if not name_file(params):
        return found
    model = params["model"]
    found = {key: value for key, value in found.items() if key.removeprefix("model.") not in FILE_KEYS}
    found |= {"model.sha256": str(model.get("weights_sha256") or "")[:DIGITS]}
    return found | {f"model.{key}": _list(model[key]) for key in ("mean", "std") if key in model}


def _list(channels: Any) -> str:
    return ",".join(f"{channel:.4g}" for channel in channels) if isinstance(channels, list) else str(channels)
