"""Twins that are no people: counterfactuals that hold what the columns of the data cannot.

A model can tell such twins from rows, so figures on twins, unfair areas above all, then say little of people.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from utils import seeding
from utils.datasets.column_rules import outside
from utils.datasets.tabular import natural
from utils.scms.counterfactual import chances, is_factual, twins
from utils.scms.identity import POSTERIOR
from utils.scms.structure import attributes
from utils.types import SCM, Column, Dataset

ROWS = 10_000  # test rows whose twins are looked at: the split is in random order
PART = 2**22  # numbers of the twins that are looked at together
TOLERATED = 0.01  # share of the twins
OUTSIDE = "twins_outside"


def facts_of_twins(scm: SCM, dataset: Dataset) -> dict[str, float]:
    """The facts of the SCM, and shares of twins outside of their domain: ``twins_outside``, ``twins_outside_<name>``.

    Of the test rows' counterfactuals under the levels that they do not have, those that hold what they cannot (see
    ``schema.outside``): over all, and in each attribute and discrete column that no intervention sets.
    """
    if not scm.names or not len(dataset.test.y):
        return dict(scm.facts)
    size = max(1, PART // (len(scm.levels) * len(dataset.columns)))
    some = [
        _wrong_twins(scm, dataset, slice(at, min(at + size, ROWS)))
        for at in range(0, min(len(dataset.test.y), ROWS), size)
    ]
    wrong = {name: np.concatenate([of[name] for of in some]) for name in some[0]}
    set_by_do = _set_by_do(dataset.columns)
    shares = {f"{OUTSIDE}_{name}": float(of.mean()) for name, of in wrong.items() if name not in set_by_do}
    whole = float(np.logical_or.reduce(list(wrong.values())).mean()) if wrong else 0.0
    return {**scm.facts, OUTSIDE: whole, **shares}


def _wrong_twins(scm: SCM, dataset: Dataset, part: slice) -> dict[str, NDArray[np.bool_]]:
    """A mask (t,) by name of the twins of some test rows that hold what they cannot."""
    x = dataset.test.x[part]
    with torch.no_grad():
        rows = seeding.Rows(seeding.derive(0, "posterior"), dataset.test.index[part])
        others = twins(scm, x, chances(scm, x, rows.uniform))[~is_factual(scm, x)]
    return outside(dataset.columns, natural(dataset, others.double()).cpu().numpy())


def _set_by_do(columns: Sequence[Column]) -> set[str]:
    """The attributes and discrete columns that interventions set, of indicators those that are all sensitive."""
    moving = {c.attribute or c.name for c in columns if not c.sensitive}
    return {c.attribute or c.name for c in columns} - moving


def warnings_of(facts: Mapping[str, float], columns: Sequence[Column]) -> list[str]:
    """A sentence where more twins than TOLERATED are outside of their domain, with what settles it."""
    if facts.get(OUTSIDE, 0.0) <= TOLERATED:
        return []
    shares = {key.removeprefix(f"{OUTSIDE}_"): value for key, value in facts.items() if key.startswith(f"{OUTSIDE}_")}
    named = sorted((name for name in shares if shares[name] > TOLERATED), key=lambda name: -shares[name])
    listed = ", ".join(f"{name} {shares[name]:.1%}" for name in named)
    return [
        f"{facts[OUTSIDE]:.1%} of the twins are no people ({listed}): a model can tell them from rows, so figures on "
        f"twins, such as uai_cf, may be far from the truth; {_remedy(named, facts, columns)}"
    ]


def _remedy(named: Sequence[str], facts: Mapping[str, float], columns: Sequence[Column]) -> str:
    indicators = attributes(columns)
    implied = {c.attribute or c.name for c in columns if c.cut}
    intervened = [name for name in named if any(columns[i].sensitive for i in indicators.get(name, ()))]
    others = [name for name in named if name in implied or f"{POSTERIOR}{name}" in facts]
    words = ["scm.discrete=posterior keeps discrete columns at their levels"]
    if not {*named} - {*intervened, *others}:
        words = []
    if intervened:
        words.append(f"arrows from the sensitive indicator of {', '.join(intervened)} to its others keep them in step")
    if others:
        words.append(
            f"no SCM keeps {', '.join(others)} in step with what it is made of: leave its arrows out of dataset.graph"
        )
    return "; ".join(words)
