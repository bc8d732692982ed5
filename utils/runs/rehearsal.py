"""The parts of a run, tried on a few rows before its training, so that what does not fit costs none."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryFile
from typing import Any

import torch
from torch import Tensor, nn

import paths_config
from utils.build import Run
from utils.configuration import precision
from utils.configuration.traits import is_given, perturbs
from utils.model_zoo import content
from utils.models.learner import Learner
from utils.records.plain import to_plain
from utils.run_store import RunStore
from utils.runs import judging
from utils.runs.data_sources import file_of, source_of
from utils.runs.fitting import probing, trial_of
from utils.runs.loadable import require_loadable
from utils.runs.records import loadable_part
from utils.system.console import count, format_error, notice_once, warn_once
from utils.threats import NothingToMoveError, find_freed
from utils.training.one_model import require_judged
from utils.types import Batch, Context, StoredDecide
from utils.views.modes import in_double
from utils.views.row_parts import parts
from utils.words.levels import name_class
from utils.words.numbers import read_radius
from utils.words.quoting import write_word

SHOWN = 3  # cells of few rows that are named
ROWS = 1000  # by which the reach of the data is measured


def check_folders(run: Run) -> None:
    """Writes and removes an empty file where the results will go, so that a training is not lost for want of a folder.

    The folders of weights and added rows are found as a reader finds what a record names in them.

    Raises:
        ValueError: a folder cannot be made or written to, or the data set's name leads out of the folder of all.
    """
    places = [
        (paths_config.evals(), "TRILEMMA_EVALS"),
        (paths_config.weights_file(run.dataset.name), "TRILEMMA_WEIGHTS"),
    ]
    if run.poison is not None:
        places.append((paths_config.poison_file(run.dataset.name), "TRILEMMA_EVALS"))
    for folder, variable in places:
        try:
            folder.resolve().mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ValueError(
                f"cannot write to {folder} ({error.strerror}); set {variable} to a folder that can be written to"
            ) from None


def warn_of_small_cells(run: Run) -> None:
    """Warns once, before a training on a table, where a gap may be undefined: of groups by class with few test rows."""
    data, least = run.dataset, run.params["evaluation"]["metrics"].get("group", {}).get("groups_min", 0)
    if not data.columns or data.classes > 2 or len(data.groups) < 2:
        return
    tried = {"training": data.train, "fitting": getattr(data, run.params["fit_on"]), "test": data.test}
    cells = {what: torch.bincount(2 * rows.s + rows.y, minlength=2 * len(data.groups)) for what, rows in tried.items()}
    few = [cell for cell in cells["test"].argsort(stable=True).tolist() if cells["test"][cell] < least]
    if few:
        listed = [
            f"{data.groups[cell // 2]}, {name_class(cell % 2, data.class_names)}: "
            + ", ".join(f"{int(of[cell])} {what}" for what, of in cells.items())
            for cell in few[:SHOWN]
        ]
        more = f"; and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
        warn_once(
            f"{data.name}: {len(few)} of {2 * len(data.groups)} cells of group and class "
            f"{'has' if len(few) == 1 else 'have'} fewer than evaluation.metrics.group.groups_min={least} test rows, "
            f"so gaps may be undefined: {'; '.join(listed)}{more}"
        )


def warn_of_wide_radii(runs: Sequence[Run]) -> None:
    """Warns once, before trainings on tables, of radii within which any row can become any other.

    Such a radius is more than twice the diagonal of the box that holds the first ROWS training rows, in standard
    deviations or in the units of noise of the causal model, whichever is longer.
    """
    reaches: dict[tuple[int, int], float] = {}  # of rows and causal models that runs share
    for run in runs:
        if not run.dataset.columns:
            continue
        shared = id(run.dataset.train.x), id(run.ctx.scm)
        reach = reaches[shared] = reaches[shared] if shared in reaches else _reach(run)
        epsilon = run.params["epsilon"]
        radii = [*([epsilon["radius"]] if perturbs(run.params) else []), *epsilon["evaluate"]]
        if wide := [str(radius) for radius in dict.fromkeys(radii) if read_radius(radius) > 2 * reach]:
            warn_once(
                f"{run.dataset.name}: epsilon={','.join(wide)} is far beyond the data, of which no two rows are "
                f"farther apart than {reach:.3g} in the unit of radii: any row can become any other, so figures there "
                "say nothing"
            )


def _reach(run: Run) -> float:
    """Returns the longest distance that the data allow, in the unit of radii."""
    x, scm = run.dataset.train.rows(slice(0, ROWS)).x, run.ctx.scm
    noise = torch.where(scm.unit > 0, scm.to_noise(scm.own(x)) / scm.unit, 0.0)
    return max(float((of.amax(0) - of.amin(0)).nan_to_num(0.0).norm()) for of in (x, noise))


def warn_of_rounding(run: Run) -> None:
    """Warns once, before a training, of a precision that was asked for and rounds perturbations away."""
    for said in precision.warnings_of(run.recipe, run.params, run.dataset.shape):
        warn_once(said)


def tell_of_unjudged(run: Run) -> None:
    """Warns once, before a training, of test rows that are not judged."""
    judged = len(run.dataset.test.y)
    if run.dataset.unjudged:
        warn_once(
            f"{run.dataset.name}: {judged:,} of {count(judged + run.dataset.unjudged, 'test row')} are judged, drawn "
            "by their numbers, the same of a split for every model; evaluation.rows=null judges all"
        )


def tell_of_other_data(run: Run, store: RunStore) -> None:
    """Says once, before a training on a file, that the newest record of its name is of other rows."""
    before = store.newest() if run.params["dataset"].get("path") else None
    if before is None:
        return
    own: Any = {"dataset": run.dataset.name, "fingerprint": run.dataset.fingerprint, "params": run.params}
    there, now = source_of(before), source_of(own)
    if there is not None and there != now:
        notice_once(
            f"{file_of(own)} gives other rows than those of record {before['doc_id']} ({there}, now {now}): the table, "
            "or how it is read, has changed; figures of the two are told apart"
        )


def rehearse(run: Run) -> None:
    """Tries objective, attack, metrics and threshold on a few rows: what does not fit is refused before any training.

    Raises:
        ValueError: parts that do not fit each other, a metric that fails, or no rows to fit the threshold on.
    """
    warn_of_small_cells(run)
    fit_on = run.params["fit_on"]
    rows = getattr(run.dataset, fit_on)
    if not len(rows.y):
        raise ValueError(f"fit_on={fit_on}, but dataset.split leaves it no rows; choose another split or fit_on=train")
    if run.poison is not None:
        from utils.runs.added_rows import rehearse_poison  # imports pandas, which other runs need not wait for

        rehearse_poison(run)
    (model, few), probe = trial_of(run), probing(run)
    if not (isinstance(model, Learner) or is_given(run.params)):
        _rehearse_training(run, model, few, probe)
    model.eval()
    with suppress(NothingToMoveError):  # then what it would tell of the model is undefined, and the evaluation says so
        run.ctx.attack(model, few, probe.on(few))
    judging.rehearse(model, run.dataset.train, probe, run.metrics)
    with torch.no_grad():
        # of images only what the labels and groups tell: their logits come after the training
        outputs = run.params["model"]["outputs"]
        logits = few.w.new_zeros(len(rows.y), outputs) if run.dataset.shape else _scores(run, model, rows)
        decide = run.fit_decide(logits, rows, run.dataset.groups, run.dataset.class_names)
    _rehearse_filing(run, model, decide, few)


def _rehearse_training(run: Run, model: nn.Module, few: Batch, probe: Context) -> None:
    """Tries the objective, and what looks at the validation rows after an epoch. Raises ValueError as ``rehearse``."""
    heard: list[Any] = []
    try:
        run.objective(model, few, replace(probe.on(few), observe=lambda *seen: heard.append(seen)))
    except NothingToMoveError:
        raise _unmoved(run, model, few, probe) from None
    _check_observed(run, heard)
    require_judged(run.recipe, run.dataset.train, run.dataset.valid)
    for adaptation in run.adaptations:
        adaptation.epoch_ended(model, run.dataset.valid, probe)


def _unmoved(run: Run, model: nn.Module, few: Batch, probe: Context) -> ValueError:
    """Returns the error of a term that has nothing to move in these data, with the words that let it move something."""
    lost = []
    for name, weighted in run.terms.items():
        with suppress(NothingToMoveError):
            weighted.term(model, few, probe.on(few))
            continue
        lost.append(name)
    words = {name: find_freed(run.params["regularizer"][name], f"regularizer.{name}") for name in lost}
    attack = find_freed(run.params["attack"]["evasion"], "attack.evasion")
    remedy = " ".join(dict.fromkeys(word for name in lost for word in words[name] or attack))
    return ValueError(
        f"regularizer={'+'.join(lost)} moves columns of numbers, and dataset={run.dataset.name} has none that may "
        f"move; choose another, such as regularizer=erm, or let columns of 0 and 1 move as numbers: {remedy}"
    )


def _check_observed(run: Run, heard: Sequence[Any]) -> None:
    """Refuses an adaptation that no term heeds; those that do tell of their adversarial examples. Raises ValueError."""
    deaf = [type(adaptation).__module__.rpartition(".")[2] for adaptation in run.adaptations]
    if deaf and not heard:
        others = " or ".join(write_word("regularizer", [term, deaf[0]]) for term in ("trades", "pgd_at", "mart"))
        raise ValueError(
            f"regularizer={deaf[0]} adapts a term that trains on adversarial examples, and none makes any known; "
            f"choose one beside it: {others}"
        )


def _scores(run: Run, model: nn.Module, rows: Batch) -> Tensor:
    """Returns the logits that thresholds are fitted to.

    Raises:
        ValueError: the model cannot be scored in double precision.
    """
    try:
        exact = in_double(model)
        return torch.cat([exact(some.x) for some in parts(rows)])
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"model={run.params['model']['_target_']} does not compute in double precision, by which decisions are "
            f"made ({reason}); make its constants from its inputs (x.new_zeros) or register them as buffers"
        ) from error


def _rehearse_filing(run: Run, model: nn.Module, decide: StoredDecide, few: Batch) -> None:
    """Loads the model as users will, from the bytes that would be filed. Raises ValueError where that fails."""
    with torch.no_grad():
        logits = model(few.x) if run.dataset.shape else in_double(model)(few.x)
    try:
        require_loadable(to_plain(loadable_part(run, decide)), model, logits, decide, few, data=content(model))
    except (ValueError, RuntimeError) as error:
        name = run.params["model"]["_target_"].split(".")[-2]
        raise ValueError(
            f"model={name} could not be loaded again, so it is not trained: {format_error(error)}"
        ) from error
