"""The schema of a user's table, one YAML file: how the file is read and what its columns mean.

``python -m evals.look`` writes it, its owner edits it, a record stores it whole. Every scalar in it is taken as the
text that stands there, so that the levels ``no``, ``1`` and ``01004`` are what they are in the table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from utils.tables.graph_text import read_graph
from utils.words.near import near_or_all

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "?")  # texts that a file may mean nothing by
Type = Literal["continuous", "count", "ordered", "categorical", "binary", "date", "ignore"]
NUMERIC = ("continuous", "count")
LEVELLED = ("ordered", "categorical", "binary")
WhenMissing = Literal["refuse", "drop", "level", "median", "median+flag"]


def _listed(value: Any) -> Any:
    """One text as a list of one; what YAML reads as null in a list is the text."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple("null" if item is None else item for item in value) if isinstance(value, list | tuple) else value


def _merged(value: Any) -> Any:
    """``M: Male`` as ``M: [Male]``."""
    return {key: _listed(texts) for key, texts in value.items()} if isinstance(value, Mapping) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Mark = Annotated[str, Field(min_length=1, max_length=1)]
Merge = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_merged)]


class Part(BaseModel):
    """A part of the schema: unknown keys are refused, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFormat(Part):
    """The format by which the text of the file becomes cells."""

    path: str = ""  # from the schema's folder; empty in a record
    separator: Mark = ","
    decimal: Mark = "."
    thousands: Mark | None = None
    encoding: str = "utf-8"
    comment: Mark | None = None  # lines that begin with it are left out
    na: Texts = MISSING
    names: Texts = ()  # of the columns, where the file has no header


class Rule(Part):
    """The meaning of one column."""

    type: Type
    levels: Texts = ()  # texts, ordered ones from the lowest; empty: those of the file in sorted order
    merge: Merge = Field(default_factory=dict)  # level: the texts that mean it
    unit: str = ""  # written beside every number, such as $ or %
    bounds: tuple[float | None, float | None] | None = None  # values outside are refused
    bins: tuple[float, ...] = ()  # of a number that becomes ordered levels: where one ends and the next begins
    missing: WhenMissing = "refuse"
    format: str | None = None  # of a date, such as %d/%m/%Y
    as_number: Literal["drop", "days", "year"] = "drop"  # of a date; days since 1970-01-01
    median: float | None = None  # of the training rows, filled in once they are known

    @model_validator(mode="after")
    def _is_of_one_meaning(self) -> Self:
        _require_once("levels", self.levels)
        _require_once("merge", [text for texts in self.merge.values() for text in texts])
        low, high = self.bounds or (None, None)
        if low is not None and high is not None and low > high:
            raise ValueError(f"bounds: expected the lower one first, not {low:g} and {high:g}")
        if self.type == "date" and self.bins and self.as_number == "drop":
            raise ValueError("bins of a date need as_number: year, or days, which they are in")
        if self.missing not in (ways := self._ways_of_missing()):
            what = "a column of levels" if "level" in ways else "a number"
            raise ValueError(f"missing={self.missing!r}: {what} has {', '.join(ways[:-1])} or {ways[-1]}")
        return self

    def _ways_of_missing(self) -> tuple[str, ...]:
        if self.type == "ignore" or (self.type == "date" and self.as_number == "drop"):
            return ("refuse", "drop", "level", "median", "median+flag")  # it enters no model
        levelled = self.type in LEVELLED or self.bins
        return ("refuse", "drop", "level") if levelled else ("refuse", "drop", "median", "median+flag")


def _require_once(key: str, texts: Sequence[str]) -> None:
    twice = [text for text, times in Counter(texts).items() if times > 1]
    if twice:
        raise ValueError(f"{key}: {twice[0]!r} stands twice, so it would mean two things; leave one out")


class Label(Part):
    """The column to be predicted."""

    column: str
    favourable: str | None = None  # the class that is good for the person, class 1; null: nobody says
    positive: str | None = None  # class 1 where no class is favourable; null: the last in sorted order
    merge: Merge = Field(default_factory=dict)  # class: the texts that mean it

    @model_validator(mode="after")
    def _is_of_one_meaning(self) -> Self:
        _require_once("merge", [text for texts in self.merge.values() for text in texts])
        if None not in (self.favourable, self.positive) and self.favourable != self.positive:
            raise ValueError(
                f"favourable={self.favourable!r} is class 1, and so would be positive={self.positive!r}; leave one out"
            )
        return self


class Split(Part):
    """The way to the rows that are trained on, validated on and tested on."""

    how: Literal["stratified", "random", "column", "cluster", "time"] = "stratified"
    shares: tuple[float, float, float] = (0.64, 0.16, 0.20)  # of training, validation, test
    column: str | None = None  # that says train, valid or test; the cluster; the time


class Groups(Part):
    """The comparisons between groups that are shown."""

    each: Literal["intersections", "alone"] = "intersections"  # of all attributes together, or of each one alone
    reference: dict[str, str] = Field(default_factory=dict)  # attribute: the level that others are compared with


class TableSchema(Part):
    """The whole schema of a table."""

    name: str | None = None  # of the database and the weights folder; null: that of the schema's file
    file: FileFormat = FileFormat()
    rows: Texts = ()  # conditions such as "age >= 18" that every row used fulfils
    columns: dict[str, Rule] = Field(default_factory=dict)
    sensitive: Texts = ()
    actionable: Annotated[tuple[str, ...] | None, BeforeValidator(lambda v: v if v is None else _listed(v))] = None
    label: Annotated[Label, BeforeValidator(lambda v: {"column": v} if isinstance(v, str) else v)]
    groups: Groups = Groups()
    split: Split = Split()
    weights: str | None = None  # a column of weights of rows in the loss
    graph: dict[str, tuple[str, ...]] | None = None  # child: its parents

    @model_validator(mode="after")
    def _label_is_known(self) -> Self:
        rule = self.columns.get(self.label.column)
        if rule is not None and rule.missing not in ("refuse", "drop"):
            raise ValueError(
                f"columns.{self.label.column}.missing={rule.missing!r}: a row without its label teaches nothing; "
                "expected refuse or drop"
            )
        return self


def read_schema(path: str | Path) -> TableSchema:
    """The schema in a file.

    Raises:
        ValueError: naming file, line and key, where it is no such schema.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not text in UTF-8 (byte {error.start}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{file}{where}: not YAML, {getattr(error, 'problem', None) or error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{file}: expected a schema such as python -m evals.look writes, file:, columns:, label: ...")
    lines: dict[tuple[str, ...], int] = {}
    content = _plain(root, (), lines, file)
    try:
        if content.get("graph") is not None:
            content["graph"] = read_graph(content["graph"], file.parent)
        return TableSchema.model_validate(content)
    except ValidationError as error:
        raise ValueError(_sentence(error, str(file), lines)) from None
    except ValueError as error:
        raise ValueError(f"{file}{_line(lines, ('graph',))}, graph: {error}") from None


def from_plain(content: Mapping[str, Any], what: str) -> TableSchema:
    """The schema of plain values, as a record or a command line holds it. Raises ValueError, naming ``what``."""
    try:
        return TableSchema.model_validate(dict(content))
    except ValidationError as error:
        raise ValueError(_sentence(error, what, {})) from None


def to_plain(schema: TableSchema) -> dict[str, Any]:
    """The schema as plain values, less what is as by default; ``from_plain`` reads them."""
    return schema.model_dump(mode="json", exclude_defaults=True)


def _plain(node: yaml.Node, key: tuple[str, ...], lines: dict[tuple[str, ...], int], file: Path) -> Any:
    """A YAML node as mappings, lists and the texts that stand there; null where a plain scalar says so."""
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for name, inner in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise ValueError(f"{file}, line {name.start_mark.line + 1}: a key must be a text")
            if name.value in found:
                raise ValueError(f"{file}, line {name.start_mark.line + 1}: {name.value!r} stands twice; leave one out")
            found[name.value] = _plain(inner, (*key, name.value), lines, file)
            lines[(*key, name.value)] = name.start_mark.line + 1
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(inner, (*key, str(i)), lines, file) for i, inner in enumerate(node.value)]
    plain = node.style is None and node.value in ("", "~", "null")
    return None if plain else node.value


def _line(lines: Mapping[tuple[str, ...], int], key: Sequence[str]) -> str:
    for end in range(len(key), 0, -1):
        if tuple(key[:end]) in lines:
            return f", line {lines[tuple(key[:end])]}"
    return ""


def _sentence(error: ValidationError, what: str, lines: Mapping[tuple[str, ...], int]) -> str:
    """The first thing that is wrong, in one sentence: where, what, and what to write."""
    first = error.errors(include_url=False)[0]
    key = tuple(str(step) for step in first["loc"])
    where = f"{what}{_line(lines, key)}, {'.'.join(key)}"
    given = first.get("input")
    if first["type"] == "extra_forbidden":
        known = _keys_at(key[:-1])
        return f"{where}: there is no such key{near_or_all(key[-1], known)}"
    if first["type"] == "value_error":  # of a validator here
        return f"{where.removesuffix(', ')}: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "literal_error":
        known = [word.strip("' ") for word in str(first["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        return f"{where}={given!r}: not known{near_or_all(str(given), known)}"
    return f"{where}={given!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


PARTS: dict[str, type[Part]] = {"file": FileFormat, "columns": Rule, "label": Label, "groups": Groups, "split": Split}


def _keys_at(key: Sequence[str]) -> list[str]:
    """The keys that a part of the schema may have."""
    return list((PARTS[key[0]] if key else TableSchema).model_fields)


def mentioned(schema: TableSchema) -> Iterator[tuple[str, str]]:
    """Yields every name of a column that the schema speaks of, with the key that does."""
    yield "label.column", schema.label.column
    for key, names in (("sensitive", schema.sensitive), ("actionable", schema.actionable or ())):
        yield from ((key, name) for name in names)
    yield from (("groups.reference", name) for name in schema.groups.reference)
    if schema.weights is not None:
        yield "weights", schema.weights
    if schema.split.column is not None:
        yield "split.column", schema.split.column
    yield from (("columns", name) for name in schema.columns)
    for child, parents in (schema.graph or {}).items():
        yield from (("graph", name) for name in (child, *parents))
