"""Findings about a table that its owner should know, each with the line of the schema that changes it."""

from collections.abc import Iterable
from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Remark:
    """One finding: about which column ("" for the file), what, and the line of the schema that settles it."""

    column: str
    text: str
    line: str = ""

    def __str__(self) -> str:
        about = f"{self.column}: " if self.column else ""
        return f"{about}{self.text}{f' [{self.line}]' if self.line else ''}"


def column_line(column: str, **rule: object) -> str:
    """Returns the schema's line for a column, ``columns: {city: {type: ignore}}``."""
    return f"columns: {{{flow(column)}: {flow(rule)}}}"


def flow(value: object) -> str:
    """A value as YAML writes it on one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _plain(value: object) -> object:
    """Tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def some(values: Iterable[object], most: int = 5) -> str:
    """The first values in quotes, with an ellipsis where there are more."""
    listed = list(values)
    return ", ".join(map(repr, listed[:most])) + ", ..." * (len(listed) > most)
