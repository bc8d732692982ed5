"""The equations of a fitted SCM on rows that were held out, beside one that knows no parents and boosted trees."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.scms import discrete, flow
from utils.scms.facts import ADDITIVE_DENSITY, DENSITY, LOSS, R2, REFERENCE_LOSS, REFERENCE_R2, SHARES
from utils.scms.identity import THRESHOLDED
from utils.types import SCM, Batch, Column, Dataset

ROWS, SOME = 5_000, 500  # training rows that trees are grown on, and that choose a dispersion
ROUNDS, TREES = 60, 1_200  # of boosting at most, of each equation; trees of all equations together
DENSITY_ROWS = 2_000  # whose densities are compared, and whose residuals tell that of additive noise
MOST_CLASSES = 20  # levels of an attribute that has a reference


class Fitted(NamedTuple):
    """An equation that was fitted to rows."""

    name: str  # of its column, or of the attribute whose indicators it is
    columns: tuple[int, ...]
    parents: tuple[int, ...]
    f: Callable[[Tensor], Tensor]  # stacked parents (n, p) -> expected child, or what the head takes
    head: discrete.Head | None  # of a discrete one
    where: Mapping[str, float]  # the numbers of its levels in its column
    cut: bool  # an additive one whose expected child is read as the chance of 1
    flows: bool  # its noise is not additive

    @property
    def kind(self) -> str:
        """The mechanism in a word."""
        if self.flows:
            return "flow"
        known = {None: "additive", discrete.of_binary: "logistic", discrete.of_ordered: "ordered"}
        return "count" if isinstance(self.head, partial) else known.get(self.head, "multinomial")

    def given(self, x: Tensor) -> Tensor:
        """The parents (n, p) in rows x (n, d)."""
        return x[:, list(self.parents)]

    def chances(self, x: Tensor) -> Tensor:
        """The chances (n, k) of the levels of a discrete or a cut one in rows x (n, d)."""
        if self.cut:
            chance = self.f(self.given(x)).clamp(0, 1)
            return torch.stack([1 - chance, chance], -1)
        assert self.head is not None
        return discrete.chances(self.head, self.f, *self.given(x).unbind(-1))

    def level(self, x: Tensor, k: int) -> Tensor:
        """The levels (n,) of a discrete one of k, or of a cut one."""
        if self.cut:
            return (x[:, self.columns[0]] > 0.5).long()
        return discrete.read_level(x[:, list(self.columns) if not self.where else self.columns[0]], k, **self.where)

    def expected(self, x: Tensor) -> Tensor:
        """The expected child (n,) of one of numbers."""
        return flow.expected(self.f, self.given(x)) if self.flows else self.f(self.given(x))

    def residual(self, x: Tensor) -> Tensor:
        """The residual (n,) of one of numbers."""
        return x[:, self.columns[0]] - self.expected(x)

    def noise(self, x: Tensor) -> Tensor:
        """The noise (n,) of one of numbers, which should not depend on the parents."""
        child = x[:, self.columns[0]]
        return flow.pull_flow(self.f, child, *self.given(x).unbind(-1)) if self.flows else self.residual(x)


def equations_of(scm: SCM, columns: Sequence[Column]) -> tuple[Fitted, ...]:
    """The fitted equations of an SCM, every parent before its children."""
    found = []
    for m in scm.mechanisms:
        if isinstance(m.push, partial):
            first, where, flows = columns[m.columns[0]], dict(m.push.keywords), m.push.func is flow.push_flow
            head = where.pop("head", None)
            name = first.attribute if len(m.columns) > 1 else first.name
            cut = f"{THRESHOLDED}{name}" in scm.facts
            found.append(Fitted(name, m.columns, m.parents, m.push.args[0], head, where, cut, flows))
    return tuple(found)


def held_out(dataset: Dataset) -> Batch:
    """The validation rows; the test rows where there are none."""
    return dataset.valid if len(dataset.valid.y) else dataset.test


def scores(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """Each equation on the rows that are held out: nothing where there are none.

    ``scm_r2_<node>`` of one of numbers is 1 - residual / total variance; of a flow ``scm_log_density_<node>``, in nats,
    stands beside that of additive noise around the same mean, ``scm_log_density_of_additive_<node>``.

    Of a discrete one ``scm_log_loss_<node>`` is the mean of -log chance of the level that was seen, in nats, and
    ``scm_log_loss_of_shares_<node>`` the same of the shares of the levels in the training rows, which know no parents.
    """
    x, found = held_out(dataset).x, dict[str, float]()
    for own in equations if len(x) else ():
        if own.head is None:
            total = x[:, own.columns[0]].var(correction=0)
            found[f"{R2}{own.name}"] = float(1 - own.residual(x).square().mean() / total)
            if own.flows:
                found |= _densities(own, x, dataset.train.x)
            continue
        chance = own.chances(x)
        k = chance.shape[-1]
        seen = own.level(x, k)
        shares = torch.bincount(own.level(dataset.train.x, k), minlength=k) + 1.0
        found[f"{LOSS}{own.name}"] = float(-chance.gather(1, seen.unsqueeze(1)).log().mean())
        found[f"{SHARES}{own.name}"] = float(-(shares / shares.sum())[seen].log().mean())
    return found


def _densities(own: Fitted, x: Tensor, train: Tensor) -> dict[str, float]:
    """The mean log density (nats) of the child in rows x (n, d), and that of the same mean with additive noise.

    The density of that noise is a kernel estimate of the residuals of training rows, with Silverman's width (1986).
    """
    x, left = x[:DENSITY_ROWS], own.residual(train[:DENSITY_ROWS])
    half = (left.quantile(0.75) - left.quantile(0.25)) / 1.34
    spread = left.std() if half <= 0 else torch.minimum(left.std(), half)
    width = 0.9 * spread.clamp_min(1e-6) * len(left) ** -0.2
    z = (own.residual(x).unsqueeze(1) - left) / width
    additive = (-z.square() / 2).logsumexp(1) - (width * len(left) * (2 * math.pi) ** 0.5).log()
    density = flow.log_density(own.f(own.given(x)), x[:, own.columns[0]])
    return {f"{DENSITY}{own.name}": float(density.mean()), f"{ADDITIVE_DENSITY}{own.name}": float(additive.mean())}


def references(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """The scores of boosted trees on the same parents, likewise; none of more than MOST_CLASSES levels but counts."""
    x, train, found = held_out(dataset).x, dataset.train.x[:ROWS], dict[str, float]()
    levels = [1 if own.head is None else own.chances(train[:1]).shape[-1] for own in equations]
    trees = _settings([1 if own.kind == "count" else k for own, k in zip(equations, levels, strict=True)])
    for own, k in zip(equations, levels, strict=True) if len(x) else ():
        if own.head is None:
            y = x[:, own.columns[0]]
            expected = _boosted(own.given(train), train[:, own.columns[0]], own.given(x), trees)
            found[f"{REFERENCE_R2}{own.name}"] = float(1 - (y - expected).square().mean() / y.var(correction=0))
        elif own.kind == "count" or k <= MOST_CLASSES:
            level = own.level(train, k)
            boosted = _boosted_count if own.kind == "count" else _boosted_classes
            chance = boosted(own, train, level, x, trees) * (1 - k * discrete.LEAST_CHANCE) + discrete.LEAST_CHANCE
            seen = own.level(x, k).unsqueeze(1)
            found[f"{REFERENCE_LOSS}{own.name}"] = float(-chance.gather(1, seen).log().mean())
    return found


def _settings(levels: Sequence[int]) -> dict[str, Any]:
    """The settings of trees for equations of so many levels: fewer, faster learning rounds where these are many."""
    each = sum(1 if k <= 2 else k for k in levels if k <= MOST_CLASSES)
    rounds = min(ROUNDS, max(10, TREES // max(1, each)))
    plain = {"max_leaf_nodes": 15, "early_stopping": False, "random_state": 0}
    return {"max_iter": rounds, "learning_rate": 6 / rounds, **plain}


def _boosted(given: Tensor, y: Tensor, new: Tensor, trees: Mapping[str, Any]) -> Tensor:
    """The expected child (m,) of new parents (m, p), by trees grown on parents (n, p) and children (n,)."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # other runs need not wait for it

    grown = HistGradientBoostingRegressor(**trees).fit(given.cpu().numpy(), y.double().cpu().numpy())
    return torch.from_numpy(grown.predict(new.cpu().numpy())).to(new)


