"""Structural equations learned from data: one small network for each non-root column."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

import paths_config
from utils import seeding
from utils.scms.discrete import chances, with_cuts
from utils.scms.flow import log_density, require_zuko
from utils.scms.from_data import NUMERIC, Node, Sampled, build_scm, nodes_of, refit, require_graph
from utils.scms.identity import Coupling, Keep, Noise, Reading, choose_epoch, choose_reading
from utils.scms.layers import EquationNet
from utils.scms.structure import Regression
from utils.system import atomic
from utils.system.optimizers import Flat, without_compiler
from utils.types import SCM, Dataset
from utils.views.stack import Stack

PATIENCE = 20  # epochs
KEPT = 1 << 26  # numbers of the hidden layers of equations that are fitted together, at a time


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
    noise: Noise,
    nodes: Mapping[str, str],
    coupling: Coupling,
    draws: int,
    sampling: Literal["residuals", "published"],
    radius_unit: Literal["noise", "noise_sd"],
) -> SCM:
    """Equations by networks with one hidden tanh layer: Adam on the squared error, else on the log-loss.

    Fitted on the training split and cached under the weights folder by data, split and settings (Ehyaei et al. 2024,
    arXiv 2308.08938, appendix: hidden 100, lr .005, batch 100, 10 epochs of adult and 50 of compas, which is about
    2,500 steps of each). With ``keep`` "best" each equation is as it was after the epoch with its least loss on the
    validation rows, and the fit ends PATIENCE epochs after the last that was the best of any.

    Raises:
        ValueError: the data set has no causal graph, or the library of flows is not installed.
    """
    parents = require_graph(dataset, "learned")
    if noise not in ("additive", "flow"):
        raise ValueError(f"scm.noise={noise!r} is not known; choose additive or flow")
    reading = choose_reading(discrete, sampling)
    found = nodes_of(dataset, reading, nodes, noise)
    if any(node.kind == "flow" for node in found):
        require_zuko()
    training: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed}
    kinds = {node.name: node.kind for node in found if node.kind != "additive"}
    graph = {"parents": {k: list(v) for k, v in parents.items()}} | ({"kinds": kinds} if kinds else {})
    best = choose_epoch(keep, sampling) == "best" and len(dataset.valid.y) > 0
    cache = _cache_path(dataset, {"hidden": hidden} | training | graph | ({"keep": "best"} if best else {}))
    with seeding.weights(seed, "scm weights"):
        nets = nn.ModuleList(_net(node, dataset.train.x, hidden) for node in found)
    if found and not _read(nets, cache):  # a graph without arrows has nothing to fit
        _fit_together(nets, found, dataset, [None] * len(found), best=best, **training)
        atomic.write_bytes(cache, save({k: v.cpu() for k, v in nets.state_dict().items()}))
    nets.requires_grad_(False).to(dataset.train.x.device)
    regressions: list[Regression] = list(nets)
    build = partial(
        build_scm, reading=reading, coupling=coupling, draws=draws, sampling=sampling, radius_unit=radius_unit
    )
    with torch.no_grad():
        scm = build(dataset, found, regressions)
    fit = partial(_fit_sampled, dataset=dataset, best=best, hidden=hidden, **training)
    own = dict(zip(found, regressions, strict=True))
    return replace(
        scm,
        refit=partial(
            refit, dataset=dataset, reading=reading, kinds=nodes, noise=noise, fitted=own, fit=fit, build=build
        ),
    )


@torch.enable_grad()
def _fit_sampled(
    sampled: Sequence[Sampled],
    *,
    dataset: Dataset,
    best: bool,
    hidden: int,
    seed: int,
    steps: int,
    batch_size: int,
    lr: float,
) -> list[Regression]:
    """The regressions of nodes, each on a sample of the training rows; those of one shape are fitted as one."""
    with seeding.weights(seed, "scm weights"):
        nets = nn.ModuleList(_net(of.node, dataset.train.x, hidden) for of in sampled)
    size = max(1, KEPT // (hidden * max(len(dataset.valid.y), batch_size)))
    for start in range(0, len(sampled), size):
        part = slice(start, start + size)
        own, counts = [of.node for of in sampled[part]], [of.counts for of in sampled[part]]
        training: dict[str, Any] = {"seed": seed, "steps": steps, "batch_size": batch_size, "lr": lr}
        _fit_together(nets[part], own, dataset, counts, best=best, **training)
    return list(nets.requires_grad_(False).to(dataset.train.x.device))


def _net(node: Node, x: Tensor, hidden: int) -> nn.Module:
    net = EquationNet(len(node.parents), hidden, node.scores)
    if node.kind == "flow":  # which begins as N(0, 1) for all parents
        nn.init.zeros_(net.outer.weight)
        nn.init.zeros_(net.outer.bias)
    if node.kind in NUMERIC:
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


def _smeared(nodes: Sequence[Node], rows: Tensor, blur: torch.Generator) -> Tensor:
    """The children (m, n) of flows in rows (n, d); whole numbers spread between those that round to them."""
    found, width = rows[:, [node.columns[0] for node in nodes]].T, rows.new_tensor([node.width for node in nodes])
    if not width.any():
        return found
    return found + width.unsqueeze(1) * (torch.rand(found.shape, generator=blur).to(rows) - 0.5)


class _Alike(NamedTuple):
    """Equations of one shape, fitted as one."""

    nodes: Sequence[Node]
    f: Stack
    parents: Tensor  # (m, p), columns
    there: Tensor  # (m, 1, p), 1 of each; 0 where an equation has fewer
    counts: Tensor | None  # (m, n) of each training row in the sample of each; None: one

    def losses(self, rows: Tensor, blur: torch.Generator) -> Tensor:
        """The loss (m, n) of each equation at rows (n, d): squared error, or -log chance of the level seen.

        Of flows the -log density, of whole numbers spread by ``blur``.
        """
        given, first = rows[:, self.parents].movedim(1, 0) * self.there, self.nodes[0]
        if first.kind == "additive":
            return (self.f(given) - rows[:, [node.columns[0] for node in self.nodes]].T).square()
        if first.kind == "flow":
            return -log_density(self.f(given), _smeared(self.nodes, rows, blur))
        seen = torch.stack([node.level(rows) for node in self.nodes]).unsqueeze(-1)
        return -chances(first.head, self.f, *given.unbind(-1)).gather(-1, seen).squeeze(-1).log()

    def loss(self, rows: Tensor, places: Tensor, blur: torch.Generator) -> Tensor:
        """The sum () of the mean losses at training rows (n, d), which are those at places (n,)."""
        found = self.losses(rows, blur)
        return (found if self.counts is None else found * self.counts[:, places]).mean(-1).sum()


def _fit_together(
    nets: nn.ModuleList,
    nodes: Sequence[Node],
    dataset: Dataset,
    counts: Sequence[Tensor | None],
    *,
    best: bool,
    seed: int,
    steps: int,
    batch_size: int,
    lr: float,
) -> None:
    """Fits equations as ``learned`` says, those of one shape as one; ``best``: by validation rows, else the last."""
    x, valid = dataset.train.x, dataset.valid.x
    nets.to(x.device)
    alike = _group(nets, nodes, dataset, counts)
    stacks = nn.ModuleList(group.f for group in alike)
    fitted = [p for p in stacks.parameters() if p.requires_grad]
    flows = {p for group in alike if group.nodes[0].kind == "flow" for p in group.f.parameters()}
    parts = [[p for p in fitted if (p in flows) is own] for own in (False, True)]
    flat = [[Flat(part)] if part else [] for part in parts]
    optimizer = without_compiler(torch.optim.Adam)([{"params": [of.whole for of in own]} for own in flat], lr=lr)
    order, blur = seeding.generator(seed, "scm order"), seeding.generator(seed, "scm blur")
    kept = [_Best(group) for group in alike] if best else []
    since, epochs = 0, math.ceil(steps * batch_size / len(x))
    for epoch in range(epochs):
        for slowing in optimizer.param_groups[1:]:  # densities follow the noise of batches, so that they slow down
            slowing["lr"] = lr * (1 - epoch / epochs)
        for keep in torch.randperm(len(x), generator=order).split(batch_size):
            keep = keep.to(x.device)
            loss = torch.stack([group.loss(x[keep], keep, blur) for group in alike]).sum()
            loss.backward()
            for part in chain(*flat):
                part.collect()
            optimizer.step()
        better = [of.look(valid) for of in kept]
        since = 0 if any(better) else since + 1
        if best and since == PATIENCE:
            break
    for of in kept:
        of.restore()
    for group in alike:
        group.f.hand_back()


class _Best:
    """The parameters of equations of one shape, each as it was at its least loss on validation rows."""

    def __init__(self, group: _Alike) -> None:
        self.group = group
        self.least = torch.full((len(group.nodes),), torch.inf, device=group.parents.device)
        self.kept = [p.detach().clone() for p in group.f.together.parameters()]

    @torch.no_grad()
    def look(self, valid: Tensor) -> bool:
        """Keeps the equations that are better at rows (n, d) than ever; returns whether any is."""
        found = self.group.losses(valid, seeding.generator(0, "scm blur")).mean(-1)
        better = found < self.least
        self.least = torch.minimum(found, self.least)
        for p, q in zip(self.group.f.together.parameters(), self.kept, strict=True):
            q.copy_(torch.where(better.reshape(-1, *(1,) * (p.ndim - 1)), p, q))
        return bool(better.any())

    @torch.no_grad()
    def restore(self) -> None:
        """Puts them back."""
        for p, q in zip(self.group.f.together.parameters(), self.kept, strict=True):
            p.copy_(q)


def _group(
    nets: nn.ModuleList, nodes: Sequence[Node], dataset: Dataset, counts: Sequence[Tensor | None]
) -> list[_Alike]:
    """The equations by their shape."""
    places = {c.name: i for i, c in enumerate(dataset.columns)}
    device = dataset.train.x.device
    members: dict[tuple[str, int, bool], list[int]] = {}
    for i, node in enumerate(nodes):
        levels = 0 if node.kind in NUMERIC else node.levels
        members.setdefault((node.kind, levels, counts[i] is None), []).append(i)

    def sampled(own: Sequence[int]) -> Tensor | None:
        of = [found for i in own if (found := counts[i]) is not None]
        return torch.stack(of).to(device) if of else None

    found = []
    for own in members.values():
        width = max(len(nodes[i].parents) for i in own)
        parents = [[places[p] for p in nodes[i].parents] + [0] * (width - len(nodes[i].parents)) for i in own]
        there = [[[float(k < len(nodes[i].parents)) for k in range(width)]] for i in own]
        columns, mask = torch.tensor(parents, device=device), torch.tensor(there, device=device)
        found.append(_Alike([nodes[i] for i in own], Stack([nets[i] for i in own]), columns, mask, sampled(own)))
    return found
