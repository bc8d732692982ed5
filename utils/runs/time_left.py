"""The time that the jobs of a sweep still take, by what jobs like them took."""

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import mean

from utils.words.numbers import read_number

MOST_KINDS = 200  # beyond, a job is as likely as any other to take the mean
UNTOLD = ("seed",)  # keys that change nothing about the time

Kind = frozenset[str]


def kind_of(words: Iterable[str]) -> Kind:
    """Returns the words of a job that its time may depend on."""
    return frozenset(word for word in words if word.partition("=")[0] not in UNTOLD)


def estimate_left(spent: Iterable[tuple[Kind, float | None]], left: Mapping[Kind, int]) -> float:
    """Returns the time that jobs still take, as a multiple of what those that have ended took.

    A job takes the mean of the ended jobs of its kind; where there are none, of the kinds that share most words with
    it.

    Args:
        spent: of each ended job its kind and its seconds; None: not known, so the mean of those known.
        left: how many jobs of each kind have not ended.
    """
    told = list(spent)
    usual = mean([seconds for _, seconds in told if seconds is not None] or [1.0])
    by_kind: dict[Kind, list[float]] = {}
    for kind, seconds in told:
        by_kind.setdefault(kind, []).append(usual if seconds is None else seconds)
    means = {kind: mean(own) for kind, own in by_kind.items()}
    few = len(means.keys() | left.keys()) <= MOST_KINDS
    costs = {kind: means.get(kind) or (_of_nearest(kind, means) if few else usual) for kind in left}
    taken = sum(map(sum, by_kind.values()))
    return sum(costs[kind] * number for kind, number in left.items()) / taken if taken else 0.0


def _of_nearest(kind: Kind, means: Mapping[Kind, float]) -> float:
    """The mean over the kinds that share most words with one."""
    shared = {other: len(kind & other) for other in means}
    most = max(shared.values())
    return mean(means[other] for other, number in shared.items() if number == most)


def untimed(ended: Iterable[Kind], left: Mapping[Kind, int]) -> list[str]:
    """Returns the choices, such as ``dataset=adult``, of jobs left that no job that has ended has, of most jobs first.

    Args:
        ended: the kinds of the jobs that have ended.
        left: how many jobs of each kind have not.
    """
    known = frozenset[str]().union(*ended)
    jobs: Counter[str] = Counter()
    for kind, number in left.items():
        jobs.update(dict.fromkeys(sorted(kind - known), number))
    return [word for word, _ in jobs.most_common() if _is_choice(word)]


def _is_choice(word: str) -> bool:
    """Returns whether a word sets a key to something that is no number."""
    value = word.partition("=")[2] or "0"
    try:
        read_number(value)
    except ValueError:
        return True
    return False
