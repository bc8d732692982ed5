"""One page about all trained models of a data set: a single HTML file that works from disk, without a network.

``python -m evals.report dataset=celeba_jobs [where="..."] [out=page.html]``; options and defaults stand in
``config/report.yaml``. The page is ``evals/page/``: its HTML with the style sheet, the scripts and the data put in.
With ``live=true`` it is served on this machine, and follows a sweep that runs.
"""

import base64
import hashlib
import html
import json
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig

import paths_config
from evals.page.content import content
from evals.page.serving import Followed, Server
from evals.records import query
from utils.system import atomic
from utils.system.console import count, say, say_of

OPTIONS = paths_config.ROOT / "config" / "report.yaml"
PAGE = paths_config.ROOT / "evals" / "page"
# in this order, as one script: each defines what the later ones use
SCRIPTS = (
    *("columns.js", "figures.js", "pareto.js", "population.js", "intervals.js", "state.js", "handing.js"),
    *("choosing.js", "view.js", "looks.js", "scales.js", "plot.js", "dom.js", "combobox.js", "controls.js"),
    *("record.js", "answer.js", "paired.js", "compare.js", "table.js", "columnchoice.js"),
    *("zoom.js", "live.js", "report.js"),
)


def page(held: Mapping[str, Any]) -> str:
    """The HTML file that shows what ``content`` found.

    Nothing in the data can become markup: no ``<``, ``>`` or ``&`` is left in them, the scripts make only text of
    them, and the page's policy lets nothing run but those very scripts, and nothing be fetched from anywhere.
    """
    return _document(str(held["title"]), embed(held))


def _document(title: str, data: str, tag: str = "") -> str:
    """The HTML file about embedded data; with a tag of theirs, one that asks whoever serves it for newer ones."""
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    body = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{body}\n}})();\n'
    policy = f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data: blob:"
    parts = {
        "policy": f"{policy}; connect-src 'self'" if tag else policy,
        "title": html.escape(f"{title}: trade-offs"),
        "style": style,
        "tag": html.escape(tag),
        "data": data,
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
    """Reads the database and writes the page, or serves it."""
    if options.live:
        serve(options)
    elif options.port is not None:
        raise ValueError(f"port={options.port} is that of live=true, which serves the page; write live=true too")
    else:
        write(options)


def write(options: DictConfig) -> None:
    """Writes the page, and prints what was written."""
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


def serve(options: DictConfig) -> None:
    """Serves the page on this machine until it is interrupted; its data follow the database.

    Raises:
        ValueError: a file to write is named too, the port is taken, or there is nothing to show yet.
    """
    if options.out is not None:
        raise ValueError(f"out={options.out}: live=true serves the page and writes no file; leave one of them out")
    dataset = str(options.dataset)
    followed = Followed(paths_config.database(dataset), lambda: embed(content(query.read(dataset), options)))
    title = str(options.dataset if options.title is None else options.title)
    with Server(followed, partial(_document, title), options.port) as server:
        try:
            say(f"{server.address} shows {dataset} and follows it; Ctrl+C ends it")
            sys.stdout.flush()
            server.serve_forever()
        except KeyboardInterrupt:
            say("no longer served")


def target(out: object, dataset: str) -> Path:
    """The file that ``out`` names. Raises ValueError where it is no name of a page."""
    path = Path(str(out or f"figures/{dataset.replace('/', '-')}_report.html"))
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out={out}: expected a name ending in .html")
    return path


if __name__ == "__main__":
    sys.exit(query.command(report, OPTIONS, sys.argv[1:]))
