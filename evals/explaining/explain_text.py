"""A person explained, for the terminal: 80 columns, the owner's words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from utils.explaining.parts import Carried, Change, Explanation, Moved, Side, WayOut
from utils.explaining.person_words import list_words
from utils.scms.paths import ANEW
from utils.system.console import count, harmless
from utils.words.levels import name_class, write_names, write_text
from utils.words.wrapping import wrap

LEAST = 5e-3  # a change of log-odds that has a line of its own
MOST = 8  # arrows or paths
MOST_TWINS = 3  # of which it is told what carries the change
DECISION = "decision"
NORMS = {"l2": "L2", "l1": "L1"}


class Line(NamedTuple):
    """A paragraph of an explanation."""

    text: str
    depth: int  # blanks before it; further lines of it stand two deeper


def to_text(people: Sequence[Explanation], head: str, classes: Sequence[str], norm: str) -> str:
    """All explanations, behind a line on the model."""
    blocks = (
        "\n".join(wrap(line.text, " " * line.depth, " " * (line.depth + 2)) for line in to_lines(one, classes, norm))
        for one in people
    )
    return harmless("\n\n".join([wrap(head), *blocks])) + "\n"


def to_lines(one: Explanation, classes: Sequence[str], norm: str) -> Iterator[Line]:
    """Yields the paragraphs about one person."""
    yield Line(f"{one.name}: {list_words(one.own.words)}", 0)
    yield Line(f"Decision: {_decision(one.own, one.label, classes)}", 2)
    yield from _twins(one, classes)
    yield from _carried(one)
    yield _worst(one)
    yield Line(f"Proof: {_proof(one)}.", 2)
    if one.way_out is not None:
        yield from _way_out(one, one.way_out, classes, norm)


def _decision(side: Side, label: int, classes: Sequence[str]) -> str:
    return (
        f"{name_class(label, classes)}, log-odds {side.log_odds:.3f} (probability {_chance(side.log_odds)}) beside a "
        f"threshold of {side.threshold:.3f} for {side.level}."
    )


def _chance(log_odds: float) -> str:
    return f"{1 / (1 + math.exp(-max(min(log_odds, 500.0), -500.0))):.3f}"


def _of_draws(share: float, draws: int) -> str:
    return f"in {round(share * draws)} of {draws} draws"


# --- twins -----------------------------------------------------------------------------------------------------


def _twins(one: Explanation, classes: Sequence[str]) -> Iterator[Line]:
    other = name_class(1 - one.label, classes)
    draws = f", each in {one.draws} draws of the noise that agrees with the row (a range or shares where they differ)"
    yield Line(f"Twins{draws if one.draws > 1 else ''}:", 2)
    for twin in one.twins:
        if one.draws > 1 and 0 < twin.otherwise < 1:
            verdict = f"{other} {_of_draws(twin.otherwise, one.draws)}"
        else:
            verdict = f"{other}, decided otherwise" if twin.otherwise else "decided alike"
        yield Line(
            f"as {twin.level}: {verdict}, log-odds {twin.log_odds:.3f} beside {twin.threshold:.3f}; "
            f"{_instead(one.own.words, _without(twin.words, one)) or 'nothing else differs'}.",
            4,
        )


def _without(words: Mapping[str, str], one: Explanation) -> dict[str, str]:
    """The words of a twin but for what makes it one."""
    return {name: text for name, text in words.items() if name not in one.set_by_do}


def _instead(now: Mapping[str, str], then: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text} instead of {now[name]}" for name, text in then.items() if text != now[name])


# --- what moves the decision -----------------------------------------------------------------------------------


def _carried(one: Explanation) -> Iterator[Line]:
    otherwise = {twin.level: twin.otherwise for twin in one.twins}
    shown = sorted(one.carried, key=lambda of: (-otherwise[of.level], -abs(of.change)))
    for carried in shown[:MOST_TWINS]:
        yield Line(
            f"What moves the log-odds by {carried.change:+.3f} from this person to the twin as {carried.level}"
            f"{', mean over draws' if one.draws > 1 else ''}:",
            2,
        )
        parts = _sort_parts(carried)
        few = sum(abs(part.change) >= LEAST for part in parts[:MOST])
        few += len(parts) == few + 1  # no line says that one is left
        yield from (Line(f"{part.change:+.3f} {_path(part.nodes)}", 4) for part in parts[:few])
        if rest := parts[few:]:
            yield Line(f"{sum(part.change for part in rest):+.3f} {len(rest)} smaller ones together", 4)
        if not carried.exact:
            yield Line("Parts of many arrows are means over orders drawn at random; their sum is exact.", 4)
    if len(shown) > MOST_TWINS:
        yield Line(f"So do {count(len(shown) - MOST_TWINS, 'other twin')}, less; format=json has them.", 2)


def _sort_parts(carried: Carried) -> list[Moved]:
    """Paths, and arrows whose paths are too many, the largest first."""
    split = {path.nodes[:2] for path in carried.paths}
    parts = [*carried.paths, *(arrow for arrow in carried.arrows if arrow.nodes[:2] not in split)]
    return sorted(parts, key=lambda part: -abs(part.change))


def _path(nodes: Sequence[str]) -> str:
    if nodes == (ANEW,):
        return ANEW
    if len(nodes) == 1:
        return f"{write_text(nodes[0])} -> {DECISION}, directly"
    return " -> ".join([*map(write_text, nodes), DECISION])


# --- the worst point, a way out --------------------------------------------------------------------------------


def _worst(one: Explanation) -> Line:
    worst = one.worst
    who = "the person" if worst.level == one.own.level else f"the twin as {worst.level}"
    if not worst.turned:
        found = f"no point was found that is decided otherwise; nearest to it is one around {who}"
    else:
        some = f" {_of_draws(worst.turned, one.draws)}" if one.draws > 1 else ""
        found = f"a point is decided otherwise{some}; the farthest lies around {who}"
    changed = _instead(worst.centre, worst.words) or "it is that point itself"
    at = f"at log-odds {worst.log_odds:.3f} beside {worst.threshold:.3f}"
    return Line(f"Within radius {worst.radius:g}: {found}, {at}: {changed}.", 2)


def _proof(one: Explanation) -> str:
    proven, radius = one.proven, f"within radius {one.worst.radius:g}"
    noise = ", under any noise that agrees with the row" if one.draws > 1 else ""
    if proven.verdict == "undefined":
        return f"none, as {proven.reason}"
    if proven.verdict == "fair":
        found = f"fair, no point {radius} is decided otherwise{noise}; all stay {proven.margin:.3f} from the threshold"
    elif proven.verdict == "unfair":
        some = " under a noise that agrees with the row" if one.draws > 1 else ""
        there = _instead(one.own.words, _without(proven.words, one)) or "nothing else differs"
        found = f"unfair {radius}, as {proven.level} is decided otherwise{some}, where {there}"
    else:
        found = f"left open {radius}, neither fair nor unfair by so many boxes (boxes=...)"
    return f"{found}. {_proven_up_to(one)}"


def _proven_up_to(one: Explanation) -> str:
    proven = one.proven
    if proven.largest is None:
        return "Not even of the twins themselves is fairness proven"
    if proven.largest >= proven.most:
        return f"Fairness is proven up to radius {proven.most:g}, the largest that was tried"
    return f"Fairness is proven {f'up to radius {proven.largest:.3f}' if proven.largest else 'of the twins alone'}"


def _way_out(one: Explanation, way: WayOut, classes: Sequence[str], norm: str) -> Iterator[Line]:
    wanted = name_class(1, classes)
    if math.isinf(way.cost):
        yield Line(f"Recourse: {_none(way, wanted)}", 2)
    else:
        claim = "the least of all permitted changes" if way.all_tried else "the cheapest that was found"
        changed = "; ".join(map(_change, way.changes)) or "nothing that is more than a rounding"
        yield Line(
            f"Recourse: {changed}. This turns the decision to {wanted}{' in every draw' if one.draws > 1 else ''} and "
            f"costs {way.cost:.3f} standard deviations ({NORMS[norm]}), {claim}.",
            2,
        )
        if way.follows:
            yield Line(f"What follows: {'; '.join(map(_change, way.follows))}.", 4)
    for other in way.others:
        alike = "" if math.isinf(way.cost) else f"the same change {_accepted(other.accepted, one.draws)}; "
        yield Line(f"As {other.level}: {alike}{_own_cost(other.cost)}.", 4)


def _none(way: WayOut, wanted: str) -> str:
    if not way.columns:
        return "no attribute is actionable, so there is none."
    which = "of" if way.all_tried else "that was tried of"
    return (
        f"no change {which} {write_names(way.columns)} within bounds and a cost of {way.most:g} turns it to {wanted}."
    )


def _change(change: Change) -> str:
    shift = "" if change.deviations is None else f" ({change.deviations:+.3f} sd)"
    return f"{change.attribute} {change.before} -> {change.after}{shift}"


def _accepted(share: float, draws: int) -> str:
    if share in (0, 1):
        return "would be enough" if share else "would not be enough"
    return f"would be enough {_of_draws(share, draws)}"


def _own_cost(cost: float) -> str:
    if math.isinf(cost):
        return "no change was found that is"
    return f"the cheapest found costs {cost:.3f}" if cost else "none is needed"


def heading(name: str, record: str, people: int, scm: str) -> str:
    """A line on the model, and what twins assume."""
    return f"{name}, {record}, {count(people, 'person', 'people')}; twins under scm={scm}."
