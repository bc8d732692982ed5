"""Checks of a resolved configuration, before anything is built from it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from utils.radius import radius_value


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least


def _real(v: Any) -> bool:
    return isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (_whole(0), "a whole number, 0 or more"),
    "threads": (_whole(1), "a whole number, 1 or more"),
    "existing": (lambda v: v in ("skip", "replace"), "skip or replace"),
    "fit_on": (lambda v: v in ("valid", "train"), "valid or train"),
    "trainer.epochs": (_whole(1), "a whole number, 1 or more"),
    "trainer.batch_size": (_whole(1), "a whole number, 1 or more"),
    "trainer.lr": (lambda v: _real(v) and v > 0, "a number above 0"),
    "trainer.weight_decay": (lambda v: _real(v) and v >= 0, "a number, 0 or more"),
    "objective.nominal": (lambda v: v is None or (_real(v) and v >= 0), "null, or a number, 0 or more"),
}


def validate(params: Mapping[str, Any]) -> None:
    """Refuse values out of range, naming key, value and what was expected.

    Raises:
        ValueError: the first such value.
    """
    for key, (accepts, expected) in CHECKS.items():
        value: Any = params
        for part in key.split("."):
            value = value[part]
        if not accepts(value):
            raise ValueError(f"{key}={value!r}: expected {expected}")
    _validate_radii(params["epsilon"])
    for name, node in params["regularizer"].items():
        if not (_real(node["weight"]) and node["weight"] >= 0):
            raise ValueError(f"regularizer.{name}.weight={node['weight']!r}: expected a number, 0 or more")


def _validate_radii(epsilon: Mapping[str, Any]) -> None:
    try:
        radius_value(epsilon["radius"])
    except ValueError as error:
        raise ValueError(f"epsilon: {error}") from None
    if not isinstance(epsilon["evaluate"], list) or not epsilon["evaluate"]:
        raise ValueError(f"epsilon.evaluate={epsilon['evaluate']!r}: expected a list of radii such as [0.05,0.01]")
    for radius in epsilon["evaluate"]:
        try:
            radius_value(radius)
        except ValueError as error:
            raise ValueError(f"epsilon.evaluate: {error}") from None
