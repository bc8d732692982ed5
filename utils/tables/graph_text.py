"""Causal graphs as people write them: ``a -> b`` lines, a mapping, or a .dot, .gml or .yaml file."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from utils.system.missing import describe_missing

FILES = (".dot", ".gv", ".gml", ".yaml", ".yml")
ATTRIBUTES = re.compile(r'\[[^\]"]*(?:"[^"]*"[^\]"]*)*\]')
SET = re.compile(r'"(?:[^"\\]|\\.)*"|(?:subgraph\b\s*\w*\s*)?\{(?P<inside>(?:"(?:[^"\\]|\\.)*"|[^{}"])*)\}')
MEMBER = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s;,"]+')
COMMENT = re.compile(r"//.*?$|/\*.*?\*/|^\s*#.*?$", re.MULTILINE | re.DOTALL)

Graph = dict[str, tuple[str, ...]]


def read_graph(given: Any, folder: Path) -> Graph:
    """The graph, child -> parents, of what a schema says: a mapping, lines, or the name of a file in ``folder``.

    Raises:
        ValueError: it cannot be read as a graph.
    """
    if isinstance(given, str) and given.lower().endswith(FILES):
        return _read_file(folder / given)
    if isinstance(given, Mapping):
        return {str(child): _names(parents) for child, parents in given.items()}
    lines = given.splitlines() if isinstance(given, str) else given
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise ValueError(f"{given!r} is no graph; write lines such as a -> b, or child: [parents]")
    return parse_lines([part for line in lines for part in _statements(line)])


def parse_lines(lines: Sequence[str]) -> Graph:
    """The graph of lines ``a -> b``, ``a, b -> c`` and ``a -> b -> c``; names with signs stand in quotes.

    Raises:
        ValueError: a line without an arrow, or with a name missing.
    """
    edges: list[tuple[str, str]] = []
    for line in filter(str.strip, lines):
        sides = split(line, "->")
        if len(sides) < 2:
            raise ValueError(f"{line.strip()!r} has no arrow; write cause -> effect")
        ends = [[unquoted(name) for name in _members(side)] for side in sides]
        if not all(name for names in ends for name in names):
            raise ValueError(f"{line.strip()!r} lacks a name beside an arrow")
        edges += [(a, b) for left, right in itertools.pairwise(ends) for a in left for b in right]
    return _collect(edges)


def _read_file(path: Path) -> Graph:
    if not path.is_file():
        raise ValueError(describe_missing(path))
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() in (".yaml", ".yml"):
        content = yaml.load(text, Loader=yaml.BaseLoader)
        return read_graph(content, path.parent)
    return _read_gml(text, path) if path.suffix.lower() == ".gml" else _read_dot(text, path)


def _read_gml(text: str, path: Path) -> Graph:
    import networkx

    try:
        graph = networkx.parse_gml(text)
    except networkx.NetworkXError as error:
        raise ValueError(f"{path} is no GML graph: {error}") from None
    if not graph.is_directed():
        raise ValueError(f"{path} is not directed; write directed 1")
    return _collect(list(graph.edges()))


def _read_dot(text: str, path: Path) -> Graph:
    found = re.fullmatch(r"\s*(?:strict\s+)?digraph\b[^{]*\{(.*)\}\s*", COMMENT.sub("", text), re.DOTALL)
    if found is None:
        raise ValueError(f"{path} is no directed graph in DOT; expected digraph {{ a -> b }}")
    if turned := re.search(r"\bdir\s*=\s*\"?(back|both|none)", found[1]):
        raise ValueError(f"{path} draws an arrow with {turned[0]}, which turns it; write every edge as cause -> effect")
    lines = SET.sub(_in_commas, ATTRIBUTES.sub("", found[1])).splitlines()
    statements = [part for line in lines for part in _statements(line) if "->" in part]
    for name in (name for part in statements for side in split(part, "->") for name in _members(side)):
        if re.search(r"[\s{}]", name) and name[0] not in "\"'":
            raise ValueError(f"{path}: {name!r} beside an arrow is no name; write it in quotes, a set as {{a b}} -> c")
    return parse_lines([part.replace("\\n", "") for part in statements])


def _in_commas(found: re.Match[str]) -> str:
    """A set ``{a b}`` of DOT as ``{a, b}``; of a group that holds edges these alone; texts in quotes as they are."""
    if found["inside"] is None:
        return found[0]
    if "->" in found["inside"]:
        return f"\n{found['inside']}\n"
    return f"{{{', '.join(MEMBER.findall(found['inside']))}}}"


def _members(side: str) -> list[str]:
    """The names of one side of an arrow, in quotes where they stand in them."""
    return [name.strip() for name in split(side.strip().strip("{}"), ",")]


def _collect(edges: Sequence[tuple[str, str]]) -> Graph:
    graph: dict[str, list[str]] = {}
    for cause, effect in dict.fromkeys(edges):
        graph.setdefault(effect, []).append(cause)
    return {child: tuple(parents) for child, parents in graph.items()}


def _names(parents: Any) -> tuple[str, ...]:
    if parents is None:
        return ()
    if isinstance(parents, str):
        return (parents,)
    if isinstance(parents, list | tuple) and all(isinstance(name, str) for name in parents):
        return tuple(parents)
    raise ValueError(f"{parents!r} is no list of parents; write child: [a, b]")


def _statements(line: str) -> list[str]:
    return [part for part in split(line, ";") if part.strip()]


def split(text: str, by: str) -> list[str]:
    """The text cut at a sign outside quotes."""
    parts, quote, start, i = [], "", 0, 0
    while i < len(text):
        if quote:
            quote = "" if text[i] == quote else quote
        elif text[i] in "\"'" and not text[start:i].strip():  # an apostrophe inside a word opens nothing
            quote = text[i]
        elif text.startswith(by, i):
            parts.append(text[start:i])
            start = i = i + len(by)
            continue
        i += 1
    return [*parts, text[start:]]


def unquoted(name: str) -> str:
    """A text without blanks and quotes around it."""
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] in "\"'" and name[-1] == name[0] else name
