"""The result of a kind of plot."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture(NamedTuple):
    """A figure, and what is to be said of it on standard output."""

    figure: "Figure"
    text: str
