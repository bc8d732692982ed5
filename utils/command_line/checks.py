"""Checks of a resolved configuration, before anything is built from it."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from utils.command_line.targets import check_settings, make
from utils.metrics.directions import radius_of, require_metric
from utils.records.settings import FILE_KEYS, FILE_MODELS, PARTS, SEARCH_KEYS, TERM_KEYS, at, own_settings, walk
from utils.words.numbers import read_radius
from utils.words.ranges import CONFIG, range_of, require_ranges


def _real(v: Any) -> bool:
    return isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)


RATES = ("fnr", "fpr", "acceptance_rate")


def _points(rates: Any = None, permitted: Any = None, **judging: Any) -> bool:
    listed = isinstance(rates, list) and bool(rates) and all(rate in RATES for rate in rates)
    return listed and permitted is not None and set(judging) == JUDGING


JUDGING = {"groups_min", "intervals", "level"}
NUMBERS = (
    *("seed", "threads", "objective.nominal", "epsilon.radius", "epsilon.evaluate"),
    *("trainer.epochs", "trainer.batch_size", "trainer.lr", "trainer.weight_decay"),
)
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "existing": (lambda v: v in ("skip", "replace"), "skip or replace"),
    "fit_on": (lambda v: v in ("valid", "train"), "valid or train"),
    "watch": (lambda v: isinstance(v, list) and all(isinstance(k, str) for k in v), "a list of metrics"),
    "operating_points": (
        lambda v: v is None or (isinstance(v, dict) and _points(**v)),
        f"null, or rates, a list from {', '.join(RATES)}, permitted, groups_min, intervals and level",
    ),
}


def check(params: Mapping[str, Any]) -> None:
    """Refuses a configuration that cannot be meant, before anything is built from it. Raises ValueError."""
    validate(params)
    validate_settings(params)


def validate(params: Mapping[str, Any]) -> None:
    """Refuses values out of range, naming key, value and what was expected.

    Raises:
        ValueError: the first such value.
    """
    for key, (accepts, expected) in CHECKS.items():
        if not accepts(value := _read_value(params, key, expected)):
            raise ValueError(f"{key}={value!r}: expected {expected}")
    for key in NUMBERS:
        _read_value(params, key, str(range_of(key)))
    if params.get("prepare") and "poison_bounds" in params["evaluation"].get("metrics", {}):
        raise ValueError(
            "evaluation.metrics.poison_bounds: a prepare looks at all rows, so one row that is added may change many "
            "of them, and the bounds would not hold; leave prepare=none, or ~evaluation.metrics.poison_bounds"
        )
    for key in ("added", "changed"):
        if not isinstance(params.get(key), str | None):
            raise ValueError(f"{key}={params[key]!r}: expected null, or the path of a CSV file")
    validate_numbers(params, params)


def validate_numbers(params: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    """Refuses numbers out of range, in a configuration that is sound but for its ``changed`` part.

    Raises:
        ValueError: the first such number.
    """
    require_ranges({"choices": params.get("choices", {}), **changed})
    require_radii(params["epsilon"]["evaluate"])
    _require_watched(params)
    for name, node in params["regularizer"].items():
        if not isinstance(node, Mapping) or "weight" not in node:
            raise ValueError(f"regularizer.{name} is set, but {name} is not chosen; choose it: regularizer={name}")
        if not (_real(node["weight"]) and node["weight"] >= 0):
            raise ValueError(f"regularizer.{name}.weight={node['weight']!r}: expected a number, 0 or more")


def _read_value(params: Mapping[str, Any], key: str, expected: str) -> Any:
    """The value under a dotted key. Raises ValueError where there is none."""
    above, _, last = key.rpartition(".")
    part = at(params, above)
    if not isinstance(part, Mapping) or last not in part:
        raise ValueError(f"{key} is missing; expected {expected}")
    return part[last]


INNER = {"attack": "evasion", "epsilon": "schedule", "trainer": "optimizer", "evaluation": "metrics"}
TERM_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "own_loss": (lambda v: isinstance(v, bool), "true or false"),
    "perturbs": (lambda v: isinstance(v, bool), "true or false"),
    "adapts": (lambda v: isinstance(v, bool), "true or false"),
    "published_radius": (_real, "a number"),
}
TRAINER = ("epochs", "batch_size", "lr", "weight_decay", "optimizer")  # of every training; the rest is its recipe
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
NAME = re.compile(r"[\w+-][\w.+-]*")  # of a database file and a folder of weights
LONGEST_NAME = 100  # bytes: a file has 255, and what is written first or beside it is named after it too


def validate_settings(params: Mapping[str, Any], parts: Sequence[str] = PARTS) -> None:
    """Refuses settings that no function has, or of the wrong kind, before any data are read.

    Raises:
        ValueError: the first such setting, or a name of the data set that cannot name a file.
    """
    if not DEVICE.fullmatch(str(params["device"])):
        raise ValueError(f"device={params['device']!r} is not known; choose auto, cpu, cuda or cuda:<number>")
    for part in parts:
        if not isinstance(params.get(part), Mapping):
            raise ValueError(f"{part}={params.get(part)!r}: expected one of its options, such as --help lists")
        check_settings(_own_of_part(part, params[part]), part)
        if part == "trainer" and (recipe := {k: v for k, v in params[part].items() if k not in TRAINER}):
            check_settings({"_target_": "utils.training.one_model.Recipe"} | recipe, part)
        if part in INNER and not isinstance(params[part].get(INNER[part]), Mapping):
            raise ValueError(f"{part}.{INNER[part]} is missing; leave it as the options of {part} have it")
    for metric, node in params["evaluation"]["metrics"].items():
        if not isinstance(node, Mapping):
            raise ValueError(f"evaluation.metrics.{metric}={node!r}: leave it out by ~evaluation.metrics.{metric}")
    if "dataset" in parts:
        require_name(params["dataset"].get("name"))
    for term, node in params.get("regularizer", {}).items():
        for key, (accepts, expected) in TERM_KINDS.items():
            if key in node and not accepts(node[key]):
                raise ValueError(f"regularizer.{term}.{key}={node[key]!r}: expected {expected}")
        check_settings(own_settings(node, TERM_KEYS), f"regularizer.{term}")
    check_adaptations(params)


def check_adaptations(params: Mapping[str, Any]) -> None:
    """Refuses adaptations that by their settings alone would not act. Raises ValueError."""
    nodes = params.get("regularizer", {})
    if any(node.get("adapts") for node in nodes.values()):
        from utils.regularizers.by_class import require_acting, require_robust_terms  # import torch

        require_robust_terms(nodes)
        require_acting(make_adaptations(nodes, classes=2), params["trainer"]["epochs"])


def make_adaptations(nodes: Mapping[str, Mapping[str, Any]], classes: int) -> dict[str, Any]:
    """Returns what adapts the terms to the classes, by name, of the settings of terms and adaptations.

    Raises:
        ValueError: a setting out of range.
    """
    return {
        name: make({**own_settings(node, TERM_KEYS), "classes": classes}, f"regularizer.{name}")
        for name, node in nodes.items()
        if node.get("adapts")
    }


def _own_of_part(part: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of a part without what its function is not told, whose ranges are checked before.

    That is what a search for rows is told beside its own, and the file of a model's weights.
    """
    if part == "model" and node.get("_target_") in FILE_MODELS:
        return own_settings(node, FILE_KEYS)
    poison = node.get("poison")
    if part != "attack" or not isinstance(poison, Mapping):
        return node
    return {**node, "poison": own_settings(poison, SEARCH_KEYS)}


