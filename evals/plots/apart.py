"""Looks that tell settings apart: the colour is the kind's, settings of one kind differ in marker and dashes."""

from typing import Any, NamedTuple

from evals.plots import frame, text
from evals.plots.chart import Chart
from evals.plots.style import COLOURS, MARKERS

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (2.2, 1)))


class Look(NamedTuple):
    """The name, colour, marker and line of a setting."""

    name: str
    colour: str
    marker: str
    dashes: Any  # of lines, as Matplotlib takes them


def looks(shown: Chart) -> list[Look]:
    """One for each setting; where all are of one kind, colours tell them apart. The only one is called by its name."""
    kinds, labels = list(shown.groups["kind"]), list(shown.groups["label"])
    names = [text.full_label(row) for row in shown.groups.to_dict("records")]
    if len(kinds) == 1:
        labels = [str(shown.groups["name"].iloc[0])]
    if len(set(kinds)) == 1:
        turns = [divmod(i, len(COLOURS)) for i in range(len(kinds))]
        return [
            Look(name, COLOURS[i], MARKERS[(i + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])
            for name, (turn, i) in zip(labels, turns, strict=True)
        ]
    places = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
    return [
        Look(name, shown.looks[kind][0], MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])
        for name, kind, place in zip(names, kinds, places, strict=True)
    ]


def entries(found: list[Look], **changes: Any) -> list[Any]:
    """Returns the entries of the legend; of many settings the first."""
    handles = []
    for look in found:
        handles.append(frame.swatch(look.name, (look.colour, look.marker), **changes))
        handles[-1].set_label(frame.fold_name(look.name))
    if len(handles) > frame.MOST_KINDS:
        handles = [*handles[: frame.MOST_KINDS - 1], frame.blank(f"… {len(found) - frame.MOST_KINDS + 1} more")]
    return handles


def extent(shown: Chart) -> str:
    """``10 runs, 2 settings, 5 seeds each``."""
    return text.extent(shown).partition(";")[0]
