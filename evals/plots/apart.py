"""Looks that tell settings apart: the colour is the kind's, every setting has its own marker and dashes."""

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
        row = shown.groups.iloc[0]
        labels = [str(row["name"]).removeprefix(f"{row['dataset']}_")]
    one = len(set(kinds)) == 1
    colours = [COLOURS[i % len(COLOURS)] if one else shown.looks[kind][0] for i, kind in enumerate(kinds)]
    pairs = zip(labels if one else names, colours, strict=True)
    return [
        Look(name, colour, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]) for i, (name, colour) in enumerate(pairs)
    ]


def entries(found: list[Look], **changes: Any) -> list[Any]:
    """Returns the entries of the legend; of many settings the first."""
    handles = []
    for look in found:
        handles.append(frame.swatch(look.name, (look.colour, look.marker), **changes))
        handles[-1].set_label(frame.fold(look.name, frame.LONGEST))
    if len(handles) > frame.MOST_KINDS:
        handles = [*handles[: frame.MOST_KINDS - 1], frame.blank(f"… {len(found) - frame.MOST_KINDS + 1} more")]
    return handles


def extent(shown: Chart) -> str:
    """``10 runs, 2 settings, 5 seeds each``."""
    return text.extent(shown).partition(";")[0]
