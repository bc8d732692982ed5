"""Causal figures over the causal models that a record was judged under: their range, in words, and who is chosen.

``evaluate.py id=... sensitivity=true`` files them; nothing of the record's own figures is changed by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evals.records.points import at_own_thresholds
from utils.metrics.directions import describe
from utils.records.typed import Record
from utils.runs.causal_figures import AREA, is_trained_against
from utils.scms.identity import causal_of
from utils.system.console import count
from utils.words.numbers import write_estimate

HEAD = "causal model"
ENDS = ("_low", "_high")
LEANS = (
    "the model was trained against these equations and gains by their errors, so on average the mean over refits is "
    "nearer to what the true ones would find, if these are of that kind"
)
UNKNOWN = "how many individuals were judged is not recorded"
CHANGED = ("graph with one arrow changed", "graphs with one arrow changed")
LEFT_OUT = "left out (alternatives.most), those far from the sensitive attributes first"
OTHER_UNITS = "whose radii are in other units: scm.radius_unit=noise_sd has the same ones for all"
LEGEND = "from the least to the largest under several causal models (sensitivity=true)"


class Figure(NamedTuple):
    """A figure under one causal model."""

    model: str
    fingerprint: str
    value: float
    low: float | None  # of the interval over individuals
    high: float | None

    def __str__(self) -> str:
        return write_estimate(self.value, self.low, self.high)


class Refits(NamedTuple):
    """A figure over refits of a causal model: how many, their mean, and the middle 95 % of them."""

    number: int
    mean: float | None  # None: filed before there were means
    low: float
    high: float

    def __str__(self) -> str:
        ends = f"[{self.low:.3f}, {self.high:.3f}]"
        return ends if self.mean is None else f"{self.mean:.3f} {ends}"


class Range(NamedTuple):
    """A figure under several causal models, the chosen one first."""

    key: str
    figures: Sequence[Figure]
    individuals: int  # who were judged under each; 0 where that is not known
    left_out: int  # graphs that were not judged
    refits: Refits | None  # of the first
    apart: Sequence[str] = ()  # causal models whose radii are in other units
    against: bool = False  # the model was trained against the equations of the first

    @property
    def least(self) -> Figure:
        """The least figure."""
        return min(self.figures, key=lambda of: of.value)

    @property
    def most(self) -> Figure:
        """The largest figure."""
        return max(self.figures, key=lambda of: of.value)

    def __str__(self) -> str:
        return f"{self.least.value:.3f} to {self.most.value:.3f}"


def ranges(record: Record, evaluation: str | None = None) -> list[Range]:
    """The ranges of a record's figures, as one later evaluation filed them, or as the last one of each figure did.

    One that begins with the causal model of the record goes before one that begins with another, and before refits
    alone one under several causal models, which takes these refits where it has none of its own.
    """
    found: dict[str, Range] = {}
    later: Mapping[str, Any] = record.get("evaluations") or {}
    judged = [of for name, of in later.items() if evaluation in (None, name)]
    made = [of for of in judged if "metrics" in of and of.get("sensitivity")]  # others are bare metrics, of any name
    first = (causal_of(record) or {}).get("fingerprint") if made else None
    trained_against = is_trained_against(record)

    def of_own(of: Mapping[str, Any]) -> bool:
        return first is not None and (of.get("causal") or {}).get("fingerprint") == first

    for of in sorted(made, key=lambda of: (of_own(of), len(of["sensitivity"]["models"]) > 1, str(of.get("created")))):
        for own in _read(of["sensitivity"], trained_against and of_own(of)):
            before = found.get(own.key)
            alike = before is not None and before.figures[0].fingerprint == own.figures[0].fingerprint
            refits = before.refits if before and alike and own.refits is None else own.refits
            found[own.key] = own._replace(refits=refits)
    return list(found.values())


def range_of(record: Record, key: str) -> str:
    """``0.060 to 0.390``, of a figure at the record's own thresholds; empty where it was judged under one model."""
    found = {own.key: own for own in ranges(at_own_thresholds(record))} if record.get("evaluations") else {}
    own = found.get(key)
    return str(own) if own and len(own.figures) > 1 else ""


def _read(held: Mapping[str, Any], against: bool) -> Iterator[Range]:
    """Yields the range of every figure of a filed sensitivity, of a model trained ``against`` its first equations."""
    models, refits = held["models"], held.get("refits") or {"number": 0, "metrics": {}}
    for key in filter(AREA.fullmatch, models[0]["metrics"]):
        figures = [_figure(of, key) for of in models if of["metrics"].get(key) is not None]
        mean, low, high = (refits["metrics"].get(f"{key}{end}") for end in ("", *ENDS))
        over = None if low is None or high is None else Refits(int(refits["number"]), mean, low, high)
        if models[0]["metrics"][key] is not None:
            people, left_out = (int(held.get(of) or 0) for of in ("individuals", "left_out"))
            apart = [of["name"] for of in models if key not in of["metrics"]]
            yield Range(key, figures, people, left_out, over, apart, against)


