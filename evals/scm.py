"""Judge the causal model of a table before anybody trusts it, and before anything is trained.

    python -m evals.scm dataset=people.yaml scm=learned

fits the structural equations as a training would and prints the graph; every equation on held-out rows beside one that
knows no parents and beside boosted trees on the same parents; which independences that the graph implies the data
refute; twins that are like nobody; some people with their twins, in words; and in the end what to doubt, as warnings.

dataset=...        a schema (python -m evals.look writes it), or the option of a data set with a graph, such as adult
scm=...            learned (networks) or linear; and any other word of train.py, such as dataset.graph, scm.nodes, seed
people=3           how many people are shown with their twins, 0 to 100
out=page.html      writes all of it as a page too, with the graph drawn, to open without a network

Exit code: 0, with warnings or without; 2 for a mistake.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.cards.document import Block, Bullets, Document, Figure, Heading, Paragraph, Table, page
from evals.looking import scm_text
from evals.looking.graph_drawing import draw_graph
from utils.build import build_dataset, build_scm
from utils.cli import POOLS
from utils.command_line.checks import check
from utils.command_line.composing import compose_params
from utils.records.typed import Params
from utils.scms.facts import HIDDEN, INDEPENDENCES, LEGEND
from utils.system import atomic
from utils.system.console import begin, complain, format_error, say, say_of, show_everything, unread, warn, write
from utils.system.devices import choose_device, make_repeatable
from utils.types import SCM, Dataset

OWN = {"people": "3", "out": ""}  # the words that are not those of a training, and what they are by default
MOST = 100  # people
STYLE = (
    "<style>figure svg.graph { width: auto; max-width: 100%; height: auto; } "
    ".graph .arrow { fill: none; stroke: currentColor; } .graph rect { fill: none; stroke: currentColor; } "
    ".graph .sensitive rect { stroke-width: 3; } .graph text { text-anchor: middle; fill: currentColor; }</style>"
)


def main(words: Sequence[str]) -> int:
    """Judges a causal model; returns the exit code."""
    show_everything()
    begin()
    for pool in POOLS:
        os.environ.setdefault(pool, "1")
    try:
        if {"-h", "--help"} & set(words):
            say((__doc__ or "").rstrip())
            return 0
        return judge(words)
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(format_error(error))
        return 2


def judge(words: Sequence[str]) -> int:
    """Fits and judges the causal model that the words of a training choose, and prints the report."""
    if words and "=" not in words[0]:
        words = [f"dataset={words[0]}", *words[1:]]
    own = OWN | {key: value for key, _, value in (word.partition("=") for word in words) if key in OWN}
    people = _read_people(own["people"])
    params = _compose([word for word in words if word.partition("=")[0] not in OWN])
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    dataset = build_dataset(params, device)
    scm = build_scm(params, dataset)
    option = params["choices"]["scm"]
    if INDEPENDENCES not in scm.judgement().facts:
        raise ValueError(
            f"scm={option} has no equations that were fitted to data, so there is nothing to judge; choose scm=learned "
            "or scm=linear, and give the causal graph where the data set has none: dataset.graph={child:[parents]}"
        )
    model = scm_text.show(dataset, scm, people)
    say(f"{dataset.name}, scm={option}")
    write(scm_text.text(model))
    if own["out"]:
        atomic.write_text(Path(own["out"]).expanduser(), page(_document(dataset, scm, option, model)))
        say_of(own["out"], "the page, to open without a network")
    for warning in model.warnings:
        warn(warning)
    return 0


def _read_people(word: str) -> int:
    """The number of people that are shown. Raises ValueError."""
    if not word.isdecimal() or int(word) > MOST:
        raise ValueError(f"people={word}: expected a whole number in [0, {MOST}]")
    return int(word)


def _compose(words: Sequence[str]) -> Params:
    """The configuration of a training by these words. Raises ValueError for a mistake in them."""
    for word in words:
        if word.startswith("-") or "=" not in word:
            raise ValueError(f"{word}: expected KEY=VALUE, as for train.py, people=... or out=...; or --help")
    if not any(word.partition("=")[0] == "dataset" for word in words):
        raise ValueError("dataset is required: python -m evals.scm dataset=people.yaml, or --help")
    params = compose_params(words)
    check(params)
    return params


def _document(dataset: Dataset, scm: SCM, option: str, model: scm_text.Model) -> Document:
    """The report as a page."""
    sensitive = {dataset.columns[i].attribute or dataset.columns[i].name: "sensitive" for i in scm.sensitive}
    drawn = draw_graph(model.graph, sensitive).replace("<defs>", f"{STYLE}<defs>", 1)
    shown = [
        f"{person.now} -> " + "; ".join(f"as {level}: {words}" for level, words in person.others)
        for person in model.people
    ]
    doubts: list[Block] = [Heading("To doubt"), Bullets(model.warnings)] if model.warnings else []
    blocks: list[Block] = [
        *doubts,
        Heading("Graph"),
        *([Figure(drawn, "", "The causal graph; sensitive attributes have a thick frame.")] if model.graph else []),
        Heading("Equations"),
        Table(scm_text.COLUMNS, model.equations, LEGEND),
        Heading("Independences that the graph implies"),
        Paragraph(scm_text.implied(model.independences)),
        Paragraph(HIDDEN),
        Heading("Twins"),
        *([Paragraph(model.support)] if model.support else []),
        Bullets(shown),
    ]
    return Document(f"Causal model of {dataset.name}", f"scm={option}, judged on {model.rows}.", blocks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
