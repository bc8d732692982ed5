"""A proposed causal graph: for the terminal, for a page, and as the lines of a schema that its owner edits."""

from collections.abc import Mapping

from evals.cards.document import Block, Bullets, Document, Figure, Heading, Paragraph, Table
from evals.looking.graph_drawing import draw_graph
from evals.looking.scm_text import indented
from utils.scms.discovered import Arrow, Proposal
from utils.system.console import count, harmless
from utils.system.tables import align
from utils.words.levels import write_arrow, write_names

COLUMNS = ("arrow", "direction", "tied", "this way")
DIRECTIONS = {"root": "assumed", "data": "data", "order": "open"}
WEAK = 0.9  # of the bootstrap samples: a direction that is seen in fewer is doubtful
LIMITS = (
    "Data cannot tell apart graphs of one equivalence class, which imply the same independences, nor see a common "
    "cause that no column holds: this graph is a start for whoever knows how the data arose, and no truth."
)


def legend(proposal: Proposal) -> str:
    """A sentence on what the columns of the arrows mean."""
    shares = (
        f" tied, this way: in how many of {proposal.samples} bootstrap samples the two are, and by this very arrow "
        "where data tell it."
    )
    return (
        "direction: assumed, as sensitive attributes are taken to have no causes here; data, where all graphs of the "
        "equivalence class agree; open, where they do not, or the data contradict themselves: the earlier column is "
        "taken for the cause, as far as that makes no cycle and no new collider; doubtful: so in fewer "
        f"than {WEAK:.0%} of the samples.{shares * bool(proposal.samples)}"
    )


def method(proposal: Proposal) -> str:
    """A sentence on how the graph was found."""
    return (
        f"The PC algorithm on {count(proposal.rows, 'training row')}: two attributes are tied unless some set of at "
        f"most {proposal.given} others makes them independent (generalised covariance measure of encoded attributes, "
        f"alpha {proposal.alpha:g}). The label is left out: it causes nothing here."
    )


def is_doubtful(arrow: Arrow) -> bool:
    """Returns whether data tell a direction that many samples of them do not."""
    return arrow.by == "data" and arrow.drawn is not None and arrow.drawn < WEAK


def rows_of(proposal: Proposal) -> list[list[str]]:
    """A row of each arrow, like COLUMNS."""
    return [
        [
            write_arrow([a.cause], a.effect),
            "doubtful" if is_doubtful(a) else DIRECTIONS[a.by],
            *("-" if s is None else f"{s:.0%}" for s in shares),
        ]
        for a in proposal.arrows
        for shares in [(a.tied, a.drawn if a.by == "data" else None)]  # other directions are a rule's, in any sample
    ]


def roots_of(proposal: Proposal) -> str:
    """The attributes without causes, in a sentence."""
    return f"causes that nothing here causes: {write_names(n for n in proposal.names if n not in proposal.graph)}"


def text(proposal: Proposal) -> str:
    """The proposal for the terminal."""
    parts = [
        indented(roots_of(proposal), "Graph: "),
        *(indented(write_arrow(causes, effect), "  ") for effect, causes in proposal.graph.items()),
        f"\n{indented(method(proposal))}",
        *(["\n" + align(COLUMNS, rows_of(proposal), indent="  ").rstrip("\n")] if proposal.arrows else []),
        *([indented(legend(proposal))] if proposal.arrows else []),
        indented(LIMITS),
    ]
    return harmless("\n".join(parts)) + "\n"


def document(proposal: Proposal, name: str, marked: Mapping[str, str], style: str) -> Document:
    """The proposal as a page; ``marked`` attributes are drawn in the ``style`` of their class."""
    drawn = draw_graph(proposal.graph, marked).replace("<defs>", f"{style}<defs>", 1) if proposal.arrows else ""
    blocks: list[Block] = [
        *([Figure(drawn, "", "The proposed graph; sensitive attributes have a thick frame.")] if drawn else []),
        Paragraph(f"C{roots_of(proposal)[1:]}."),
        Heading("Arrows"),
        Table(COLUMNS, rows_of(proposal), legend(proposal)),
        Heading("How far to believe it"),
        Bullets([method(proposal), LIMITS]),
    ]
    return Document(f"A causal graph for {name}", "Proposed by data, for its owner to judge.", blocks)


def comments(proposal: Proposal) -> tuple[list[str], dict[str, str]]:
    """The comments that a schema's graph begins with, and one behind each attribute with arrows to be doubted."""
    head = [f"proposed by the PC algorithm (alpha {proposal.alpha:g}, {count(proposal.rows, 'row')}): a start, edit it"]
    if any(arrow.by == "order" for arrow in proposal.arrows):
        head.append("open: data do not tell the direction; it is from the earlier column")
    said: dict[str, list[str]] = {}
    for arrow in proposal.arrows:
        if arrow.by == "order":
            said.setdefault(arrow.effect, []).append(f"open: from {arrow.cause}")
        elif is_doubtful(arrow):
            said.setdefault(arrow.effect, []).append(
                f"doubtful: from {arrow.cause} (so in {arrow.drawn:.0%} of samples)"
            )
    return head, {effect: "; ".join(words) for effect, words in said.items()}
