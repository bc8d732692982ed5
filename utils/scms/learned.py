"""Structural equations learned from data: one small network for each non-root column."""

import hashlib
import json
import math
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import paths_config
from utils import seeding
from utils.scms.from_data import Regression, build_scm, require_graph
from utils.scms.identity import Reading
from utils.system import atomic
from utils.types import SCM, Dataset


class EquationNet(nn.Module):
    """Expected child (...) given its stacked parents (..., p): one hidden tanh layer."""

    def __init__(self, parents: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(parents, hidden)
        self.outer = nn.Linear(hidden, 1)

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (...)."""
        return self.outer(torch.tanh(self.inner(parents))).squeeze(-1)


def learned(
    dataset: Dataset,
    *,
    seed: int,
    hidden: int,
    steps: int,
    batch_size: int,
    lr: float,
    binary: Reading | None,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """Additive-noise equations by networks with one hidden tanh layer, Adam on the squared error.

    Fitted on the training split alone and cached under the weights folder by data, split and settings
    (Ehyaei et al. 2024, arXiv 2308.08938, appendix: hidden 100, lr .005, batch 100,
    10 epochs of adult and 50 of compas, which is about 2,500 steps of each).

    Raises:
        ValueError: the data set has no causal graph.
    """
    parents = require_graph(dataset, "learned")
    settings = {"hidden": hidden, "steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed}
    cache = _cache_path(dataset, settings | {"parents": {k: list(v) for k, v in parents.items()}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive(seed, "scm weights"))
        nets = nn.ModuleList(EquationNet(len(of), hidden) for of in parents.values())
    if parents and not _read(nets, cache):  # a graph without arrows has nothing to fit
        _fit(nets, dataset, seed=seed, steps=steps, batch_size=batch_size, lr=lr)
        atomic.write_bytes(cache, save({k: v.cpu() for k, v in nets.state_dict().items()}))
    nets.requires_grad_(False).to(dataset.train.x.device)
    regressions: dict[str, Regression] = dict(zip(parents, nets, strict=True))
    with torch.no_grad():
        return build_scm(dataset, regressions, binary=binary, sampling=sampling, radius_unit=radius_unit)


def _cache_path(dataset: Dataset, settings: dict) -> Path:
    rows = hashlib.sha256(dataset.train.index.cpu().numpy().tobytes()).hexdigest()
    text = json.dumps([dataset.fingerprint, rows, settings], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return paths_config.weights() / dataset.name / f"scm_{key}.safetensors"


def _read(nets: nn.ModuleList, cache: Path) -> bool:
    """Loads cached equations; a damaged cache is fitted again."""
    try:
        nets.load_state_dict(load_file(cache))
    except (FileNotFoundError, SafetensorError, RuntimeError):
        return False
    return True


def _fit(nets: nn.ModuleList, dataset: Dataset, *, seed: int, steps: int, batch_size: int, lr: float) -> None:
    names = [c.name for c in dataset.columns]
    parents = dataset.parents or {}
    x = dataset.train.x
    nets.to(x.device)
    optimizer = torch.optim.Adam(nets.parameters(), lr=lr)
    order = seeding.generator(seed, "scm order")
    for _ in range(math.ceil(steps * batch_size / len(x))):
        for keep in torch.randperm(len(x), generator=order).split(batch_size):
            rows = x[keep.to(x.device)]
            # the equations share no parameter, so one step on the sum is a step on each
            errors = [
                net(rows[:, [names.index(p) for p in parents[child]]]) - rows[:, names.index(child)]
                for child, net in zip(parents, nets, strict=True)
            ]
            loss = torch.stack(errors).square().mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
