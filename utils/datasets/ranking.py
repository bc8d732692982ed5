"""Scores of training rows for class 1, by which methods tell rows near the border."""

import numpy as np
import torch
from torch import Tensor

from utils.types import Batch

STEPS = 1000  # of the solver at most


def rank(train: Batch, asked: str) -> Tensor:
    """Returns the log-odds (n,) of class 1 by a logistic regression on the rows themselves, weighted by w.

    ``asked`` is the setting that asks, such as ``prepare=massage``, which errors name.

    Raises:
        ValueError: images, or other classes than 0 and 1.
    """
    from sklearn.linear_model import LogisticRegression  # which takes a second, and runs that rank nothing need none

    if train.x.ndim > 2:
        raise ValueError(f"{asked} ranks the rows of tables; images are none")
    classes = set(train.y.unique().tolist())
    if classes != {0, 1}:
        raise ValueError(
            f"{asked} is for two classes, and the training rows have {sorted(classes)}; choose another setting"
        )
    x, y, w = (np.asarray(of.cpu(), dtype=np.float64) for of in (train.x, train.y, train.w))
    scores = LogisticRegression(max_iter=STEPS).fit(x, y, sample_weight=w).decision_function(x)
    return torch.from_numpy(scores).to(train.y.device)
