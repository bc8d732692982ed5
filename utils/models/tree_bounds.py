"""Bounds of log-odds that trees add up to, over boxes: by the leaves that a box reaches.

The sum over trees of the least and of the largest value among their leaves within reach (Chen et al. 2019, arXiv
1906.03849) holds all answers, and of one tree is exact. A box that few thresholds cross is cut at all of them, and its
bounds are exact too. Numbers are compared and added up as scikit-learn does it, so both ends are answers to the bit.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.models.estimators import Estimator, log_odds_of

CELLS = 16  # that a box is cut into, at the most

Places = NDArray[np.intp]
Doubles = NDArray[np.float64]


class Enclosure(NamedTuple):
    """The least and the largest (p,) of what is added up over p boxes, and the rise along each column."""

    low: NDArray[np.float32]  # (p,) log-odds
    high: NDArray[np.float32]  # (p,)
    rise: Doubles  # (p, d) from one end of the box to the other, roughly: by what each split within reach says


class Trees(NamedTuple):
    """The nodes of all trees of an ensemble, one after the other."""

    feature: Places  # (nodes,)
    threshold: Doubles  # (nodes,) a number up to it goes left
    left: Places  # (nodes,) below 0 of a leaf
    right: Places  # (nodes,)
    value: Doubles  # (classes or 1, nodes)
    rise: Doubles  # (nodes,) by how much the right child is above the left one
    root: Places  # (trees,)
    cuts: tuple[NDArray[Any], ...]  # the largest features of each column that are not above a threshold, ascending
    dtype: type  # in which scikit-learn compares features
    start: Doubles  # (classes or 1,) from which the sum starts
    rounding: float  # by which scikit-learn's sum may differ, as a share of the sum of magnitudes


@lru_cache(maxsize=4)
def read_trees(estimator: Estimator) -> Trees:
    """The trees of a trained forest, boosting or boosting on histograms, for two classes."""
    columns = estimator.n_features_in_
    if hasattr(estimator, "_predictors"):
        parts = [_of_histogram(tree[0].nodes, estimator.learning_rate) for tree in estimator._predictors]
        return _join(parts, columns, np.float64, np.ravel(estimator._baseline_prediction), 0.0)
    grown = [tree.tree_ for tree in np.ravel(estimator.estimators_)]
    if not hasattr(estimator, "_raw_predict_init"):
        return _join([_of_tree(tree, 1.0) for tree in grown], columns, np.float32, np.zeros(2), 0.0)
    start = np.ravel(estimator._raw_predict_init(np.zeros((1, columns), np.float32)))
    parts = [_of_tree(tree, estimator.learning_rate) for tree in grown]
    rounding = len(parts) * float(np.finfo(np.float64).eps)  # compilers may multiply and add in one operation
    return _join(parts, columns, np.float32, start, rounding)


def enclose(trees: Trees, low: Doubles, high: Doubles) -> Enclosure:
    """Bounds over boxes from ``low`` to ``high`` (p, d), in the units that features have."""
    low, high = low.astype(trees.dtype), high.astype(trees.dtype)
    found = _enclose(trees, low, high)
    counts = [_crossing(cuts, low[:, j], high[:, j]) for j, cuts in enumerate(trees.cuts)]
    many = np.stack([end - first + 1 for first, end in counts], 1).prod(1, dtype=np.float64)
    narrow = np.flatnonzero((many > 1) & (many <= CELLS) & (found.low < found.high))
    if len(narrow):
        first = np.stack([of[narrow] for of, _ in counts], 1)
        each = np.stack([end[narrow] - of[narrow] + 1 for of, end in counts], 1)
        box, cell_low, cell_high = _cells(trees, low[narrow], high[narrow], first, each)
        cells = _enclose(trees, cell_low, cell_high)
        begin = np.searchsorted(box, np.arange(len(narrow)))
        found.low[narrow] = np.minimum.reduceat(cells.low, begin)
        found.high[narrow] = np.maximum.reduceat(cells.high, begin)
    return found


def _of_tree(tree: Any, factor: float) -> tuple[Any, ...]:
    """Feature, threshold, children, values (c, nodes) and which are leaves, of a tree of scikit-learn."""
    columns = (tree.feature, tree.threshold, tree.children_left, tree.children_right)
    return (*columns, factor * tree.value[:, 0].T, tree.children_left < 0)


def _of_histogram(nodes: Any, shrinkage: float) -> tuple[Any, ...]:
    """The same of a tree on histograms, whose leaves alone are shrunk."""
    leaf = nodes["is_leaf"] > 0
    value = np.where(leaf, 1.0, shrinkage) * nodes["value"]
    columns = (nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"])
    return (*columns, value[None], leaf)


def _join(parts: list[tuple[Any, ...]], columns: int, dtype: type, start: Doubles, rounding: float) -> Trees:
    size = np.array([len(part[0]) for part in parts])
    root = np.concatenate([[0], size.cumsum()[:-1]]).astype(np.intp)
    offset = root.repeat(size)
    leaf = np.concatenate([part[5] for part in parts])
    feature = np.where(leaf, 0, np.concatenate([part[0] for part in parts])).astype(np.intp)
    threshold = np.concatenate([part[1] for part in parts]).astype(np.float64)
    left, right = (np.where(leaf, -1, np.concatenate([part[i] for part in parts]) + offset) for i in (2, 3))
    value = np.concatenate([part[4] for part in parts], 1)
    rise = np.where(leaf, 0.0, value[-1, right] - value[-1, left])
    cuts = tuple(np.unique(_last(threshold[~leaf & (feature == j)], dtype)) for j in range(columns))
    return Trees(
        feature, threshold, left.astype(np.intp), right.astype(np.intp), value, rise, root, cuts, dtype, start, rounding
    )


def _enclose(trees: Trees, low: NDArray[Any], high: NDArray[Any]) -> Enclosure:
    least, largest, rise = _reach(trees, low, high)
    if len(trees.start) == 2:  # a forest: the mean of its trees' probabilities
        bottom, top = (_add_up(trees, of) / len(trees.root) for of in (least, largest))
        ends = [log_odds_of(np.column_stack(of))[:, 0] for of in ((top[0], bottom[1]), (bottom[0], top[1]))]
        return Enclosure(ends[0], ends[1], rise)
    magnitude = np.maximum(np.abs(least), np.abs(largest)).sum(1)[0] + np.abs(trees.start)
    ends = [_add_up(trees, of)[0] for of in (least, largest)]
    return Enclosure(
        (ends[0] - trees.rounding * magnitude).astype(np.float32),
        (ends[1] + trees.rounding * magnitude).astype(np.float32),
        rise,
    )


def _add_up(trees: Trees, values: Doubles) -> Doubles:
    """The sum (c, p) of values (c, trees, p), one tree after the other."""
    first = np.broadcast_to(trees.start[:, None, None], (len(values), 1, values.shape[-1]))
    total: Doubles = np.add.accumulate(np.concatenate([first, values], 1), 1)[:, -1]
    return total


def _reach(trees: Trees, low: NDArray[Any], high: NDArray[Any]) -> tuple[Doubles, Doubles, Doubles]:
    """The least and the largest value (c, trees, p) of the leaves that boxes (p, d) reach, and rises (p, d).

    Goes down all trees at once, with the pairs of a box and a node that it reaches.
    """
    boxes, columns = low.shape
    pair = np.arange(len(trees.root) * boxes)
    node, box = trees.root.repeat(boxes), np.tile(np.arange(boxes), len(trees.root))
    least = np.full((len(trees.value), len(pair)), np.inf)
    largest, rise = -least, np.zeros(boxes * columns)
    low, high = low.ravel(), high.ravel()
    while len(node):
        left = trees.left[node]
        inner = left >= 0
        if not inner.all():
            at, leaf = pair[~inner], node[~inner]
            for i, value in enumerate(trees.value):
                np.minimum.at(least[i], at, value[leaf])
                np.maximum.at(largest[i], at, value[leaf])
            pair, node, box, left = pair[inner], node[inner], box[inner], left[inner]
        side, threshold = box * columns + trees.feature[node], trees.threshold[node]
        goes_left = ~(low[side] > threshold)  # also where an end is undefined
        goes_right = ~(high[side] <= threshold)
        both = goes_left & goes_right
        np.add.at(rise, side[both], trees.rise[node[both]])
        right = trees.right[node[goes_right]]
        node = np.concatenate([left[goes_left], right])
        pair = np.concatenate([pair[goes_left], pair[goes_right]])
        box = np.concatenate([box[goes_left], box[goes_right]])
    shape = (len(trees.value), len(trees.root), boxes)
    return least.reshape(shape), largest.reshape(shape), rise.reshape(boxes, columns) / len(trees.root)


def _crossing(cuts: Doubles, low: NDArray[Any], high: NDArray[Any]) -> tuple[Places, Places]:
    """The places of the cuts that cross intervals: low <= cut < high, from the first to before the second."""
    first = np.searchsorted(cuts, low)
    return first, np.maximum(first, np.searchsorted(cuts, high))


def _cells(
    trees: Trees, low: NDArray[Any], high: NDArray[Any], first: Places, each: Places
) -> tuple[Places, NDArray[Any], NDArray[Any]]:
    """The cells (c,) of boxes (p, d) between cuts, by box in order, and their ends (c, d).

    Args:
        trees: whose cuts count.
        low: ends of the boxes.
        high: likewise.
        first: the first cut of each side.
        each: the number of its parts.
    """
    count = each.prod(1)
    box = np.arange(len(low)).repeat(count)
    number = np.arange(len(box)) - (count.cumsum() - count).repeat(count)
    cell_low, cell_high = low[box], high[box]
    for j, cuts in enumerate(trees.cuts):
        part, number = number % each[box, j], number // each[box, j]
        at = first[box, j] + part
        above, below = part > 0, part < each[box, j] - 1
        cell_low[above, j] = np.nextafter(cuts[at[above] - 1], trees.dtype(np.inf))
        cell_high[below, j] = cuts[at[below]]
    return box, cell_low, cell_high


def _last(threshold: Doubles, dtype: type) -> NDArray[Any]:
    """The largest numbers of a type that are not above thresholds; of several between the same two it is one."""
    near: NDArray[Any] = threshold.astype(dtype)
    return np.where(near > threshold, np.nextafter(near, dtype(-np.inf)), near)
