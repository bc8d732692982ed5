"""Text in lines that fit the terminal: no word, number, interval or command is broken, wide signs count twice."""

import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import TextIO

from rich.cells import cell_len

FEWEST, USUAL = 40, 80  # columns; the second where there is no terminal
COLUMN = re.compile(r"(\s*[^\s'\"`][^'\"`]*?  +)\S")  # a name and the blanks up to what is said of it
QUOTED = r"'[^']*'|\"(?:[^\"\\]|\\.)*\""
OPTION = (
    rf"(?:--?[A-Za-z][\w-]*|[\w./~-]+\.[a-z]+(?:\.gz)?(?=[\s;,`)]|$)|[~+]*\w[\w./@-]*=(?:{QUOTED}|[^\s'\"`])*|{QUOTED})"
)
COMMAND = rf"`?(?:\S*/)?python3? (?:-m )?\w[\w./]*(?: {OPTION}|(?: \w[\w.]*)(?= {OPTION}))*\S*"
CODE = r"from [\w.]+ import \w+; \w+ = \w+\([^()]*\)\S*"
FIGURE = r"\S+ ± \S+|\d\S* %\S*|\S*\[[^\[\]\s]+(?: [^\[\]\s]+){1,2}\]\S*"  # an interval, a share
ATOM = re.compile(rf"{COMMAND}|{CODE}|{FIGURE}|`[^`]{{1,40}}`\S*|\S+")
GLUE, BREAK = " \\", "\n"  # what joins a part to the line above: in a shell; none, it begins a line
WORD = re.compile(rf"(?:{QUOTED}|[^\s'\"]|['\"])+")  # of a command


def columns() -> int:
    """Returns the width of the terminal, 80 where there is none, at least 40."""
    return max(FEWEST, shutil.get_terminal_size((USUAL, 24)).columns)


def room(stream: TextIO) -> int | None:
    """Returns the width of the terminal that is written to; None for a file or a pipe, whose lines may be of any."""
    if not stream.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    try:
        own = os.get_terminal_size(stream.fileno()).columns
    except (OSError, io.UnsupportedOperation):
        own = 0
    return max(FEWEST, int(given) if given.isdecimal() and int(given) else own or USUAL)


def wrap(text: str, first: str = "", then: str = "") -> str:
    """The words of a text in lines that fit; the first line begins with ``first``, all others with ``then``."""
    return _fill(text, columns(), first, then)


def reflow(text: str) -> str:
    """A text of paragraphs, indented lines and two columns in lines that fit, each below where its own words begin."""
    return "\n".join(_fit(line, columns()) for line in paragraphs(text))


def fit(text: str, wide: int) -> str:
    """The lines of a text, those that are wider than ``wide`` columns in several, each below where its words begin."""
    return "\n".join(line if cell_len(line) <= wide else _fit(line, wide) for line in text.split("\n"))


def paragraphs(text: str) -> list[str]:
    """The lines of a text, those of a paragraph joined: commands and what begins a second column stand alone."""
    found: list[str] = []
    for line in text.splitlines():
        if found and _goes_on(found[-1], line):
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found


def _goes_on(above: str, line: str) -> bool:
    """Returns whether a line goes on with the paragraph, or with the second column, of the line above."""
    if not above.strip() or not line.strip() or COLUMN.match(line) or _is_command(line) or _is_command(above):
        return False
    column = COLUMN.match(above)
    return _indent(line) == (len(column[1]) if column else _indent(above))


def _is_command(line: str) -> bool:
    return line.lstrip().startswith("python ")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _fit(line: str, wide: int) -> str:
    column, indent = COLUMN.match(line), " " * _indent(line)
    if column and cell_len(column[1]) <= wide // 2:
        return _fill(line[len(column[1]) :], wide, column[1], " " * cell_len(column[1]))
    deeper = _is_command(line) or line.startswith(f"{indent}- ")
    return _fill(line, wide, indent, f"{indent}  " if deeper else indent)


def _fill(text: str, wide: int, first: str, then: str) -> str:
    """The words of a text in lines of ``wide`` columns."""
    lines, empty = [first], True
    for atom in ATOM.findall(text):
        for glue, piece in _pieces(atom, wide, then):
            longer = f"{lines[-1]}{'' if empty else ' '}{piece}"
            alone = empty and (not first.strip() or cell_len(piece) > wide)
            if glue != BREAK and (alone or cell_len(longer + glue) <= wide):
                lines[-1] = longer
            else:
                lines[-1] = lines[-1].rstrip() + glue.rstrip(BREAK)
                indent = {"": then, GLUE: f"{then}    ", BREAK: ""}[glue]
                lines.append(indent[: max(0, wide - cell_len(piece + glue))] + piece)
            empty = False
    return "" if empty else "\n".join(lines)


def _pieces(atom: str, wide: int, then: str) -> Iterator[tuple[str, str]]:
    """Yields an atom, or the parts of one that no line holds, each with what joins it to the line above in a shell."""
    if cell_len(atom) <= wide - cell_len(then) or " " not in atom:
        yield "", atom
    elif re.fullmatch(COMMAND, atom):
        words = WORD.findall(atom)
        begun = 3 if words[1] == "-m" else 2
        yield "", " ".join(words[:begun])
        yield from ((GLUE, word) for word in words[begun:])
    elif re.fullmatch(CODE, atom):  # Python reads an indent, so none must be before a second line
        yield from [("", atom)] if cell_len(atom) <= wide else [(BREAK, line) for line in atom.split("; ")]
    else:
        yield from (("", word) for word in atom.split())