def require_name(name: Any) -> None:
    """Refuses a name of a data set that cannot name a file. Raises ValueError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"dataset.name={name!r}: expected letters, digits and . _ + -, as it names files")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"dataset.name={name!r}: it has {len(name.encode())} bytes; expected at most {LONGEST_NAME}, as it names "
            "files that have endings, and pictures are named after more than it"
        )


def _require_watched(params: Mapping[str, Any]) -> None:
    """Refuses to watch what a run cannot report. Raises ValueError."""
    radii = list(map(str, params["epsilon"]["evaluate"]))
    for key in params["watch"]:
        require_metric(key, f"watch=[{','.join(params['watch'])}]")
        radius = radius_of(key)
        if radius is not None and radius not in radii and _is_asked(params):
            raise ValueError(
                f"watch: {key} is at a radius that the run is not judged at; "
                f"add it: 'epsilon.evaluate=[{','.join([*radii, radius])}]'"
            )


def _is_asked(params: Mapping[str, Any]) -> bool:
    """Returns whether somebody chose what is watched, rather than left it as the evaluation's option has it."""
    option = params.get("choices", {}).get("evaluation")
    file = CONFIG / "evaluation" / f"{option}.yaml"
    return not file.is_file() or params["watch"] != yaml.safe_load(file.read_text(encoding="utf-8")).get("watch")


def require_radii(radii: Sequence[Any]) -> None:
    """Refuses an evaluation without a radius, or with one twice. Raises ValueError."""
    if not radii:
        raise ValueError(f"epsilon.evaluate=[]: expected {range_of('epsilon.evaluate')}, one or more")
    if len(set(map(read_radius, radii))) < len(radii):
        raise ValueError(f"epsilon.evaluate=[{','.join(map(str, radii))}] names one radius twice; give each once")


LONGEST = {"linf": 0.0, "l2": 0.5, "l1": 1.0}  # power of d: the distance of two images of d pixels in [0, 1]


def validate_pixels(params: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Refuses radii larger than the distance of any two images, such as radii in units of 0 to 255.

    A metric with radii of its own, as for another norm, is judged by its own norms.

    Raises:
        ValueError: the first such radius.
    """
    epsilon, metrics = params["epsilon"], params.get("evaluation", {}).get("metrics", {})
    own = {
        name: node for name, node in metrics.items() if node.get("radii", epsilon["evaluate"]) != epsilon["evaluate"]
    }
    others = {**params, "evaluation": {name: node for name, node in metrics.items() if name not in own}}
    _validate_distances("epsilon.radius", [epsilon["radius"]], others, shape)
    _validate_distances("epsilon.evaluate", epsilon["evaluate"], others, shape)
    for name, node in own.items():
        _validate_distances(f"evaluation.metrics.{name}.radii", node["radii"], node, shape)


def _validate_distances(key: str, radii: Sequence[Any], node: Mapping[str, Any], shape: Sequence[int]) -> None:
    """Refuses radii beyond the largest distance of two images in any norm of the threats below the node."""
    threats = (part for _, part in walk(node) if isinstance(part, Mapping))
    norms = {str(part.get("norm")) for part in threats if part.get("_target_") == "utils.threats.pixels"}
    longest = max((math.prod(shape) ** LONGEST[norm] for norm in norms if norm in LONGEST), default=math.inf)
    for radius in radii:
        try:
            value = read_radius(radius)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        if value > longest:
            raise ValueError(
                f"{key}={radius}: pixels are in [0, 1] here, so no {' or '.join(sorted(norms))} distance is above "
                f"{longest:g}; for {radius} of 255 write {radius}/255"
            )