def _figure(model: Mapping[str, Any], key: str) -> Figure:
    own = model["metrics"]
    return Figure(model["name"], model["fingerprint"], own[key], *(own.get(f"{key}{end}") for end in ENDS))


# --- words -----------------------------------------------------------------------------------------------------


def sentence(own: Range) -> str:
    """``unfair area at radius 0.05: 0.060 (no graph) to 0.390 (linear) depending on the causal model; ...``."""
    words = describe(own.key).partition(" (")[0]
    first = own.figures[0]
    begun = first.model.partition(" (")[0]  # as trained
    least, most = (f"{of.value:.3f} ({begun if of is first else of.model})" for of in (own.least, own.most))
    several = f"{least} to {most}, depending on the causal model ({len(own.figures)} judged); "
    said = f"{words}: {several if len(own.figures) > 1 else ''}{begun} {first.value:.3f}"
    over = own.refits
    if over is None:
        return said
    ends = f"{over.low:.3f} to {over.high:.3f}"
    said += f", over {over.number} refits of it " + (ends if over.mean is None else f"{over.mean:.3f} ({ends})")
    return f"{said}: {LEANS}" if own.against and over.mean is not None and over.mean > first.value else said


def remarks(found: Sequence[Range]) -> list[str]:
    """Says how many individuals were judged, and under which causal models some figures were not, each once."""
    said = [f"judged on {count(own.individuals, 'individual')}" if own.individuals else UNKNOWN for own in found]
    said += [f"{count(own.left_out, *CHANGED)} {LEFT_OUT}" for own in found if own.left_out]
    apart: dict[Sequence[str], list[str]] = {}
    for own in found:
        apart.setdefault(tuple(own.apart), []).append(own.key)
    said += [
        f"{' and '.join(keys)} not under {', '.join(models)}, {OTHER_UNITS}" for models, keys in apart.items() if models
    ]
    return list(dict.fromkeys(said))


def table(found: Sequence[Range]) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a table: the figures under every causal model, and over refits of the first."""
    by_model = [{of.model: str(of) for of in own.figures} for own in found]
    names = dict.fromkeys(name for own in by_model for name in own)
    rows = [[name, *(own.get(name, "-") for own in by_model)] for name in names]
    if refits := [own.refits for own in found if own.refits]:
        rows.append([f"{refits[0].number} refits of the first", *(str(own.refits or "-") for own in found)])
    return [HEAD, *(own.key for own in found)], rows


def rows(own: Range) -> Iterator[tuple[str, str, str]]:
    """Yields one figure under every causal model, and over refits of the first: a name, the value, the interval."""
    for of in own.figures:
        value, _, interval = str(of).partition(" ")
        yield of.model, value, interval
    if own.refits:
        value, ends, interval = str(own.refits).rpartition("[")
        yield f"{own.refits.number} refits of the first", value.strip(), f"{ends}{interval}"


# --- choices ---------------------------------------------------------------------------------------------------


def choices(records: Sequence[Record], evaluation: str) -> Iterator[str]:
    """Yields for every figure whether the same of several records is the best one under all their causal models."""
    own = {int(record["doc_id"]): {of.key: of for of in ranges(record, evaluation)} for record in records}
    for key in dict.fromkeys(key for of in own.values() for key in of):
        having = {i: of[key] for i, of in own.items() if key in of}
        if len(having) > 1 and all(len(of.figures) > 1 for of in having.values()):
            yield _choice(key, having)


def _choice(key: str, own: Mapping[int, Range]) -> str:
    """Says under which causal models that all records share another is the best than under the first of these."""
    words = describe(key).partition(" (")[0]
    figures = {i: {of.fingerprint: of for of in found.figures} for i, found in own.items()}
    first = next(iter(own.values())).figures
    shared = [of for of in first if all(of.fingerprint in found for found in figures.values())]
    ids = f"{', '.join(map(str, list(own)[:-1]))} and {list(own)[-1]}"
    if not shared:
        return f"records {ids} share no causal model, so that none says which of them has the lower {words}"

    def value(i: int, of: Figure) -> float:
        return figures[i][of.fingerprint].value

    def best(of: Figure) -> int:
        return min(own, key=lambda i: value(i, of))

    chosen = best(shared[0])
    turned = [of for of in shared if value(best(of), of) < value(chosen, of)]
    said = f"the choice between {ids} ({chosen} by its lower {words})"
    under = count(len(shared), "causal model")
    if not turned:
        return f"{said} holds under all {under}"

    def against(of: Figure) -> str:
        both = (f"{i}: {value(i, of):.3f}" for i in (best(of), chosen))
        return f"{of.model} ({', '.join(both)})"

    return f"{said} turns under {len(turned)} of {under}: {', '.join(map(against, turned))}"
