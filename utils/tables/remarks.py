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


class _OneLine(yaml.SafeDumper):
    """Writes texts that hold ends of lines in double quotes, as YAML says them on one line."""

    def ignore_aliases(self, _: object) -> bool:
        """Returns true: nothing is written as a reference to what stands before."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    broken = not text.isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if broken else None)


_OneLine.add_representer(str, _represent_text)


def flow(value: object) -> str:
    """A value as YAML writes it on one line, inside a mapping or a list too."""
    listed = yaml.dump(
        [_plain(value)], Dumper=_OneLine, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
    )
    return listed.strip()[1:-1]


def _plain(value: object) -> object:
    """Tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def some(values: Iterable[object], most: int = 5) -> str:
    """The first values in quotes, with an ellipsis where there are more."""
    listed = list(values)
    return ", ".join(map(repr, listed[:most])) + ", ..." * (len(listed) > most)
