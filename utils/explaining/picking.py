"""Examples among the test rows: the most unfair, a typical one, the one nearest to its threshold."""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.explaining.asked_people import People, find_people
from utils.explaining.worlds import Model, Worlds, make_worlds

MOST = 2000  # test rows that are looked at, the first ones: the split is in random order
PART = 1 << 15  # worlds of people that are judged together


def pick(model: Model, word: str) -> People:
    """The test row that a word of ``EXAMPLES`` asks for."""
    test = model.data.test
    size = max(1, PART // (model.draws * len(model.levels)))
    places = torch.arange(min(MOST, len(test.y)))
    with torch.no_grad():
        parts = [
            EXAMPLES[word](make_worlds(model, People(test.x[some], test.index[some], ())))
            for some in places.split(size)
        ]
    worth = torch.cat(parts)
    best = (worth - worth.median()).abs().argmin() if word == "typical" else worth.argmax()
    return find_people(model.data, [int(test.index[int(best)])], "test")


def _differences(worlds: Worlds) -> Tensor:
    """The largest difference in log-odds between people (p,) and their twins, mean over draws."""
    own = worlds.log_odds.gather(0, worlds.level.expand(1, *worlds.log_odds.shape[1:]))
    return (worlds.log_odds - own).abs().amax(0).mean(0)


def _unfairness(worlds: Worlds) -> Tensor:
    """The share of draws (p,) in which a twin is decided otherwise, then the difference in log-odds."""
    difference = _differences(worlds)
    return worlds.otherwise.any(0).double().mean(0) + difference / (1 + difference) / (1 + worlds.otherwise.shape[1])


def _nearness(worlds: Worlds) -> Tensor:
    """The distance (p,) from the threshold, less is more."""
    return -worlds.margin.gather(0, worlds.level.expand(1, *worlds.margin.shape[1:]))[0, 0].abs()


EXAMPLES: dict[str, Callable[[Worlds], Tensor]] = {
    "unfairest": _unfairness,
    "typical": _differences,
    "nearest": _nearness,
}
