"""The schema of a table as a file for its owner: every column on a line, with what was found as comments.

``utils/tables/table_schema.py`` reads it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from evals.looking.facts import ColumnFacts, Facts
from evals.looking.look_text import name_levels
from utils.system.console import count, harmless
from utils.tables.remarks import Remark, flow, plain_rule
from utils.tables.table_schema import FileFormat, TableSchema

HEAD = """\
# What {file} means, as far as its cells tell: {rows}. Edit what is wrong, then
#   python train.py dataset={name}
# docs/own_table.md explains every key; what stands behind # decide: and # look: is for you to judge.
"""
GRAPH = """\
# The causal graph, where you know one: by it the twins of a person in the other groups are computed. Without one it is
# by the direct effect of the sensitive column alone (scm=independent). The data propose one, for you to judge:
#   python -m evals.scm dataset={name} scm=discovered
# graph:
#   - {example}
"""
HINT = re.compile(r"^# The causal graph, where you know one.*\n(?:#.*(?:\n|\Z))*", re.MULTILINE)
PLAIN = re.compile(r"(?!.*->)[\w .()%/+-]*\w[\w .()%/+-]*")  # names that need no quotes in a line of the graph


def write_schema(schema: TableSchema, facts: Facts, out: Path) -> str:
    """The text of the schema that a draft came to, for the file ``out``."""
    rows = f"{facts.rows:,} rows, {count(len(facts.columns), 'column')}"
    parts = [
        HEAD.format(file=_comment(facts.file), rows=rows, name=_comment(out.name)),
        *_file(schema.file, facts, out),
        *_rows(schema),
        *_columns(schema, facts),
        *_label(schema, facts),
        f"split: {flow({'how': schema.split.how, **_split(schema)})}\n",
        *([f"weights: {flow(schema.weights)}\n"] if schema.weights else []),
        *_graph(schema.graph, facts, out),
    ]
    return "".join(parts)


def _comment(text: str) -> str:
    """A text on one line."""
    return harmless(" ".join(text.split()))


def _file(fmt: FileFormat, facts: Facts, out: Path) -> Iterator[str]:
    """Yields the format, as far as it is not the default."""
    path, folder = Path(fmt.path).resolve(), out.resolve().parent
    own = fmt.model_dump(mode="json", exclude_defaults=True, exclude={"path"})
    yield "file:\n"
    yield f"  path: {flow(str(path.relative_to(folder) if path.is_relative_to(folder) else path))}\n"
    yield from (f"  {key}: {flow(value)}\n" for key, value in own.items())
    yield from (f"  # read as: {_comment(facts.read_as)}\n" for _ in range(bool(facts.read_as)))
    yield from (f"  # look: {_comment(r.text)}\n" for r in facts.open if not r.column and not _settled(r, own))
    yield "\n"


def _settled(remark: Remark, own: Mapping[str, object]) -> bool:
    """Returns whether a remark is about the format, which is written already."""
    return any(remark.line.startswith(f"file: {{{key}:") for key in own)


def _rows(schema: TableSchema) -> Iterator[str]:
    if schema.rows:
        yield f"rows: {flow(schema.rows)}\n\n"


def _columns(schema: TableSchema, facts: Facts) -> Iterator[str]:
    """Yields a line for each column, behind what is to be decided and looked at."""
    lines = {name: f"  {flow(name)}: {flow(plain_rule(rule))}" for name, rule in schema.columns.items()}
    width = max((len(line) for line in lines.values() if len(line) <= 60), default=0)
    yield "columns:\n"
    for column in facts.columns:
        if column.name in lines:
            yield from _remarks(
                "decide", [r for r in facts.decisions if r.column == column.name and not r.line.startswith("label: ")]
            )
            if column.role != "left out":
                yield from _remarks("look", facts.remarks_on(column.name))
            yield f"{lines[column.name]:{width}}  # {_comment(what(column, facts))}\n"
    yield "\n"


def _remarks(kind: str, remarks: Sequence[Remark]) -> Iterator[str]:
    """Yields remarks as comments, each with its line as it would stand here."""
    for remark in remarks:
        yield f"  # {kind}: {_comment(remark.text)}\n"
        if remark.line:
            yield f"  #   {_in_place(remark.line)}\n"


def _in_place(line: str) -> str:
    """The line of a remark as it stands among the columns, or below the key that it begins with."""
    key, _, inner = line.partition(": {")
    return inner[:-1] if key == "columns" else f"{inner[:-1]}  # below {key}:" if inner else line


def what(column: ColumnFacts, facts: Facts) -> str:
    """Says what a column holds: ``3 texts: Bern (400), Basel (380), Chur (220)``; of one left out why."""
    if column.role != "left out":
        missing = f"; missing {column.missing:,}, {column.spread}" if column.spread else ""
        return ": ".join(part for part in (column.reason, name_levels(column, 5)) if part) + missing
    said = [remark.text for remark in facts.remarks_on(column.name)]
    used = [f"to use it: {_in_place(r.line)}" for r in facts.remarks_on(column.name) if r.line.startswith("columns:")]
    return "; ".join([*said, *used]) or column.reason


def _label(schema: TableSchema, facts: Facts) -> Iterator[str]:
    """Yields what is sensitive, and the label with its classes."""
    label = schema.label
    yield f"sensitive: {flow(schema.sensitive)}\n"
    if schema.actionable is not None:
        yield f"actionable: {flow(schema.actionable)}\n"
    yield "\n"
    told = ", ".join(f"{text} ({rows:,})" for text, rows in zip(facts.classes, facts.whole.counts, strict=True))
    one = f"; class 1 is {facts.classes[-1]}" if len(facts.classes) == 2 else ""
    yield f"label:\n  column: {flow(label.column)}  # {_comment(told + one)}\n"
    if label.favourable is not None:
        yield f"  favourable: {flow(label.favourable)}\n"
    if label.positive is not None:
        yield f"  positive: {flow(label.positive)}\n"
    if label.merge:
        yield f"  merge: {flow(label.merge)}\n"
    if len(facts.classes) > 2:
        yield from _merge_to_choose(facts.classes)
    for remark in facts.decisions:
        if remark.line.startswith("label: "):
            yield f"  # decide: {_comment(remark.text)}\n"
            yield from (f"  # favourable: {flow(text)}\n" for text in facts.classes)
    yield "\n"


def _merge_to_choose(classes: Sequence[str]) -> Iterator[str]:
    yield "  # decide: two classes are needed; say which values are one\n"
    yield f"  # merge: {flow({classes[-1]: [classes[-1], classes[-2]]})}\n"


def _split(schema: TableSchema) -> dict[str, object]:
    column = {"column": schema.split.column} if schema.split.column else {}
    return {"shares": list(schema.split.shares), **column}


def _graph(graph: Mapping[str, Sequence[str]] | None, facts: Facts, out: Path) -> Iterator[str]:
    yield "\n"
    if graph is None:
        causes, effects = ([c.name for c in facts.columns if c.role == role][:1] for role in ("sensitive", "feature"))
        example = write_graph_line(effects[0], causes) if causes and effects else "cause -> effect"
        yield GRAPH.format(example=example, name=_comment(out.name))
        return
    yield from write_graph(graph)


def write_graph(
    graph: Mapping[str, Sequence[str]], head: Sequence[str] = (), notes: Mapping[str, str] | None = None
) -> list[str]:
    """The lines of a graph, child -> parents, in a schema; with comments above, and behind single children."""
    behind = {child: f"  # {_comment(note)}" for child, note in (notes or {}).items()}
    plain = all(PLAIN.fullmatch(name) for child in graph for name in (child, *graph[child]))
    written = {
        child: f"  - {flow(write_graph_line(child, of))}" if plain else f"  {flow(child)}: {flow(list(of))}"
        for child, of in graph.items()
        if of or not plain
    }
    lines = (f"{line}{behind.get(child, '')}\n" for child, line in written.items())
    return ["graph:\n", *(f"  # {_comment(line)}\n" for line in head), *lines]


def with_graph(text: str, lines: Sequence[str]) -> str:
    """The text of a schema with the lines of a graph in place of those that it has, or of the hint at one."""
    own = text.splitlines(keepends=True)
    found = [(key, value) for key, value in yaml.compose(text).value if key.value == "graph"]
    start = end = len(own)
    if found:
        start, end = found[0][0].start_mark.line, _last_line(found[0][1]) + 1
        while not own[end - 1].strip():  # behind a text of several lines
            end -= 1
    elif (hint := HINT.search(text)) is not None:
        start = text.count("\n", 0, hint.start())
        end = start + hint[0].count("\n")
    own[:start] = [line if line.endswith("\n") else f"{line}\n" for line in own[:start]]
    ending = "\r\n" if own and own[0].endswith("\r\n") else "\n"
    return "".join([*own[:start], *(line.replace("\n", ending) for line in lines), *own[end:]])


def _last_line(node: yaml.Node) -> int:
    """The last line of a node; the end of a block is where the next one begins, so that of the last text in it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.line - (node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line)


def write_graph_line(child: str, parents: Sequence[str]) -> str:
    """``a, b -> c``."""
    return f"{', '.join(parents)} -> {child}"
