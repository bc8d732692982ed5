"""One page about all trained models of a data set: a single HTML file that works from disk, without a network.

``python -m evals.report dataset=celeba_jobs [where="..."] [out=page.html]``; options and defaults stand in
``config/report.yaml``. The page is ``evals/page/``: its HTML with the style sheet, the scripts and the data put in.
"""

import base64
import hashlib
import html
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig

import paths_config
from evals.page.content import content
from evals.records import query
from utils.system import atomic
from utils.system.console import count, say, say_of

OPTIONS = paths_config.ROOT / "config" / "report.yaml"
PAGE = paths_config.ROOT / "evals" / "page"
# in this order, as one script: each defines what the later ones use
SCRIPTS = (
    *("columns.js", "figures.js", "pareto.js", "population.js", "intervals.js", "state.js", "handing.js"),
    *("choosing.js", "view.js", "looks.js", "scales.js", "plot.js", "dom.js", "combobox.js", "controls.js"),
    *("record.js", "answer.js", "paired.js", "compare.js", "table.js", "columnchoice.js", "zoom.js", "report.js"),
)


def page(held: Mapping[str, Any]) -> str:
    """The HTML file that shows what ``content`` found.

    Nothing in the data can become markup: no ``<``, ``>`` or ``&`` is left in them, the scripts make only text of
    them, and the page's policy lets nothing run but those very scripts, and nothing be fetched from anywhere.
    """
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    body = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{body}\n}})();\n'
    parts = {
        "policy": f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data: blob:",
        "title": html.escape(f"{held['title']}: trade-offs"),
        "style": style,
        "data": embed(held),
        "script": script,
    }
    template = (PAGE / "report.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)  # in one go: data may look like a place


def embed(held: Mapping[str, Any]) -> str:
    """JSON that can stand inside an HTML element: of its signs none ends the element or begins another."""
    text = json.dumps(held, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _digest(text: str) -> str:
    """Returns the hash by which a content security policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def report(options: DictConfig) -> None:
    """Reads the database, writes the page, prints what was written."""
    started = perf_counter()
    path = target(options.out, str(options.dataset))
    held = content(query.read(str(options.dataset)), options)
    written = page(held).encode(errors="replace")  # a lone surrogate has no bytes
    atomic.write_bytes(path, written)
    runs, points = held["runs"]["n"], (held["points"] or {}).get("n", 0)
    what = count(runs, "run") + (f", {count(points, 'operating point')}" if points else "")
    if held["source"] is not None:
        say(f"{held['sources']}. The page opens with {held['source']}, and offers the others in its place")
    say_of(path, f"{what}, {len(written) / 1e6:.1f} MB, {perf_counter() - started:.1f} s")


def target(out: object, dataset: str) -> Path:
    """The file that ``out`` names. Raises ValueError where it is no name of a page."""
    path = Path(str(out or f"figures/{dataset.replace('/', '-')}_report.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out={out}: expected a name ending in .html")
    return path


if __name__ == "__main__":
    sys.exit(query.command(report, OPTIONS, sys.argv[1:]))
