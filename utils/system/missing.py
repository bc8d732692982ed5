"""The words for a file that is not there. Standard library only."""

from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path

from utils.words.near import MOST, ask

ALIKE = 0.8  # least likeness of names, in [0, 1]: those of one folder are often of one form
MOST_FILES = 2000  # of a folder, beyond which the others are not looked at


def describe_missing(path: str | Path, otherwise: str = "") -> str:
    """Returns ``there is no file a.yml; did you mean a.yaml?`` by the names of files beside it, or what is there.

    Args:
        path: as the user wrote it.
        otherwise: follows behind a semicolon where no name is close.
    """
    if Path(path).is_dir():
        return f"{path} is a folder, not a file"
    return f"there is no file {path}{ask(find_near(path)) or (otherwise and f'; {otherwise}')}"


def find_near(path: str | Path) -> list[str]:
    """Returns a few files beside a missing one whose names are much alike, the closest first."""
    own = Path(path)
    names: list[str] = []
    with suppress(OSError):
        names = [other.name for other in own.parent.iterdir() if not other.name.startswith(".")]
    likeness = {name: _likeness(own.name, name) for name in names[:MOST_FILES] if name != own.name}
    alike = [name for name, of in likeness.items() if of >= ALIKE and own.with_name(name).is_file()]
    return [str(own.with_name(name)) for name in sorted(alike, key=lambda name: -likeness[name])[:MOST]]


def _likeness(name: str, other: str) -> float:
    """In [0, 1]: of the names and of what is before their endings, whichever is less alike."""
    a, b = (Path(one.casefold()) for one in (name, other))
    return min(SequenceMatcher(None, *pair).ratio() for pair in ((a.name, b.name), (a.stem, b.stem)))
