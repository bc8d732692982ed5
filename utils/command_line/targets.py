"""The functions that a configuration may name, and checks of the arguments that it gives them."""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import Tensor

from utils.records.settings import walk
from utils.types import AttackName, Radii, Radius
from utils.words.near import near_or_all
from utils.words.numbers import read_number, read_radii, read_radius
from utils.words.quoting import write_word

Node = Mapping[str, Any]

WRITTEN: Mapping[Any, Any] = {Radius: str | float, Radii: Sequence[str | float], AttackName: str}  # in a configuration
MISSING = "???"  # a value that has to be given
HOW = ("_target_", "_partial_")  # what a part says beside the settings of its function
MAIN = ("utils.datasets", "utils.scms")  # packages whose modules are named after their one function to be called


def require_trusted(node: Any, package: str) -> None:
    """Refuses a stored description of a part that would do more than make that part.

    Its one ``_target_`` must be a module under the package plus one name defined in that very module (the function
    the module is named after, where the package has helpers beside it), and nothing in it may be an interpolation,
    which would be carried out as the part is made. So a database cannot make the program call anything else.

    Raises:
        ValueError: it is no such description.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"the record says {node!r} in place of a part of {package}; it is not loaded")
    for place, value in walk({k: v for k, v in node.items() if k != "_target_"}):
        key, leaf = place.rpartition(".")[2], "" if isinstance(value, Mapping | list | tuple) else value
        if key == "_target_" or "${" in f"{place}{leaf}" or leaf == "???":
            raise ValueError(
                f"the record's part of {package} holds {key}={leaf!r}, which is no setting; it is not loaded"
            )
    _require_own(str(node["_target_"]), package)


def locate_trusted(node: Any, package: str) -> Any:
    """Returns what the ``_target_`` of a description names. Raises ValueError as ``require_trusted``."""
    require_trusted(node, package)
    return _locate(str(node["_target_"]), "record")


def _require_own(target: str, package: str) -> None:
    module, _, name = target.rpartition(".")
    home, _, leaf = module.rpartition(".")
    refusal = ValueError(f"the record names {target!r}, which is not a part of {package}; it is not loaded")
    if home != package or not leaf.isidentifier() or not name.isidentifier() or (package in MAIN and name != leaf):
        raise refusal
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        raise refusal from None
    if getattr(found, "__module__", None) != module:
        raise refusal


def make(node: Any, key: str) -> Any:
    """Makes what a part of a configuration names: calls its function or, where it says ``_partial_``, binds it.

    Parts of it are made before it. Anything else is the same as new lists and mappings.

    Raises:
        ValueError: a function that does not exist, or a value that nobody gave; what functions raise comes as it is.
    """
    if isinstance(node, list | tuple):
        return [make(value, key) for value in node]
    if node == MISSING:
        raise ValueError(f"{key} is required: give {key}=...")
    if not isinstance(node, Mapping):
        return node
    settings = {name: make(value, f"{key}.{name}") for name, value in node.items() if name not in HOW}
    if "_target_" not in node:
        return settings
    function = _locate(str(node["_target_"]), key)
    return partial(function, **settings) if node.get("_partial_") else function(**settings)


def check_arguments(function: partial, key: str) -> None:
    """A bound method must name all its keyword-only arguments and no others.

    Raises:
        ValueError: an argument is unknown (near misses named) or missing, under its configuration key.
    """
    parameters = inspect.signature(function.func).parameters
    known = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in function.keywords:
        if name not in known:
            raise ValueError(f"{key}.{name} is not a setting of {function.func.__name__}{near_or_all(name, known)}")
    # what has no default and is not bound is given at the call only if the caller says so (seed, inputs)
    missing = [n for n in known if n not in function.keywords and parameters[n].default is inspect.Parameter.empty]
    if set(missing) - {"seed"}:
        raise ValueError(f"{key} lacks {missing}, settings of {function.func.__name__}")


def read_arguments(function: partial) -> partial:
    """Returns a bound method with the numbers that its radii mean, as their annotations ask; null stays null."""
    read: dict[str, Any] = {}
    for kind, reader in ((Radius, read_radius), (Radii, read_radii)):
        found = {name: function.keywords.get(name) for name in _annotated(function.func, kind)}
        read |= {name: reader(value) for name, value in found.items() if value is not None}
    return partial(function.func, *function.args, **function.keywords | read)


def check_settings(node: Any, key: str) -> None:
    """Checks that a configuration sets settings of the functions that it names, of the kinds they state.

    Every ``_target_`` in it counts, at any depth; what is given only at the call is not asked for.

    Raises:
        ValueError: a function that does not exist, a setting that it does not have (near misses named), or a value
            of another kind than its annotation, under its configuration key.
    """
    if not isinstance(node, Mapping):
        return
    if "_target_" in node:
        _check_own(node, key)
    for name, value in node.items():
        check_settings(value, f"{key}.{name}")


def _check_own(node: Node, key: str) -> None:
    function = _locate(str(node["_target_"]), key)
    parameters = _parameters(function)
    for name, value in node.items():
        if name.startswith("_"):
            continue
        if name not in parameters:
            settings = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY] or list(parameters)
            there = near_or_all(name, list(parameters), settings)
            raise ValueError(f"{key}.{name} is not a setting of {function.__name__}{there}")
        kind = _as_written(parameters[name].annotation)
        if not (isinstance(value, Mapping) and "_target_" in value) and not is_kind(value, kind):
            texts = isinstance(value, int | float) and str in _parts(kind)
            hint = f"; quote it: {write_word(f'{key}.{name}', str(value))}" if texts else ""
            raise ValueError(f"{key}.{name}={value!r}: expected {kind_in_words(kind)}{hint}")


def structure(node: Any) -> Any:
    """A configuration less the numbers that may differ in a stack: those annotated Scalar, down to whether they are 0.

    Models whose configurations have the same structure can be trained as one.
    """
    if not isinstance(node, dict):
        return node
    batched = settings_of(node, Tensor)  # which may be numbers of a stack
    return {name: mask(value) if name in batched else structure(value) for name, value in node.items()}


def mask(value: Any) -> Any:
    """A number, or a fraction as people write them, as text that says whether it is 0; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return "number" if read_number(value) else "0"
    except ValueError:
        return value


