"""Fitting one model by a recipe: schedules, averaged weights, early stopping, checkpoints, several processes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from utils import seeding
from utils.augment import none
from utils.losses.objective import Objective
from utils.schedules import Schedule, constant
from utils.system import processes
from utils.system.interrupts import asked_to_end
from utils.system.optimizers import without_compiler
from utils.training.checkpoints import read_checkpoint, write_checkpoint
from utils.training.many_models import Watch, describe_divergence, summary
from utils.types import Adaptation, Attack, Batch, Context, Predict
from utils.views import modes
from utils.views.fold import fold_batch_norms, refold
from utils.views.row_parts import parts

COUNTED = ("epoch", "stale", "best_value", "best", "in_force")  # of a training's state, beside that of its modules
TICK = 2.0  # seconds between two words of progress within an epoch
NO_VALID = (
    "trainer.keep=best and trainer.ema_floor judge validation rows, and there are none; set some aside by "
    "dataset.valid or dataset.split"
)
WORST = (
    "{} compares the classes of the validation rows, and of class {} there are none; set more aside by dataset.valid"
)
LOOK = 50  # steps between two looks at losses on a device that computes ahead

Augment = Callable[[Tensor, seeding.Rows], Tensor]  # images (n, c, h, w) and the random numbers of their rows
Keep = Literal["last", "best", "best_worst_class"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """The recipe of one model's training, beside the numbers that every training has.

    Args:
        schedule: share of the learning rate in the course of the training.
        augment: what becomes of a batch of images before a step.
        ema: decay in [0, 1) of the exponential moving average of the weights, which is then the model; 0: none.
        ema_every: average after every step or epoch.
        ema_floor: leave out epochs in which the worst class's robust validation accuracy is below (Wei et al. 2023).
        keep: the weights of the last epoch, or of the one of best robust accuracy on the validation rows (Rice et al.
            2020, arXiv 2002.11569), of all or of their worst class. Where terms are adapted, only epochs count in which
            all adaptations act.
        patience: epochs without a better one after which to stop, counted likewise; null: never.
        judge: attack of the validation rows.
        precision: of the layers in training; auto is bfloat16 on CUDA, else float32, as it is below small radii.
        channels_last: layout of images in memory.
        compile: by torch.compile.
        accumulate: parts of a batch that go through the model one after another before a step.
        checkpoint_every: epochs between two checkpoints, from which an interrupted training goes on; 0: none.
    """

    schedule: Schedule
    augment: Augment
    ema: float
    ema_every: Literal["step", "epoch"]
    ema_floor: float
    keep: Keep
    patience: int | None
    judge: Attack | None
    precision: Precision
    channels_last: bool
    compile: bool
    accumulate: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        for name, legal, expected in (
            ("ema", 0 <= self.ema < 1, "a number in [0, 1)"),
            ("ema_floor", 0 <= self.ema_floor <= 1, "a share of rows in [0, 1]"),
            ("accumulate", self.accumulate >= 1, "a whole number, 1 or more"),
            ("patience", self.patience is None or self.patience >= 1, "null, or a whole number, 1 or more"),
        ):
            if not legal:
                raise ValueError(f"trainer.{name}={getattr(self, name)!r}: expected {expected}")
        if self.ema_floor and (not self.ema or self.ema_every != "epoch"):
            raise ValueError("trainer.ema_floor leaves out epochs: set trainer.ema and trainer.ema_every=epoch with it")
        if self.judges and self.judge is None:
            raise ValueError(
                "trainer.keep=best and trainer.ema_floor need an attack of the validation rows: trainer.judge"
            )
        if self.patience is not None and not self.chooses:
            raise ValueError("trainer.patience waits for a better epoch: set trainer.keep=best with it")

    @property
    def chooses(self) -> bool:
        """Returns whether the weights of the best epoch are kept."""
        return self.keep != "last"

    @property
    def judges(self) -> bool:
        """Returns whether the validation rows are attacked after every epoch."""
        return self.chooses or self.ema_floor > 0


PLAIN = Recipe(
    schedule=constant,
    augment=none,
    ema=0.0,
    ema_every="step",
    ema_floor=0.0,
    keep="last",
    patience=None,
    judge=None,
    precision="float32",
    channels_last=False,
    compile=False,
    accumulate=1,
    checkpoint_every=0,
)


@dataclass
class _State:
    """The state of a training; all of it goes into a checkpoint."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    adaptations: Sequence[nn.Module]
    epoch: int = 0  # done
    stale: int = 0  # epochs since the best
    best_value: tuple[float, ...] = ()
    best: dict[str, Tensor] = field(default_factory=dict)
    in_force: list[dict[str, Tensor]] = field(default_factory=list)  # adaptations as the epoch began that is kept

    @property
    def result(self) -> nn.Module:
        """The model that comes out if the training ends now and the last epoch is kept."""
        averaged = self.average is not None and int(self.average.n_averaged) > 0
        return self.average.module if averaged and self.average is not None else self.model

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "adaptations": [a.state_dict() for a in self.adaptations],
            **{key: getattr(self, key) for key in COUNTED},
        }

    def stopped(self, recipe: Recipe) -> bool:
        """Returns whether the recipe's patience is at an end."""
        return recipe.patience is not None and self.stale >= recipe.patience

    def take(self, stored: dict[str, Any], source: Path) -> None:
        """Goes on from a checkpoint. Raises ValueError where it is of another training."""
        try:
            self.model.load_state_dict(stored["model"])
            self.optimizer.load_state_dict(stored["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(stored["average"])
            for adaptation, own in zip(self.adaptations, stored["adaptations"], strict=True):
                adaptation.load_state_dict(own)
            for key in COUNTED:
                setattr(self, key, stored[key])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            said = str(error).splitlines()[0]
            raise ValueError(f"{source} is a checkpoint of another model or training ({said}); remove it") from None


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
    recipe: Recipe = PLAIN,
    adaptations: Sequence[Adaptation] = (),
    states: Sequence[nn.Module] = (),
    checkpoint: Path | None = None,
) -> None:
    """Trains the model in place by mini-batches; the last, smaller batch of an epoch counts too.

    Under torchrun every process takes its share of each batch, and all end with the same weights.

    Args:
        model: its parameters are updated.
        objective: total loss of a batch.
        train: the rows to learn from.
        valid: rows whose accuracy is watched; may be empty.
        ctx: passed to the terms, with ``progress`` from 0 to 1.
        make_optimizer: parameters, lr, weight_decay -> optimizer.
        epochs: passes over the rows.
        batch_size: rows a step, of all processes.
        lr: learning rate.
        weight_decay: L2 penalty of the optimizer.
        order: stream of the batch order, on the CPU.
        watch: called after every epoch, and now and then within one with the share of it that is done.
        recipe: all else.
        adaptations: what ``objective`` was made with; told of every epoch. They end as they were in the epoch whose
            weights are kept.
        states: modules whose buffers the objective changes.
        checkpoint: file to go on from where it is there, and to write.

    Raises:
        DivergenceError: the loss or, after an epoch, a parameter is not finite, naming epoch and step.
        ValueError: a checkpoint that is damaged or of another training, or no validation rows where the recipe needs
            some.
    """
    require_judged(recipe, train, valid)
    if batch_size < processes.world():
        raise ValueError(f"trainer.batch_size={batch_size} is less than the {processes.world()} processes; raise it")
    device = train.y.device
    if recipe.channels_last and not modes.bears_channels_last(model, device):
        recipe = replace(recipe, channels_last=False)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = without_compiler(make_optimizer)(model.parameters(), lr=lr, weight_decay=weight_decay)
    adapted = [adaptation for adaptation in adaptations if isinstance(adaptation, nn.Module)]
    state = _State(model, optimizer, _average_of(model, recipe), [*adapted, *states])
    if checkpoint is not None and checkpoint.is_file():
        state.take(read_checkpoint(checkpoint), checkpoint)
    for _ in range(state.epoch):  # so that the batches are those of a training without interruption
        torch.randperm(len(train.y), generator=order)
    steady = fold_batch_norms(model)
    ctx = replace(ctx, view=_as_seen(steady, recipe, device), epochs=epochs)
    seen = _as_seen(model, recipe, device)
    warm = max((adaptation.acts_from(epochs) for adaptation in adaptations), default=0)
    while state.epoch < epochs and not state.stopped(recipe):
        epoch = state.epoch
        ctx = replace(ctx, progress=epoch / epochs, epoch=epoch)
        batches = torch.randperm(len(train.y), generator=order).split(batch_size)
        in_force = [_snapshot(adaptation) for adaptation in adapted]
        model.train()
        with _own_randomness(ctx.own_seed, epoch, device):
            losses: list[Tensor] = []
            for step, keep in enumerate(_show_progress(batches, epoch, losses, watch)):
                for group in optimizer.param_groups:
                    group["lr"] = lr * recipe.schedule(epoch + step / len(batches), epochs)
                refold(steady, model)
                losses.append(_step(state, objective, seen, train, keep.to(device), ctx, recipe))
                if (device.type == "cpu" or step % LOOK == 0) and not torch.isfinite(losses[-1]):
                    raise describe_divergence(torch.stack(losses), epoch, lr)
        every = torch.stack(losses)
        if not every.isfinite().all() or not all(torch.isfinite(p).all() for p in model.parameters()):
            raise describe_divergence(every, epoch, lr)
        model.eval()  # the validation rows must not move running statistics
        processes.average_buffers(model)
        if state.average is not None:
            processes.average_buffers(state.average)
        for adaptation in adaptations:
            # at the full radius, by the model itself: the steady view is that of the last step
            adaptation.epoch_ended(model, valid, replace(ctx, view=None, progress=1.0))
        state.epoch = epoch + 1
        figures = _end_of_epoch(state, recipe, valid, ctx, in_force, counts=epoch >= warm)
        last = state.epoch == epochs or state.stopped(recipe)
        due = recipe.checkpoint_every and (last or asked_to_end() or state.epoch % recipe.checkpoint_every == 0)
        if checkpoint is not None and due and processes.rank() == 0:
            write_checkpoint(checkpoint, state.to_dict())
        watch(state.epoch, summary(state.result, every, valid) | figures)
    model.load_state_dict(state.best or state.result.state_dict())
    for adaptation, own in zip(adapted, state.in_force, strict=bool(state.in_force)):
        adaptation.load_state_dict(own)
    model.eval()


def require_judged(recipe: Recipe, train: Batch, valid: Batch) -> None:
    """Raises ValueError where the recipe judges validation rows, and there are none, or none of a class of these."""
    if not recipe.judges:
        return
    if not len(valid.y):
        raise ValueError(NO_VALID)
    setting = "trainer.ema_floor" * (recipe.ema_floor > 0) or "trainer.keep=best_worst_class"
    absent = sorted({*train.y.unique().tolist()} - {*valid.y.unique().tolist()})
    if absent and (recipe.ema_floor or recipe.keep == "best_worst_class"):
        raise ValueError(WORST.format(setting, ", ".join(map(str, absent))))


# --- steps -----------------------------------------------------------------------------------------------------


def _step(
    state: _State, objective: Objective, seen: Predict, train: Batch, keep: Tensor, ctx: Context, recipe: Recipe
) -> Tensor:
    """One step on the rows ``keep`` (n,) of the training split; the mean loss of this process's share."""
    own = processes.share(keep)
    total, whole = torch.zeros((), device=keep.device), train.w[keep].sum()
    state.optimizer.zero_grad(set_to_none=True)
    for part in own.tensor_split(min(recipe.accumulate, len(own))):
        rows = train.rows(part)
        if train.x.dtype is torch.uint8:
            draws = partial(_rows, ctx.own_seed, ctx.epoch, rows.index)
            rows = rows._replace(x=recipe.augment(rows.x, draws("augmentation")))
            ctx = replace(ctx, generator=draws("attack"))
        loss, _ = objective(seen, rows, ctx)
        loss = loss * (rows.w.sum() * processes.world() / whole)  # a part's loss is a mean weighted by w
        loss.backward()
        total += loss.detach()
    processes.average_gradients(state.model)
    state.optimizer.step()
    if state.average is not None and recipe.ema_every == "step":
        state.average.update_parameters(state.model)
    return total


def _rows(seed: int, epoch: int | None, index: Tensor, purpose: str) -> seeding.Rows:
    """Random numbers that depend on seed, epoch and row alone, so that a resumed training draws the same."""
    return seeding.Rows(seeding.derive(seed, f"{purpose} {epoch}"), index)


def _show_progress(batches: Sequence[Tensor], epoch: int, losses: Sequence[Tensor], watch: Watch) -> Iterator[Tensor]:
    """The batches of an epoch, with a word of progress now and then."""
    said = time.monotonic()
    for done, batch in enumerate(batches):
        if done and time.monotonic() - said > TICK:
            said = time.monotonic()
            watch(epoch + done / len(batches), {"loss": float(losses[-1])})
        if len(batch) >= processes.world():  # a last batch with a row for every process
            yield batch


@contextmanager
def _own_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Lets what layers draw by themselves, such as dropout, depend on seed and epoch alone."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seeding.derive(seed, f"layers {epoch} {processes.rank()}"))
        yield


def _as_seen(model: nn.Module, recipe: Recipe, device: torch.device) -> Predict:
    """The model as a function, in the precision and layout of the recipe."""
    fast = device.type == "cuda" if recipe.precision == "auto" else recipe.precision == "bfloat16"
    answering: nn.Module = torch.compile(model) if recipe.compile else model  # type: ignore[assignment]
    precision = torch.bfloat16 if fast else torch.get_default_dtype()
    if not (fast or recipe.channels_last):
        return answering
    return modes.as_predict(answering, device, precision=precision, channels_last=recipe.channels_last)


# --- ends of epochs --------------------------------------------------------------------------------------------


def _average_of(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    if not recipe.ema:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True).eval()


def _end_of_epoch(
    state: _State, recipe: Recipe, valid: Batch, ctx: Context, in_force: list[dict[str, Tensor]], *, counts: bool
) -> dict[str, float]:
    """Judges, averages by epoch, remembers the best of those that count; returns what was found."""
    if not state.best:
        state.in_force = in_force
    if not recipe.judges:
        _average_by_epoch(state, recipe)
        return {}
    if not recipe.ema_floor or _robust_accuracy(state.model, recipe, valid, ctx)[1] >= recipe.ema_floor:
        _average_by_epoch(state, recipe)
    mean, worst = _robust_accuracy(state.result, recipe, valid, ctx)
    of_worst = recipe.keep == "best_worst_class"
    if recipe.chooses and counts:
        value = (worst, mean) if of_worst else (mean,)
        state.stale += 1
        if value > state.best_value:
            state.best_value, state.stale, state.in_force = value, 0, in_force
            state.best = _snapshot(state.result)
    return {"valid_robust_accuracy": mean} | ({"of_its_worst_class": worst} if of_worst else {})


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module, copied."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _average_by_epoch(state: _State, recipe: Recipe) -> None:
    if state.average is not None and recipe.ema_every == "epoch":
        state.average.update_parameters(state.model)


def _robust_accuracy(model: nn.Module, recipe: Recipe, valid: Batch, ctx: Context) -> tuple[float, float]:
    """Share of the validation rows, and of those of the worst class, that are right under the recipe's attack."""
    assert recipe.judge is not None
    view, right = modes.steady(model), []
    source = _rows(ctx.own_seed, 0, valid.index, "judge") if valid.x.dtype is torch.uint8 else ctx.generator
    ctx = replace(ctx, view=None, generator=source, progress=1.0)  # at the full radius in every epoch
    for rows in parts(valid):
        moved = recipe.judge(view, rows, ctx.on(rows))
        with torch.no_grad():
            right.append(ctx.decide(view(moved), rows.s) == rows.y)
    kept = torch.cat(right).double()
    worst = min(float(kept[valid.y == c].mean()) for c in valid.y.unique())
    return processes.broadcast((float(kept.mean()), worst))
