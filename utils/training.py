"""Fitting one model."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from utils.objective import Objective
from utils.types import Batch, Context, Predict

Watch = Callable[[int, dict[str, float]], None]  # epoch (from 1) and its metrics


class DivergenceError(ValueError):
    """The loss left the finite numbers."""


def fit(
    model: nn.Module,
    objective: Objective,
    train: Batch,
    valid: Batch,
    ctx: Context,
    *,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    order: Generator,
    watch: Watch,
) -> None:
    """Train the model in place by mini-batches; the last, smaller batch of an epoch counts too.

    Args:
        model: its parameters are updated.
        objective: total loss of a batch.
        train: the rows to learn from.
        valid: rows whose accuracy is watched; may be empty.
        ctx: passed to the terms, with ``progress`` from 0 to 1.
        make_optimizer: parameters, lr, weight_decay -> optimizer.
        epochs: passes over the rows.
        batch_size: rows a step.
        lr: learning rate.
        weight_decay: L2 penalty of the optimizer.
        order: stream of the batch order, on the CPU.
        watch: called after every epoch.

    Raises:
        DivergenceError: the loss or, after an epoch, a parameter is not finite, naming epoch and step.
    """
    optimizer = make_optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    for epoch in range(epochs):
        model.train()
        ctx = replace(ctx, progress=epoch / epochs)
        losses = []
        for step, keep in enumerate(torch.randperm(len(train.y), generator=order).split(batch_size)):
            total, _ = objective(model, train.rows(keep.to(train.x.device)), ctx)
            if not torch.isfinite(total):
                raise DivergenceError(
                    f"the loss became {total.item()} in epoch {epoch + 1}, step {step + 1}; "
                    f"lower trainer.lr (now {lr:g}) or the weights of the terms"
                )
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            losses.append(total.detach())
        if not all(torch.isfinite(p).all() for p in model.parameters()):
            raise DivergenceError(
                f"the parameters left the finite numbers in epoch {epoch + 1}, step {step + 1} or before; "
                f"lower trainer.lr (now {lr:g}) or the weights of the terms"
            )
        model.eval()  # the validation rows must not move running statistics
        watch(epoch + 1, _summary(model, torch.stack(losses), valid))
    model.eval()


def _summary(predict: Predict, losses: Tensor, valid: Batch) -> dict[str, float]:
    found = {"loss": float(losses.mean())}
    if len(valid.y):
        with torch.no_grad():
            logits = predict(valid.x)
        label = (logits.squeeze(-1) >= 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)
        found["valid_accuracy"] = float((label == valid.y).double().mean())
    return found
