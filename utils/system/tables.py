"""Tables of plain text: whole where output goes to a file or a pipe, fitted to the columns of a terminal.

No number and no word is broken: cells of several words take several lines. Columns that find no room are left out and
named, as are those that say the same in every row.
"""

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len, chop_cells

from utils.system.console import as_shown
from utils.words.wrapping import FIGURE, fit, room

LEAST = 16  # columns, below which a cell of several words is not wrapped
MOST_NAMED = 20  # columns that are left out
ATOM = re.compile(rf"{FIGURE}|\S+")  # what stays on one line of a cell
NUMBER = re.compile(r"([+-]?\d[\d,]*(\.\d+)?( %)?|[-–]?)")
JOINTS = (re.compile(r"(?<=[+,=/:])"), re.compile(r"(?<=[_.-])"))  # where a word may be cut; the second if it must
WHOLE = "`| less -S` behind the command shows all"
CHOOSE = f"metrics=... chooses some, out=FILE writes all, {WHOLE}"
DASH = "–"  # where there is no figure
# what LaTeX would take for a command, as LaTeX prints it
SIGNS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", DASH: "--", "→": r"$\to$"}
SIGNS |= {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}
LATEX = str.maketrans(SIGNS)

Lines = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Rule:
    """The signs before, between and behind the cells of a row, and below the names of the columns."""

    left: str = ""
    between: str = "  "
    right: str = ""
    under: str = ""

    def draw(self, cells: Sequence[str]) -> str:
        """A line of cells, each as wide as its column."""
        return f"{self.left}{self.between.join(cells)}{self.right}".rstrip()

    def measure(self, wide: Sequence[int]) -> int:
        """The columns that a line of cells takes."""
        return sum(wide) + cell_len(self.left + self.right) + cell_len(self.between) * (len(wide) - 1)


PLAIN = Rule()
MARKDOWN = Rule("| ", " | ", " |", "-")


class Column:
    """A column of a table.

    Args:
        head: its name, "" for none.
        cells: of its rows, without ends of lines.
        most: columns of the terminal that a word may take before it is cut behind its signs.
        left: it is the first one, whose numbers name the rows.
    """

    def __init__(self, head: str, cells: Sequence[str], most: int, *, left: bool):
        self.head, self.cells = head, cells
        self._parts = [[part for atom in ATOM.findall(cell) for part in _parts(atom, most)] for cell in (head, *cells)]
        self.natural = max(map(cell_len, (head, *cells)))
        longest = max((cell_len(part) for cell in self._parts for _, part in cell), default=0)
        self.least = min(self.natural, max(LEAST, longest))

        self._right = not left and all(map(NUMBER.fullmatch, cells)) and any(map(str.isdigit, "".join(cells)))

    def set(self, line: str, wide: int) -> str:
        """A line of a cell in so many columns, numbers at the right."""
        blanks = " " * (wide - cell_len(line))
        return blanks + line if self._right else line + blanks

    @property
    def common(self) -> bool:
        """True where it has a name and several rows, all of which say the same."""
        return bool(self.head) and len(self.cells) > 1 and len(set(self.cells)) == 1

    def wrapped(self, wide: int) -> list[list[str]]:
        """Its name and its cells, each in lines of so many columns; what fits stays as it is."""
        whole = zip((self.head, *self.cells), self._parts, strict=True)
        return [[cell] if cell_len(cell) <= wide else _fill(parts, wide) for cell, parts in whole]


def align(
    header: Sequence[str], rows: Lines, *, first: Collection[str] = (), how: str = WHOLE, indent: str = ""
) -> str:
    """Header and rows in aligned columns, and in a terminal a sentence on columns that are left out.

    Args:
        header: names of the columns; those without one are always kept, and without any there is no header.
        rows: their cells.
        first: columns that are kept before all others; that at the left is always kept.
        how: says what shows the columns that are left out.
        indent: before each line.
    """
    return draw(header, rows, room(sys.stdout), PLAIN, first=first, how=how, indent=indent)


def draw(
    header: Sequence[str],
    rows: Lines,
    wide: int | None,
    rule: Rule,
    *,
    first: Collection[str] = (),
    how: str = WHOLE,
    indent: str = "",
) -> str:
    """The same in ``wide`` columns, or in as many as it takes for None, with the signs of a rule."""
    cells = [[as_shown(cell).replace("\n", "\\n").replace("\t", "\\t") for cell in line] for line in (header, *rows)]
    most = sys.maxsize if wide is None else wide // 2
    columns = [Column(head, of, most, left=not i) for i, (head, *of) in enumerate(zip(*cells, strict=True))]
    space = sys.maxsize if wide is None else wide - len(indent)
    said: list[str] = []
    if rule.measure([of.natural for of in columns]) > space:
        columns, said = _choose(columns, space, rule, first, how)
    lines = "".join(f"{indent}{line}".rstrip() + "\n" for line in _lines(columns, space, rule))
    return lines + "".join(f"{fit(indent + of, wide or space)}\n" for of in said)


