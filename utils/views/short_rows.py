"""Rows of a wide table in short: a number a column, a level an attribute, and indicators where rows are taken.

A table of 24 texts with 38 levels each has more than 900 columns, and in every row 24 of them are 1. Kept as levels
such a row needs 24 bytes, as single-precision indicators 3,650.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Places(NamedTuple):
    """The columns of rows (..., d) that each part of their short form is of."""

    width: int  # d
    numbers: Tensor  # (p,) int64
    flags: Tensor  # (b,) int64, columns of 0 and 1 by themselves
    first: Tensor  # (q,) int64, the first indicator of each attribute
    levels: tuple[int, ...]  # (q), the number of its indicators, side by side


class ShortRows(Tensor):
    """A tensor (..., d) for all that ask, kept as numbers (..., p), flags (..., b) and levels (..., q).

    Rows and columns that are taken from it are ordinary tensors, as are the results of all operations, for which all
    rows are written out: what goes through many rows takes them in parts (``utils.views.row_parts.parts``). A model of
    a stack, a stack of several, and the same rows on another device are in short too.
    """

    numbers: Tensor
    flags: Tensor
    levels: Tensor
    places: Places

    @staticmethod
    def __new__(cls, numbers: Tensor, flags: Tensor, levels: Tensor, places: Places) -> "ShortRows":
        """Numbers of the type of the whole, flags and levels of any whole type, a level within its attribute."""
        shape = (*numbers.shape[:-1], places.width)
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=numbers.dtype, device=numbers.device)
        made.numbers, made.flags, made.levels, made.places = numbers, flags, levels, places
        return made

    @property
    def stored(self) -> int:
        """The bytes in which the rows are kept."""
        return self.numbers.nbytes + self.flags.nbytes + self.levels.nbytes

    def written_out(self) -> Tensor:
        """The same rows as an ordinary tensor (..., d)."""
        out = self.numbers.new_zeros(self.shape)
        out[..., self.places.numbers] = self.numbers
        out[..., self.places.flags] = self.flags.to(out.dtype)
        return out.scatter_(-1, self.levels.long() + self.places.first, 1.0)

    def _each(self, change: Callable[[Tensor], Tensor], places: Places | None = None) -> "ShortRows":
        return ShortRows(change(self.numbers), change(self.flags), change(self.levels), places or self.places)

    def _columns(self, wanted: Sequence[int]) -> Tensor:
        """Some columns (..., c) of all rows."""
        found = {int(place): (self.numbers, i, -1) for i, place in enumerate(self.places.numbers)}
        found |= {int(place): (self.flags, i, -1) for i, place in enumerate(self.places.flags)}
        for i, (first, count) in enumerate(zip(self.places.first.tolist(), self.places.levels, strict=True)):
            found |= {first + level: (self.levels, i, level) for level in range(count)}
        chosen = [found[range(self.places.width)[place]] for place in wanted]
        columns = [part[..., i] if level < 0 else part[..., i] == level for part, i, level in chosen]
        return torch.stack([column.to(self.numbers.dtype) for column in columns], -1)

    def _item(self, key: Any) -> Tensor:
        keys = key if isinstance(key, tuple) else (key,)
        if keys[0] is Ellipsis:
            keys = (*[slice(None)] * (self.ndim - len(keys) + 1), *keys[1:])
        *rows, column = keys if len(keys) == self.ndim else (*keys, slice(None))
        if any(k is None for k in keys) or sum(map(_dimensions, rows)) >= self.ndim:
            return self.written_out()[keys]
        if isinstance(column, int):
            return self._columns([column])[..., 0][tuple(rows)]
        if isinstance(column, list) and all(isinstance(row, slice) for row in rows):
            return self._columns(column)[(*rows, slice(None))]
        if not (isinstance(column, slice) and column == slice(None)):
            return self.written_out()[keys]
        taken = self._each(lambda part: part[tuple(rows)])
        of_stack = taken.ndim > 1 and all(isinstance(row, int) for row in rows)
        return taken if of_stack else taken.written_out()

    def _to(self, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype not in (None, self.dtype):
            return self.written_out().to(*args, **kwargs)
        places = self.places._replace(**{k: getattr(self.places, k).to(device) for k in ("numbers", "flags", "first")})
        return self._each(lambda part: part.to(device), places)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answers for what can be told without writing all rows out, and else writes them out."""
        words = dict(kwargs or {})
        if func in _OWN and isinstance(args[0], cls):
            return _OWN[func](*args, **words)
        if func is torch.stack and all(isinstance(rows, cls) for rows in args[0]) and (args[1:], words) == ((), {}):
            return cls._stacked(args[0])
        if func in _OF_SHAPE or getattr(getattr(func, "__self__", None), "__name__", "") in _PROPERTIES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **words)
        like = func in _LIKE or (func is Tensor.to and not isinstance(args[0], cls))
        ordinary = (lambda own: own.numbers.new_empty(0)) if like else cls.written_out
        return func(*_without_short(args, ordinary), **_without_short(words, ordinary))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # declared as the built-in function that refuses
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Likewise, for what asks below Python's functions."""
        return func(*_without_short(args, cls.written_out), **_without_short(kwargs or {}, cls.written_out))

    @classmethod
    def _stacked(cls, rows: Sequence["ShortRows"]) -> Tensor:
        """The rows of several models (m, n, d)."""
        if any(own.places.levels != rows[0].places.levels for own in rows):
            return torch.stack([own.written_out() for own in rows])
        numbers, flags, levels = zip(*((own.numbers, own.flags, own.levels) for own in rows), strict=True)
        return cls(torch.stack(numbers), torch.stack(flags), torch.stack(levels), rows[0].places)


_OWN: Mapping[Any, Callable[..., Any]] = {
    Tensor.__getitem__: ShortRows._item,
    Tensor.to: ShortRows._to,
    Tensor.cpu: lambda rows: rows.to("cpu"),
    Tensor.detach: lambda rows: rows,
    Tensor.__repr__: lambda rows, **_: f"ShortRows({tuple(rows.shape)}, {rows.stored:,} bytes)",
}
_OF_SHAPE = frozenset(
    {Tensor.__len__, Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point, torch._C._nn._parse_to}
)
_LIKE = frozenset({Tensor.new_zeros, Tensor.new_ones, Tensor.new_full, Tensor.new_tensor, Tensor.new_empty})
_PROPERTIES = frozenset({"shape", "ndim", "dtype", "device", "is_cuda", "requires_grad", "layout", "is_leaf"})


def _dimensions(key: Any) -> int:
    """The number of dimensions that a key is of."""
    return key.ndim if isinstance(key, Tensor | np.ndarray) and key.dtype in (torch.bool, np.bool_) else 1


def _without_short(values: Any, ordinary: Callable[[ShortRows], Tensor]) -> Any:
    """The same arguments with ordinary tensors in place of rows in short."""
    if isinstance(values, ShortRows):
        return ordinary(values)
    if isinstance(values, dict):
        return {key: _without_short(value, ordinary) for key, value in values.items()}
    if isinstance(values, list | tuple) and not hasattr(values, "_fields"):
        return type(values)(_without_short(value, ordinary) for value in values)
    return values
