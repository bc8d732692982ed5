"""Which functions a configuration may name, and whether it names their arguments rightly."""

import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

Node = Mapping[str, Any]


def require_trusted(node: Any, packages: Sequence[str]) -> None:
    """Refuse a stored configuration that names code outside the given packages.

    Every ``_target_`` in it must be one module under one of the packages plus one name defined in that very
    module, so that a database cannot make the program call anything else.

    Raises:
        ValueError: a target is elsewhere, or the node itself has none.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"the record says {node!r} in place of a part of {', '.join(packages)}; it is not loaded")
    for target in _targets(node):
        _require_own(target, packages)


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _targets(value)


def _require_own(target: str, packages: Sequence[str]) -> None:
    module, _, name = target.rpartition(".")
    package, _, leaf = module.rpartition(".")
    refusal = ValueError(f"the record names {target!r}, which is not a part of {', '.join(packages)}; it is not loaded")
    if package not in packages or not leaf.isidentifier() or not name.isidentifier():
        raise refusal
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        raise refusal from None
    if getattr(found, "__module__", None) != module:
        raise refusal


def check_arguments(function: partial, key: str) -> None:
    """A bound method must name all its keyword-only arguments and no others.

    Raises:
        ValueError: an argument is unknown (near misses named) or missing, under its configuration key.
    """
    parameters = inspect.signature(function.func).parameters
    known = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in function.keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2) or known
            raise ValueError(f"{key}.{name} is not a setting of {function.func.__name__}; did you mean {near}?")
    # what has no default and is not bound is given at the call only if the caller says so (seed, inputs)
    missing = [n for n in known if n not in function.keywords and parameters[n].default is inspect.Parameter.empty]
    if set(missing) - {"seed"}:
        raise ValueError(f"{key} lacks {missing}, settings of {function.func.__name__}")
