"""Linear structural equations by least squares."""

from typing import Literal

import torch
from torch import Tensor, nn

from utils.scms.from_data import Regression, build_scm, require_graph
from utils.scms.identity import Reading
from utils.types import SCM, Dataset


class Line(nn.Module):
    """Expected child (...) given its stacked parents (..., p): one linear function."""

    def __init__(self, slope: Tensor, intercept: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(len(slope), 1)
        self.linear.weight.data, self.linear.bias.data = slope.unsqueeze(0), intercept.unsqueeze(0)
        self.requires_grad_(False)

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (...)."""
        return self.linear(parents).squeeze(-1)


def linear(
    dataset: Dataset,
    *,
    seed: int,
    binary: Reading | None,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """Ordinary least squares of each non-root on its parents, on the training rows.

    Raises:
        ValueError: the data set has no causal graph.
    """
    parents = require_graph(dataset, "linear")
    names = [c.name for c in dataset.columns]
    rows = dataset.train.x

    def regression(child: str) -> Regression:
        places = [names.index(name) for name in (*parents[child], child)]
        own = rows[:, places].double().cpu()  # the driver below is there on the CPU alone
        design = torch.cat([own[:, :-1], torch.ones(len(own), 1, dtype=own.dtype)], 1)
        target = own[:, -1:]
        solution = torch.linalg.lstsq(design, target, driver="gelsd").solution  # rank may be short
        solution = solution.to(dataset.train.x)
        return Line(solution[:-1, 0], solution[-1, 0])

    return build_scm(
        dataset,
        {child: regression(child) for child in parents},
        binary=binary,
        sampling=sampling,
        radius_unit=radius_unit,
    )
