"""Records as plain values, such as JSON holds."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from types import NoneType
from typing import Any

from utils.records.json_text import write_json

OfNumber = Callable[[float], Any]
OfText = Callable[[str], Any]

AS_THEY_ARE = frozenset((NoneType, bool, int))
TEXT_ALONE = frozenset((str,))
FLOATS = frozenset((float,))


class Plain(dict[str, Any]):
    """A mapping of plain values alone, which nobody changes: it needs no second look, and its texts are made once."""

    @cached_property
    def texts(self) -> dict[str, str]:
        """The JSON of each value, as it is filed."""
        return {key: write_json(value, sort=False) for key, value in self.items()}

    @cached_property
    def canonical_texts(self) -> dict[str, str]:
        """The JSON of each value, one text for equal values: keys sorted at every level, ASCII, no blanks."""
        return {key: write_json(value, sort=True) for key, value in self.items()}


def as_plain(record: Mapping[str, Any]) -> Plain:
    """The same record, known to hold plain values alone, as one that is read from JSON does."""
    return record if isinstance(record, Plain) else Plain(record)


class _UnfitError(Exception):
    """A value or a key that JSON cannot hold; its place grows on the way up."""

    def __init__(self, what: str, remedy: str):
        super().__init__(what, remedy)
        self.what, self.remedy, self.place = what, remedy, ""

    def __str__(self) -> str:
        return f"{self.what} {self.place.lstrip('.') or 'the top'}; {self.remedy}"


def to_plain(value: Any) -> Any:
    """The same value in JSON types: arrays and tensors as lists, paths as text, NaN and infinities as None.

    A mapping becomes ``Plain``, and is returned as it is where it is that already.

    Raises:
        ValueError: a value of another type, with its place in the record.
    """
    if isinstance(value, Plain):
        return value
    plain = map_leaves(value, _finite)
    return Plain(plain) if type(plain) is dict else plain


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def map_leaves(value: Any, number: OfNumber, text: OfText | None = None) -> Any:
    """The value in JSON types, with a function applied to every float, and one to every text.

    Raises:
        ValueError: as ``to_plain``.
    """
    try:
        return _mapped(value, number, text)
    except _UnfitError as error:
        raise ValueError(str(error)) from None


def _mapped(value: Any, number: OfNumber, text: OfText | None) -> Any:
    """The same; kinds are told by exact types, since to ask what a value is an instance of is slow."""
    kind = type(value)
    if kind is float:
        return number(value)
    if kind is str:
        return value if text is None else text(value)
    if kind in AS_THEY_ARE:
        return value
    if kind is dict:
        return _of_mapping(value, number, text)
    if kind is list or kind is tuple:
        return _of_list(value, number, text)
    return _mapped(_in_known_type(value), number, text)


def _of_list(value: Sequence[Any], number: OfNumber, text: OfText | None) -> list[Any]:
    kinds = set(map(type, value))
    if kinds <= AS_THEY_ARE:
        return list(value)
    if kinds == FLOATS:
        return list(map(number, value))
    found: list[Any] = []
    try:
        for inner in value:
            found.append(  # noqa: PERF401 - its length tells the place of an error
                number(inner) if type(inner) is float else _mapped(inner, number, text)
            )
    except _UnfitError as error:
        error.place = f".{len(found)}{error.place}"
        raise
    return found


def _of_mapping(value: Mapping[Any, Any], number: OfNumber, text: OfText | None) -> dict[str, Any]:
    if not set(map(type, value)) <= TEXT_ALONE:
        value = {_name(key): inner for key, inner in value.items()}
    found: dict[str, Any] = {}
    key = ""
    try:
        for key, inner in value.items():
            found[key] = number(inner) if type(inner) is float else _mapped(inner, number, text)
    except _UnfitError as error:
        error.place = f".{key}{error.place}"
        raise
    return found


def _in_known_type(value: Any) -> Any:
    """A value as one of the types that ``_mapped`` knows. Raises _UnfitError where it is none."""
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float | int):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    if hasattr(value, "tolist"):  # NumPy and torch, whatever the device, without importing either
        return value.tolist()
    remedy = "give numbers, text, lists or mappings of them"
    raise _UnfitError(f"cannot store {type(value).__name__} {value!r:.60} at", remedy)


def _name(key: Any) -> str:
    """The text of a key. Raises _UnfitError where it has none."""
    if isinstance(key, str | int | float):
        return str(key)
    raise _UnfitError(f"cannot store the key {key!r:.60} of", "keys are text")