def markdown_table(lines: Lines, wide: int | None, first: Collection[str] = (), how: str = CHOOSE) -> str:
    """Header and rows as a Markdown table, for a terminal of ``wide`` columns fitted to it, some columns ``first``."""
    header, *rows = lines
    if wide is not None:
        return draw(header, rows, wide, MARKDOWN, first=first or header[:2], how=how)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *rows))


def fitting_table(lines: Lines, wide: int | None) -> str:
    """The same with all columns: where a terminal has no room for them, its rows below each other."""
    whole = markdown_table(lines, None)
    if wide is None or max(map(cell_len, whole.splitlines())) <= wide:
        return whole
    return stack(lines[0], lines[1:], wide)


def table_in_parts(lines: Lines, wide: int | None) -> str:
    """The same with all columns: where a terminal has no room for them, several tables that begin with the first."""
    whole = markdown_table(lines, None)
    if wide is None or max(map(cell_len, whole.splitlines())) <= wide:
        return whole
    least = [Column(head, of, wide // 2, left=not i).least for i, (head, *of) in enumerate(zip(*lines, strict=True))]
    parts = [[0]]
    for i in range(1, len(least)):
        if len(parts[-1]) > 1 and MARKDOWN.measure([least[j] for j in (*parts[-1], i)]) > wide:
            parts.append([0])
        parts[-1].append(i)
    drawn = [[[line[j] for j in part] for line in lines] for part in parts]
    return "\n".join(draw(of[0], of[1:], wide, MARKDOWN) for of in drawn)


def latex_table(lines: Lines) -> str:
    """Header and rows as a ``tabular`` for the booktabs package."""
    head, *rows = [" & ".join(map(escape_latex, line)) + r" \\" for line in lines]
    opening = [rf"\begin{{tabular}}{{{'l' * len(lines[0])}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*opening, *rows, r"\bottomrule", r"\end{tabular}"])


def escape_latex(text: str) -> str:
    """The text as LaTeX prints it."""
    return text.translate(LATEX)


def stack(header: Sequence[str], rows: Lines, wide: int) -> str:
    """Rows below each other, each cell on a line of its own behind the name of its column, for few and wide ones."""
    return "\n".join(draw(("", ""), list(zip(header, row, strict=True)), wide, PLAIN) for row in rows)


def _choose(
    columns: Sequence[Column], wide: int, rule: Rule, first: Collection[str], how: str
) -> tuple[list[Column], list[str]]:
    """Returns the columns that find room, and sentences on the others."""
    left, *others = columns
    kept = [left]
    for column in sorted((of for of in others if not of.common), key=lambda of: bool(of.head) + (of.head not in first)):
        if not column.head or rule.measure([of.least for of in (*kept, column)]) <= wide:
            kept.append(column)
    same = [f"{of.head} {of.cells[0]}".strip() for of in others if of.common]
    lost = [of.head for of in others if not of.common and of not in kept]
    said = [f"In every row: {', '.join(same)}."] * bool(same)
    if lost:
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        said.append(f"No room for {', '.join(lost[:MOST_NAMED])}{more}: {how}.")
    return [of for of in columns if of in kept], said


def _lines(columns: Sequence[Column], wide: int, rule: Rule) -> Iterator[str]:
    """Yields the lines of a table; room that is left goes to the narrowest columns that can fill it."""
    widths = [of.natural for of in columns]
    if rule.measure(widths) > wide:
        widths = [of.least for of in columns]
    while (growing := [i for i, of in enumerate(columns) if widths[i] < of.natural]) and rule.measure(widths) < wide:
        widths[min(growing, key=widths.__getitem__)] += 1
    header, *rows = zip(*(of.wrapped(own) for of, own in zip(columns, widths, strict=True)), strict=True)
    for row in [header, *rows] if any(of.head for of in columns) else rows:
        for line in zip_longest(*row, fillvalue=""):
            yield rule.draw([of.set(cell, own) for of, cell, own in zip(columns, line, widths, strict=True)])
        if row is header and rule.under:
            yield rule.draw([rule.under * of for of in widths])


def _parts(word: str, most: int) -> list[tuple[str, str]]:
    """A word with the blank before it; a longer one cut behind its signs, or anywhere, with nothing before the rest."""
    cut = [word]
    for joint in JOINTS:
        cut = [piece for part in cut for piece in (joint.split(part) if cell_len(part) > most else [part])]
    pieces = [piece for part in cut for piece in chop_cells(part, most)]
    return [(" ", pieces[0]), *(("", piece) for piece in pieces[1:])]


def _fill(parts: Sequence[tuple[str, str]], wide: int) -> list[str]:
    """The parts of a cell in lines."""
    lines = [""]
    for glue, part in parts:
        longer = f"{lines[-1]}{glue if lines[-1] else ''}{part}"
        if cell_len(longer) <= wide or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
