"""Models to and from the database."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor, nn

import paths_config
from utils.command_line.targets import locate_trusted
from utils.datasets.tabular import model_space, natural
from utils.decides.group_thresholds import GroupThresholds
from utils.decides.threshold import Threshold
from utils.models.learner import Learner
from utils.records.settings import FILE_KEYS, own_settings
from utils.records.typed import Record
from utils.run_store import RunStore
from utils.scms.structure import levels_product, nearest_level
from utils.system import atomic
from utils.system.console import count, format_error, warn
from utils.types import Column, Dataset, Decide
from utils.views.modes import in_double
from utils.words.near import near

if TYPE_CHECKING:
    from utils.predictor import Predictor
    from utils.tables.table_schema import TableSchema

MOST_CLASSES = 2**16
COARSE = 1e-3  # standard deviations by which a rounded scaling may move rows before it is told


class StoredModel(nn.Module):
    """A trained classifier with all that its decisions need.

    ``forward`` takes model space (continuous columns standardised; images in [0, 1]) and gives logits; ``decide``
    gives labels by the stored thresholds; ``natural`` and ``scaled`` cross between model space and natural units.
    """

    def __init__(
        self,
        network: nn.Module,
        decide: Decide,
        columns: tuple[Column, ...],
        loc: Tensor,
        scale: Tensor,
        shape: tuple[int, ...] = (),
        class_names: tuple[str, ...] = (),
        schema: "TableSchema | None" = None,
    ):
        super().__init__()
        self.schema = schema  # of a user's own table
        self.shape = shape  # of images
        self.class_names = class_names
        self.network = network
        self.decision = decide
        self.columns = columns
        # no buffers: natural units stay in double precision on the CPU, wherever and in whatever type the network is
        self.loc, self.scale = loc.double().cpu(), scale.double().cpu()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d) in model space -> logits (..., k); k = 1 for two classes."""
        return self.network(x)

    @torch.no_grad()
    def decide(self, x: Tensor, s: Tensor | None = None) -> Tensor:
        """x (n, d) in model space -> labels (n,); the sensitive group s (n,) is read from x where not given."""
        return self.decision(self.score(x), self.groups(x) if s is None else s)

    def score(self, x: Tensor) -> Tensor:
        """x (n, d) in model space -> the logits (n, k) that decisions are made by; see ``utils.views.modes.in_double``.

        Raises:
            ValueError: a logit is nan, as of rows too far from those of the training.
        """
        logits = self(x) if self.shape else in_double(self.network)(x)
        if broken := int(logits.isnan().any(-1).sum()):
            raise ValueError(
                f"the model answers nan on {broken} of {count(len(x), 'row')}, so it decides nothing about them"
            )
        return logits

    def scaled(self, values: Tensor) -> Tensor:
        """Natural units (..., d) -> model space, float32; natural units are read in double precision."""
        return model_space(self, values)

    def natural(self, x: Tensor) -> Tensor:
        """Model space (..., d) -> natural units, float64 on the CPU."""
        return natural(self, x)

    def groups(self, x: Tensor) -> Tensor:
        """Index (n,) of each row's combination of sensitive levels; 0 for images, where no threshold asks for it.

        Raises:
            ValueError: images whose thresholds depend on the group, which their pixels do not tell.
        """
        if not self.columns and not isinstance(self.decision, Threshold):
            raise ValueError(
                "this model has thresholds for each group, and images do not tell their group; give it, a number for "
                "each image, as decide(x, s)"
            )
        if not self.columns:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        levels = levels_product(self.columns).to(x)
        attributes = x[:, [i for i, c in enumerate(self.columns) if c.sensitive]]
        return nearest_level(attributes, levels)


def save_weights(model: nn.Module, dataset: str, run_id: str) -> dict[str, str]:
    """Writes the parameters, or a trained learner, atomically; returns path (below the weights folder) and SHA-256."""
    data = content(model)
    path = f"{dataset}/{run_id}.{'skops' if isinstance(model, Learner) else 'safetensors'}"
    file = paths_config.weights_file(path)
    atomic.write_bytes(file, data)
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest()}


def content(model: nn.Module) -> bytes:
    """Returns the content of a model's file: safetensors of its parameters, or a learner by skops.

    Raises:
        ValueError: parameters that are one tensor, which the file would hold as several.
    """
    if isinstance(model, Learner):
        return model.to_bytes()
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    if tied := next((own for own in names.values() if len(own) > 1), None):
        raise ValueError(
            f"its parameters {' and '.join(tied)} are one tensor, which a file of weights cannot say; let forward use "
            "one parameter twice in place of two names for it"
        )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if all(tensor.dtype is torch.float32 for tensor in tensors.values()):  # the same bytes, with fewer checks
        return safetensors.numpy.save({name: tensor.numpy() for name, tensor in tensors.items()})
    return safetensors.torch.save(tensors)


