"""The figures of a table as one HTML page: no script, no address outside of it, for a telephone and for paper too."""

import html
from collections.abc import Iterable, Sequence

from evals.cards.document import CSS
from evals.looking.facts import MOST_CELLS, ColumnFacts, Facts, Group, Numbers
from evals.looking.graph_drawing import describe, draw_graph
from evals.looking.look_text import kind, number, percent, sentence
from utils.system.console import count, harmless
from utils.tables.remarks import Remark

STYLE = """
main { max-width: 88rem; } .lead, .narrow { max-width: 52rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; list-style: none; padding: 0; }
a { color: var(--accent); } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; min-width: 0; }
.card h3 { margin: 0; overflow-wrap: anywhere; } .card p { margin: .25rem 0 .5rem; }
.card pre { margin: .4rem 0 0; user-select: all; }
h3.apart { margin: 1.6rem 0 .8rem; }
.card.out { border-style: dashed; } .soft { color: var(--soft); font-size: .85rem; }
.tag { border: 1px solid var(--accent); color: var(--accent); border-radius: 4px; padding: 0 .35rem; font-size: .75rem;
  font-weight: 600; margin-left: .4rem; white-space: nowrap; }
.error { border-left: 4px solid var(--bad); padding: .1rem 1rem; background: var(--tint); }
table.levels { font-size: .85rem; table-layout: fixed; } .levels td, .levels th { padding: .15rem .5rem .15rem 0; }
.levels tbody th { overflow-wrap: anywhere; font-weight: 400; min-width: 0; } .levels .figure { width: 4.6rem; }
td.figure, th.figure { text-align: right; white-space: nowrap; }
tbody td:nth-child(2):not(.number), tbody td:last-child:not(.number) { min-width: 0; }
.bar { display: block; height: .65rem; margin-top: .35rem; background: var(--accent); border-radius: 2px;
  min-width: 1px; }
.wide { width: auto; } .wide th { min-width: 6.5rem; } .wide td.figure, .wide th.figure { min-width: 0; }
thead th.figure { white-space: normal; overflow-wrap: anywhere; }
.wide .figure { padding-left: 1rem; } .wide .bars { width: 14rem; }
.wide tbody + tbody tr:first-child > * { border-top: 2px solid var(--line); }
.masonry { columns: 21rem; column-gap: 1rem; } .masonry .card { break-inside: avoid; margin-bottom: 1rem; }
.histogram { width: 100%; height: 4.2rem; display: block; } .histogram rect { fill: var(--accent); }
.ends { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft); margin-top: .2rem; }
summary { cursor: pointer; font-size: .88rem; } details { margin-top: .4rem; }
.graph { display: block; } .graph text { fill: var(--ink); text-anchor: middle; font: 14px system-ui, sans-serif; }
.graph rect { fill: var(--tint); stroke: var(--soft); }
.graph .sensitive rect { stroke: var(--accent); stroke-width: 2.5; }
.graph .label rect { stroke: var(--ink); stroke-width: 2.5; stroke-dasharray: 5 3; }
.arrow { fill: none; stroke: var(--soft); stroke-width: 1.5; } marker path { fill: var(--soft); }
:root { --bad: #b3261e; } @media (prefers-color-scheme: dark) { :root { --bad: #f2857d; } }
@media (max-width: 34rem) { td.figure, th.figure { padding-right: .5rem; } .wide .bars { display: none; }
  .wide .figure { padding-left: .2rem; } }
"""
NO_GRAPH = (
    "None is given. Without one, training compares a person with its twins by the direct effect of the sensitive "
    "column alone (scm=independent); graph: in the schema gives one."
)
CLOSED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(facts: Facts, schema_name: str, schema: str) -> str:
    """The page of a table whose schema, ``schema``, is in the file ``schema_name``."""
    sections = [
        *_remarks("decide", "To decide", facts.decisions),
        *_remarks("look", "To look at", facts.open),
        *([("read", "Read as", f'<p class="narrow">{_safe(facts.read_as)}</p>')] if facts.read_as else []),
        ("groups", "Groups and classes", _groups(facts)),
        ("columns", "Columns", _columns(facts)),
        ("graph", "Causal graph", _graph(facts)),
        (
            "schema",
            "Schema",
            f'<details><summary>{_safe(schema_name)}</summary><pre tabindex="0">{_safe(schema)}</pre></details>',
        ),
    ]
    links = "".join(f'<li><a href="#{key}">{_safe(title)}</a></li>' for key, title, _ in sections)
    body = "\n".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{_safe(title)}</h2>{content}</section>'
        for key, title, content in sections
    )
    refused = "".join(
        f'<div class="error narrow" role="note"><p>Training refuses this table: {_safe(r)}</p></div>'
        for r in facts.refusals
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CLOSED}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(facts.file)}: a look</title>\n<style>{CSS}{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_safe(facts.file)}</h1>\n<p class="lead">{_safe(sentence(facts))}</p>\n{refused}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _safe(text: object) -> str:
    return html.escape(harmless(str(text)))


