"""Facts about a user's table for its model's card: its columns as the schema of the record reads them."""

from collections.abc import Mapping
from typing import Any

from evals.cards.document import Block, Heading, Table


def schema_section(schema: Mapping[str, Any]) -> list[Block]:
    """The columns of a user's table as its schema reads them."""
    rules = schema.get("columns") or {}
    if not rules:
        return []
    lines = [
        [str(name), str(rule.get("type")), _levels(rule), _missing(rule)]
        for name, rule in rules.items()
        if not _is_left_out(rule)
    ]
    out = ", ".join(str(name) for name, rule in rules.items() if _is_left_out(rule))
    beside = [
        *([f"Left out: {out}."] if out else []),
        *([f"Rows: {' and '.join(schema['rows'])}."] if schema.get("rows") else []),
        f"Split: {(schema.get('split') or {}).get('how', 'stratified')}.",
    ]
    return [
        Heading("Columns as read", 3),
        Table(["column", "type", "levels", "missing values"], lines, " ".join(beside)),
    ]


def _is_left_out(rule: Mapping[str, Any]) -> bool:
    return rule.get("type") == "ignore" or (rule.get("type") == "date" and rule.get("as_number", "drop") == "drop")


def _levels(rule: Mapping[str, Any]) -> str:
    if rule.get("bins"):
        return f"groups that end at {', '.join(f'{end:g}' for end in rule['bins'])}"
    return ", ".join(map(str, rule.get("levels") or ())) or str(rule.get("unit") or "")


def _missing(rule: Mapping[str, Any]) -> str:
    kind = str(rule.get("missing", "refuse"))
    median = f" ({rule['median']:g})" if rule.get("median") is not None else ""
    return {"refuse": "none", "level": "a level of their own", "drop": "rows left out"}.get(kind, f"{kind}{median}")
