"""The memory that a stack of models takes, estimated before it is trained."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from utils.adversary.worst_case import moves
from utils.build import Run
from utils.runs.fitting import FEW, probing
from utils.types import Attack

STEPS = 2  # of an attack, to see the largest pass
GRAPH = 6  # what autograd and temporaries hold at the most, in units of the outputs of all layers in one pass
OPTIMIZER = 6  # parameters, gradients, an optimizer's moments and temporaries, in units of the parameters


def largest_stack(run: Run, budget: int) -> int:
    """Returns the number of models like this one that fit the budget of bytes.

    Raises:
        ValueError: not even one fits.
    """
    each = memory_of(run)
    if each > budget:
        raise ValueError(
            f"{run.name} needs about {each / 2**20:.0f} MB, and a process has {budget / 2**20:.0f} MB; raise "
            "hydra.launcher.max_memory, or lower hydra.launcher.workers or trainer.batch_size"
        )
    return budget // each


def memory_of(run: Run) -> int:
    """Returns about how many bytes one more model of this kind takes in a stack.

    Its rows, parameters and optimizer, and what the largest forward pass of a training step or of an attack on the
    test rows keeps for its gradient.
    """
    parts = (run.dataset.train, run.dataset.valid, run.dataset.test)
    data = sum(column.nbytes for part in parts for column in part)
    parameters = sum(p.nbytes for p in run.model.parameters())
    rows = run.dataset.train.rows(slice(0, run.params["trainer"]["batch_size"]))
    probe, model = probing(run), copy.deepcopy(run.model)  # whose running statistics would move
    step = _largest_pass(model, lambda: run.objective(model, rows, probe.on(rows)))
    few = run.dataset.test.rows(slice(0, FEW))
    bound = [getattr(metric, "keywords", {}) for metric in run.metrics.values()]
    attacks = [run.ctx.attack, *(of["attack"] for of in bound if "attack" in of)]
    passes = (partial(_brief(attack), model, few, probe.on(few)) for attack in attacks if moves(attack, probe))
    judging = max((_largest_pass(model, attack) for attack in passes), default=0)
    judging = judging * len(run.dataset.test.y) // max(1, len(few.y))
    return 2 * data + OPTIMIZER * parameters + GRAPH * max(step, judging)


def _brief(attack: Attack) -> Attack:
    """Returns an attack with STEPS steps at the most, all of which are passes of one size."""
    if not (isinstance(attack, partial) and "steps" in attack.keywords):
        return attack
    return partial(attack, steps=min(STEPS, attack.keywords["steps"]))


def _largest_pass(model: nn.Module, compute: Callable[[], Any]) -> int:
    """Returns the bytes of all layers' outputs in the forward pass with most of them."""
    passes = [0]

    def begin(*_: Any) -> None:
        passes.append(0)

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        passes[-1] += output.numel() * output.element_size()

    layers = [m for m in model.modules() if not list(m.children())]
    hooks = [model.register_forward_pre_hook(begin), *(m.register_forward_hook(count) for m in layers)]
    try:
        compute()
    finally:
        for hook in hooks:
            hook.remove()
    return max(passes)
