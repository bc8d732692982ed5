"""A classifier of scikit-learn as a model: it answers with log-odds, has no gradient, and is stored by skops."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from utils.models.estimators import Estimator, fit_copy, log_odds
from utils.models.repeatable import repeatable, require_bounded
from utils.models.tree_bounds import enclose, read_trees
from utils.models.trees import require_sound
from utils.types import Batch


class Learner(nn.Module):
    """Log-odds (..., k) of x (..., d) by an estimator that ``fit`` trains, all at once and on the CPU.

    Args:
        estimator: not trained; ``fit`` trains a copy.
        inputs: columns.
        outputs: 1 for two classes, else their number.
    """

    # beside scikit-learn's own classes, what a stored one is made of, by full names: no argument, which a record sets
    types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, estimator: Estimator, inputs: int, outputs: int) -> None:
        super().__init__()
        self.estimator, self.inputs, self.outputs = estimator, inputs, outputs
        self.trained: Estimator | None = None

    @property
    def option(self) -> str:
        """Returns the learner's name in the configuration, that of its module."""
        return type(self).__module__.rpartition(".")[2]

    def fit(self, rows: Batch, seed: int) -> None:
        """Trains on weighted rows (n, d); the seed, in [0, 2^32), decides all that is drawn.

        Raises:
            ValueError: rows of one class alone.
        """
        x, y, w = (column.detach().cpu().numpy() for column in (rows.x, rows.y, rows.w))
        self.trained = fit_copy(self.estimator, x, y, w, seed)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d) -> log-odds (..., k) of the type and device of x: k = 1 for two classes.

        Raises:
            ValueError: a gradient through it is asked for, or it is not trained.
        """
        if not isinstance(x, Tensor):  # numbers of which bounds alone are known
            return self.bound(x)
        trained = self.require_trained()
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError(self._no_gradient())
        try:
            rows = x.detach().reshape(-1, x.shape[-1]).cpu().numpy()
        except RuntimeError:  # within a transform of torch.func
            raise ValueError(self._no_gradient()) from None
        if not len(rows):
            return x.new_zeros(*x.shape[:-1], self.outputs)
        answers = torch.from_numpy(log_odds(trained, rows, self.outputs))
        return answers.to(x).reshape(*x.shape[:-1], self.outputs)

    def bound(self, x: Any) -> Any:
        """The same of numbers that are known by bounds alone: here by the boxes (p, d) that hold them."""
        return x.by_boxes(self.enclose)

    def enclose(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bounds of the log-odds over boxes from ``low`` to ``high`` (p, d), and what each column adds.

        Returns:
            The least and the largest log-odds (p, k), to the bit, and roughly the rise (p, d) from one end to the
            other of each side of a box.

        Raises:
            NotImplementedError: of this learner none are known.
        """
        raise NotImplementedError(f"no bounds are known of model={self.option}")

    def require_trained(self) -> Estimator:
        """Returns the trained estimator. Raises ValueError where there is none yet."""
        if self.trained is None:
            raise ValueError(f"model={self.option} is not trained yet: call fit first")
        return self.trained

    def _no_gradient(self) -> str:
        return (
            f"model={self.option} has no gradient, and the attack or evaluation asks for one; choose "
            "attack=square_columns evaluation=black_box, or evaluation=black_box_certified with proofs, which ask for "
            "answers alone"
        )

    def to_bytes(self) -> bytes:
        """The trained estimator as the content of a skops file, the same for the same training.

        Raises:
            ValueError: it is not trained yet.
        """
        from skops.io import dumps  # which takes a second, and only this needs it

        return repeatable(dumps(self.require_trained()))

    def from_bytes(self, data: bytes) -> None:
        """Takes the trained estimator of ``to_bytes``; nothing of it is made before all of its types are known.

        Raises:
            ValueError: another estimator, a type that such an estimator does not consist of, numbers that are not
                finite, a file that unpacks to more than its size allows, or no skops file.
        """
        from skops.io import get_untrusted_types, loads

        name = type(self.estimator).__name__
        try:
            require_bounded(data)
            foreign = sorted(set(get_untrusted_types(data=data)) - set(self.types))
            found: Estimator = None if foreign else loads(data, trusted=list(self.types))
            require_sound(found, self.inputs)
        except Exception as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"there is no {name} in them that this scikit-learn reads: {said}") from error
        if foreign:
            home = type(self).__module__.replace(".", "/")
            raise ValueError(f"they hold {', '.join(foreign)}, of which no {name} consists by the types of {home}.py")
        self.require_like(found)
        self.trained = found

    def require_like(self, found: Estimator) -> None:
        """Refuses a stored estimator that is not what this learner trains. Raises ValueError."""
        self.require_made_like(found, self.estimator)

    def require_made_like(self, found: Estimator, own: Estimator) -> None:
        """Refuses an estimator of another type than ``own``, of other columns or classes. Raises ValueError."""
        if type(found) is not type(own):
            raise ValueError(f"they hold a {type(found).__name__} in place of a {type(own).__name__}")
        if found.n_features_in_ != self.inputs or max(found.classes_) >= max(2, self.outputs):
            raise ValueError(f"they were trained on other columns or classes than {self.inputs} and {self.outputs}")


class TreeLearner(Learner):
    """A learner whose log-odds trees add up to: a forest, or boosting."""

    def enclose(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bounds by the leaves that boxes reach, of two classes; see ``Learner.enclose``."""
        if self.outputs != 1:
            raise NotImplementedError(f"no bounds are known of model={self.option} with {self.outputs} classes")
        ends = (end.detach().cpu().double().numpy() for end in (low, high))
        found = (torch.from_numpy(of).to(low) for of in enclose(read_trees(self.require_trained()), *ends))
        least, largest, rise = found
        return least.unsqueeze(-1), largest.unsqueeze(-1), rise


def require(setting: str, value: object, legal: bool, expected: str) -> None:
    """Refuses a setting of a model that is out of range. Raises ValueError where it is not ``legal``."""
    if not legal:
        raise ValueError(f"model.{setting}={value!r}: expected {expected}")
