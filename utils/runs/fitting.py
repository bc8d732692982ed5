"""Training the model of a run, alone or beside others, and what its logits are."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import paths_config
from utils import seeding
from utils.build import Run
from utils.configuration.stacking import why_alone
from utils.configuration.traits import is_given, without_poison
from utils.losses.objective import Objective, Weighted, find_states, make_objective
from utils.models.learner import Learner
from utils.system.console import count
from utils.training.many_models import DivergenceError, Watch, fit_many
from utils.training.one_model import fit
from utils.training.stack_optimizer import treats_each_parameter_alone
from utils.types import Batch, Context, Scalar, StoredDecide
from utils.views.modes import in_double
from utils.views.row_parts import parts
from utils.views.stack import Stack, UnstackableError, stack_batches, stack_contexts, together
from utils.views.written_out import write_out

FEW = 4  # rows of a rehearsal


def probing(run: Run) -> Context:
    """Returns the context of a run with random numbers of its own for trials."""
    source = run.ctx.generator
    if isinstance(source, seeding.Rows):
        return replace(run.ctx, generator=seeding.Rows(seeding.derive(run.seed, "probe"), source.index))
    return replace(run.ctx, generator=seeding.generator(run.seed, "probe"))


def trial_of(run: Run) -> tuple[nn.Module, Batch]:
    """Returns a copy of the model and a few rows to try the parts of a run on; running statistics stay as they are.

    A learner answers nothing before it is trained: it is, on these rows, which are some of each class.

    Raises:
        ValueError: a learner's training rows are of one class alone.
    """
    model, train = copy.deepcopy(run.model), run.dataset.train
    if not isinstance(model, Learner):
        return model, train.rows(slice(0, FEW))
    of_each = [((train.y == c) & (train.w > 0)).nonzero().squeeze(1)[:FEW] for c in range(run.dataset.classes)]
    few = train.rows(torch.cat(of_each))
    model.fit(few, learner_seed(run.seed))
    return model, few


def learner_seed(seed: int) -> int:
    """Returns the seed of a learner's random draws, as scikit-learn takes it, from that of its run."""
    return seeding.derive(seed, "learner") % 2**32


def fit_together(runs: Sequence[Run], *, watch: Watch) -> list[DivergenceError | None]:
    """Trains models of one structure as a stack; returns the error of each that left the finite numbers.

    Raises:
        UnstackableError: runs that form no stack; nothing has been trained.
    """
    first = runs[0].params["trainer"]
    if reason := why_alone(runs[0].params if runs[0].poison else without_poison(runs[0].params)):
        raise UnstackableError(reason)
    if not treats_each_parameter_alone(runs[0].make_optimizer):
        raise UnstackableError(f"{first['optimizer']['_target_']} looks at more than one number at a time")
    stack = write_out(Stack([run.model for run in runs]))
    nominal, terms = stack_terms(runs)
    objective = make_objective(nominal, terms)
    train, ctx = stack_batches([run.dataset.train for run in runs]), stack_contexts([run.ctx for run in runs])
    _compare(runs, stack, objective, train, ctx)
    errors = fit_many(
        stack,
        objective,
        train,
        stack_batches([run.dataset.valid for run in runs]),
        ctx,
        make_optimizer=runs[0].make_optimizer,
        epochs=first["epochs"],
        batch_size=first["batch_size"],
        lr=[run.params["trainer"]["lr"] for run in runs],
        weight_decay=[run.params["trainer"]["weight_decay"] for run in runs],
        orders=[seeding.generator(run.seed, "order") for run in runs],
        watch=watch,
        checkpoints=[checkpoint_of(run) for run in runs],
        states=find_states(terms),
    )
    stack.hand_back()
    return errors


def stack_terms(runs: Sequence[Run]) -> tuple[Scalar, dict[str, Weighted]]:
    """The weight of the plain loss and the terms of a stack: the losses (m,) that its runs would minimise one by one.

    Raises:
        UnstackableError: terms that differ in more than numbers.
    """
    device = runs[0].dataset.train.x.device

    def weight(of: Sequence[Scalar], name: str) -> Scalar:
        value = together(of, name, device)
        return value.squeeze(1) if isinstance(value, torch.Tensor) else value

    every = {
        name: Weighted(
            weight([run.terms[name].weight for run in runs], f"regularizer.{name}.weight"),
            together([run.terms[name].term for run in runs], f"regularizer.{name}", device),
        )
        for name in runs[0].terms
    }
    return weight([run.nominal for run in runs], "objective.nominal"), every


