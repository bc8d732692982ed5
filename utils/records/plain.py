"""Records as plain values, such as JSON holds."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any


class Plain(dict[str, Any]):
    """A mapping of plain values alone, which nobody changes: it needs no second look."""


def to_plain(value: Any) -> Any:
    """The same value in JSON types: arrays and tensors as lists, paths as text, NaN and infinities as None.

    A mapping becomes ``Plain``, and is returned as it is where it is that already.

    Raises:
        ValueError: a value of another type, with its place in the record.
    """
    if isinstance(value, Plain):
        return value
    plain = map_leaves(value, "", lambda leaf: leaf if isinstance(leaf, str) or math.isfinite(leaf) else None)
    return Plain(plain) if isinstance(plain, dict) else plain


def map_leaves(value: Any, place: str, leaf: Callable[[str | float], Any]) -> Any:
    """``value`` in JSON types, with ``leaf`` applied to every text and float."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, PurePath):
        return leaf(value.as_posix())
    if isinstance(value, str | float):
        return leaf(value if isinstance(value, str) else float(value))
    if isinstance(value, Mapping):
        return {_key(k, place): map_leaves(v, f"{place}.{k}", leaf) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [map_leaves(v, f"{place}.{i}", leaf) for i, v in enumerate(value)]
    if hasattr(value, "tolist"):  # NumPy and torch, whatever the device, without importing either
        return map_leaves(value.tolist(), place, leaf)
    raise ValueError(
        f"cannot store {type(value).__name__} {value!r:.60} at {place.lstrip('.') or 'the top'}; "
        "give numbers, text, lists or mappings of them"
    )


def _key(key: Any, place: str) -> str:
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError(f"cannot store the key {key!r:.60} of {place.lstrip('.') or 'the top'}; keys are text")
