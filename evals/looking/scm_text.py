"""A causal model and its judgement for the terminal: graph, equations, independences, people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evals.looking.graph_drawing import layers_of
from utils import seeding
from utils.datasets.column_rules import outside
from utils.datasets.tabular import group_names, natural
from utils.scms.counterfactual import chances, factual_level, twins
from utils.scms.facts import HEAD, HIDDEN, LEGEND, describe_flows, describe_support, row_of
from utils.scms.independence import describe, refuted
from utils.scms.scoring import equations_of, held_out
from utils.system.console import count, harmless
from utils.system.tables import align
from utils.types import SCM, Column, Dataset, Independence
from utils.words.wrapping import wrap

COLUMNS = ("node", "mechanism", *HEAD)
SURE = 0.02  # how near to 0 and 1 the indicators of a level are


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


def attributes_of(columns: Sequence[Column]) -> dict[str, tuple[int, ...]]:
    """The places of the columns of every attribute, in their order."""
    found: dict[str, tuple[int, ...]] = {}
    for i, c in enumerate(columns):
        name = c.attribute or c.name
        found[name] = (*found.get(name, ()), i)
    return found


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
    impossible = [outside(dataset.columns, of.cpu().numpy()) for of in others]  # by level and attribute, (n,)
    for i in range(len(x)):
        found = []
        for k in (k for k in range(len(names)) if k != int(level[i])):
            after = _attributes(dataset, others[k, i].tolist())
            after |= {name: f"{after[name]} (impossible)" for name, of in impossible[k].items() if of[i]}
            after |= {name: f"{after[name]} (beyond any row)" for name in _beyond(dataset, others[k, i].tolist())}
            found.append((names[k], _list({n: t for n, t in after.items() if not _set_by_do(dataset, n)})))
        yield Person(_list(_attributes(dataset, own[i].tolist())), tuple(found))


def _beyond(dataset: Dataset, values: Sequence[float]) -> Iterator[str]:
    """Yields the numbers of a twin that are outside of what rows may hold."""
    for column, value in zip(dataset.columns, values, strict=True):
        if column.bounds and not column.bounds[0] - SURE <= value <= column.bounds[1] + SURE:
            yield column.name


def _set_by_do(dataset: Dataset, name: str) -> bool:
    return all(c.sensitive for c in dataset.columns if (c.attribute or c.name) == name)


def _list(attributes: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in attributes.items())


def _attributes(dataset: Dataset, values: Sequence[float]) -> dict[str, str]:
    """The attributes of a row in natural units, each in the words of the owner."""
    rules = (dataset.schema or {}).get("columns") or {}
    found = {}
    for name, places in attributes_of(dataset.columns).items():
        own = [dataset.columns[i] for i in places]
        if own[0].attribute:
            found[name] = _of_indicators(own, [values[i] for i in places])
        else:
            rule = rules.get(name) or {}
            levels = tuple(rule.get("levels") or ()) if own[0].discrete == "ordered" else own[0].texts
            unit = f" {rule['unit']}" if rule.get("unit") else ""
            found[name] = f"{_text(own[0], values[places[0]], levels)}{unit}"
    return found


def _text(column: Column, value: float, levels: Sequence[str]) -> str:
    """A value: its level, or its number; a number that is no level of the column as such."""
    place = round(value)
    if levels and abs(value - place) <= SURE and 0 <= place < len(levels):
        return levels[place]
    whole = column.integer or column.levels
    return f"{place}" if whole and abs(value - place) <= SURE else f"{value:.4g}"


def _of_indicators(own: Sequence[Column], values: Sequence[float]) -> str:
    """The level whose indicator is 1; of a twin that is no person, as under additive noise, what each indicator is."""
    texts = [c.texts[1] if c.texts else c.name.partition("=")[2] or c.name for c in own]
    if all(min(abs(value), abs(value - 1)) <= SURE for value in values) and sum(values) < 1 + SURE:
        return next((text for text, value in zip(texts, values, strict=True) if value > 0.5), "other")
    return " + ".join(f"{value:.2g} {text}" for text, value in zip(texts, values, strict=True) if abs(value) > SURE)


# --- text ------------------------------------------------------------------------------------------------------


def text(model: Model) -> str:
    """The whole report but its warnings."""
    parts = [
        indented(f"causes that nothing here causes: {', '.join(model.roots)}", "Graph: "),
        *(indented(f"{', '.join(parents)} -> {child}", "  ") for child, parents in model.graph.items()),
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