def _compare(runs: Sequence[Run], stack: Stack, objective: Objective, train: Batch, ctx: Context) -> None:
    """Refuses a stack whose losses are not those of its first and last run, as where a term mixes rows.

    Raises:
        UnstackableError: it is so.
    """
    rows = torch.arange(FEW, device=train.y.device).expand(len(runs), -1)
    try:
        together, _ = objective(stack, train.of_each(rows), replace(ctx, generator=_probe(ctx)))
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise UnstackableError(f"a term does not batch ({str(error).splitlines()[0]})") from error
    for i in {0, len(runs) - 1} if together.shape == (len(runs),) else ():
        run = runs[i]
        alone, _ = run.objective(
            run.model, run.dataset.train.rows(slice(0, FEW)), replace(run.ctx, generator=_probe(run.ctx))
        )
        if not torch.allclose(together[i], alone, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise UnstackableError("a term mixes the rows of a batch")
    if together.shape != (len(runs),):
        raise UnstackableError("a term gives one loss for all rows")


def _probe(ctx: Context) -> seeding.Source:
    return seeding.generators(ctx.seed, "probe")


def fit_plainly(run: Run, *, watch: Watch) -> None:
    """Trains one model by its recipe; a learner at once, and weights of a file not at all.

    Raises:
        ValueError: the batches do not fit the memory, saying how many rows would; rows that a learner refuses.
    """
    if isinstance(run.model, Learner):
        run.model.fit(run.dataset.train, learner_seed(run.seed))
        return
    if is_given(run.params):
        run.model.eval()
        return
    trainer, data = run.params["trainer"], run.dataset
    try:
        fit(
            run.model,
            run.objective,
            data.train,
            data.valid,
            run.ctx,
            make_optimizer=run.make_optimizer,
            epochs=trainer["epochs"],
            batch_size=trainer["batch_size"],
            lr=trainer["lr"],
            weight_decay=trainer["weight_decay"],
            order=seeding.generator(run.seed, "order"),
            watch=watch,
            recipe=run.recipe,
            adaptations=run.adaptations,
            states=find_states(run.terms),
            checkpoint=checkpoint_of(run) if run.recipe.checkpoint_every else None,
        )
    except torch.OutOfMemoryError:
        pass  # what the failed step holds is given back where this block ends
    else:
        return
    raise ValueError(_what_fits(run))


def fit_alone(run: Run, *, watch: Watch) -> DivergenceError | None:
    """Trains one model by ``fit_plainly``; returns its error where it left the finite numbers."""
    try:
        fit_plainly(run, watch=watch)
    except DivergenceError as error:
        return error
    return None


def train_once(run: Run) -> StoredDecide:
    """Trains the model of a run without judging or filing it; returns its thresholds.

    It is a stack of one where it can be, so that its bits are those of a run that is filed.

    Raises:
        ValueError: the training left the finite numbers, or rows to add would have to be searched for first.
    """
    if run.poison is not None:
        raise ValueError(
            "attack searches for rows to add, whose trials are filed; train it by train.py, or give a name"
        )
    try:
        [error] = fit_together([run], watch=lambda *_: None)
    except UnstackableError:
        error = fit_alone(run, watch=lambda *_: None)
    if error is not None:
        raise error
    return threshold(run)


def _what_fits(run: Run) -> str:
    """Returns the remedy where a step does not fit the memory: the largest halving of a batch that does."""
    asked = run.params["trainer"]["batch_size"]
    size = asked // run.recipe.accumulate
    run.model.train()
    while size := size // 2:
        rows = run.dataset.train.rows(slice(0, size))
        try:
            loss, _ = run.objective(run.model, rows, probing(run).on(rows))
            loss.backward()
        except torch.OutOfMemoryError:
            continue
        finally:
            run.model.zero_grad()
        device, accumulate = run.dataset.train.y.device, -(-asked // size)
        held = f"{count(size, 'row')} {'fits' if size == 1 else 'fit'}"
        return (
            f"the memory of {device} does not hold a step of trainer.batch_size={asked}; {held}: set "
            f"trainer.accumulate={accumulate} for the same batches in parts, or trainer.batch_size={size}"
        )
    return f"the memory of {run.dataset.train.y.device} does not hold this model and one row; choose a smaller model"


def threshold(run: Run) -> StoredDecide:
    """Fits the thresholds of a trained model on the rows that its configuration names."""
    return fit_threshold(run, *answers_to_fit(run))


def answers_to_fit(run: Run) -> tuple[torch.Tensor, Batch]:
    """Returns the logits (n, k) of a trained model on the rows that thresholds are fitted to, and these rows."""
    rows = getattr(run.dataset, run.params["fit_on"])
    if run.dataset.classes > 2 and run.dataset.shape:  # the label is the largest logit, whatever the rows
        rows = rows.rows(slice(0, FEW))
    return logits_of(run, rows), rows


def fit_threshold(run: Run, logits: torch.Tensor, rows: Batch) -> StoredDecide:
    """Fits the thresholds of a model to its logits (n, k) on rows."""
    return run.fit_decide(logits, rows, run.dataset.groups, run.dataset.class_names)


def checkpoint_of(run: Run) -> Path:
    """Returns the path of the checkpoint of an unfinished training."""
    return paths_config.weights() / ".checkpoints" / f"{run.run_id}.pt"


@torch.no_grad()
def logits_of(run: Run, rows: Batch) -> torch.Tensor:
    """Returns a trained model's logits (n, k) on rows (n, *), which thresholds are fitted to."""
    model = run.model if run.dataset.shape else in_double(run.model)
    return torch.cat([model(some.x) for some in parts(rows)])
