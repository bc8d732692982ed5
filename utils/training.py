"""Fitting many models of one structure together."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from utils.objective import Objective
from utils.parts import parts
from utils.types import Batch, Context, Predict

Watch = Callable[[float, dict[str, float]], None]  # epochs done, within an epoch with its share, and figures


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
) -> list[DivergenceError | None]:
    """Train m models of one structure together, in place; each as ``recipe.fit`` would train it alone, to rounding.

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

    Returns:
        The error of each model whose loss or parameters left the finite numbers, else None. Such a model ends
        where it is; it costs the others nothing.
    """
    optimizer = _SlicedOptimizer(stack, make_optimizer, lr, weight_decay)
    errors: list[DivergenceError | None] = [None] * len(orders)
    for epoch in range(epochs):
        stack.train()
        ctx = replace(ctx, progress=epoch / epochs)
        losses = []
        rows = torch.stack([torch.randperm(train.y.shape[-1], generator=order) for order in orders])
        for keep in rows.to(train.x.device).split(batch_size, 1):
            total, _ = objective(stack, train.of_each(keep), ctx)
            total.sum().backward()
            optimizer.step()
            losses.append(total.detach())
        stack.eval()
        values = torch.stack(losses)
        finite = torch.stack([p.isfinite().flatten(1).all(1) for p in stack.parameters()]).all(0)
        for i in (~(values.isfinite().all(0) & finite)).nonzero().flatten().tolist():
            errors[i] = errors[i] or diverged(values[:, i], epoch, lr[i])
        if all(errors):
            break
        sound = torch.tensor([error is None for error in errors], device=values.device)
        watch(epoch + 1, summary(stack, values[:, sound], valid))
    return errors


# optimizers whose update of a number depends on that number, its gradient and its own past alone
PER_PARAMETER = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


def treats_each_parameter_alone(make_optimizer: Callable[..., torch.optim.Optimizer]) -> bool:
    """Whether the optimizer of a stack is that of each of its models."""
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
        self.optimizer = make_optimizer(groups, lr=lr[0], weight_decay=weight_decay[0])

    def step(self) -> None:
        """Update the parameters by their gradients, which are forgotten then."""
        for part, (a, b) in zip(self.slices, self.bounds, strict=True):
            for own, p in zip(part, self.parameters, strict=True):
                own.grad = None if p.grad is None else p.grad[a:b]
        self.optimizer.step()
        for p in self.parameters:
            p.grad = None


def diverged(losses: Tensor, epoch: int, lr: float) -> DivergenceError:
    """What to say of a model with these losses (steps,) in an epoch after which it is not finite."""
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
        label = (logits.squeeze(-1) >= 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)
        found["valid_accuracy"] = float((label == valid.y).double().mean())
    return found
