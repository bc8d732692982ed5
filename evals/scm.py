"""Judge the causal model of a table before anybody trusts it, and before anything is trained.

    python -m evals.scm dataset=people.yaml scm=learned

fits the structural equations as a training would and prints the graph; every equation on held-out rows beside one that
knows no parents and beside boosted trees on the same parents; which independences that the graph implies the data
refute; twins that are like nobody; some people with their twins, in words; and in the end what to doubt, as warnings.

    python -m evals.scm dataset=people.yaml scm=discovered

proposes a graph by the data (the PC algorithm), which is a start for its owner and no truth, and writes it into the
schema: edit it there, then judge it.

dataset=...        a schema (python -m evals.look writes it), or the option of a data set with a graph, such as adult
scm=...            learned (networks) or linear; and any other word of train.py, such as dataset.graph, scm.nodes, seed
people=3           how many people are shown with their twins, 0 to 100
out=page.html      writes all of it as a page too, with the graph drawn, to open without a network
existing=keep      of scm=discovered: a graph that the schema has is kept; existing=replace puts the proposed one there

Exit code: 0, with warnings or without; 2 for a mistake.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from evals.cards.document import Block, Bullets, Document, Figure, Heading, Paragraph, Table, page
from evals.looking import proposal_text, scm_text
from evals.looking.graph_drawing import draw_graph
from evals.looking.schema_text import with_graph, write_graph
from utils.build import build_dataset, build_scm
from utils.cli import POOLS
from utils.command_line.checks import check
from utils.command_line.composing import compose_params
from utils.command_line.evals_help import answer
from utils.command_line.overrides import first_parts
from utils.records.typed import Params
from utils.scms.discovered import propose
from utils.scms.facts import HIDDEN, INDEPENDENCES, LEGEND
from utils.system import atomic
from utils.system.console import begin, complain, format_error, say, say_of, show_everything, unread, warn, write
from utils.system.devices import choose_device, make_repeatable
from utils.tables.table_schema import read_schema
from utils.types import Dataset
from utils.words.near import near
from utils.words.quoting import HELP, copyable, override, without_dashes

OWN = {
    "people": "3",
    "out": "",
    "existing": "keep",
}  # the words that are not those of a training, and what they are by default
MOST = 100  # people
EXISTING = ("keep", "replace")
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
        if set(HELP) & set(words):
            return answer("scm", words)
        return judge(words)
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(format_error(error))
        return 2


def judge(words: Sequence[str]) -> int:
    """Fits and judges the causal model that the words of a training choose, and prints the report."""
    words = without_dashes(words, [*OWN, *first_parts()])
    if words and "=" not in words[0]:
        words = [f"dataset={words[0]}", *words[1:]]
    own = OWN | {key: value for key, _, value in (word.partition("=") for word in words) if key in OWN}
    people = _read_people(own["people"])
    params = _compose([word for word in words if word.partition("=")[0] not in OWN])
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    dataset = build_dataset(params, device)
    option = params["choices"]["scm"]
    if option == "discovered":
        return _propose(params, dataset, own["out"], replace=_read_existing(own["existing"]))
    if own["existing"] != OWN["existing"]:
        raise ValueError(f"existing={own['existing']}: only scm=discovered writes into a schema")
    scm = build_scm(params, dataset)
    if INDEPENDENCES not in scm.judgement().facts:
        raise ValueError(
            f"scm={option} has no equations that were fitted to data, so there is nothing to judge; choose scm=learned "
            "or scm=linear, and give the causal graph where the data set has none: dataset.graph={child:[parents]}"
        )
    model = scm_text.show(dataset, scm, people)
    say(f"{dataset.name}, scm={option}")
    write(scm_text.text(model))
    _write_page(own["out"], _document(dataset, option, model))
    for warning in model.warnings:
        warn(warning)
    return 0


def _propose(params: Params, dataset: Dataset, out: str, *, replace: bool) -> int:
    """Prints the graph that the data propose, and writes it into the schema, if there is one without a graph."""
    settings = {key: params["scm"][key] for key in ("alpha", "rows", "samples")}
    proposal = propose(dataset, seed=params["seed"], **settings)
    say(f"{dataset.name}, a graph that the data propose")
    write(proposal_text.text(proposal))
    _write_page(out, proposal_text.document(proposal, dataset.name, _marked(dataset), STYLE))
    if not proposal.arrows:
        say("No arrow is left, so nothing is written: more rows, or a larger scm.alpha, see weaker ties.")
    elif dataset.schema and (path := Path(str(params["dataset"].get("path") or ""))).is_file():
        _write_graph(path, write_graph(proposal.graph, *proposal_text.comments(proposal)), replace=replace)
    for one, other in proposal.implied:
        warn(
            f"{one} tells {other}, so given it nothing else is tied to {other}, and the search loses arrows of both; "
            "leave one of them out and propose again, or draw their arrows yourself"
        )
    return 0


def _write_graph(path: Path, lines: Sequence[str], *, replace: bool) -> None:
    """Writes the lines of a graph into a schema, unless it has one and nobody asked; says what became of it."""
    if read_schema(path).graph is not None and not replace:
        say_of(path, "has a graph, and is kept as it is; existing=replace puts the proposed one in its place:")
        write("".join(lines))
        return
    atomic.write_text(path, with_graph(path.read_bytes().decode("utf-8-sig"), lines))
    command = copyable("python", "-m", "evals.scm", override("dataset", str(path)))
    say_of(path, f"the graph is written there; edit it, then judge it: {command}")


def _write_page(out: str, document: Document) -> None:
    if out:
        atomic.write_text(Path(out).expanduser(), page(document))
        say_of(out, "the page, to open without a network")


def _read_existing(word: str) -> bool:
    """Returns whether a graph that is there is replaced. Raises ValueError."""
    if word not in EXISTING:
        raise ValueError(f"existing={word}{near(word, EXISTING)} Expected keep or replace")
    return word == "replace"


def _marked(dataset: Dataset) -> dict[str, str]:
    """The class of each sensitive attribute in a picture of the graph."""
    return {dataset.columns[i].attribute or dataset.columns[i].name: "sensitive" for i in dataset.sensitive}


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


def _document(dataset: Dataset, option: str, model: scm_text.Model) -> Document:
    """The report as a page."""
    drawn = draw_graph(model.graph, _marked(dataset)).replace("<defs>", f"{STYLE}<defs>", 1)
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
        Table(scm_text.COLUMNS, model.equations, f"{LEGEND} {model.flows}".rstrip()),
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
