"""Training the model of a run again and again, each time on other rows, for a search of rows."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from utils import seeding
from utils.build import Run, build_model
from utils.models.learner import Learner
from utils.records.typed import Params
from utils.runs import workers
from utils.runs.fitting import fit_alone, fit_together, learner_seed, logits_of, probing
from utils.runs.workers import Work
from utils.system.pool import pool
from utils.training.many_models import DivergenceError
from utils.types import Answer, Batch, Predict, Refit
from utils.views.stack import UnstackableError

DIED = "a training ran out of memory, or its process was killed"


@contextmanager
def refits(run: Run, *, inner_seeds: int, processes: int | None) -> Iterator[Refit]:
    """Yields a function that trains the model of a run on rows in place of its own, as often as wanted.

    Args:
        run: whose model stays as it is.
        inner_seeds: trainings of each set of rows; the first is that of the run itself.
        processes: that train learners side by side; None: one a core. Models of torch train as stacks in this one.
    """
    from joblib import cpu_count  # which runs without a search need not wait for

    if not isinstance(run.model, Learner):
        yield lambda sets: _at_once(_of_stacks(run, sets, inner_seeds))
        return
    data = run.dataset
    others = [learner_seed(seeding.derive(run.seed, f"inner {i}")) for i in range(1, inner_seeds)]
    work = Work(run.model.estimator, data.valid.x.cpu().numpy(), run.model.outputs, (learner_seed(run.seed), *others))
    count = processes or int(cpu_count())
    if count == 1:
        yield _at_hand(lambda sets: _at_once([_answer(*workers.answer(work, *_arrays(rows))) for rows in sets]))
        return
    with pool(count, workers.begin, work) as executor:

        def begun(sets: Sequence[Batch]) -> Callable[[], list[Answer]]:
            futures = [executor.submit(workers.given_answer, *_arrays(rows)) for rows in sets]
            return lambda: [_answer(*future.result()) for future in futures]

        yield _at_hand(begun)


def trained_on(run: Run, rows: Batch) -> Run:
    """Returns the run with other training rows, which asks for no others."""
    return replace(run, dataset=replace(run.dataset, train=rows), poison=None)


def fitted(run: Run, rows: Batch) -> nn.Module:
    """Returns a model like that of the run, trained on other rows, in eval mode; the run's own stays as it is.

    Raises:
        DivergenceError: its loss left the finite numbers.
    """
    fresh = _fresh(run, rows, 0)
    if error := _fit([fresh])[0]:
        raise error
    return fresh.model.eval()


def loss_of(run: Run) -> Callable[[Predict, Batch], Tensor]:
    """Returns the function that the training minimises, (), by random numbers that are always the same ones."""
    return lambda predict, batch: run.objective(predict, batch, probing(run).on(batch))[0]


# --- learners --------------------------------------------------------------------------------------------------


def _arrays(rows: Batch) -> tuple[Any, Any, Any]:
    return rows.x.cpu().numpy(), rows.y.cpu().numpy(), rows.w.cpu().numpy()


def _answer(logits: Any, error: str, seconds: float) -> Answer:
    return Answer(None if logits is None else torch.from_numpy(logits), error, seconds)


def _at_once(answers: list[Answer]) -> Callable[[], list[Answer]]:
    return lambda: answers


def _at_hand(refit: Refit) -> Refit:
    """Returns the same, where the death of a process, or a lack of memory, is an error with its remedy.

    Raises:
        ValueError: a process died, and the others with it, or there is no memory left: both while work is handed over
            and while it is waited for.
    """

    @contextmanager
    def naming_the_remedy() -> Iterator[None]:
        try:
            yield
        except (BrokenExecutor, MemoryError):
            raise ValueError(
                f"{DIED}; no finished evaluation is lost: relaunch, with attack.poison.workers=1 where memory is short"
            ) from None

    def begun(sets: Sequence[Batch]) -> Callable[[], list[Answer]]:
        with naming_the_remedy():
            wait = refit(sets)

        def answers() -> list[Answer]:
            with naming_the_remedy():
                return wait()

        return answers

    return begun


# --- models of torch -------------------------------------------------------------------------------------------


def _of_stacks(run: Run, sets: Sequence[Batch], inner_seeds: int) -> list[Answer]:
    """Returns the answers of models of torch; those on equally many rows are trained as one stack."""
    started = process_time()
    fresh = [[_fresh(run, rows, i) for i in range(inner_seeds)] for rows in sets]
    by_size: defaultdict[int, list[Run]] = defaultdict(list)
    for own in fresh:
        by_size[len(own[0].dataset.train.y)] += own
    errors: dict[int, DivergenceError | None] = {}
    for alike in by_size.values():
        errors |= {id(one): error for one, error in zip(alike, _fit(alike), strict=True)}
    answers = []
    for own in fresh:
        wrong = next((str(error) for one in own if (error := errors[id(one)])), "")
        logits = None if wrong else torch.stack([logits_of(one, one.dataset.valid) for one in own]).cpu()
        answers.append(Answer(logits, wrong))
    share = (process_time() - started) / max(1, len(sets))
    return [answer._replace(seconds=share) for answer in answers]


def _fresh(run: Run, rows: Batch, inner: int) -> Run:
    """Returns the run with other rows, untrained, its random streams at their beginning; inner seed 0 is its own.

    What adapts to the training, and the state of terms, starts anew too. No checkpoint: the next set of rows would go
    on from that of this one.
    """
    seed = run.seed if inner == 0 else seeding.derive(run.seed, f"inner {inner}") % 2**31
    params: Params = {**run.params, "seed": seed}
    model = copy.deepcopy(run.model) if inner == 0 else build_model(_without_size(params), run.dataset)[0]
    ctx = replace(run.ctx, seed=seed, generator=seeding.generator(seed, "attack"))
    recipe, adaptations = replace(run.recipe, checkpoint_every=0), copy.deepcopy(run.adaptations)
    own = trained_on(run, rows)
    terms = copy.deepcopy(run.terms)
    return replace(own, params=params, model=model, ctx=ctx, recipe=recipe, adaptations=adaptations, terms=terms)


def _without_size(params: Params) -> Params:
    """Returns the settings of a model as configured, which building completes."""
    return params | {
        "model": {key: value for key, value in params["model"].items() if key not in ("inputs", "outputs")}
    }


def _fit(runs: Sequence[Run]) -> list[DivergenceError | None]:
    """Trains models on equally many rows; returns the error of each whose loss left the finite numbers."""
    try:
        return fit_together(runs, watch=_unwatched)
    except UnstackableError:
        return [fit_alone(run, watch=_unwatched) for run in runs]


def _unwatched(epoch: float, figures: dict[str, float]) -> None:
    """Nobody looks at the epochs of a training among hundreds."""