def describe_preprocessing(dataset: Dataset) -> dict[str, Any]:
    """Columns and scaling as a record stores them."""
    return {
        "columns": [
            {"name": c.name, "kind": c.kind, "sensitive": c.sensitive, "levels": list(c.levels)}
            | ({"attribute": c.attribute} if c.attribute else {})
            | ({"texts": list(c.texts)} if c.texts else {})
            for c in dataset.columns
        ],
        "loc": dataset.loc.tolist(),
        "scale": dataset.scale.tolist(),
        "groups": list(dataset.groups),
        **({"shape": list(dataset.shape)} if dataset.shape else {}),
        **({"class_names": list(dataset.class_names)} if dataset.class_names or dataset.shape else {}),
        **({} if dataset.schema is None else {"schema": dict(dataset.schema)}),
    }


def from_database(doc_id: int, dataset: str, device: str = "cpu", point: int | None = None) -> StoredModel:
    """The model of record ``doc_id`` in the database of ``dataset``, in eval mode.

    It decides by the thresholds that it was evaluated with, or by those of one of its operating points, from 0.

    Raises:
        ValueError: no such record or point, a failed run, weights that are missing, altered or do not fit, or a record
            that names code outside ``utils.models`` and ``utils.decides``.
    """
    path = paths_config.database(dataset)
    if not paths_config.is_database(path):
        close = near(dataset, paths_config.databases(), "; train a model first")
        raise ValueError(f"no database for dataset={dataset}: {path} does not exist{close}")
    return from_record(RunStore(path).get(doc_id), device, point)


def from_record(record: Record, device: str = "cpu", point: int | None = None) -> StoredModel:
    """The model that a record describes, in eval mode; see ``from_database``."""
    return assemble(record, read_weights(record), device, point)


def _require_trained(record: Record) -> str:
    """Returns the name of a record that has a model. Raises ValueError where it has none."""
    which = _name(record)
    if record["status"] != "finished":
        raise ValueError(f"{which} failed and has no model: {record.get('reason', 'no reason recorded')}")
    if record.get("imported"):
        raise ValueError(f"{which} was imported without weights: it can be listed and drawn, not loaded or evaluated")
    return which


def _name(record: Record) -> str:
    return f"record {record.get('doc_id', record['run_id'])} ({record['name']})"


def assemble(record: Record, data: bytes, device: str = "cpu", point: int | None = None) -> StoredModel:
    """The model of a record and of the content of its file, in eval mode.

    Raises:
        ValueError: as ``from_database`` of a record and its weights.
    """
    which, stored = _name(record), record["preprocessing"]
    columns = tuple(map(_column, stored["columns"]))
    shape = tuple(stored.get("shape", ()))
    model = StoredModel(
        _network(record["params"]["model"], data, list(shape) or len(columns), which),
        find_decision(record, point),
        columns,
        *find_scaling(record),
        shape,
        tuple(stored.get("class_names", ())),
        _schema(stored.get("schema"), which),
    )
    return model.to(device).eval()


def _schema(stored: Mapping[str, Any] | None, which: str) -> "TableSchema | None":
    if not stored:
        return None
    from utils.tables.table_schema import from_plain  # imports pydantic, which models of other data need not wait for

    return from_plain(stored, which)


def _column(stored: Mapping[str, Any]) -> Column:
    """A column of a record; older records have no attributes and texts, so each of their indicators stands alone."""
    return Column(
        stored["name"],
        stored["kind"],
        sensitive=stored["sensitive"],
        levels=tuple(stored["levels"]),
        attribute=stored.get("attribute", ""),
        texts=tuple(stored.get("texts", ())),
    )


def _part(node: Any, package: str, key: str, which: str, fits: Callable[[type], bool]) -> Any:
    """A part that a record names, made of a class of ours that fits. Raises ValueError, naming the record."""
    try:
        kind = locate_trusted(node, package)
        if not isinstance(kind, type) or not fits(kind):
            raise ValueError(f"the record names {node['_target_']!r}, which is no {key} but a helper; it is not loaded")
        return kind(**{name: value for name, value in node.items() if name != "_target_"})
    except Exception as error:  # settings that somebody made up can fail in any way
        raise ValueError(f"{which}: its {key} cannot be made: {format_error(error)}") from error


def _network(node: Any, data: bytes, inputs: Any, which: str) -> nn.Module:
    """The trained network or learner. Raises ValueError, naming the record."""
    own = own_settings(node, FILE_KEYS) if isinstance(node, Mapping) else node
    make = partial(_part, own, "utils.models", "model", which, lambda kind: issubclass(kind, nn.Module))
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # of no size, whatever its settings say
        network: nn.Module = make()
    outputs = node.get("outputs")
    known = type(outputs) is int and (outputs == 1 or 3 <= outputs < MOST_CLASSES)
    if node.get("inputs") != inputs or not known:
        raise ValueError(
            f"{which}: its model takes inputs={node.get('inputs')!r} and gives outputs={outputs!r}; "
            f"expected the {inputs} of its data, and 1 or the number of classes, from 3 on"
        )
    try:
        if isinstance(network, Learner):
            network.from_bytes(data)
            return network
        tensors = safetensors.torch.load(data)
        expected = network.state_dict()
        require_like(expected, tensors)
        if expected.keys() != dict([*network.named_parameters(), *network.named_buffers()]).keys():
            with torch.random.fork_rng(devices=[]):
                network = make()  # it has tensors that no file keeps
        network.load_state_dict(tensors, assign=True)
    except (RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"the weights of {which} do not fit its model: {str(error).splitlines()[0]}") from error
    return network


