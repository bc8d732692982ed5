"""Answers of a stored model on test rows as they are and under attack."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

import paths_config
from evals.records.query import Record
from evals.records.stored import context_of, dataset_of
from utils.adversary.worst_case import within_budget
from utils.model_zoo import from_record
from utils.records.typed import Epsilon, OfAttack
from utils.system.devices import choose_device, make_repeatable
from utils.views.row_parts import parts, sample
from utils.words.near import near

CONFIG = paths_config.ROOT / "config"


@dataclass(frozen=True)
class Answers:
    """Rows, their classes and the labels that a model gives them."""

    x: NDArray[np.float64]  # (n, *)
    moved: NDArray[np.float64]  # (n, *), attacked
    y: NDArray[np.int64]  # (n,)
    clean: NDArray[np.int64]  # (n,), label at x
    attacked: NDArray[np.int64]  # (n,), label at x'

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Rows that are right at x and wrong at x', (n,)."""
        return (self.clean == self.y) & (self.attacked != self.y)


def attack_rows(
    record: Record, *, radius: str, attack: Mapping[str, Any], rows: int, device: str, threads: int
) -> Iterator[Answers]:
    """The answers of a record's model on at most ``rows`` test rows, drawn by its seed, part by part.

    Args:
        record: of a finished run.
        radius: of the attack, in the unit of its threat.
        attack: its settings, see ``evasion``.
        rows: the most to attack.
        device: auto, cpu or cuda.
        threads: of torch.

    Raises:
        ValueError: the model or its data are not there, or the attack does not fit them.
    """
    make_repeatable(threads, choose_device(device))
    model = from_record(record, str(choose_device(device)))
    data = dataset_of(record, device)
    epsilon: Epsilon = {"radius": radius, "evaluate": [], "schedule": option("epsilon", "constant", "schedule")}
    settings: OfAttack = {"attack": {"evasion": dict(attack)}, "epsilon": epsilon}
    ctx = replace(context_of(record, data, settings), decide=model.decision)
    for part in parts(sample(data.test, rows, ctx)):
        moved = within_budget(ctx.attack, model, part, ctx)
        labels = [model.decide(x, part.s) for x in (part.x, moved)]
        yield Answers(*(column.cpu().numpy() for column in (part.x, moved, part.y, *labels)))


def evasion(name: str | None, record: Record) -> dict[str, Any]:
    """Settings of an attack by the name of its option, None for the evaluation's PGD, in the norm of the record's own.

    Raises:
        ValueError: no option of that name.
    """
    judged = record["params"]["evaluation"]
    if name is not None:
        found = option("attack", name, "evasion")
    elif "norm" in judged:
        found = option("evaluation", "image", "metrics.ensemble.attacks.pgd")
    else:
        found = option("evaluation", "tabular", "metrics.robust.attack")
    if "norm" in judged and "norm" in found["threat"]:
        found["threat"]["norm"] = judged["norm"]  # whose radii the record's are
    return found


def in_words(attack: Mapping[str, Any]) -> str:
    """``PGD-20``: the attack and its steps."""
    name = str(attack["_target_"]).rpartition(".")[2].replace("_", " ")
    return "-".join([name.upper() if len(name) < 5 else name, *([str(attack["steps"])] if "steps" in attack else [])])


def option(group: str, name: str, key: str) -> Any:
    """A part of an option as the configuration has it, with its references resolved."""
    path = CONFIG / group / f"{name}.yaml"
    if not path.is_file():
        present = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ValueError(f"{group}={name}: no such option{near(name, present)} There is {', '.join(present)}")
    chosen = OmegaConf.select(OmegaConf.create({group: OmegaConf.load(path)}), f"{group}.{key}")
    return OmegaConf.to_container(chosen, resolve=True)
