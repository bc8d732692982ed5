"""Fitting many models of one structure together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from utils.losses.objective import Objective, likeliest
from utils.scms.layers import in_layers
from utils.scms.once import Known
from utils.system.optimizers import without_compiler
from utils.training.checkpoints import read_checkpoint, write_checkpoint
from utils.types import Batch, Context, Predict
from utils.views.one_pass import OnePass
from utils.views.row_parts import parts

Watch = Callable[[float, dict[str, float]], None]  # epochs done, within an epoch with its share, and figures


Streams = tuple[Generator, Generator]  # of a model: the order of its batches, and what its terms draw
PAUSE = 30.0  # seconds between two checkpoints of a stack


class DivergenceError(ValueError):
    """The loss left the finite numbers."""


def fit_many(
    stack: nn.Module,
    objective: Objective,
    train: Batch,
    valid: Batch,
    ctx: Context,
    *,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    epochs: int,
    batch_size: int,
    lr: Sequence[float],
    weight_decay: Sequence[float],
    orders: Sequence[Generator],
    watch: Watch,
    checkpoints: Sequence[Path] = (),
    states: Sequence[nn.Module] = (),
) -> list[DivergenceError | None]:
    """Trains m models of one structure together, in place; each as ``recipe.fit`` would alone, to rounding.

    The loss of a model depends on its own parameters and rows alone, so the gradient of the sum of all losses is
    that of each, and an optimizer that treats every parameter by itself is the optimizer of each.

    Args:
        stack: parameters (m, *).
        objective: total loss (m,) of a batch.
        train: rows (m, n, *).
        valid: rows (m, v, *) whose accuracy is watched; v may be 0.
        ctx: of the stack.
        make_optimizer: one of ``PER_PARAMETER``.
        epochs: passes over the rows.
        batch_size: rows a step of each model.
        lr: m learning rates, equal ones side by side.
        weight_decay: m penalties.
        orders: m streams of the batch order.
        watch: called after every epoch with means over the models.
        checkpoints: m files, each of a model that it was trained to by itself or in any stack. Where all are there, of
            the same epoch, the training goes on from them; they are written now and then.
        states: modules whose buffers (m, *) the objective changes, which checkpoints keep.

    Returns:
        The error of each model whose loss or parameters left the finite numbers, else None. Such a model ends
        where it is; it costs the others nothing.
    """
    optimizer = _SlicedOptimizer(stack, make_optimizer, lr, weight_decay)
    errors: list[DivergenceError | None] = [None] * len(orders)
    streams = _streams(orders, ctx)
    begun, started = _resume_all(checkpoints, optimizer, streams, errors, states), time.monotonic()
    written, known, ctx = started, Known(train), replace(ctx, scm=in_layers(ctx.scm))
    for epoch in range(begun, epochs):
        stack.train()
        ctx = replace(ctx, progress=epoch / epochs, epoch=epoch, epochs=epochs)
        losses = []
        rows = torch.stack([torch.randperm(train.y.shape[-1], generator=order) for order in orders])
        for keep in rows.to(train.x.device).split(batch_size, 1):
            total = find_losses(stack, objective, train, keep, ctx, known)
            total.sum().backward(inputs=optimizer.parameters)
            optimizer.step()
            losses.append(total.detach())
        stack.eval()
        values = torch.stack(losses)
        finite = torch.stack([p.isfinite().flatten(1).all(1) for p in stack.parameters()]).all(0)
        for i in (~(values.isfinite().all(0) & finite)).nonzero().flatten().tolist():
            errors[i] = errors[i] or describe_divergence(values[:, i], epoch, lr[i])
        if all(errors):
            break
        since = started if epoch + 1 == epochs else written  # judging may take long too
        if checkpoints and time.monotonic() - since > PAUSE:
            _save_all(checkpoints, optimizer, streams, errors, states, epoch + 1)
            written = time.monotonic()
        sound = torch.tensor([error is None for error in errors], device=values.device)
        watch(epoch + 1, summary(stack, values[:, sound], valid))
    return errors


def find_losses(
    stack: nn.Module, objective: Objective, train: Batch, keep: Tensor, ctx: Context, known: Known
) -> Tensor:
    """Returns the loss (m,) of each model on the rows ``keep`` (m, b), sharing what all terms ask for."""
    batch = train.of_each(keep)
    scm = replace(ctx.scm, known=known.at(batch.x, keep))
    total, _ = objective(OnePass(stack, batch.x), batch, replace(ctx, scm=scm))
    return total


def _streams(orders: Sequence[Generator], ctx: Context) -> list[Streams]:
    """The random streams of each model; where the terms draw from none of their own, one that stays as it is."""
    own = ctx.generator if isinstance(ctx.generator, tuple) and ctx.generator else [Generator() for _ in orders]
    return list(zip(orders, own, strict=True))


def _save_all(
    paths: Sequence[Path],
    optimizer: "_SlicedOptimizer",
    streams: Sequence[Streams],
    errors: Sequence[DivergenceError | None],
    states: Sequence[nn.Module],
    epoch: int,
) -> None:
    """Writes what each model has come to after an epoch."""
    for i, (path, (order, own), error) in enumerate(zip(paths, streams, errors, strict=True)):
        said = None if error is None else str(error)
        of_terms = [{key: value[i].clone() for key, value in state.state_dict().items()} for state in states]
        kept = {"order": order.get_state(), "own": own.get_state(), "error": said, "epoch": epoch, "terms": of_terms}
        write_checkpoint(path, optimizer.of_model(i) | kept)


def _resume_all(
    paths: Sequence[Path],
    optimizer: "_SlicedOptimizer",
    streams: Sequence[Streams],
    errors: list[DivergenceError | None],
    states: Sequence[nn.Module],
) -> int:
    """Goes on from checkpoints; returns the epochs done, 0 where not all models have one of the same epoch.

    Raises:
        ValueError: a checkpoint that is damaged or of another model.
    """
    if not paths or not all(path.is_file() for path in paths):
        return 0
    stored = [read_checkpoint(path) for path in paths]
    if len({of.get("epoch") for of in stored}) > 1:
        return 0
    try:
        optimizer.take(stored)
        for k, state in enumerate(states):
            found = [of["terms"][k] for of in stored]
            state.load_state_dict({key: torch.stack([of[key] for of in found]) for key in state.state_dict()})
        for i, (of, (order, own)) in enumerate(zip(stored, streams, strict=True)):
            order.set_state(of["order"])
            own.set_state(of["own"])
            errors[i] = None if of["error"] is None else DivergenceError(of["error"])
        return int(stored[0]["epoch"])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{paths[0]} is a checkpoint of another model or training; remove it") from error


# optimizers whose update of a number depends on that number, its gradient and its own past alone
PER_PARAMETER = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


def treats_each_parameter_alone(make_optimizer: Callable[..., torch.optim.Optimizer]) -> bool:
    """Returns whether the optimizer of a stack is that of each of its models."""
    maker = getattr(make_optimizer, "func", make_optimizer)
    return maker.__module__.startswith("torch.optim") and maker.__name__ in PER_PARAMETER


class _SlicedOptimizer:
    """One optimizer on stacked parameters, with a group for each run of models of equal learning rate and penalty."""

    def __init__(
        self,
        stack: nn.Module,
        make_optimizer: Callable[..., torch.optim.Optimizer],
        lr: Sequence[float],
        weight_decay: Sequence[float],
    ):
        self.parameters = [p for p in stack.parameters() if p.requires_grad]
        kinds = list(zip(lr, weight_decay, strict=True))
        starts = [i for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]
        self.bounds = list(zip(starts, [*starts[1:], len(kinds)], strict=True))
        self.slices = [[nn.Parameter(p.data[a:b]) for p in self.parameters] for a, b in self.bounds]
        groups = [
            {"params": part, "lr": kinds[a][0], "weight_decay": kinds[a][1]}
            for part, (a, _) in zip(self.slices, self.bounds, strict=True)
        ]
        self.optimizer = without_compiler(make_optimizer)(groups, lr=lr[0], weight_decay=weight_decay[0])

    def step(self) -> None:
        """Updates the parameters by their gradients, which are forgotten then."""
        for part, (a, b) in zip(self.slices, self.bounds, strict=True):
            for own, p in zip(part, self.parameters, strict=True):
                own.grad = None if p.grad is None else p.grad[a:b]
        self.optimizer.step()
        for p in self.parameters:
            p.grad = None

    def of_model(self, i: int) -> dict[str, Any]:
        """Parameters and optimizer state of one model, in tensors of their own."""
        part, (a, _) = next((p, b) for p, b in zip(self.slices, self.bounds, strict=True) if b[0] <= i < b[1])
        return {
            "parameters": [own.data[i - a].clone() for own in part],
            "optimizer": [
                {key: value[i - a].clone() if _per_model(value, own) else value for key, value in state.items()}
                for own in part
                for state in (self.optimizer.state[own],)
            ],
        }

    @torch.no_grad()
    def take(self, stored: Sequence[dict[str, Any]]) -> None:
        """Puts what ``of_model`` gave for each model, one after another, in the place of what there is."""
        for part, (a, b) in zip(self.slices, self.bounds, strict=True):
            for k, own in enumerate(part):
                own.copy_(torch.stack([of["parameters"][k] for of in stored[a:b]]))
                states = [of["optimizer"][k] for of in stored[a:b]]
                self.optimizer.state[own] = {
                    key: torch.stack([state[key] for state in states]).to(own.device)
                    if _per_model(value, own[0])
                    else value
                    for key, value in states[0].items()
                }


def _per_model(value: Any, like: Tensor) -> bool:
    """Returns whether a part of an optimizer's state has an entry for every number of a parameter, not one for all."""
    return isinstance(value, Tensor) and value.shape == like.shape and value.ndim > 0


def describe_divergence(losses: Tensor, epoch: int, lr: float) -> DivergenceError:
    """Returns the error of a model with these losses (steps,) in an epoch after which it is not finite."""
    broken = (~losses.isfinite()).nonzero().flatten().tolist()
    if broken:
        what = f"the loss became {losses[broken[0]].item()} in epoch {epoch + 1}, step {broken[0] + 1}"
    else:
        what = f"the parameters left the finite numbers in epoch {epoch + 1}, step {len(losses)} or before"
    return DivergenceError(f"{what}; lower trainer.lr (now {lr:g}) or the weights of the terms")


def summary(predict: Predict, losses: Tensor, valid: Batch) -> dict[str, float]:
    """Mean loss of an epoch and accuracy on the validation rows, where there are any."""
    found = {"loss": float(losses.mean())}
    if valid.y.shape[-1]:
        with torch.no_grad():
            logits = torch.cat([predict(rows.x) for rows in parts(valid)], -2)
        found["valid_accuracy"] = float((likeliest(logits) == valid.y).double().mean())
    return found
