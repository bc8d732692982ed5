"""A set of added rows, changed a little towards what is predicted to help."""

from collections.abc import Sequence

from utils.poisoning.added_sets import Added
from utils.poisoning.candidates import Ranked

Key = tuple[tuple[float, ...], int]  # a row and its label


def changed(
    added: Sequence[Added], ranking: Ranked, size: int, *, most: int, copies: int, skip: int
) -> tuple[Added, ...]:
    """The set after the ``size`` copies that are predicted to help most: harmful ones taken back, helpful ones added.

    Where there is no room for another row, it takes the place of the one with the least influence per copy, if what it
    brings is more than all copies of that one do.

    Args:
        added: the set, whose rows are ranked too.
        ranking: influence of a copy of each row.
        size: copies that may be taken back or added, 1 or more; those of a replaced row do not count.
        most: distinct rows of a set.
        copies: most copies of a row.
        skip: leave out so many rows of the head of the ranking that are not in the set.
    """
    keys: list[Key] = list(zip(map(tuple, ranking.rows.natural.tolist()), ranking.rows.labels.tolist(), strict=True))
    worth = dict(zip(keys, ranking.influence.tolist(), strict=True))
    held: dict[Key, int] = {(row, label): times for row, label, times in added}
    outside = [key for key in keys if key not in held][:skip]
    for key in sorted(held, key=worth.__getitem__, reverse=True):
        if worth[key] > 0:
            taken = min(held[key], size)
            held[key], size = held[key] - taken, size - taken
    held = {key: times for key, times in held.items() if times}
    for key in (key for key in keys if key not in outside):
        if size < 1 or worth[key] >= 0:
            break
        if key not in held and len(held) >= most:
            least = max(held, key=lambda other: worth[other] * held[other])
            if worth[least] * held[least] <= worth[key] * min(copies, size):
                continue
            del held[least]
        given = min(copies - held.get(key, 0), size)
        held[key], size = held.get(key, 0) + given, size - given
    return tuple(Added(row, label, times) for (row, label), times in held.items())
