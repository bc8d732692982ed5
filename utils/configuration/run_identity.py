"""The identity of a run: what its result depends on, and the hash of that, which names it.

A setting that came later enters the identity only where it differs from the value that means the old behaviour, and so
leaves the ids of older runs as they are.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from utils.configuration.traits import headline_metrics, is_given, is_learner, perturbs, reads_radius
from utils.records.json_text import write_json
from utils.records.plain import map_leaves
from utils.records.schema import SCHEMA
from utils.records.settings import permitted_harm, seeks_trivial, without
from utils.records.typed import Params
from utils.scms.identity import as_hashed, read_settings
from utils.words.numbers import read_number

if TYPE_CHECKING:  # these import torch, which who lists records need not wait for
    from utils.types import SCM, Dataset

OF_OLD = {"confidence": None, "groups_min": 1}  # later settings of thresholds, by the value that changes nothing
OF_GRADIENTS = ("trainer", "objective", "regularizer")  # how a model is trained that learns by gradients
FRACTION = re.compile(r"\s*\d+(\.\d+)?\s*/\s*\d+(\.\d+)?\s*")


def identity(params: Params, fingerprint: str) -> dict[str, Any]:
    """Returns what the result of a run depends on: its configuration, less what it does not read, plus its data."""
    kept = without(params, "identity")
    kept["decide"] = {k: v for k, v in kept["decide"].items() if k not in OF_OLD or v != OF_OLD[k]}
    for key in ("prepare", "added", "changed"):  # the rows as they are
        if not kept.get(key):
            kept.pop(key, None)
    if poison := (kept.get("attack") or {}).get("poison"):
        kept["attack"] = kept["attack"] | {"poison": _without_later(poison)}
    kept["model"] = {k: v for k, v in kept["model"].items() if k != "weights_scaling" or v is not None}
    if is_learner(params) or is_given(params):
        kept = {key: value for key, value in kept.items() if key not in OF_GRADIENTS}
    if not reads_radius(params):
        kept["epsilon"] = {"evaluate": params["epsilon"]["evaluate"]}
    if not perturbs(params):
        metrics = dict(kept["evaluation"]["metrics"])
        for name in headline_metrics(metrics):
            metrics[name] = {k: v for k, v in metrics[name].items() if k != "training_radius"}
        kept["evaluation"] = kept["evaluation"] | {"metrics": metrics}
    return kept | {"data": fingerprint}


def _without_later(poison: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a search for rows without later ones that change nothing: any harm, nothing beside it."""
    limit = permitted_harm(poison.get("harm"), poison.get("objective"))
    later = {"harm": limit, "baselines": poison.get("baselines") or None, "trivial": seeks_trivial(poison) or None}
    later["action"] = None if poison.get("action") == "add" else poison.get("action")
    kept = {key: value for key, value in poison.items() if key not in later}
    return kept | {key: value for key, value in later.items() if value is not None}


def identity_of(params: Params, dataset: "Dataset", scm: "SCM") -> dict[str, Any]:
    """The same of a run whose data and causal model are there, which say what of the SCM's settings they read.

    Several sensitive indicators of one attribute once were attributes of their own, so runs of them have other ids now.
    """
    from utils.scms.structure import sensitive_attributes

    found = identity(params | {"scm": as_hashed(read_settings(params["scm"], scm.facts))}, dataset.fingerprint)
    rows, there = found["evaluation"].get("rows"), len(dataset.test.y) + dataset.unjudged
    if not dataset.shape and (rows is None or rows >= there):  # all are judged, as before there was a limit
        found["evaluation"] = {key: value for key, value in found["evaluation"].items() if key != "rows"}
    metrics = found["evaluation"]["metrics"]
    if "unfair_area" in metrics:
        found["evaluation"] = found["evaluation"] | {
            "metrics": metrics | {"unfair_area": _without_later_areas(metrics["unfair_area"])}
        }
    together = any(len(attribute.places) > 1 for attribute in sensitive_attributes(dataset.columns))
    return found | {"indicators": "together"} if together else found


def _without_later_areas(areas: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of unfair areas without later ones that change nothing: all rows, one start if any."""
    starts = 1 if areas.get("estimators") != "random" else areas.get("restarts")
    later = {"rows": None, "restarts": starts}
    return {key: value for key, value in areas.items() if key not in later or value != later[key]}


def run_id(params: Mapping[str, Any]) -> str:
    """16 hex digits that name a run: SHA-256 of SCHEMA and the canonical settings."""
    return hashlib.sha256(f"{SCHEMA}:{canonical(params)}".encode()).hexdigest()[:16]


def group_id(params: Mapping[str, Any]) -> str:
    """The ``run_id`` without the seed: equal for the repetitions of one experiment."""
    return run_id({key: value for key, value in params.items() if key != "seed"})


def normalise(params: Any) -> Any:
    """Equal settings as equal JSON: ``1`` for ``1.0``, the float for a fraction such as ``8/255``."""
    return map_leaves(params, _normal, _fraction)


def canonical(params: Any) -> str:
    """One text for equal settings, ``normalise``d: keys sorted, no blanks."""
    return write_json(normalise(params), sort=True)


def _normal(number: float) -> Any:
    if not math.isfinite(number):
        return str(number)  # "inf" is a norm, not a missing value
    return int(number) if number.is_integer() else number


def _fraction(text: str) -> Any:
    """The number that a fraction means, any other text as it is."""
    if not ("/" in text and FRACTION.fullmatch(text)):
        return text
    try:
        return _normal(read_number(text))
    except ValueError:  # divided by 0
        return text
