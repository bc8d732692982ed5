"""A document of headings, paragraphs, tables and figures, as Markdown, as one HTML file that needs no other, as JSON.

Every text is taken literally: what a database holds can neither break a table nor become markup.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from utils.system.console import CONTROL

# what would be markup where it stands; an underscore within a word, or < before =, is none
MARKED = re.compile(r"[\\`*|~$]|](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
OPENING = re.compile(r"^([#+\-=>]|\d+(?=[.)](\s|$)))")  # of a line: heading, list, rule, quotation
BROKEN = re.compile(r"([\d.]+) (\[[\d., ]+\])")  # a figure and its interval, on a line each in narrow columns
SECTION = 2  # level of the headings of sections
# how it looks: a page of paper, dark where the reader's screen is, one column on a telephone
CSS = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --soft: #5b6067; --line: #d9dce0; --tint: #f4f5f7;
  --accent: #0b5a94; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --paper: #16181b; --soft: #a2a8b0; --line: #3a3f45;
  --tint: #1f2226; --accent: #7cc0f4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; padding-bottom: .3rem; border-bottom: 2px solid var(--accent); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .6rem 0; overflow-wrap: break-word; }
ul { margin: .6rem 0; padding-left: 1.2rem; } li { margin: .3rem 0; overflow-wrap: break-word; }
.lead { color: var(--soft); margin: 0 0 1.2rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .7rem .38rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600; }
tbody th { font-weight: 500; } .facts th { color: var(--soft); width: 11rem; }
.facts td { overflow-wrap: anywhere; }
td.number { white-space: nowrap; } td small { color: var(--soft); font-size: .82rem; }
.note { color: var(--soft); font-size: .85rem; margin-top: -.3rem; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; background: #fff;
  border-radius: 6px; display: block; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .5rem; }
pre { background: var(--tint); padding: .7rem .9rem; border-radius: 6px; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .6rem 0; }
@media (max-width: 34rem) { main { padding: 1.4rem 1rem 3rem; } h1 { font-size: 1.4rem; }
  table { font-size: .78rem; } th, td { padding-right: .4rem; } tbody th, tbody td { overflow-wrap: anywhere; }
  tbody th { min-width: 6.2rem; } tbody td:nth-child(2):not(.number) { min-width: 3.7rem; }
  tbody td:last-child:not(.number) { min-width: 7rem; }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; width: auto; border: 0; padding: 0; }
  .facts td { padding-bottom: .45rem; margin-bottom: .45rem; border-bottom: 1px solid var(--line); } }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .9rem; }
nav li { margin: 0; } a { color: var(--accent); }
@media print { nav { display: none; }
  :root { --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --tint: #f4f4f4; --accent: #000; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } h2, h3 { break-after: avoid; }
  tr, figure, pre { break-inside: avoid; } .scroll { overflow: visible; } }
"""


@dataclass(frozen=True)
class Heading:
    """A section begins."""

    text: str
    level: int = SECTION


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of each naming it; without a header, names and what is known of them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture: SVG for HTML, the name of a file beside it for Markdown."""

    svg: str
    file: str
    caption: str


@dataclass(frozen=True)
class Contents:
    """The sections, each a link to its heading."""

    titles: Sequence[str]


Block = Heading | Paragraph | Bullets | Code | Table | Figure | Contents


@dataclass(frozen=True)
class Document:
    """A title, a line under it, blocks, and for machines what stands in front of it."""

    title: str
    lead: str
    blocks: Sequence[Block]
    front: Mapping[str, Any] = field(default_factory=dict)


def list_contents(blocks: Sequence[Block]) -> Contents:
    """The headings of the sections, without those within them."""
    return Contents([block.text for block in blocks if isinstance(block, Heading) and block.level == SECTION])


def name_anchor(title: str) -> str:
    """The name of a heading in links, as GitHub and the Hugging Face Hub make it of its words."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


# --- Markdown --------------------------------------------------------------------------------------------------


