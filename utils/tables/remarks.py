"""Findings about a table that its owner should know, each with the line of the schema that changes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from utils.tables.table_schema import LEVELLED, NUMERIC, Label, Rule


@dataclass(frozen=True)
class Remark:
    """One finding: about which column ("" for the file), what, and the line of the schema that settles it.

    ``read_as`` are those that say how the file was read, where nothing is to be settled. ``kind`` is what those of
    several columns have in common, "" where each stands for itself.
    """

    column: str
    text: str
    line: str = ""
    read_as: bool = False
    kind: str = ""

    def __str__(self) -> str:
        about = f"{self.column}: " if self.column else ""
        return f"{about}{self.text}{f' [{self.line}]' if self.line else ''}"


def column_line(column: str, **rule: object) -> str:
    """Returns the schema's line for a column, ``columns: {city: {type: ignore}}``."""
    return f"columns: {{{flow(column)}: {flow(rule)}}}"


def rule_line(column: str, rule: Rule, **change: object) -> str:
    """Returns the schema's line for a column: what its rule says, changed; what the change rules out is left out."""
    kind = str(change.get("type", rule.type))
    if kind == "ignore":
        return column_line(column, type=kind)
    said = {key: value for key, value in plain_rule(rule).items() if key not in _foreign_to(kind)}
    line = {**said, **change, "type": kind}
    if "merge" in said and "merge" in change:
        line["merge"] = _merged(said["merge"], change["merge"])
    if "levels" in said and isinstance(merge := line.get("merge"), Mapping):
        away = {text for level, texts in merge.items() for text in texts if text != level}
        line["levels"] = [text for text in rule.levels if text not in away]
    if "missing" in said and "missing" not in change:
        line["missing"] = _way_of_missing(rule.missing, levelled=kind in LEVELLED or "bins" in line)
    return column_line(column, **line)


def plain_rule(rule: Rule) -> dict[str, object]:
    """A rule as its line in the schema says it, less what is as by default."""
    bins = {"bins": [int(edge) if edge % 1 == 0 else edge for edge in rule.bins]} if rule.bins else {}
    said = rule.model_dump(mode="json", exclude_defaults=True, exclude={"type", "median"})
    return {"type": rule.type, **said, **bins}


def _foreign_to(kind: str) -> tuple[str, ...]:
    """The keys of a rule that mean nothing for a type."""
    if kind in LEVELLED:
        return ("unit", "bounds", "bins", "format", "as_number")
    return ("levels", "merge", *(("format", "as_number") if kind in NUMERIC else ("unit", "bounds")))


def _merged(one: object, other: object) -> dict[str, list[str]]:
    """Two merges in one."""
    together: dict[str, list[str]] = {}
    for merge in (one, other):
        assert isinstance(merge, Mapping)
        for level, texts in merge.items():
            together[level] = list(dict.fromkeys([*together.get(level, []), *texts]))
    return together


def _way_of_missing(way: str, *, levelled: bool) -> str:
    """The way of missing cells, as far as levels and numbers have the same ones."""
    if levelled:
        return "level" if way.startswith("median") else way
    return "median+flag" if way == "level" else way


def completed(remark: Remark, rules: Mapping[str, Rule]) -> Remark:
    """The remark whose line, where it is about a column that has a rule, says all that the rule says, too."""
    change, name = changed_rule(remark), remark.column
    return replace(remark, line=rule_line(name, rules[name], **change)) if change and name in rules else remark


def changed_rule(remark: Remark) -> dict[str, Any]:
    """Returns the rule that the line of a remark says of its column; empty where it is about something else."""
    if not remark.line.startswith("columns: {"):
        return {}
    ((_, change),) = yaml.safe_load(remark.line)["columns"].items()
    return dict(change)


def label_line(label: Label, **change: object) -> str:
    """Returns the schema's line for the label: what it says, changed."""
    said = label.model_dump(mode="json", exclude_defaults=True)
    if "favourable" in change:
        said.pop("positive", None)
    if "merge" in said and "merge" in change:
        change["merge"] = _merged(said["merge"], change["merge"])
    return f"label: {flow({**said, **change})}"


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
