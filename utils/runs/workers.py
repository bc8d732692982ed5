"""The work of a search's processes: train a learner on some rows, and return its logits on the validation rows.

Without torch, which a process would need seconds to import.
"""

from time import process_time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.models.estimators import fit_copy, log_odds

Array = NDArray[Any]


class Work(NamedTuple):
    """All that a process needs to know but once."""

    estimator: Any  # not fitted
    valid: Array  # (v, d)
    outputs: int
    seeds: tuple[int, ...]


_given: list[Work] = []


def begin(work: Work) -> None:
    """Takes note of what to work on."""
    _given[:] = [work]


def given_answer(x: Array, y: Array, w: Array) -> tuple[Array | None, str, float]:
    """Returns the ``answer`` for the work that ``begin`` took note of."""
    return answer(_given[0], x, y, w)


def answer(work: Work, x: Array, y: Array, w: Array) -> tuple[Array | None, str, float]:
    """Returns the logits (r, v, k) of r seeds, trained on rows x (n, d), y (n,), w (n,), or what went wrong.

    Returns:
        the logits or None, the error or nothing, CPU-seconds.

    Raises:
        MemoryError: there is none left.
    """
    started = process_time()
    try:
        logits = np.stack(
            [log_odds(fit_copy(work.estimator, x, y, w, seed), work.valid, work.outputs) for seed in work.seeds]
        )
    except MemoryError:  # of this machine now, not of these rows: no result to be kept
        raise
    except Exception as error:  # noqa: BLE001  whatever a learner of others raises, the search goes on without it
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return None, reason[0], process_time() - started
    return logits, "", process_time() - started
