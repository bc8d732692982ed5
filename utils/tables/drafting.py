"""A schema that leaves nothing open: what training would refuse is settled in the safest way, and told.

What a column means is proposed by ``utils/tables/column_types.py``. A missing text becomes a level of its own, a
missing number the median with a flag, a sensitive number groups between round numbers; each is for the owner to decide.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import yaml

from utils.system.console import count
from utils.tables.column_types import Proposal, propose
from utils.tables.encoding import blocks, is_feature, is_levelled
from utils.tables.reading import RawTable, read_table, tidy
from utils.tables.remarks import Remark, changed_rule, column_line, completed, flow, label_line, rule_line, some
from utils.tables.settling import (
    Settled,
    TooWideError,
    absent,
    found_levels,
    nameless,
    require_columns,
    settle_cells,
    written_as_missing,
)
from utils.tables.table_schema import LEVELLED, FileFormat, Rule, TableSchema
from utils.types import MISSING_LEVEL

MOST_CLASSES = 10  # values of a label that its owner may want to merge
TEXT_LEVEL = f"{MISSING_LEVEL} (text)"  # a level of that text, where cells are missing too
MOST_GROUPS = 20  # levels of a sensitive column, beyond which its owner should merge some

MEDIANS = "missing numbers, the median in their place and a flag"
REFUSED = "training refuses the table until the schema settles this"


@dataclass
class Draft:
    """A table by a schema that leaves nothing open."""

    settled: Settled  # by the drafted rules
    schema: TableSchema  # those rules, levels left to the file
    decisions: list[Remark]  # what the owner has to look at, with the line for another way
    refusals: list[str]  # what training refuses until the owner has written the line, in its sentences
    classes: tuple[str, ...]  # all values of the label, of which there may be more than two


def draft(base: TableSchema, raw: RawTable, where: str, *, in_force: bool) -> Draft:
    """The table by what its schema says, and by proposals for all that it does not say.

    ``in_force`` schemas are those that training takes as they are, so that what they leave open is refused there.

    Raises:
        ValueError: what no line of a schema settles, such as a column that is not there.
    """
    known = list(map(str, raw.cells.columns))
    require_columns(base, known, where)
    unnamed = nameless(base, raw)
    given = {**base.columns, **{name: Rule(type="ignore") for name in unnamed}}
    proposals = propose(raw, label=base.label.column, sensitive=base.sensitive, rules=given)
    schema, raw = _with_rules(base, raw, given, proposals)
    decisions = [_refused(f.decision) if in_force else f.decision for f in proposals.values() if f.decision]
    schema = _with_ways_of_missing(schema, raw, decisions, in_force=in_force)
    decisions += _too_many_groups(schema, proposals)
    classes = label_values(schema, raw)
    refusals: list[str] = []
    trainable = _with_two_classes(schema, classes, where, refusals)
    settled, wide = _settle_without_wide(trainable, raw, where)
    schema = _without(schema, wide)
    decisions += [_refused(remark) if in_force else remark for remark in wide.values()]
    refusals += _named_twice(settled.schema, where)
    settled.reasons = {name: found.reason for name, found in proposals.items()} | dict.fromkeys(wide, "too many levels")
    settled.reasons |= dict.fromkeys(unnamed, "without a name")
    settled.remarks += [_with_na(remark, raw.format) for found in proposals.values() for remark in found.remarks]
    settled.remarks[:] = [completed(remark, schema.columns) for remark in settled.remarks]
    decisions = [completed(decision, schema.columns) for decision in decisions]
    decisions += _at_once(decisions, settled.remarks)
    settled.remarks += [_unnamed(name, place) for name, place in unnamed.items()]
    return Draft(settled, schema, decisions, refusals, classes)


def _settle_without_wide(schema: TableSchema, raw: RawTable, where: str) -> tuple[Settled, dict[str, Remark]]:
    """The table without columns of more levels than there is memory for, and what is to be decided of these."""
    wide: dict[str, Remark] = {}
    while True:
        try:
            return settle_cells(_without(schema, wide), raw, where), wide
        except TooWideError as error:
            if error.column in schema.sensitive:
                raise
            line = column_line(error.column, type="ignore")
            wide[error.column] = Remark(error.column, f"{error.size}: left out", line)


def _without(schema: TableSchema, names: Collection[str]) -> TableSchema:
    left_out = dict.fromkeys(names, Rule(type="ignore"))
    return schema.model_copy(update={"columns": {**schema.columns, **left_out}})


def _named_twice(schema: TableSchema, where: str) -> list[str]:
    """Says which column of the file has the name of one that is made of another, as a level or a flag is."""
    made = [column.name for block in blocks(schema) for column in block.columns]
    return [
        f"{where}: two columns would be named {name!r}, that of the file and one made of the levels or missing "
        f"cells of another; rename it in the file, or leave it out, {column_line(name, type='ignore')}"
        for name, times in Counter(made).items()
        if times > 1
    ][:1]


def _at_once(decisions: Sequence[Remark], remarks: Sequence[Remark]) -> list[Remark]:
    """The lines that leave rows out and merge levels of one column, where the line of either undoes the other."""
    found = []
    for decision in decisions:
        left_out, name = changed_rule(decision), decision.column
        merged = next((rule for r in remarks if r.column == name and "merge" in (rule := changed_rule(r))), {})
        if left_out.get("missing") == "drop" and merged and left_out["type"] == merged["type"]:
            text = "these rows left out and the levels merged, of which each line undoes the other"
            found.append(Remark(name, text, column_line(name, **merged | left_out)))
    return found


def _refused(decision: Remark) -> Remark:
    """The decision as it stands in a schema that does not settle it."""
    return replace(decision, text=f"{REFUSED}; proposed is {decision.text}")


def _with_na(remark: Remark, fmt: FileFormat) -> Remark:
    """A remark whose line says what means a missing value, all that the file is drafted with among it."""
    if not remark.line.startswith("file: {na:"):
        return remark
    texts = yaml.load(remark.line, Loader=yaml.BaseLoader)["file"]["na"]
    return replace(remark, line=f"file: {{na: {flow(list(dict.fromkeys([*texts, *fmt.na])))}}}")


def _with_rules(
    base: TableSchema, raw: RawTable, given: Mapping[str, Rule], proposals: Mapping[str, Proposal]
) -> tuple[TableSchema, RawTable]:
    """The schema with a rule for each column, levels left to the file, and the cells as it reads them.

    The texts among numbers that the rules take for missing are missing in the whole file, but for those who have one
    as a level.
    """
    spoilt = tuple(dict.fromkeys(text for found in proposals.values() for text in found.na))
    fmt = raw.format.model_copy(update={"na": tuple(dict.fromkeys((*raw.format.na, *spoilt)))})
    proposed = {n: _open_levels(found.rule, spoilt) for n, found in proposals.items() if n != base.label.column}
    rules = {n: rule for n in map(str, raw.cells.columns) if (rule := given.get(n) or proposed.get(n))}
    texts = {n for n, rule in rules.items() if rule.type in LEVELLED}
    label = base.label.column
    texts |= {label} if raw.cells[label].dtype.kind == "f" and raw.cells[label].isna().any() else set()
    if any(raw.cells[name].dtype.kind == "f" for name in texts):  # levels are texts: 1.0 is another one than 1
        raw = read_table(raw.path, raw.format, texts)
    return base.model_copy(update={"columns": rules, "file": fmt}), replace(raw, format=fmt)


def _open_levels(rule: Rule, kept: Collection[str]) -> Rule:
    return rule if set(rule.levels) & set(kept) else rule.model_copy(update={"levels": ()})


def _unnamed(name: str, place: int) -> Remark:
    text = f"column {place + 1} has no name, often a saved row number: left out"
    return Remark(name, text, column_line(name, type="continuous"))


def _with_ways_of_missing(
    schema: TableSchema, raw: RawTable, decisions: list[Remark], *, in_force: bool
) -> TableSchema:
    """The schema with a way for every missing cell."""
    label, rules = schema.label.column, {}
    for name in map(str, raw.cells.columns):
        rule = schema.columns.get(name) or Rule(type="binary")  # the label
        if rule.missing != "refuse" or not (is_feature(schema, name, rule) or name == label):
            continue
        cells = tidy(raw.cells[[name]], {name} if rule.type in LEVELLED else ())
        missing = absent(rule, cells[name], raw.format)
        if missing.any():
            marked = [text for text in written_as_missing(raw, name) if text]
            written = f", written {some(marked, 3)}" if marked else ""
            what = f"{count(int(missing.sum()), 'missing value')}{written}"
            if is_levelled(rule) and not rule.bins and MISSING_LEVEL in cells[name].cat.categories:
                rule = rule.model_copy(update={"merge": {**rule.merge, TEXT_LEVEL: (MISSING_LEVEL,)}})
                what = f"{what}, beside the text {MISSING_LEVEL!r}, here {TEXT_LEVEL!r}"
            rules[name], decision = _way(name, rule, what, marked, raw.format, label=name == label)
            decisions.append(_open_way(name, rules[name], what) if in_force else decision)
    return schema.model_copy(update={"columns": {**schema.columns, **rules}})


def _way(
    name: str, rule: Rule, what: str, marked: Sequence[str], fmt: FileFormat, *, label: bool
) -> tuple[Rule, Remark]:
    """The rule of a column that is missing in some rows, and what is to be decided of it."""
    drop = rule_line(name, rule, missing="drop")
    if label:
        decided = rule.model_copy(update={"missing": "drop"})
        return decided, Remark(name, f"{what}: these rows, of the label, are left out", drop)
    if not is_levelled(rule):
        decided = rule.model_copy(update={"missing": "median+flag"})
        return decided, Remark(name, f"{what}: the median in their place, and a flag", drop, kind=MEDIANS)
    kind = "categorical" if rule.type == "binary" else rule.type
    decided = rule.model_copy(update={"missing": "level", "type": kind})
    if not marked:
        return decided, Remark(name, f"{what}: a level of their own", drop)
    line = f"file: {{na: {flow([text for text in fmt.na if text not in marked])}}}"
    return decided, Remark(name, f"{what}: a level of their own; or a level like the others", line)


def _open_way(name: str, safest: Rule, what: str) -> Remark:
    """The decision that a column needs in a schema by which training refuses what is missing."""
    ways = {"drop": "that these rows are left out", "level": "a level of their own"}
    way = ways.get(safest.missing, "the median in their place, and a flag")
    return Remark(name, f"{what}: {REFUSED}; the line means {way}", rule_line(name, safest))


def _too_many_groups(schema: TableSchema, proposals: Mapping[str, Proposal]) -> list[Remark]:
    """Decisions on sensitive columns of very many texts."""
    return [
        Remark(
            name,
            f"{count(len(levels), 'group')}, too many to compare; merge some",
            column_line(name, type="categorical", merge={levels[0]: list(levels[1:3])}),
        )
        for name in schema.sensitive
        if name in proposals and len(levels := proposals[name].rule.levels) > MOST_GROUPS
    ]


def label_values(schema: TableSchema, raw: RawTable) -> tuple[str, ...]:
    """The values of the label, merged as the schema says, of which there may be more than two."""
    label = schema.label
    rule = schema.columns.get(label.column, Rule(type="binary")).model_copy(update={"type": "categorical"})
    cells: pd.Series[str] = tidy(raw.cells[[label.column]], {label.column})[label.column]
    return found_levels(rule.model_copy(update={"merge": {**rule.merge, **label.merge}}), cells, raw.format)


def _with_two_classes(schema: TableSchema, classes: tuple[str, ...], where: str, refusals: list[str]) -> TableSchema:
    """The schema, where the label has more than two values with all but one of them merged."""
    label = schema.label
    if len(classes) <= 2:
        return schema
    one = label.favourable or label.positive or classes[-1]
    if one not in classes:
        return schema  # refused with the values that there are
    others = [text for text in classes if text != one]
    merge = {**label.merge, others[0]: tuple(others)}
    line = label_line(label, merge={one: [one, others[-1]]})
    remedy = f"merge them in the schema, such as {line}, or choose another label"
    if len(classes) > MOST_CLASSES:
        remedy = "choose another label, or write one of two values into the file, such as above or below a bound"
    refusals.append(
        f"{where}: the label {label.column!r} has {len(classes)} values ({some(classes)}), but two classes are needed; "
        f"{remedy}"
    )
    return schema.model_copy(update={"label": label.model_copy(update={"merge": merge})})
