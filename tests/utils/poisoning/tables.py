"""Small tables whose schema has everything, and spaces of them."""

from dataclasses import replace

import numpy as np

from utils.datasets.tabular import assemble, binary, continuous, mark
from utils.poisoning.features import Space
from utils.types import Column, Dataset

STAGES = {"young": (-np.inf, 30.0), "middle": (30.0, 50.0), "old": (50.0, np.inf)}
COLUMNS = mark(
    (
        *binary("sex"),
        *continuous("age"),
        *binary("cook", "nurse", "smith", attribute="job"),
        *(replace(binary(n, attribute="stage")[0], cut=("age", low, high)) for n, (low, high) in STAGES.items()),
        *continuous("height"),
        Column("origin", "categorical", levels=(0.0, 1.0, 5.0)),
        replace(binary("tall")[0], cut=("height", 1.75, np.inf)),
    ),
    ["sex", "origin"],
    None,
)


def table(n: int = 80, *, whole: bool = True) -> dict[str, np.ndarray]:
    """Rows of every kind of column, natural units."""
    draw = np.random.default_rng(0)
    age, height = draw.uniform(18, 70, n), 1.7 + 0.1 * draw.normal(size=n)
    age = age.round() if whole else age
    job = draw.integers(0, 3, n)
    return {
        "sex": np.arange(n) % 2.0,
        "age": age,
        **{name: (job == i).astype(float) for i, name in enumerate(("cook", "nurse", "smith"))},
        **{name: ((low <= age) & (age < high)).astype(float) for name, (low, high) in STAGES.items()},
        "height": height,
        "origin": draw.choice([0.0, 1.0, 5.0], n),
        "tall": (height >= 1.75).astype(float),
    }


def dataset(*, whole: bool = True, columns: tuple[Column, ...] = COLUMNS) -> Dataset:
    """A data set of that table; ages are whole numbers or not."""
    rows = table(whole=whole)
    y = np.arange(len(rows["age"])) // 2 % 2
    return assemble("toy", rows, y, columns=columns, split=[0.5, 0.25, 0.25], seed=0)


def space(data: Dataset, **changes) -> Space:
    """The space of a data set, its settings those of the yaml with one copy but for the changes."""
    settings = {
        "label": None,
        "classes": data.classes,
        "copies": 1,
        "spread": False,
        "bounds": {},
        "fixed": {},
    } | changes
    return Space.of(data.columns, data.train, data.loc, data.scale, **settings)
