"""People and their twins as tensors: p people, in k draws of the noise, under L sensitive levels; and their words."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from utils import seeding
from utils.adversary.decision import Decision
from utils.datasets.tabular import group_names, natural
from utils.explaining.asked_people import People
from utils.explaining.person_words import attributes_of, describe_twin
from utils.model_zoo import StoredModel
from utils.models.learner import Learner
from utils.scms.actions import Permitted, permitted
from utils.scms.counterfactual import abduct, chances_of_draws, every_level, factual_level, interventions
from utils.types import SCM, Dataset, Predict

NEAR = 1e-3  # to a whole number that single precision took a value off


@dataclass(frozen=True)
class Model:
    """A stored model among its data."""

    data: Dataset
    scm: SCM
    decision: Decision
    network: Predict  # that proofs are about
    seed: int

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The names of the sensitive levels."""
        return group_names(self.data.columns)

    @cached_property
    def may(self) -> Permitted:
        """The changes that a person may make."""
        return permitted(self.data.columns, self.data.loc, self.data.scale, self.scm)

    @property
    def draws(self) -> int:
        """The draws of the noise of every row."""
        return self.scm.draws if self.scm.posterior else 1


@dataclass(frozen=True)
class Worlds:
    """People and their twins as tensors."""

    x: Tensor  # (p, d)
    noise: Tensor  # (L, k, p, d) own units
    features: Tensor  # (L, k, p, d) model space, of the factual level the rows themselves
    level: Tensor  # (p,)
    margin: Tensor  # (L, k, p)
    log_odds: Tensor  # (L, k, p)
    otherwise: Tensor  # (L, k, p) decided otherwise than the person

    @property
    def favourable(self) -> Tensor:
        """People of class 1, (p,)."""
        return self.margin.gather(0, self.level.expand(1, *self.margin.shape[1:])).squeeze(0)[0] >= 0


def decision_of(stored: StoredModel) -> Decision:
    """The decision of a stored model; of one without a gradient, such as a forest, answers alone."""
    if isinstance(stored.network, Learner):
        return Decision(lambda x: stored.score(x.detach()), stored.score, stored.decision)
    return Decision(stored, stored.score, stored.decision)


def make_worlds(model: Model, asked: People) -> Worlds:
    """People and twins by the draws that an evaluation of the record takes for its rows."""
    scm, k = model.scm, model.draws
    rows = seeding.Rows(seeding.derive(model.seed, "posterior"), asked.index)
    x = asked.x.repeat(k, 1)
    noise = abduct(scm, x, chances_of_draws(scm, asked.x, rows, k))
    level, every = factual_level(scm, asked.x), every_level(scm, x)
    twins = scm.model(scm.to_features(noise, interventions(scm, x)))
    features = torch.where((every == level.repeat(k)).unsqueeze(-1), x, twins)
    log_odds = model.decision.score(features)[..., 0]
    margin = model.decision.margin(features, every)
    own = margin.gather(0, level.repeat(k).unsqueeze(0)) >= 0
    otherwise = (margin >= 0) != own
    if scm.whole is not None:
        rounded = scm.model(scm.rounded(scm.own(features)))
        otherwise |= (model.decision.margin(rounded, every) >= 0) != own
    wide = (k, len(asked.x))
    return Worlds(
        asked.x,
        noise.unflatten(1, wide),
        features.unflatten(1, wide),
        level,
        *(of.unflatten(1, wide) for of in (margin, log_odds, otherwise)),
    )


def natural_units(model: Model, features: Tensor) -> Tensor:
    """Features (..., d) in natural units, whole numbers rounded."""
    found = natural(model.data, model.scm.model(model.scm.rounded(model.scm.own(features))).double())
    whole = torch.tensor([c.integer or c.kind != "continuous" for c in model.data.columns])
    near = whole & ((found - found.round()).abs() < NEAR)  # single precision took it off the whole number
    return torch.where(near, found.round(), found)


def in_words(data: Dataset, values: Tensor) -> dict[str, str]:
    """Attributes of a person over draws (k, d), natural units: a text, or the texts with their shares, or a range."""
    each = [describe_twin(data, row) for row in values]
    found = {}
    for name, places in attributes_of(data.columns).items():
        counts = Counter(row[name] for row in each)
        own = data.columns[places[0]]
        if len(counts) > 1 and own.kind == "continuous" and own.discrete != "ordered":
            column = values[:, places[0]]
            found[name] = f"{each[int(column.argmin())][name]} to {each[int(column.argmax())][name]}"
        else:
            shares = (f"{text} ({n} of {len(each)})" for text, n in counts.most_common())
            found[name] = ", ".join(shares) if len(counts) > 1 else next(iter(counts))
    return found
