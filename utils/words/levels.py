"""Names of levels, groups and classes in the words of whoever owns the data, written so that they can be read again.

A group is ``sex=female,race=asian``. A name or text that holds a mark of this grammar is written in quotes, as in JSON.
"""

import json
import re
from collections.abc import Iterable, Sequence

MARKS = re.compile(r"[,=\[\](){}\"\x00-\x1f\x7f-\x9f\u2028\u2029]|^\s|\s$|^$")
PART = re.compile(r'("(?:[^"\\]|\\.)*"|[^,="]*)')


def write_text(text: str) -> str:
    """A text as it stands in the name of a group: as it is, or in quotes where it could be misread."""
    return json.dumps(text, ensure_ascii=False) if MARKS.search(text) else text


def write_names(names: Iterable[str]) -> str:
    """``age, "wage, net"``: names between commas, those in quotes that hold one."""
    return ", ".join(map(write_text, names))


def write_arrow(causes: Iterable[str], effect: str) -> str:
    """``sex, "wage, net" -> card``."""
    return f"{write_names(causes)} -> {write_text(effect)}"


def write_level(attribute: str, text: str) -> str:
    """``race=asian``."""
    return f"{write_text(attribute)}={write_text(text)}"


def read_group(name: str) -> dict[str, str]:
    """The levels of a group by attribute, ``{"sex": "female", "race": "asian"}``. Raises ValueError for other text."""
    found, at = {}, 0
    while True:
        attribute, at = _part(name, at)
        if name[at : at + 1] != "=":
            raise ValueError(f"{name!r} names no group; expected attribute=level, several between commas")
        found[attribute], at = _part(name, at + 1)
        if at == len(name):
            return found
        if name[at] != ",":
            raise ValueError(f"{name!r} names no group; expected a comma at place {at}")
        at += 1


def _part(name: str, at: int) -> tuple[str, int]:
    """The attribute or text that begins at a place, and where it ends."""
    match = PART.match(name, at)
    assert match is not None  # it takes nothing too
    text = match[0]
    return (json.loads(text) if text.startswith('"') else text), match.end()


def levels_of(groups: Sequence[str], attribute: str) -> tuple[str, ...]:
    """The names of the groups of one attribute alone, ``("sex=female", "sex=male")``; none where a name tells none."""
    try:
        of_each = [read_group(name)[attribute] for name in groups]
    except (ValueError, KeyError):
        return ()
    return tuple(write_level(attribute, text) for text in dict.fromkeys(of_each))


def name_class(label: int, names: Sequence[str]) -> str:
    """``class 1``, or ``class yes`` where the classes have names."""
    return f"class {write_text(names[label]) if label < len(names) else label}"
