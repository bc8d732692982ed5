"""Computes what a causal model says of the rows of a training, whatever the classifier, once and not in every step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps

import torch
from torch import Tensor

from utils.types import SCM, Batch

MOST = 1 << 24  # numbers of a table; what is larger is computed for each batch
PART = 1 << 9  # rows of each model that are computed at a time: as many in any stack, since last bits follow it
OfRows = Callable[[SCM, Tensor], Tensor]  # an SCM and rows (n, d) -> (..., n, d)


@dataclass(frozen=True)
class Known:
    """The rows of a batch, and what is known of all rows of the training that it is from."""

    train: Batch  # of a stack, (m, n, *)
    x: Tensor | None = None  # (m, b, d), the rows of the batch
    places: Tensor | None = None  # (m, b), of these among the rows of all models, m * n
    tables: dict[OfRows, Tensor | None] = field(default_factory=dict)  # (..., m, n, d) each; None: too large

    def at(self, x: Tensor, keep: Tensor) -> "Known":
        """The same of another batch x (m, b, d), the rows ``keep`` (m, b) of each model."""
        models, rows = self.train.y.shape
        first = torch.arange(0, models * rows, rows, device=keep.device).unsqueeze(1)
        return replace(self, x=x, places=first + keep)

    def find(self, of: OfRows, scm: SCM, x: Tensor) -> Tensor | None:
        """Returns what ``of`` gives for x, (..., m, b, d), from a table of all rows.

        None: x is not the batch, its noise is drawn anew each time, or the table would be too large.
        """
        if x is not self.x or self.places is None or scm.posterior:
            return None
        if of not in self.tables:
            self.tables[of] = self._table(of, replace(scm, known=None))
        table = self.tables[of]
        if table is None:
            return None
        return table.flatten(-3, -2).index_select(-2, self.places.flatten()).unflatten(-2, self.places.shape)

    @torch.no_grad()
    def _table(self, of: OfRows, scm: SCM) -> Tensor | None:
        models, rows = self.train.y.shape
        places = torch.arange(rows, device=self.train.y.device).expand(models, -1)
        if of(scm, self.train.of_each(places[:, :1]).x).numel() * rows > MOST:
            return None
        return torch.cat([of(scm, self.train.of_each(part).x) for part in places.split(PART, 1)], -2)


def once(of: OfRows) -> OfRows:
    """Lets a function of an SCM and rows look into ``scm.known`` before it computes anything."""

    @wraps(of)
    def found(scm: SCM, x: Tensor) -> Tensor:
        own = None if scm.known is None else scm.known.find(of, scm, x)
        return of(scm, x) if own is None else own

    return found
