"""The style of all figures: colours that everybody can tell apart, type, and files that equal data make equal."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.system import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe & Ito (2008), safe for the colour-blind; its yellow is too pale on white. Seven colours and eight markers
# have no common divisor, so 56 kinds look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
HATCHES = ("", "////", "....", "xxxx", "----", "oo", "\\\\\\\\")  # of areas, where colours are not seen
GREY, INK = "#8a8a8a", "#222222"
STYLE: Any = {
    **{"font.size": 10, "axes.labelsize": 10.5, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555", "axes.axisbelow": True},
    **{"axes.grid": True, "grid.color": "#ececec", "grid.linewidth": 0.8, "xtick.color": "#444444"},
    "text.parse_math": False,  # what users write is shown as written, "$" too
    **{"ytick.color": "#444444", "svg.hashsalt": "trilemma", "legend.frameon": False, "legend.fontsize": 9.5},
}


def save(figure: "Figure", paths: Sequence[Path]) -> None:
    """Writes the figure to every path, whole or not at all; folders are created."""
    for path in paths:
        atomic.write_bytes(path, render(figure, path.suffix[1:].lower()))


def render(figure: "Figure", kind: str) -> bytes:
    """The figure as a file: png, svg or pdf."""
    import matplotlib as mpl

    stamp: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    file = BytesIO()
    with mpl.rc_context(STYLE):  # its hash salt, and no date: equal data, equal bytes
        figure.savefig(file, format=kind, metadata=stamp)
    return file.getvalue()


def targets(out: object, default: str, formats: Sequence[str] = SUFFIXES, key: str = "out") -> list[Path]:
    """The files that ``out`` names, by commas; where it is null ``figures/<default>`` in the first of the formats.

    ``key`` is what a user calls it.

    Raises:
        ValueError: a suffix other than the formats.
    """
    named = str(out or f"figures/{default.replace('/', '-')}{formats[0]}")
    words = [word.strip() for word in named.split(",") if word.strip()]
    for word in words:
        if Path(word).suffix.lower() not in formats:
            raise ValueError(f"{key}={word}: expected a name ending in {', '.join(formats)}")
    return [Path(word) for word in words]
