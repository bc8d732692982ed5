"""Text in lines that fit the terminal: words are never broken."""

import re
import shutil
import textwrap

FEWEST, USUAL = 40, 80  # columns; the second where there is no terminal
COLUMN = re.compile(r"(\s*\S.*?  +)\S")  # a name and the blanks up to what is said of it


def columns() -> int:
    """Returns the width of the terminal, 80 where there is none, at least 40."""
    return max(FEWEST, shutil.get_terminal_size((USUAL, 24)).columns)


def wrap(text: str, first: str = "", then: str = "") -> str:
    """The words of a text in lines that fit; the first line begins with ``first``, all others with ``then``."""
    return textwrap.fill(
        text, columns(), initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def reflow(text: str) -> str:
    """A text of paragraphs, indented lines and two columns in lines that fit, each below where its own words begin."""
    return "\n".join(_fit(line) for line in _paragraphs(text))


def _paragraphs(text: str) -> list[str]:
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


def _fit(line: str) -> str:
    column, indent = COLUMN.match(line), " " * _indent(line)
    if column and len(column[1]) <= columns() // 2:
        return wrap(line[len(column[1]) :], column[1], " " * len(column[1]))
    return wrap(line.strip(), indent, f"{indent}  " if _is_command(line) else indent)
