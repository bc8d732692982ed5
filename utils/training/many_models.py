"""Fitting many models of one structure together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from utils.losses.objective import Objective, likeliest
from utils.scms.layers import in_layers
from utils.scms.once import Known
from utils.system.environment import keep_memory
from utils.system.interrupts import asked_to_end
from utils.training.checkpoints import read_checkpoint, write_checkpoint
from utils.training.stack_optimizer import StackOptimizer, optimizer_of
from utils.types import Batch, Context, Predict
from utils.views.one_pass import OnePass
from utils.views.row_parts import parts

Watch = Callable[[float, dict[str, float]], None]  # epochs done, within an epoch with its share, and figures


Streams = tuple[Generator, Generator]  # of a model: the order of its batches, and what its terms draw
PAUSE = 10.0  # seconds between two checkpoints of a stack, which an interrupt costs at most


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
    keep_memory()  # in a stack of 64 models 5,000 pages a step otherwise, a tenth of its CPU time
    optimizer = optimizer_of(stack, make_optimizer, lr, weight_decay)
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
        finite = torch.stack([p.isfinite().reshape(len(p), -1).all(1) for p in stack.parameters()]).all(0)
        for i in (~(values.isfinite().all(0) & finite)).nonzero().flatten().tolist():
            errors[i] = errors[i] or describe_divergence(values[:, i], epoch, lr[i])
        if all(errors):
            break
        since = started if epoch + 1 == epochs else written  # judging may take long too
        if checkpoints and (asked_to_end() or time.monotonic() - since > PAUSE):
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
    optimizer: StackOptimizer,
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
    optimizer: StackOptimizer,
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
