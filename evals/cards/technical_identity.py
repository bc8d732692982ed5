"""The last section of a model card: what the model is, how it was trained, if it was, and what identifies it."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import paths_config
from evals.cards.card_sections import describe_target, part, settings, unit_of
from evals.cards.document import Block, Heading, Table
from evals.records.query import Record
from utils.records import given_weights
from utils.records.settings import FILE_KEYS, own_settings
from utils.system.atomic import digest
from utils.words.added_rows import DONE

AT_ONCE = ".skops"  # files of models that no gradients trained


def details(record: Record, others: Sequence[Record], commit: str = "commit") -> list[Block]:
    """Returns what the model is, how it was trained, and what identifies it. ``others``: all seeds of its setting."""
    params, environment = record["params"], record.get("environment") or {}
    versions = ", ".join(f"{key} {environment[key]}" for key in environment if key not in ("device", commit))
    given = given_weights.name_file(params)
    model = own_settings(params.get("model") or {}, FILE_KEYS if given else ())
    rows = [
        ["Name", str(record["name"])],
        ["Record", f"{record['doc_id']} of the database, run {record.get('run_id')}"],
        ["Architecture", part(model) if model else "not recorded"],
        *_weights(record),
        *([["Training", _describe_given(params)]] if given else _training(record)),
        ["Seed", _describe_seed(record, others, "judged" if given else "trained")],
        [
            "Judged" if given else "Trained",
            f"{record.get('created') or 'date not recorded'}, on {environment.get('device', 'unknown device')}",
        ],
        ["Versions", versions or "not recorded"],
        ["Code", f"commit {environment[commit]}" if environment.get(commit) else "commit not recorded"],
    ]
    return [Heading("Technical identity"), Table((), rows)]


def _describe_given(params: Mapping[str, Any]) -> str:
    """Says of weights of a file that nothing of their training is known."""
    sha256 = params["model"].get("weights_sha256") or "not recorded"
    return (
        f"not here: the weights of the file {given_weights.name_file(params)} (sha256 {sha256}) were judged as they "
        "are. Their objective, data and date are not known to this card."
    )


def _describe_seed(record: Record, others: Sequence[Record], done: str) -> str:
    """Returns the seed and those of the other runs of the setting."""
    if record.get("seed") is None:
        return "not recorded"
    seeds = sorted(other["seed"] for other in others if other.get("seed") is not None)
    several = f"{done} with seeds {', '.join(map(str, seeds))} in all"
    return f"{record['seed']}; {several if len(seeds) > 1 else 'the only one that finished'}"


def _training(record: Record) -> Iterator[list[str]]:
    params = record["params"]
    weights: Any = record.get("weights") or {}
    at_once = str(weights.get("path")).endswith(AT_ONCE)
    terms: Any = {} if at_once else params.get("regularizer") or {}
    for name, node in terms.items():
        if isinstance(node, Mapping) and "_target_" in node:
            weight = f"weight {node.get('weight', 1):g}"
            yield ["Objective", f"{name}: {part(node)}, {weight}"]
    epsilon = params.get("epsilon") or {}
    if epsilon and any(isinstance(node, Mapping) and node.get("perturbs") for node in terms.values()):
        unit = unit_of(record) or "unit of the threat"
        schedule = describe_target(str((epsilon.get("schedule") or {}).get("_target_")))
        yield ["Radius in training", f"{epsilon.get('radius')} ({unit}). {schedule}"]
    evasion = (params.get("attack") or {}).get("evasion")
    if evasion:
        use = "" if at_once else "; terms that take an attack train against it"
        yield ["Attack configured", part(evasion) + use]
    prepare = params.get("prepare") or {}
    weighted = part(prepare) if prepare.get("_target_") else "as they are, all of weight 1"
    yield ["Training rows", f"{weighted}{''.join(_changed_rows(record))}"]
    trainer = params.get("trainer") or {}
    if at_once:
        yield ["Trainer", "scikit-learn, at once, by what the architecture minimises itself"]
    elif trainer:
        optimizer = str((trainer.get("optimizer") or {}).get("_target_", "")).rpartition(".")[2]
        plain = {k: v for k, v in trainer.items() if k != "optimizer"}
        yield ["Trainer", f"{optimizer}: {'; '.join(settings(plain))}"]


def _changed_rows(record: Record) -> Iterator[str]:
    """Yields what else was done to the training rows."""
    params, poison = record["params"], record.get("poison") or {}
    if record.get("added") or poison.get("rows"):
        yield "; and the added rows above"
    elif params.get("added"):
        yield f"; and the rows of {params['added']}, uncounted"
    if any(poison.get(key) for key in DONE if key != "rows"):
        yield "; but for those removed or changed above"
    if params.get("changed"):
        told = record.get("changed") or {}
        counted = [f"{told[key]} {word}" for key, word in DONE.items() if told.get(key)]
        yield f"; but for those that {params['changed']} removes or changes: {', '.join(counted) or 'uncounted'}"


def _weights(record: Record) -> Iterator[list[str]]:
    """The weights: how many numbers, their SHA-256, and whether the file here has it."""
    stored = record.get("weights")
    if not stored:
        yield ["Weights", "none: the record was imported without them"]
        return
    path = paths_config.weights_file(str(stored["path"]))
    if not path.is_file():
        yield ["SHA-256 of the weights", f"{stored['sha256']} (file {stored['path']} is not on this machine)"]
        return
    intact = digest(path) == stored["sha256"]
    if intact and path.suffix == ".safetensors":
        yield ["Parameters", f"{_parameters(path):,}"]
    state = "verified when this card was written" if intact else "NOT that of the file here, which was altered"
    yield ["SHA-256 of the weights", f"{stored['sha256']} ({state})"]


def _parameters(path: Any) -> int:
    """Returns the number of trained parameters: all numbers of the file but running statistics."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    kept = [shape for name, shape in shapes.items() if not re.search(r"running_|num_batches|\.mean$|\.std$", name)]
    return sum(math.prod(shape) for shape in kept)