def markdown(document: Document) -> str:
    """The document in GitHub's Markdown."""
    parts = [f"# {escape(document.title)}", escape(document.lead), *map(_markdown, document.blocks)]
    front = yaml.safe_dump(dict(document.front), sort_keys=False, allow_unicode=False, width=120)
    return (f"---\n{front}---\n\n" if document.front else "") + "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """One line of Markdown that shows just this text, in a paragraph or in a cell of a table."""
    line = MARKED.sub(r"\\\g<0>", " ".join(_visible(text).split()))
    return OPENING.sub(lambda m: f"{m[1]}\\" if m[1].isdigit() else f"\\{m[1]}", line)


def _visible(text: str) -> str:
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {escape(text)}"
        case Paragraph(text):
            return escape(text)
        case Bullets(items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Code(text):
            return "\n".join(f"    {line}" for line in _visible(text).splitlines())
        case Table():
            return _markdown_table(block)
        case Contents(titles):
            return " · ".join(f"[{escape(title)}](#{name_anchor(title)})" for title in titles)
        case Figure(_, file, caption):
            return f"![{escape(caption)}](<{file.replace('>', '%3E').replace('<', '%3C')}>)\n\n{escape(caption)}"


def _markdown_table(table: Table) -> str:
    header = table.header or ["", ""]
    lines = [header, ["---"] * len(header), *table.rows]
    drawn = ["| " + " | ".join(cell if row is lines[1] else escape(cell) for cell in row) + " |" for row in lines]
    return "\n".join(drawn) + (f"\n\n{escape(table.caption)}" if table.caption else "")


# --- HTML ------------------------------------------------------------------------------------------------------


def page(document: Document) -> str:
    """The document as one HTML file, with no script and no address outside of it."""
    body = "\n".join(map(_html, document.blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(document.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_safe(document.title)}</h1>\n<p class="lead">{_safe(document.lead)}</p>\n{body}\n'
        "</main>\n</body>\n</html>\n"
    )


def _safe(text: str) -> str:
    return html.escape(_visible(text))


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            name = f' id="{_safe(name_anchor(text))}"' if level == SECTION else ""
            return f"<h{level}{name}>{_safe(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_safe(text)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{_safe(item)}</li>" for item in items) + "\n</ul>"
        case Code(text):
            return f"<pre>{_safe(text)}</pre>"
        case Table():
            return _html_table(block)
        case Contents(titles):
            links = "".join(f'<li><a href="#{_safe(name_anchor(title))}">{_safe(title)}</a></li>' for title in titles)
            return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
        case Figure(svg, _, caption):
            shown = f'<div role="img" aria-label="{_safe(caption)}">{bare(svg)}</div>'
            return f"<figure>{shown}<figcaption>{_safe(caption)}</figcaption></figure>"


def _html_table(table: Table) -> str:
    cell = _cell if table.header else _text_cell
    head = "".join(f'<th scope="col">{_safe(cell)}</th>' for cell in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{_safe(row[0])}</th>' + "".join(cell(text) for text in row[1:]) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{_safe(table.caption)}</p>' if table.caption else ""  # a caption would scroll with it
    start = f"<thead><tr>{head}</tr></thead>" if table.header else ""
    kind = "" if table.header else ' class="facts"'
    label = _safe(", ".join(filter(None, table.header)))
    keys = f' tabindex="0" role="group" aria-label="{label}"' if table.header else ""  # what scrolls takes the keyboard
    return f'<div class="scroll"{keys}><table{kind}>{start}<tbody>\n{rows}\n</tbody></table></div>{note}'


def _text_cell(text: str) -> str:
    return f"<td>{_safe(text)}</td>"


def _cell(text: str) -> str:
    number = ' class="number"' if text[:1].isdigit() or text[:1] in "+-−–[" else ""
    shown = BROKEN.sub(r"\1<br><small>\2</small>", _safe(text))
    return f"<td{number}>{shown}</td>"


def bare(svg: str) -> str:
    """The svg element alone, without the prologue and metadata that name addresses."""
    return re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)


# --- JSON ------------------------------------------------------------------------------------------------------


def as_json(document: Document) -> str:
    """The document as JSON: title, lead, ``front``, and ``sections`` of a title and blocks, each with its kind.

    A figure is its caption.
    """
    sections: list[dict[str, Any]] = []
    for block in document.blocks:
        if isinstance(block, Heading) and block.level == SECTION:
            sections.append({"title": block.text, "blocks": []})
        elif sections:
            sections[-1]["blocks"].append(_as_dict(block))
    told = {"title": document.title, "lead": document.lead, "front": dict(document.front), "sections": sections}
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _as_dict(block: Block) -> dict[str, Any]:
    return {
        "kind": type(block).__name__.lower(),
        **{k: v for k, v in asdict(block).items() if k not in ("svg", "file")},
    }
