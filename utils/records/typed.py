"""A resolved configuration and a record as types: mypy finds a misspelt key before anything runs.

Both are plain mappings, as JSON holds them. A configuration is whole once ``utils.command_line.overrides.resolve`` has
made it; records are checked by ``utils.records.schema`` when they are read.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict

Node = dict[str, Any]  # an option's settings, with its ``_target_``


class Epsilon(TypedDict, total=False):
    """The radii of a run."""

    radius: Required[str | float]  # of the training, as written: 8/255
    evaluate: Required[list[str | float]]
    schedule: Node


class AttackNode(TypedDict, total=False):
    """The attacks of a run."""

    name: str
    evasion: Required[Node]
    poison: Node


class Trainer(TypedDict, total=False):
    """The fitting of a model; the settings after ``weight_decay`` are those of a recipe."""

    epochs: Required[int]
    batch_size: Required[int]
    lr: Required[float]
    weight_decay: Required[float]
    optimizer: Required[Node]


class Evaluation(TypedDict, total=False):
    """The judging of a model."""

    metrics: Required[dict[str, Node]]
    watch: list[str]
    individuals: str
    norm: str  # of every attack on images


class OfData(TypedDict):
    """The settings that a data set is built from."""

    dataset: Node
    seed: int


class OfCausalModel(TypedDict):
    """The settings that a causal model is described by."""

    dataset: Node
    scm: Node


class OfAttack(TypedDict):
    """The settings of the attacks on a model."""

    attack: AttackNode
    epsilon: Epsilon


class OfContext(OfData, OfCausalModel, OfAttack):
    """The settings that the context of a model is built from."""


class Params(OfContext):
    """The resolved configuration of a training."""

    device: str
    threads: int
    existing: str
    added: str | None
    changed: str | None
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


class Judging(OfAttack):
    """The resolved configuration of ``evaluate.py``, once it is checked."""

    database: str
    id: int | list[int] | str | None
    where: str | None
    sort: str | None
    columns: list[str]
    csv: str | None
    graph: dict[str, Any] | None
    name: str | None
    rows: str | None
    point: int | None
    sensitivity: bool
    alternatives: Node
    unseen: Literal["refuse", "nearest", "abstain"]
    replace: bool
    device: str
    threads: int
    evaluation: Evaluation
    scm: NotRequired[Node | None]


class Weights(TypedDict):
    """A file of the weights folder: of a model's weights, its decisions or its test rows."""

    path: str
    sha256: str


class Record(TypedDict, total=False):
    """A run as its database holds it; what a failed, older or imported run lacks is not there."""

    schema: int
    doc_id: int
    name: str
    dataset: str
    run_id: str
    group_id: str
    params: Params  # of imported runs some are missing
    seed: int
    fingerprint: str
    environment: dict[Any, Any]
    created: str
    status: str
    reason: str
    checksum: str
    weights: Weights
    decisions: Weights  # of each test row
    test_rows: Weights
    certificates: Weights  # what was proven of each
    decide: dict[str, Any]
    preprocessing: dict[Any, Any]
    units: dict[str, str]
    rows: Any  # of each split
    scm: dict[str, Any]
    causal: dict[str, Any]
    metrics: dict[str, Any]  # numbers, or null where undefined
    shares: dict[str, Any]  # numerator and denominator
    deviations: dict[str, Any]
    seconds: dict[str, float]
    fitted: dict[str, Any]
    warnings: list[str]
    operating_points: dict[str, Any]
    class_weights: list[Any]
    poison: dict[str, Any]
    added: dict[str, Any]  # of the rows of a file
    changed: dict[str, Any]  # of the training rows that a file removes or changes
    evaluations: dict[Any, Any]
    point: int  # of an operating point that stands as a record
    policy: str  # likewise, in words
    own_metrics: dict[str, Any]  # likewise, of the record at its own thresholds
