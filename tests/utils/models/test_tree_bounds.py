"""Bounds of trees over boxes against all cells between thresholds, enumerated."""

from itertools import product

import numpy as np
import pytest
import torch

from utils.models import tree_bounds
from utils.models.gradient_boosting import GradientBoosting
from utils.models.hist_gradient_boosting import HistGradientBoosting
from utils.models.random_forest import RandomForest
from utils.models.tree_bounds import read_trees

MODELS = {
    "random_forest": lambda n: RandomForest(3, 1, trees=n, max_depth=4, min_samples_leaf=3, max_features=0.7),
    "gradient_boosting": lambda n: GradientBoosting(3, 1, trees=n, max_depth=3, learning_rate=0.3, subsample=1.0),
    "hist_gradient_boosting": lambda n: HistGradientBoosting(
        3, 1, iterations=n, learning_rate=0.3, max_leaf_nodes=9, l2=0.0
    ),
}
BOXES = 40


def grown(dataset, name, trees):
    model = MODELS[name](trees)
    model.fit(dataset("nlm").train, seed=3)
    return model, read_trees(model.require_trained())


def boxes(trees, wide, seed=0):
    """Boxes (p, 3), an end of many of which is on a threshold, of the type that features have."""
    rng = np.random.default_rng(seed)
    low, width = rng.normal(size=(BOXES, 3)), rng.uniform(0, wide, size=(BOXES, 3))
    for j, cuts in enumerate(trees.cuts):
        if len(cuts):
            cut, side = rng.choice(cuts, BOXES), rng.random(BOXES)
            low[:, j] = np.select([side < 0.25, side < 0.5], [cut, cut - width[:, j]], low[:, j])
            high = np.select([side < 0.25, side < 0.5], [cut + width[:, j], cut], low[:, j] + width[:, j])
            width[:, j] = high - low[:, j]
    return low.astype(trees.dtype), (low + width).astype(trees.dtype)


def cells(trees, low, high):
    """Points (m, 3) of all cells of a box: its ends, thresholds and the numbers next to them."""
    sides = []
    for j, cuts in enumerate(trees.cuts):
        near = cuts.astype(trees.dtype)
        points = np.concatenate([[low[j], high[j]], near, np.nextafter(near, trees.dtype(np.inf))])
        sides.append(np.unique(points[(points >= low[j]) & (points <= high[j])]))
    return torch.from_numpy(np.array(list(product(*sides)), trees.dtype))


def enclose(model, low, high):
    least, largest, _ = model.enclose(torch.from_numpy(low), torch.from_numpy(high))
    assert least.shape == largest.shape == (len(low), 1)
    return least[:, 0].float(), largest[:, 0].float()


def ranges(model, trees, low, high):
    answers = [model(cells(trees, *box))[:, 0] for box in zip(low, high, strict=True)]
    return (torch.stack([getattr(of, end)() for of in answers]).float() for end in ("min", "max"))


def fused(name):
    """Compilers may add and multiply in one operation where boosting does, which changes the last digit."""
    return {"rtol": 2e-7, "atol": 0} if name == "gradient_boosting" else {"rtol": 0, "atol": 0}


@pytest.mark.parametrize("name", MODELS)
def test_of_one_tree_bounds_are_the_range_of_its_cells(dataset, name, monkeypatch):
    monkeypatch.setattr(tree_bounds, "CELLS", 0)  # by leaves alone
    model, trees = grown(dataset, name, 1)
    low, high = boxes(trees, 1.0)
    least, largest = ranges(model, trees, low, high)
    assert (least < largest).any()
    for found, exact in zip(enclose(model, low, high), (least, largest), strict=True):
        torch.testing.assert_close(found, exact, **fused(name))


@pytest.mark.parametrize("most", [0, 10**6])
@pytest.mark.parametrize("name", MODELS)
def test_of_many_trees_bounds_hold_the_range_and_are_it_where_all_cells_are_looked_at(dataset, name, most, monkeypatch):
    monkeypatch.setattr(tree_bounds, "CELLS", most)
    model, trees = grown(dataset, name, 4)
    low, high = boxes(trees, 0.3)
    least, largest = ranges(model, trees, low, high)
    found = enclose(model, low, high)
    assert (found[0] <= least).all()
    assert (found[1] >= largest).all()
    equal = ((found[0] == least) & (found[1] == largest)).float().mean()
    if most == 10**6:
        for own, exact in zip(found, (least, largest), strict=True):
            torch.testing.assert_close(own, exact, **fused(name))
    else:
        assert equal < 1, "looking at all cells does more"


@pytest.mark.parametrize("name", MODELS)
def test_a_box_of_one_point_has_the_answer_there(dataset, name):
    """Thresholds and what is next to them too: a mistaken side would show."""
    model, trees = grown(dataset, name, 30)
    points = np.concatenate([[of] * 3 for of in trees.cuts[1][:40]]).reshape(-1, 3)
    near = points.astype(trees.dtype)
    x = np.concatenate([near, np.nextafter(near, trees.dtype(np.inf)), np.nextafter(near, trees.dtype(-np.inf))])
    for end in enclose(model, x, x):
        torch.testing.assert_close(end, model(torch.from_numpy(x))[:, 0].float(), **fused(name))


@pytest.mark.parametrize("name", MODELS)
def test_a_box_with_an_undefined_end_reaches_both_sides(dataset, name):
    model, trees = grown(dataset, name, 3)
    low, high = np.full((2, 3), -1e9, trees.dtype), np.full((2, 3), 1e9, trees.dtype)
    low[1], high[1] = np.nan, np.nan
    least, largest = enclose(model, low, high)
    assert least[0] == least[1] < largest[0] == largest[1]


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_thresholds_between_the_same_two_numbers_leave_no_cell_empty(dataset, name, monkeypatch):
    """scikit-learn's are doubles, and the features that it compares with them are not."""
    monkeypatch.setattr(tree_bounds, "CELLS", 10**6)
    train = dataset("nlm").train.rows(slice(60))
    steps = torch.from_numpy(np.random.default_rng(0).integers(0, 9, train.x.shape))
    model = MODELS[name](20)
    model.fit(train._replace(x=8 * (1 + steps * torch.finfo(torch.float32).eps)), seed=3)
    trees = read_trees(model.require_trained())
    inner = trees.left >= 0
    thresholds = {*zip(trees.feature[inner], trees.threshold[inner], strict=True)}
    assert len(thresholds) > sum(map(len, trees.cuts)) > 9
    low, high = np.full((1, 3), 7, np.float32), np.full((1, 3), 9, np.float32)
    with np.errstate(all="raise"):
        found = enclose(model, low, high)
    for own, exact in zip(found, ranges(model, trees, low, high), strict=True):
        torch.testing.assert_close(own, exact, **fused(name))


def test_more_classes_have_no_bounds():
    model = RandomForest(3, 4, trees=3, max_depth=2, min_samples_leaf=1, max_features=None)
    with pytest.raises(NotImplementedError, match="4 classes"):
        model.enclose(torch.zeros(1, 3), torch.ones(1, 3))
