"""Pareto-efficient points, the boundary of what they attain, and their hypervolume.

A point dominates another if it is at least as good in every objective and better in one. Equal points do not
dominate each other, so ties and duplicates stay together. A row with NaN is unknown: never efficient, and it
evicts nothing. Shapes: n points, m objectives; a direction is +1 (higher is better) or -1 (lower is better).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ranks = NDArray[np.int64]


def efficient(points: ArrayLike, directions: Sequence[int]) -> Bools:
    """Mask (n,) of the non-dominated rows of ``points`` (n, m).

    O(n log^2 n) whatever the points are for m <= 3; for more objectives O(n x size of the frontier).
    Raises ValueError where shapes or directions do not fit.
    """
    gains = _gains(points, directions)
    mask = np.zeros(len(gains), dtype=bool)
    known = np.flatnonzero(~np.isnan(gains).any(axis=1))
    if not known.size:
        return mask
    # dense ranks: exact comparisons, infinities included, and -1 is free as "worse than every point"
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in gains[known].T], axis=1)
    unique, inverse = _best_first(ranks)
    kept = _halving(unique) if unique.shape[1] <= 3 else _elimination(unique)
    mask[known] = kept[inverse]
    return mask


def staircase(points: ArrayLike, directions: Sequence[int]) -> Floats:
    """Vertices (v, 2) of the boundary of the attainable set, from the lowest to the highest first coordinate.

    The attainable set is every pair that some point equals or dominates. Efficient points alternate with the
    corners between them, each corner the worse of its two neighbours in both objectives.
    """
    gains = _gains(points, directions, objectives=2)
    signs = np.asarray(directions, dtype=float)
    front = np.unique(gains[efficient(points, directions)], axis=0)  # first gain rises, so the second falls
    corners = np.stack([front[:-1, 0], front[1:, 1]], axis=1)
    steps = np.empty((max(2 * len(front) - 1, 0), 2))
    steps[0::2], steps[1::2] = front, corners
    return (steps if signs[0] > 0 else steps[::-1]) * signs


def hull(points: ArrayLike, directions: Sequence[int]) -> Floats:
    """Vertices (v, 2) of the boundary of what mixtures of points attain, along the rising first coordinate.

    Choosing one of two models at random attains every point between them in expectation; the boundary is that of the
    convex hull between the best of each objective (Andrew 1979, monotone chain).
    """
    gains = _gains(points, directions, objectives=2)
    signs = np.asarray(directions, dtype=float)
    front = np.unique(gains[efficient(points, directions)], axis=0)
    kept: list[Floats] = []
    for point in front:
        while len(kept) > 1 and _left(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    corners = np.array(kept).reshape(-1, 2)
    return (corners if signs[0] > 0 else corners[::-1]) * signs


def _left(a: Floats, b: Floats, c: Floats) -> bool:
    """Returns whether c lies to the left of the line from a to b, or on it."""
    u, v = b - a, c - a
    return bool(u[0] * v[1] - u[1] * v[0] >= 0)


def hypervolume(points: ArrayLike, reference: Sequence[float], directions: Sequence[int]) -> float:
    """Volume that ``points`` (n, m) dominate and that dominates ``reference`` (m,); NaN rows add nothing.

    By slices along the last objective (Zitzler & Thiele 1999 define the measure); meant for m <= 3.
    """
    gains = _gains(points, directions)
    if len(reference) != len(directions) or not np.isfinite(reference).all():
        raise ValueError(f"reference is {list(reference)}; expected {len(directions)} finite numbers, one an objective")
    heights = gains - np.asarray(reference, dtype=float) * np.asarray(directions)
    heights = heights[(heights > 0).all(axis=1)]  # NaN compares false
    return _volume(heights)


def _volume(heights: Floats) -> float:
    """Volume of the union of the boxes [0, height], heights (n, m) > 0."""
    if not len(heights):
        return 0.0
    if heights.shape[1] == 1:
        return float(heights.max())
    if heights.shape[1] == 2:
        return _area(heights)
    heights = heights[efficient(heights, [1] * heights.shape[1])]
    heights = heights[np.argsort(-heights[:, -1], kind="stable")]
    thickness = heights[:, -1] - np.append(heights[1:, -1], 0.0)
    return float(sum(t * _volume(heights[: i + 1, :-1]) for i, t in enumerate(thickness) if t > 0))


def _area(heights: Floats) -> float:
    """Area of the union of the boxes [0, height], heights (n, 2) > 0: strips along the falling first coordinate."""
    heights = heights[np.argsort(-heights[:, 0], kind="stable")]
    tallest = np.maximum.accumulate(heights[:, 1])
    return float((heights[:, 0] * np.diff(tallest, prepend=0.0)).sum())


def _gains(points: ArrayLike, directions: Sequence[int], objectives: int | None = None) -> Floats:
    """The points (n, m) as numbers of which higher is better."""
    values = np.asarray(points, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(directions) or values.shape[1] != (objectives or values.shape[1]):
        expected = f"(n, {objectives or len(directions)}) with one direction a column"
        raise ValueError(f"points have shape {values.shape} with {len(directions)} directions; expected {expected}")
    if not values.shape[1] or any(d not in (-1, 1) for d in directions):
        raise ValueError(f"directions are {list(directions)}; give +1 (higher is better) or -1 (lower is better) each")
    return values * np.asarray(directions, dtype=float)


def _best_first(ranks: Ranks) -> tuple[Ranks, NDArray[np.intp]]:
    """Distinct rows in falling lexicographic order, and for each row of ``ranks`` its place among them.

    Whatever dominates a row stands before it in this order.
    """
    order = np.lexsort(ranks.T[::-1])[::-1]
    ordered = ranks[order]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(order), dtype=np.intp)
    inverse[order] = np.cumsum(first) - 1
    return ordered[first], inverse


def _halving(ranks: Ranks) -> Bools:
    """Non-dominated mask of distinct best-first rows with m <= 3 objectives, by doubling blocks.

    The first objective is settled by the order. At width w, rows of each right half ask their left half: is
    there one with a second rank at least mine whose third is at least mine? A running maximum of the third,
    along the falling second, answers for all blocks at once (Kung, Luccio & Preparata 1975 divide the same way).
    """
    n, m = ranks.shape
    size = 1 << (n - 1).bit_length()
    second, third = np.full((2, size), -1, dtype=np.int64)  # padding: after every row and worse than each
    second[:n] = ranks[:, 1] if m > 1 else 0
    third[:n] = ranks[:, 2] if m > 2 else 0
    dominated = np.zeros(size, dtype=bool)
    width = 1
    while width < size:
        a, b = second.reshape(-1, 2 * width), third.reshape(-1, 2 * width)
        order = np.argsort(-a, axis=1, kind="stable")  # stable: of equal second ranks, the left half first
        right, b = order >= width, np.take_along_axis(b, order, axis=1)
        best = np.maximum.accumulate(np.where(right, -1, b), axis=1)
        rows = np.arange(len(a))[:, None] * 2 * width
        dominated[(rows + order)[right & (best >= b)]] = True
        width *= 2
    return ~dominated[:n]


def _elimination(ranks: Ranks) -> Bools:
    """Non-dominated mask of distinct best-first rows: the first one left is efficient and evicts its inferiors."""
    mask = np.zeros(len(ranks), dtype=bool)
    left = np.arange(len(ranks))
    while left.size:
        mask[left[0]] = True
        left = left[(ranks[left] > ranks[left[0]]).any(axis=1)]
    return mask
