"""A resolved configuration as types: mypy finds a misspelt key before anything runs.

It is a plain mapping, as JSON holds it, whole once ``utils.command_line.overrides.resolve`` has made it. What is in a
record is checked by ``utils.records.schema`` when it is read.
"""

from typing import Any, Required, TypedDict

Settings = dict[str, Any]
Node = Settings  # an option's settings, with its ``_target_``


class Epsilon(TypedDict, total=False):
    """The radii of a run."""

    radius: Required[str | float]  # of the training, as written: 8/255
    evaluate: Required[list[str | float]]
    schedule: Node


class AttackNode(TypedDict, total=False):
    """What a run is attacked by."""

    name: str
    evasion: Required[Node]
    poison: Node


class Trainer(TypedDict, total=False):
    """How a model is fitted; the settings after ``weight_decay`` are those of a recipe."""

    epochs: Required[int]
    batch_size: Required[int]
    lr: Required[float]
    weight_decay: Required[float]
    optimizer: Required[Node]


class Evaluation(TypedDict, total=False):
    """By what a model is judged."""

    metrics: Required[dict[str, Node]]
    watch: list[str]
    individuals: str


class OfData(TypedDict):
    """The settings that a data set is built from."""

    dataset: Node
    seed: int


class OfCausalModel(TypedDict):
    """The settings that a causal model is described by."""

    dataset: Node
    scm: Node


class OfContext(OfData, OfCausalModel):
    """The settings that the context of a model is built from."""

    attack: AttackNode
    epsilon: Epsilon


class Params(OfContext):
    """The resolved configuration of a training."""

    device: str
    threads: int
    existing: str
    added: str | None
    fit_on: str
    experiment: str | None
    operating_points: Node | None
    watch: list[str]
    objective: Node
    model: Node
    prepare: Node | None
    regularizer: dict[str, Node]
    decide: Node
    trainer: Trainer
    evaluation: Evaluation
    choices: dict[str, Any]