def settings_of(node: Node, kind: Any) -> frozenset[str]:
    """Returns the names of the settings that a part's function annotates as of a kind, or as that among others."""
    return _annotated(_locate(str(node["_target_"]), "_target_"), kind) if "_target_" in node else frozenset()


@cache
def _annotated(function: Any, kind: Any) -> frozenset[str]:
    """Returns the names of the settings that a function annotates as of a kind, or as that among others."""
    parameters = _parameters(function).items()
    return frozenset(name for name, p in parameters if kind in (p.annotation, *_parts(p.annotation)))


@cache
def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _locate(target: str, key: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"{key}._target_={target!r}: there is no such function") from None


def _as_written(kind: Any) -> Any:
    """The kind of the values that a configuration writes for an annotation."""
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, map(_as_written, get_args(kind)))
    return WRITTEN.get(kind, kind)


def is_kind(value: Any, kind: Any) -> bool:
    """Returns whether a plain value is what an annotation says.

    Whole numbers are counts, so 0 or more; numbers are finite. Kinds that no configuration writes, such as Tensor,
    take anything.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(is_kind(value, part) for part in _list_written(inner))
    if origin is Callable:
        return isinstance(value, Mapping) and "_target_" in value
    if value is None:
        return kind in (None, NoneType, Any, inspect.Parameter.empty)
    if origin is Literal:
        return value in inner
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(is_kind(v, inner[0]) for v in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(is_kind(v, inner[1]) for v in value.values())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return not isinstance(kind, type) or kind not in (bool, str, NoneType) or isinstance(value, kind)


WORDS = {bool: "true or false", int: "a whole number, 0 or more", float: "a number", str: "text", NoneType: "null"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


def kind_in_words(kind: Any) -> str:
    """``a number``, ``text or a list of texts``."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(kind_in_words(part) for part in _list_written(inner))
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is Sequence:
        return f"a list of {PLURALS.get(inner[0]) or kind_in_words(inner[0])}"
    if origin is Mapping:
        return f"a mapping, {{{kind_in_words(inner[0])}: {kind_in_words(inner[1])}}}"
    return WORDS.get(kind, "a part with its _target_")


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) or (kind,)


def _list_written(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """The parts of a union that a configuration writes: a Scalar's tensor is made of the numbers of a stack."""
    return tuple(part for part in parts if part is not Tensor)