def require_like(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors of other names, shapes or types than those expected, or that are not finite."""
    if expected.keys() != tensors.keys():
        raise ValueError(f"they hold {', '.join(sorted(tensors))} in place of {', '.join(sorted(expected))}")
    for name, tensor in tensors.items():
        own = expected[name]
        if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} of {tensor.dtype}, expected {tuple(own.shape)} of {own.dtype}"
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} holds nan or infinite numbers; restore the file, or train with existing=replace")


def find_decision(record: Record, point: int | None = None) -> Decide:
    """The decision that a record stores, or that of one of its operating points. Raises ValueError as ``assemble``."""
    which = _name(record)
    if point is not None:
        return _at_point(record, point, which)
    verbs = ("__call__", "margin", "to_record")
    decide: Decide = _part(
        record["decide"], "utils.decides", "decide", which, lambda kind: all(hasattr(kind, verb) for verb in verbs)
    )
    return decide


def find_scaling(record: Record) -> tuple[Tensor, Tensor]:
    """Loc and scale, float64. Raises ValueError where they are no scaling of the data that the record describes."""
    which, stored = _name(record), record["preprocessing"]
    try:
        loc, scale = (torch.tensor(stored[key], dtype=torch.float64) for key in ("loc", "scale"))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{which}: its scaling is no list of numbers; it is not loaded") from None
    count = stored["shape"][0] if "shape" in stored else len(stored["columns"])
    if not loc.shape == scale.shape == (count,) or not (loc.isfinite() & scale.isfinite() & (scale > 0)).all():
        raise ValueError(f"{which}: its scaling is not one of {count} finite means and positive deviations")
    return loc, scale


def _at_point(record: Record, point: int, which: str) -> Decide:
    """The thresholds of an operating point. Raises ValueError where the record has none of that number."""
    thresholds = (record.get("operating_points") or {}).get("logits", [])
    if not 0 <= point < len(thresholds):
        has = f"has {len(thresholds)}, numbered from 0" if thresholds else "has none"
        raise ValueError(f"point={point}: {which} {has} operating points")
    try:
        return GroupThresholds(tuple(map(float, thresholds[point])))
    except (TypeError, ValueError) as error:
        raise ValueError(f"point={point} of {which} holds no thresholds: {error}") from None


def read_weights(record: Record) -> bytes:
    """Returns the content of the file that a record names. Raises ValueError where it has no model, or not this."""
    which = _require_trained(record)
    path = paths_config.weights_file(str(record["weights"]["path"]))
    if not path.is_file():  # a pipe or a device would be read without an end
        what = "is no regular file" if path.exists() else "does not exist"
        raise ValueError(
            f"the weights of {which} are missing: {path} {what}; set TRILEMMA_WEIGHTS to where they are, "
            "or train again with existing=replace"
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != record["weights"]["sha256"]:
        raise ValueError(
            f"the weights of {which} were altered: {path} does not have the SHA-256 of the record; "
            "restore the file, or train again with existing=replace"
        )
    return data


def predictor(doc_id: int, dataset: str, device: str = "cpu", point: int | None = None) -> "Predictor":
    """Answers from rows in natural units: called with rows, ``probability`` and ``decision`` of each.

    The rows are a frame with the columns of the data set (years, not standard deviations; binary columns 0/1); of a
    user's own table by a schema, rows of its file, a frame, a dict of columns or a list of dicts, whose ``class`` is
    given in the owner's words; or images, an array of bytes (n, c, h, w), which get a ``probability_<class>`` for every
    class. Images do not tell their group: a model with thresholds for each takes the groups (n,), numbers, as a second
    argument. See ``utils.predictor``.

    Raises:
        ValueError: as ``from_database``; the predictor itself, for rows that are none of the data set.
    """
    from utils.predictor import predictor_of  # imports pandas, which whoever loads a model alone need not wait for

    model = from_database(doc_id, dataset, device, point)
    if not model.shape:
        _tell_rounded_units(model, doc_id)
    return predictor_of(model, device)


def _tell_rounded_units(model: StoredModel, doc_id: int) -> None:
    """Warns where an older version filed a scaling in single precision that is too coarse for its columns."""
    rounded = all(torch.equal(of.float().double(), of) for of in (model.loc, model.scale))
    off = model.loc.abs() / model.scale * torch.finfo(torch.float32).eps
    names = [
        c.name for c, by in zip(model.columns, off.tolist(), strict=True) if by > COARSE and c.kind == "continuous"
    ]
    if rounded and names:
        warn(
            f"record {doc_id} holds the scaling of {', '.join(names)} in single precision, as older versions filed it: "
            "decisions on rows in natural units differ from those that were judged; train again with existing=replace"
        )
