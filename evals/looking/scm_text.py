"""A causal model and its judgement for the terminal: graph, equations, independences, people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evals.plots.graph_layout import layers_of
from utils import seeding
from utils.datasets.tabular import group_names, natural
from utils.explaining.person_words import attributes_of, describe_person, describe_twin, is_set_by_do, list_words
from utils.scms.counterfactual import chances, factual_level, twins
from utils.scms.facts import HEAD, HIDDEN, LEGEND, describe_flows, describe_support, row_of
from utils.scms.independence import describe, refuted
from utils.scms.scoring import equations_of, held_out
from utils.system.console import count, harmless
from utils.system.tables import align
from utils.types import SCM, Dataset, Independence
from utils.words.levels import write_arrow, write_names
from utils.words.wrapping import wrap

COLUMNS = ("node", "mechanism", *HEAD)


class Person(NamedTuple):
    """A row and its twins in words."""

    now: str
    others: tuple[tuple[str, str], ...]  # what is set, and the person then


class Model(NamedTuple):
    """A causal model, judged, as far as it is shown."""

    graph: Mapping[str, Sequence[str]]  # child -> parents, attributes
    roots: Sequence[str]
    equations: Sequence[Sequence[str]]  # a row of each, like COLUMNS
    rows: str
    independences: Sequence[Independence]
    flows: str  # a sentence on densities where noise is not additive
    support: str  # a sentence on twins that are like nobody
    people: Sequence[Person]
    warnings: Sequence[str]


def show(dataset: Dataset, scm: SCM, people: int) -> Model:
    """The judged model, with so many people and their twins."""
    judgement, graph = scm.judgement(), graph_of(dataset)
    fitted = [(own.name, own.kind) for own in equations_of(scm, dataset.columns)]
    return Model(
        graph=graph,
        roots=[name for name in attributes_of(dataset.columns) if name not in graph],
        equations=[[name, kind, *row_of(judgement.facts, name)] for name, kind in fitted],
        rows=f"{count(len(held_out(dataset).y), 'held-out row')}, fitted to {len(dataset.train.y):,}",
        independences=judgement.independences,
        flows=describe_flows(judgement.facts),
        support=describe_support(judgement.facts),
        people=tuple(people_of(dataset, scm, people)),
        warnings=judgement.warnings,
    )


def graph_of(dataset: Dataset) -> dict[str, list[str]]:
    """The graph between attributes, child -> parents, causes first."""
    of = {c.name: c.attribute or c.name for c in dataset.columns}
    found: dict[str, list[str]] = {}
    for child, parents in (dataset.parents or {}).items():
        listed = found.setdefault(of[child], [])
        listed += [name for name in dict.fromkeys(of[p] for p in parents) if name not in (*listed, of[child])]
    layer = layers_of(found)
    return {child: found[child] for child in sorted(found, key=lambda child: layer[child])}


# --- people ----------------------------------------------------------------------------------------------------


def people_of(dataset: Dataset, scm: SCM, number: int) -> Iterator[Person]:
    """Yields the first held-out rows with a twin at every other level, drawn once."""
    rows = held_out(dataset)
    x = rows.x[:number]
    if not len(x) or not scm.sensitive:
        return
    draw = seeding.Rows(seeding.derive(0, "posterior"), rows.index[:number])
    others = natural(dataset, scm.model(scm.rounded(scm.own(twins(scm, x, chances(scm, x, draw.uniform))))).double())
    own, level, names = natural(dataset, x.double()), factual_level(scm, x), group_names(dataset.columns)
    for i in range(len(x)):
        found = []
        for k in (k for k in range(len(names)) if k != int(level[i])):
            after = describe_twin(dataset, others[k, i])
            found.append(
                (names[k], list_words({n: t for n, t in after.items() if not is_set_by_do(dataset.columns, n)}))
            )
        yield Person(list_words(describe_person(dataset, own[i].tolist())), tuple(found))


# --- text ------------------------------------------------------------------------------------------------------


def text(model: Model) -> str:
    """The whole report but its warnings."""
    parts = [
        indented(f"causes that nothing here causes: {write_names(model.roots)}", "Graph: "),
        *(indented(write_arrow(parents, child), "  ") for child, parents in model.graph.items()),
        f"\nEquations, judged on {model.rows}:",
        align(COLUMNS, model.equations, indent="  ").rstrip("\n"),
        indented(LEGEND),
        *([indented(model.flows)] if model.flows else []),
        f"\n{indented(implied(model.independences))}",
        *([indented(model.support)] if model.support else []),
        indented(HIDDEN),
        *_people(model.people),
    ]
    return harmless("\n".join(parts)) + "\n"


def implied(tests: Sequence[Independence]) -> str:
    """A sentence on the independences that the graph implies."""
    if not tests:
        return "The graph ties every two attributes by an arrow: it implies no independence, and no data can refute it."
    wrong, by = refuted(tests), "by the generalised covariance measure, Holm's correction"
    if not wrong:
        return (
            f"Independences that the graph implies: {len(tests)}, tested on the training rows {by}; none is refuted. "
            f"Closest to it: {describe(tests[0])}."
        )
    listed = "; ".join(map(describe, wrong))
    return f"The graph implies {count(len(tests), 'independence')}; refuted {by}: {listed}."


def indented(words: str, start: str = "") -> str:
    """Words in lines that fit, what follows the first moved in."""
    return wrap(words, start, " " * max(2, len(start)))


def _people(people: Sequence[Person]) -> Iterator[str]:
    """Yields people with their twins."""
    if people:
        yield "\nPeople and what they would be:"
    for person in people:
        yield indented(person.now, "  ")
        for level, words in person.others:
            yield indented(f"-> as {level}: {words or 'the same'}", "    ")