def _boosted_classes(own: Fitted, train: Tensor, level: Tensor, x: Tensor, trees: Mapping[str, Any]) -> Tensor:
    """The chances (m, k) of the levels in rows x (m, d), likewise; 0 of one that no training row has."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    classes, code = level.cpu().unique(return_inverse=True)
    chance = x.new_zeros(len(x), own.chances(x[:1]).shape[-1])
    chance[:, classes] = 1.0
    if len(classes) > 1:
        grown = HistGradientBoostingClassifier(**trees).fit(own.given(train).cpu().numpy(), code.numpy())
        chance[:, classes] = torch.from_numpy(grown.predict_proba(own.given(x).cpu().numpy())).to(x)
    return chance


def _boosted_count(own: Fitted, train: Tensor, level: Tensor, x: Tensor, trees: Mapping[str, Any]) -> Tensor:
    """The negative binomial chances (m, k) of counts whose mean trees know, with the likeliest of 37 dispersions."""
    assert own.head is not None
    mean = x.new_zeros(len(train) + len(x))
    if level.any():
        mean = _boosted(own.given(train), level, own.given(torch.cat([train, x])), {**trees, "loss": "poisson"})
    score, some = mean.clamp_min(1e-5).log(), slice(0, SOME)
    sizes = torch.linspace(*discrete.SIZE, 37).to(score)
    chance = own.head(torch.stack(torch.broadcast_tensors(score[: len(train)][some], sizes.unsqueeze(1)), -1))
    seen = level[some].expand(len(sizes), -1).unsqueeze(-1)
    best = sizes[chance.gather(-1, seen).clamp_min(discrete.LEAST_CHANCE).log().mean((1, 2)).argmax()]
    new = score[len(train) :]
    return own.head(torch.stack([new, best.expand_as(new)], -1))
