"""The equations of a fitted SCM on rows that were held out, beside one that knows no parents and boosted trees."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.scms import discrete
from utils.scms.facts import LOSS, R2, REFERENCE_LOSS, REFERENCE_R2, SHARES
from utils.types import SCM, Batch, Column, Dataset

ROWS, SOME = 5_000, 500  # training rows that trees are grown on, and that choose a dispersion
TREES, MOST_CLASSES = 400, 20  # of a classifier at most; levels of an attribute that has a reference


class Fitted(NamedTuple):
    """An equation that was fitted to rows."""

    name: str  # of its column, or of the attribute whose indicators it is
    columns: tuple[int, ...]
    parents: tuple[int, ...]
    f: Callable[[Tensor], Tensor]  # stacked parents (n, p) -> expected child, or what the head takes
    head: discrete.Head | None  # of a discrete one
    where: Mapping[str, float]  # the numbers of its levels in its column

    @property
    def kind(self) -> str:
        """The mechanism in a word."""
        known = {None: "additive", discrete.of_binary: "logistic", discrete.of_ordered: "ordered"}
        return "count" if isinstance(self.head, partial) else known.get(self.head, "multinomial")

    def given(self, x: Tensor) -> Tensor:
        """The parents (n, p) in rows x (n, d)."""
        return x[:, list(self.parents)]

    def chances(self, x: Tensor) -> Tensor:
        """The chances (n, k) of the levels of a discrete one in rows x (n, d)."""
        assert self.head is not None
        return discrete.chances(self.head, self.f, *self.given(x).unbind(-1))

    def level(self, x: Tensor, k: int) -> Tensor:
        """The levels (n,) of a discrete one of k."""
        return discrete.read_level(x[:, list(self.columns) if not self.where else self.columns[0]], k, **self.where)

    def residual(self, x: Tensor) -> Tensor:
        """The residual (n,) of an additive one."""
        return x[:, self.columns[0]] - self.f(self.given(x))


def equations_of(scm: SCM, columns: Sequence[Column]) -> tuple[Fitted, ...]:
    """The fitted equations of an SCM, every parent before its children."""
    found = []
    for m in scm.mechanisms:
        if isinstance(m.push, partial):
            first, where = columns[m.columns[0]], dict(m.push.keywords)
            head = where.pop("head", None)
            name = first.attribute if len(m.columns) > 1 else first.name
            found.append(Fitted(name, m.columns, m.parents, m.push.args[0], head, where))
    return tuple(found)


def held_out(dataset: Dataset) -> Batch:
    """The validation rows; the test rows where there are none."""
    return dataset.valid if len(dataset.valid.y) else dataset.test


def scores(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """Each equation on the rows that are held out: nothing where there are none.

    ``scm_r2_<node>`` of an additive one is 1 - residual / total variance. Of a discrete one ``scm_log_loss_<node>``
    is the mean of -log chance of the level that was seen, in nats, and ``scm_log_loss_of_shares_<node>`` the same of
    the shares of the levels in the training rows, which know no parents.
    """
    x, found = held_out(dataset).x, dict[str, float]()
    for own in equations if len(x) else ():
        if own.head is None:
            total = x[:, own.columns[0]].var(correction=0)
            found[f"{R2}{own.name}"] = float(1 - own.residual(x).square().mean() / total)
            continue
        chance = own.chances(x)
        k = chance.shape[-1]
        seen = own.level(x, k)
        shares = torch.bincount(own.level(dataset.train.x, k), minlength=k) + 1.0
        found[f"{LOSS}{own.name}"] = float(-chance.gather(1, seen.unsqueeze(1)).log().mean())
        found[f"{SHARES}{own.name}"] = float(-(shares / shares.sum())[seen].log().mean())
    return found


def references(equations: Sequence[Fitted], dataset: Dataset) -> dict[str, float]:
    """The scores of boosted trees on the same parents, likewise; none of more than MOST_CLASSES levels but counts."""
    x, train, found = held_out(dataset).x, dataset.train.x[:ROWS], dict[str, float]()
    for own in equations if len(x) else ():
        if own.head is None:
            y = x[:, own.columns[0]]
            expected = _boosted(own.given(train), train[:, own.columns[0]], own.given(x))
            found[f"{REFERENCE_R2}{own.name}"] = float(1 - (y - expected).square().mean() / y.var(correction=0))
            continue
        k = own.chances(x[:1]).shape[-1]
        seen, level = own.level(x, k).unsqueeze(1), own.level(train, k)
        if own.kind == "count":
            chance = _boosted_count(own, train, level, x)
        elif k <= MOST_CLASSES:
            chance = _boosted_classes(own.given(train), level, own.given(x), k)
        else:
            continue
        found[f"{REFERENCE_LOSS}{own.name}"] = float(-chance.gather(1, seen).log().mean())
    return found


def _boosted(given: Tensor, y: Tensor, new: Tensor, **loss: Any) -> Tensor:
    """The expected child (m,) of new parents (m, p), by trees grown on parents (n, p) and children (n,)."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # other runs need not wait for it

    trees = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=15, early_stopping=False, random_state=0, **loss)
    trees.fit(given.cpu().numpy(), y.double().cpu().numpy())
    return torch.from_numpy(trees.predict(new.cpu().numpy())).to(new)


def _boosted_classes(given: Tensor, level: Tensor, new: Tensor, k: int) -> Tensor:
    """The chances (m, k) of new parents (m, p), likewise; a level that no row has is as rare as can be."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    classes, code = level.cpu().unique(return_inverse=True)
    chance = new.new_zeros(len(new), k)
    if len(classes) > 1:
        each = 1 if len(classes) == 2 else len(classes)
        rounds = min(60, TREES // each)
        trees = HistGradientBoostingClassifier(
            max_iter=rounds, max_leaf_nodes=15, early_stopping=False, random_state=0
        ).fit(given.cpu().numpy(), code.numpy())
        chance[:, classes] = torch.from_numpy(trees.predict_proba(new.cpu().numpy())).to(new)
    else:
        chance[:, classes] = 1.0
    return chance * (1 - k * discrete.LEAST_CHANCE) + discrete.LEAST_CHANCE


def _boosted_count(own: Fitted, train: Tensor, level: Tensor, x: Tensor) -> Tensor:
    """The negative binomial chances (m, k) of counts whose mean trees know, with the likeliest of 37 dispersions."""
    assert own.head is not None
    mean = _boosted(own.given(train), level, torch.cat([own.given(train), own.given(x)]), loss="poisson")
    score, some = mean.clamp_min(1e-5).log(), slice(0, SOME)
    sizes = torch.linspace(*discrete.SIZE, 37).to(score)
    grid = torch.stack(torch.broadcast_tensors(score[some], sizes.unsqueeze(1)), -1)  # (37, n, 2)
    fit = (
        own.head(grid).gather(-1, level[some].expand(len(sizes), -1).unsqueeze(-1)).clamp_min(1e-30).log().mean((1, 2))
    )
    new = score[len(train) :]
    chance = own.head(torch.stack([new, sizes[fit.argmax()].expand_as(new)], -1))
    return chance * (1 - chance.shape[-1] * discrete.LEAST_CHANCE) + discrete.LEAST_CHANCE
