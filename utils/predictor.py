"""Answers of a stored model about new rows, in the words of their owner: what ``utils.model_zoo.predictor`` returns.

A predictor is called with rows and gives a frame; ``predict``, ``predict_proba`` and ``classes_`` are scikit-learn's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.datasets import column_rules
from utils.losses.objective import log_probabilities, probabilities
from utils.system.console import count, warn, warn_once
from utils.tables.new_rows import Unseen, encode_rows
from utils.tables.table_schema import TableSchema
from utils.types import Batch, Column, Decide
from utils.views.row_parts import parts

Floats = NDArray[np.floating[Any]]

FAR = 20  # standard deviations, beyond which at most one in 400 of the training rows is (Chebyshev), mostly none


class Model(Protocol):
    """A stored model, as ``utils.model_zoo.StoredModel`` is one."""

    @property
    def columns(self) -> tuple[Column, ...]: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def schema(self) -> TableSchema | None: ...  # noqa: D102
    @property
    def decision(self) -> Decide: ...  # noqa: D102
    def __call__(self, x: Tensor) -> Tensor: ...  # noqa: D102
    def score(self, x: Tensor) -> Tensor: ...  # noqa: D102
    def scaled(self, values: Tensor) -> Tensor: ...  # noqa: D102
    def groups(self, x: Tensor) -> Tensor: ...  # noqa: D102


class Answers(NamedTuple):
    """Probabilities and decisions about n rows."""

    chance: Floats  # (n, k), of each class; nan where the model abstains
    decision: NDArray[np.int64]  # (n,), -1 where the model abstains
    index: pd.Index  # of the rows


class Predictor:
    """A stored model that answers about rows in natural units.

    Attributes:
        model: in eval mode, on ``device``.
        answer: rows -> the answers about them; raises ValueError for rows that are none of the model's.
    """

    answer: Callable[..., Answers]

    def __init__(self, model: Model, device: str):
        self.model = model
        self.device = device

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes (k,), the owner's texts where they have any, else their numbers."""
        names = self.model.class_names
        return np.array(names, dtype=object) if names else np.arange(2)

    def predict(self, rows: Any, **how: Any) -> NDArray[Any]:
        """The class (n,) that is decided about each row, as ``classes_`` has it; None where the model abstains."""
        decision = self.answer(rows, **how).decision
        if (decision < 0).any():
            return np.array([*self.classes_, None], dtype=object)[decision]
        return self.classes_[decision]

    def predict_proba(self, rows: Any, **how: Any) -> Floats:
        """The probability (n, k) of each class, nan where the model abstains.

        Decisions go by the model's own thresholds, which need not be at 1/2.
        """
        return self.answer(rows, **how).chance

    @torch.no_grad()
    def _decide(self, values: Floats, index: pd.Index) -> Answers:
        """The answers about rows of a table (n, d) in natural units."""
        x = self.model.scaled(torch.tensor(values)).to(self.device)
        self._warn_of_far(x)
        logits = self.model.score(x)
        decision = self.model.decision(logits, self.model.groups(x))
        return Answers(probabilities(logits).cpu().numpy(), decision.cpu().numpy(), index)

    def _warn_of_far(self, x: Tensor) -> None:
        """Warns of numbers (n, d), standardised, that are FAR from those of the training, as in another unit."""
        numbers = torch.tensor([c.kind == "continuous" for c in self.model.columns], device=x.device)
        rows = ((x.abs() > FAR) & numbers).sum(0).tolist()
        if said := [f"{c.name!r} of {count(n, 'row')}" for c, n in zip(self.model.columns, rows, strict=True) if n]:
            warn_once(
                f"{', '.join(said)}: more than {FAR} standard deviations from the mean of the training rows, as one in "
                f"{FAR**2} of these is at most; the model has seen little or nothing like it (is it in another unit?)"
            )


