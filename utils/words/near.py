"""The words that a mistyped one may have meant, as every error names them: ``; did you mean a or b?``."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any

MOST = 3  # words named at once
APART = 0.1  # likeness by which a word is closer than others
ALIKE, LOOSELY = 0.6, 0.5  # least likeness, in [0, 1]; the second where all words would be listed otherwise


def near(word: Any, known: Iterable[Any], otherwise: str = ".") -> str:
    """Returns ``; did you mean a or b?``, the closest known word first, or ``otherwise`` where none is close."""
    return ask(get_close_matches(str(word), [str(k) for k in known], MOST, ALIKE)) or otherwise


def only_near(word: str, meanings: Mapping[str, str]) -> str | None:
    """Returns the meaning of the one word that is close, of ``meanings`` by word; None where several are as close.

    One that differs in upper and lower case alone is closer than any other.
    """
    of_case = {meaning for known, meaning in meanings.items() if known.casefold() == word.casefold()}
    likeness = {known: SequenceMatcher(None, word, known).ratio() for known in meanings}
    least = max(ALIKE, max(likeness.values(), default=0.0) - APART)
    found = of_case or {meanings[known] for known, of in likeness.items() if of >= least}
    return found.pop() if len(found) == 1 else None


def near_or_all(word: Any, known: Sequence[str], listed: Sequence[str] = ()) -> str:
    """Returns the same, or ``; there are a, b`` with the ``listed`` words, by default all, where none is close."""
    return ask(get_close_matches(str(word), known, MOST, LOOSELY)) or f"; there are {', '.join(listed or known)}"


def near_keys(key: str, known: Iterable[str]) -> str:
    """Returns the same for dotted keys, of which the last part counts as much as the whole; "" where none is close."""
    likeness = {other: _likeness(key, other) for other in known}
    least = max(0.65, max(likeness.values()) - 0.1)
    return ask(sorted((k for k, of in likeness.items() if of >= least), key=lambda k: -likeness[k])[:MOST])


def _likeness(key: str, other: str) -> float:
    """In [0, 1]: of the whole keys and of their last parts, 0 where those have little in common."""
    pairs = ((key, other), (key.rpartition(".")[2], other.rpartition(".")[2]))
    whole, leaf = (SequenceMatcher(None, a, b).ratio() for a, b in pairs)
    return (whole + leaf) / 2 if leaf >= ALIKE else 0.0


def ask(close: Sequence[str]) -> str:
    """Returns the question which of the words was meant, "" where there are none."""
    return f"; did you mean {' or '.join(close)}?" if close else ""