def _remarks(key: str, title: str, remarks: Sequence[Remark]) -> list[tuple[str, str, str]]:
    """The section of some remarks, none where there are none."""
    if not remarks:
        return []
    cards = "".join(
        f'<div class="card"><h3>{_safe(remark.column or "the file")}</h3><p>{_safe(remark.text)}</p>'
        + (f'<pre tabindex="0">{_safe(remark.line)}</pre>' if remark.line else "")
        + "</div>"
        for remark in remarks
    )
    said = {
        "decide": "What holds until you decide, with the line that says otherwise. A click selects it.",
        "look": "The line changes it in the schema. A click selects it.",
    }
    section = f'<p class="soft">{said[key]}</p><div class="cards">{cards}</div>'
    return [(key, f"{title} ({len(remarks)})", section)]


# --- Groups ----------------------------------------------------------------------------------------------------


def _groups(facts: Facts) -> str:
    """Rows by class and, of two classes, the rate of class 1 with a bar; the smallest cell in bold."""
    rated = len(facts.classes) == 2
    heads = [f"by {facts.label}", "rows", *facts.classes]
    rate = f'<th scope="col" class="figure">% {_safe(facts.classes[-1])}</th><td class="bars"></td>'
    parts = [*facts.alone, *([facts.combined] if facts.combined else []), [facts.whole]]
    few = [
        sorted(part, key=lambda group: group.rows)[:MOST_CELLS] if len(part) > MOST_CELLS else part for part in parts
    ]
    rows = (f"<tbody>{''.join(_group(group, facts) for group in part)}</tbody>" for part in few)
    fewest, of, text = facts.smallest()
    left = sum(map(len, parts)) - sum(map(len, few))
    said = f"{count(left, 'larger group')} left out here. " if left else ""
    said += f"Smallest cell: {count(fewest, 'row')} of {of} with {facts.label}={text}."
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="rows by group and class"><table class="wide">'
        f"<thead><tr>{_header(heads)}{rate if rated else ''}</tr></thead>{''.join(rows)}</table></div>"
        f'<p class="soft">{_safe(said)}</p>'
    )


def _group(group: Group, facts: Facts) -> str:
    _, of, by = facts.smallest()
    counts = zip(group.counts, facts.classes, strict=True)
    marked = [f"<strong>{n:,}</strong>" if (group.name, text) == (of, by) else f"{n:,}" for n, text in counts]
    figures = "".join(f'<td class="figure">{cell}</td>' for cell in [f"{group.rows:,}", *marked])
    rate = f'<td class="figure">{percent(group.rate)}</td><td class="bars">{_bar(group.rate)}</td>'
    both = figures + (rate if len(facts.classes) == 2 else "")
    return f'<tr><th scope="row">{_safe(group.name)}</th>{both}</tr>'


def _header(names: Iterable[str]) -> str:
    first, *others = map(_safe, names)
    return f'<th scope="col">{first}</th>' + "".join(f'<th scope="col" class="figure">{name}</th>' for name in others)