class EncodedPredictor(Predictor):
    """Rows are frames with the columns of the data set: years, not standard deviations; binary columns 0 and 1."""

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``probability`` of class 1 and ``decision`` of each row."""
        return _framed(self.answer(rows))

    def answer(self, rows: Any) -> Answers:
        """The answers about rows.

        Raises:
            ValueError: a column is missing, not a number, or of a binary or categorical column none of its levels.
        """
        names = [c.name for c in self.model.columns]
        missing = [name for name in names if name not in rows.columns]
        if missing:
            raise ValueError(f"the rows lack {missing}; the model was trained on {names}, in that data set's units")
        values = rows[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype="float64")
        finite = np.isfinite(values).all(0)
        if not finite.all():
            spoilt = [name for name, fine in zip(names, finite, strict=True) if not fine]
            raise ValueError(f"the columns {spoilt} hold values that are missing, not finite or no numbers")
        for complaint in column_rules.complaints(self.model.columns, values, bounded=False):
            raise ValueError(complaint)
        return self._decide(values, rows.index)


class TablePredictor(Predictor):
    """Rows are those of the file that a user's table came from: a frame, a dict of columns or a list of dicts.

    ``unseen`` says what becomes of rows that the schema does not admit (see ``utils.tables.new_rows.encode_rows``):
    ``refuse``, ``nearest`` or ``abstain``.
    """

    def __call__(self, rows: Any, *, unseen: Unseen = "refuse") -> pd.DataFrame:
        """``probability`` of class 1, ``decision`` and ``class`` of each row; nan and missing where it abstains."""
        answers = self.answer(rows, unseen=unseen)
        found = _framed(answers)
        if self.model.class_names:
            found["class"] = np.array([*self.classes_, None], dtype=object)[answers.decision]
        return found

    def answer(self, rows: Any, *, unseen: Unseen = "refuse", offer: bool = True) -> Answers:
        """The answers about rows. Raises ValueError for rows that the schema does not admit, in one sentence.

        ``offer`` says whether it speaks of ``unseen="abstain"``.
        """
        assert self.model.schema is not None
        encoded = encode_rows(self.model.schema, rows, unseen, offer=offer)
        if encoded.mended:
            cells = ", ".join(f"{name} {number:,}" for name, number in encoded.mended.items())
            warn(f"cells taken as the nearest level or bound: {cells}")
        known = self._decide(encoded.values[encoded.known], pd.RangeIndex(int(encoded.known.sum())))
        chance = np.full((len(encoded.known), known.chance.shape[1]), np.nan, known.chance.dtype)
        decision = np.full(len(encoded.known), -1)
        chance[encoded.known], decision[encoded.known] = known.chance, known.decision
        return Answers(chance, decision, encoded.index)


class ImagePredictor(Predictor):
    """Rows are images, an array of bytes (n, c, h, w); a model with thresholds for each group takes the groups too."""

    def __call__(self, images: Any, groups: Any = None) -> pd.DataFrame:
        """``probability_<class>`` for every class, and ``decision``, of each image."""
        answers = self.answer(images, groups=groups)
        names = [f"probability_{c}" for c in range(answers.chance.shape[1])]
        return pd.DataFrame(answers.chance, columns=names).assign(decision=answers.decision)

    @torch.no_grad()
    def answer(self, rows: Any, *, groups: Any = None) -> Answers:
        """The answers about images, in groups (n,) where the thresholds ask for them. Raises ValueError for others."""
        x = torch.as_tensor(rows)
        if x.dtype is not torch.uint8 or tuple(x.shape[1:]) != self.model.shape:
            raise ValueError(
                f"expected images of {self.model.shape} as an array (n, c, h, w) of bytes, 0 to 255; got "
                f"{tuple(x.shape)} of {str(x.dtype).removeprefix('torch.')}"
            )
        none = torch.zeros(len(x))
        some = parts(Batch(x, none, none, none, none))
        logits = torch.cat([self.model(part.x.to(self.device)) for part in some])
        s = self.model.groups(x) if groups is None else torch.as_tensor(groups)
        decision = self.model.decision(logits, s.to(logits.device))
        return Answers(log_probabilities(logits).exp().cpu().numpy(), decision.cpu().numpy(), pd.RangeIndex(len(x)))


def _framed(answers: Answers) -> pd.DataFrame:
    """Probability of class 1 and decision; of whole numbers that may be missing where one is."""
    decision: Any = answers.decision
    if (decision < 0).any():
        decision = pd.array(decision, dtype="Int64")
        decision[answers.decision < 0] = pd.NA
    return pd.DataFrame({"probability": answers.chance[:, -1], "decision": decision}, index=answers.index)


def predictor_of(model: Model, device: str) -> Predictor:
    """The predictor of a model: of images, of a user's own table, or of rows as the data set has them."""
    if model.shape:
        return ImagePredictor(model, device)
    return (EncodedPredictor if model.schema is None else TablePredictor)(model, device)
