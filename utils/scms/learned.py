"""Structural equations learned from data: one small network for each non-root column."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import paths_config
from utils import seeding
from utils.scms.discrete import chances, with_cuts
from utils.scms.from_data import Node, Regression, build_scm, nodes_of, require_graph
from utils.scms.identity import Coupling, Keep, Reading, choose_epoch, choose_reading
from utils.system import atomic
from utils.system.optimizers import without_compiler
from utils.types import SCM, Dataset
from utils.views.stack import Stack

PATIENCE = 20  # epochs


class EquationNet(nn.Module):
    """Expected child (...) given its stacked parents (..., p), or q scores (..., q): one hidden tanh layer."""

    def __init__(self, parents: int, hidden: int, outputs: int = 1) -> None:
        super().__init__()
        self.inner = nn.Linear(parents, hidden)
        self.outer = nn.Linear(hidden, outputs)

    @property
    def last(self) -> nn.Linear:
        """Returns the layer whose biases shift what it gives."""
        return self.outer

    def forward(self, parents: Tensor) -> Tensor:
        """Parents (..., p) -> (...), or (..., q)."""
        return self.outer(torch.tanh(self.inner(parents))).squeeze(-1)


def learned(
    dataset: Dataset,
    *,
    seed: int,
    hidden: int,
    steps: int,
    batch_size: int,
    lr: float,
    keep: Keep | None,
    discrete: Reading | None,
    nodes: Mapping[str, str],
    coupling: Coupling,
    draws: int,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """Equations by networks with one hidden tanh layer: Adam on the squared error, of discrete nodes on the log-loss.

    Fitted on the training split and cached under the weights folder by data, split and settings (Ehyaei et al. 2024,
    arXiv 2308.08938, appendix: hidden 100, lr .005, batch 100, 10 epochs of adult and 50 of compas, which is about
    2,500 steps of each). With ``keep`` "best" each equation is as it was after the epoch with its least loss on the
    validation rows, and the fit ends PATIENCE epochs after the last that was the best of any.

    Raises:
        ValueError: the data set has no causal graph.
    """
    parents = require_graph(dataset, "learned")
    reading = choose_reading(discrete, sampling)
    found = nodes_of(dataset, reading, nodes)
    settings = {"hidden": hidden, "steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed}
    kinds = {node.name: node.kind for node in found if node.kind != "additive"}
    graph = {"parents": {k: list(v) for k, v in parents.items()}} | ({"kinds": kinds} if kinds else {})
    best = choose_epoch(keep, sampling) == "best" and len(dataset.valid.y) > 0
    cache = _cache_path(dataset, settings | graph | ({"keep": "best"} if best else {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeding.derive(seed, "scm weights"))
        nets = nn.ModuleList(_net(node, dataset.train.x, hidden) for node in found)
    if found and not _read(nets, cache):  # a graph without arrows has nothing to fit
        (_fit_best if best else _fit)(nets, found, dataset, seed=seed, steps=steps, batch_size=batch_size, lr=lr)
        atomic.write_bytes(cache, save({k: v.cpu() for k, v in nets.state_dict().items()}))
    nets.requires_grad_(False).to(dataset.train.x.device)
    regressions: list[Regression] = list(nets)
    with torch.no_grad():
        return build_scm(
            dataset,
            found,
            regressions,
            reading=reading,
            coupling=coupling,
            draws=draws,
            sampling=sampling,
            radius_unit=radius_unit,
        )


def _net(node: Node, x: Tensor, hidden: int) -> nn.Module:
    net = EquationNet(len(node.parents), hidden, node.scores)
    if node.kind == "additive":
        return net
    return with_cuts(node.kind, net, node.level(x).cpu(), node.levels)


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


def _fit(
    nets: nn.ModuleList,
    nodes: Sequence[Node],
    dataset: Dataset,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    lr: float,
) -> None:
    names = [c.name for c in dataset.columns]
    given = [[names.index(p) for p in node.parents] for node in nodes]
    x = dataset.train.x
    nets.to(x.device)
    fitted = [p for p in nets.parameters() if p.requires_grad]
    optimizer = without_compiler(partial(torch.optim.Adam, lr=lr))(fitted)
    order = seeding.generator(seed, "scm order")
    for _ in range(math.ceil(steps * batch_size / len(x))):
        for keep in torch.randperm(len(x), generator=order).split(batch_size):
            rows = x[keep.to(x.device)]
            # the equations share no parameter, so one step on the sum is a step on each
            errors, surprises = [], []
            for node, net, of in zip(nodes, nets, given, strict=True):
                if node.kind == "additive":
                    errors.append(net(rows[:, of]) - rows[:, node.columns[0]])
                else:
                    chance = chances(node.head, net, *rows[:, of].unbind(-1))
                    surprises.append(-chance.gather(1, node.level(rows).unsqueeze(1)).log().mean())
            parts = [torch.stack(errors).square().mean(1).sum()] if errors else []
            loss = torch.stack([*parts, *surprises]).sum() if surprises else parts[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class _Alike(NamedTuple):
    """Equations of one shape, fitted as one."""

    nodes: Sequence[Node]
    f: Stack
    parents: Tensor  # (m, p), columns

    def losses(self, rows: Tensor) -> Tensor:
        """The loss (m, n) of each equation at rows (n, d): squared error, or -log chance of the level seen."""
        given, first = rows[:, self.parents].movedim(1, 0), self.nodes[0]
        if first.kind == "additive":
            return (self.f(given) - rows[:, [node.columns[0] for node in self.nodes]].T).square()
        seen = torch.stack([node.level(rows) for node in self.nodes]).unsqueeze(-1)
        return -chances(first.head, self.f, *given.unbind(-1)).gather(-1, seen).squeeze(-1).log()


def _fit_best(
    nets: nn.ModuleList,
    nodes: Sequence[Node],
    dataset: Dataset,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    lr: float,
) -> None:
    x, valid = dataset.train.x, dataset.valid.x
    nets.to(x.device)
    alike = _group(nets, nodes, dataset)
    stacks = nn.ModuleList(group.f for group in alike)
    fitted = [p for p in stacks.parameters() if p.requires_grad]
    optimizer = without_compiler(partial(torch.optim.Adam, lr=lr))(fitted)
    order = seeding.generator(seed, "scm order")
    least = [torch.full((len(group.nodes),), torch.inf, device=x.device) for group in alike]
    best = [[p.detach().clone() for p in group.f.together.parameters()] for group in alike]
    since = 0
    for _ in range(math.ceil(steps * batch_size / len(x))):
        for keep in torch.randperm(len(x), generator=order).split(batch_size):
            rows = x[keep.to(x.device)]
            loss = torch.stack([group.losses(rows).mean(-1).sum() for group in alike]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            found = [group.losses(valid).mean(-1) for group in alike]
            better = [now < before for now, before in zip(found, least, strict=True)]
            least = [torch.minimum(now, before) for now, before in zip(found, least, strict=True)]
            for group, own, kept in zip(alike, better, best, strict=True):
                for p, q in zip(group.f.together.parameters(), kept, strict=True):
                    q.copy_(torch.where(own.reshape(-1, *(1,) * (p.ndim - 1)), p, q))
        since = 0 if any(own.any() for own in better) else since + 1
        if since == PATIENCE:
            break
    with torch.no_grad():
        for group, kept in zip(alike, best, strict=True):
            for p, q in zip(group.f.together.parameters(), kept, strict=True):
                p.copy_(q)
            group.f.hand_back()


def _group(nets: nn.ModuleList, nodes: Sequence[Node], dataset: Dataset) -> list[_Alike]:
    """The equations by their shape."""
    places = {c.name: i for i, c in enumerate(dataset.columns)}
    members: dict[tuple[str, int, int], list[int]] = {}
    for i, node in enumerate(nodes):
        levels = 0 if node.kind == "additive" else node.levels
        members.setdefault((node.kind, len(node.parents), levels), []).append(i)
    return [
        _Alike(
            [nodes[i] for i in own],
            Stack([nets[i] for i in own]),
            torch.tensor([[places[p] for p in nodes[i].parents] for i in own], device=dataset.train.x.device),
        )
        for own in members.values()
    ]