def _table(kind_of: str, head: str, rows: Iterable[str]) -> str:
    return (
        f'<div class="scroll"><table class="{kind_of}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(share: float) -> str:
    return "" if share != share else f'<span class="bar" style="width:{100 * share:.1f}%"></span>'


# --- Columns ---------------------------------------------------------------------------------------------------


def _columns(facts: Facts) -> str:
    """A card for each column, those that are left out last, with the line that takes them in."""
    used = "".join(_column(column) for column in facts.columns if column.role != "left out")
    out = "".join(_column(column, facts.remarks_on(column.name)) for column in facts.left_out)
    several = f'<h3 class="apart">Left out ({len(facts.left_out)})</h3><div class="masonry">{out}</div>' if out else ""
    return f'<div class="masonry">{used}</div>{several}'


def _column(column: ColumnFacts, remarks: Sequence[Remark] = ()) -> str:
    tag = f'<span class="tag">{_safe(column.role)}</span>' if column.role not in ("feature", "left out") else ""
    out = " out" if column.role == "left out" else ""
    said = "; ".join(r.text for r in remarks) or ": ".join(part for part in (kind(column), column.reason) if part)
    counted = column.role != "left out" and column.numbers and (column.rule.bins or not column.levels)
    drawn = _histogram(column.numbers) if counted and column.numbers else ""
    held = drawn + (_levels(column) if column.levels else "")
    lines = "".join(f'<pre tabindex="0">{_safe(r.line)}</pre>' for r in remarks if r.line)
    head = f'<h3>{_safe(column.name)}{tag}</h3><p class="soft">{_safe(said)}</p>'
    return f'<article class="card{out}">{head}{held}{_missing(column)}{lines}</article>'


def _levels(column: ColumnFacts) -> str:
    """The levels with bars, the most frequent one as long as there is room; few of a column that is left out."""
    shown = column.levels[:3] if column.role == "left out" else column.levels
    most = max(rows for _, rows in shown) or 1
    rows = [
        f'<tr><th scope="row">{_safe(text)}</th><td class="figure">{n:,}</td><td>{_bar(n / most)}</td></tr>'
        for text, n in shown
    ]
    head = '<th scope="col">level</th><th scope="col" class="figure">rows</th><th scope="col" aria-label="bar"></th>'
    more = column.n_levels - len(shown)
    return _table("levels", head, rows) + (f'<p class="soft">and {more:,} more</p>' if more > 0 else "")


def _histogram(held: Numbers) -> str:
    """Counts in equally wide intervals, with the ends below."""
    most, width = max(held.counts), 200 / len(held.counts)
    bars = "".join(
        f'<rect x="{i * width:.1f}" y="{60 - 60 * n / most:.1f}" width="{width - 1:.1f}" height="{60 * n / most:.1f}"/>'
        for i, n in enumerate(held.counts)
        if n
    )
    low, median, high = map(number, (held.low, held.median, held.high))
    return (
        f'<svg class="histogram" viewBox="0 0 200 60" preserveAspectRatio="none" role="img" '
        f'aria-label="histogram from {low} to {high}, median {median}">{bars}</svg>'
        f'<div class="ends"><span>{low}</span><span>median {median}</span><span>{high}</span></div>'
    )


def _missing(column: ColumnFacts) -> str:
    """The rows in which the column is missing, those of each group folded in."""
    if not column.missing:
        return ""
    spread = f": {column.spread}" if column.spread else ", by group"
    rows = [
        f'<tr><th scope="row">{_safe(m.group)}</th><td class="figure">{m.missing:,}</td>'
        f'<td class="figure">{percent(m.share)}</td></tr>'
        for m in column.missing_by
    ]
    return (
        f"<details><summary>missing in {count(column.missing, 'row')}{_safe(spread)}</summary>"
        f"{_table('levels', _header(['group', 'missing', 'share']), rows)}</details>"
    )


# --- Graph -----------------------------------------------------------------------------------------------------


def _graph(facts: Facts) -> str:
    if not facts.graph:
        return f'<p class="narrow">{_safe(NO_GRAPH)}</p>'
    words = f'<p class="soft">{_safe(describe(facts.graph))}</p>'
    marked = {column.name: column.role for column in facts.columns if column.role in ("sensitive", "label")}
    try:
        drawn = draw_graph(facts.graph, marked)
    except ValueError:  # a cycle, which stands among what training refuses
        return words
    return f'<div class="scroll" tabindex="0" role="group" aria-label="causal graph">{drawn}</div>{words}'
