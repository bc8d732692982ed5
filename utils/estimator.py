"""A classifier of scikit-learn's kind, trained by the options of ``train.py``.

``TrilemmaClassifier(regularizer="group_gap", sensitive="sex").fit(frame, y)``
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from utils.build import build_run
from utils.command_line.checks import check
from utils.command_line.composing import compose_params
from utils.datasets.table import from_settled
from utils.datasets.tabular import names
from utils.decides.threshold import Threshold
from utils.model_zoo import StoredModel, assemble, content, from_database
from utils.predictor import Predictor, predictor_of
from utils.records.typed import Params
from utils.run_store import to_plain
from utils.runs.filing import number_records
from utils.runs.fitting import checkpoint_of, train_once
from utils.runs.lifecycle import carry_out
from utils.runs.records import loadable_part
from utils.system.console import warn_once
from utils.tables.column_types import propose_one
from utils.tables.reading import RawTable, tidy, write_cell
from utils.tables.remarks import Remark
from utils.tables.settling import settle_cells
from utils.tables.table_schema import LEVELLED, FileFormat, Groups, Rule, TableSchema, from_plain, read_schema
from utils.types import Batch, Dataset
from utils.words.levels import write_level
from utils.words.near import near
from utils.words.quoting import override

WHOLE = (1.0, 0.0, 0.0)  # shares of training, validation and test rows of a classifier that nobody files
FILED = (0.64, 0.16, 0.20)
UNSEEN = ("refuse", "nearest")
MEMORY = FileFormat(na=("",))  # a frame has no texts that mean nothing
OF_SCHEMAS = re.compile(r" in (the schema|a schema \(python -m evals\.look writes one\))")  # of which there is none


class TrilemmaClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of two classes that is trained as ``train.py`` trains, in memory unless it has a ``name``.

    Rows are frames, whose texts are categories, or arrays of numbers. What is None is as the options have it.

    Args:
        sensitive: columns of X that are sensitive attributes, one or several. Without any, and without
            ``sensitive_features`` in ``fit``, there are no groups and no twins, and what asks for them is refused.
        regularizer: options of the group ``regularizer``, one or several.
        epsilon: radius of perturbations, or an option of ``epsilon``.
        model: option of ``model``.
        decide: option of ``decide``; ``fixed`` decides at a probability of 1/2, as scikit-learn does. Others are
            fitted on the training rows, or on the validation rows where ``split`` has any.
        epochs: of the training.
        batch_size: of the training.
        lr: learning rate.
        scm: option of ``scm``; None: ``learned`` where there is a ``graph``, else ``independent``.
        graph: the causal graph, child: [parents].
        columns: rules of columns as in a schema, such as ``{"zip": {"type": "categorical"}}``; or the path of a schema
            (``people.yaml``), whose rows, groups, weights and, where they are None here, sensitive columns, graph and
            the split of a filed run are taken too. What it calls the label is no feature: y holds the classes.
        unseen: what becomes of levels and numbers that the columns do not admit: ``refuse`` or ``nearest``.
        split: shares of rows for training, validation and test; None: all for training, of a filed one .64, .16, .20.
        overrides: further words of the command line, ``["trainer=sgd"]``.
        seed: of all that is random.
        device: ``cpu``, ``cuda`` or ``auto``.
        name: of the database that the run is filed in, judged on its test rows; None: nothing is written.

    Attributes:
        classes_: (2,), in order; the probability of the second is what is learned.
        predictor_: what answers, see ``utils.predictor``.
        record_: number of the record that was filed; None where none was.
        label_: column that a schema calls its label, which is left out of X; None without a schema.
    """

    def __init__(
        self,
        sensitive: str | Sequence[str] | None = None,
        *,
        regularizer: str | Sequence[str] = "erm",
        epsilon: float | str | None = None,
        model: str = "mlp",
        decide: str = "fixed",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        scm: str | None = None,
        graph: Mapping[str, Sequence[str]] | None = None,
        columns: str | Path | Mapping[str, Mapping[str, Any]] | None = None,
        unseen: str = "refuse",
        split: Sequence[float] | None = None,
        overrides: Sequence[str] = (),
        seed: int = 0,
        device: str = "cpu",
        name: str | None = None,
    ) -> None:
        self.sensitive = sensitive
        self.regularizer = regularizer
        self.epsilon = epsilon
        self.model = model
        self.decide = decide
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.scm = scm
        self.graph = graph
        self.columns = columns
        self.unseen = unseen
        self.split = split
        self.overrides = overrides
        self.seed = seed
        self.device = device
        self.name = name

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None) -> Self:
        """Trains on rows X (n, columns) and classes y (n,).

        Args:
            X: a frame, or an array of numbers.
            y: two different classes.
            sensitive_features: (n,) or (n, attributes), groups of the rows that are no columns of X: they shape the
                training, and no answer depends on them.
            sample_weight: (n,), weight of each row in the loss, 0 or more; rows of weight 0 are left out.

        Raises:
            ValueError: rows, classes or options that do not fit each other.
        """
        if self.unseen not in UNSEEN:
            raise ValueError(f"unseen={self.unseen!r}: expected {' or '.join(UNSEEN)}, as every row gets a class")
        frame, y = self._frame(X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        keep = np.ones(len(frame), dtype=bool)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, frame, ensure_non_negative=True)
            keep = sample_weight > 0
        if len(np.unique(codes[keep])) < 2:
            raise ValueError("y holds one class alone; a classifier needs rows of two classes")
        groups = None if sensitive_features is None else _groups(sensitive_features, len(frame), self.sensitive)
        weight = None if sample_weight is None else sample_weight[keep]
        dataset = self._dataset(frame[keep], codes[keep], weight)
        if groups is not None:
            dataset = _in_groups(dataset, groups[0][keep], groups[1])
        model, self.record_ = self._train(dataset)
        self.predictor_: Predictor = predictor_of(model, self._params(dataset)["device"])
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class (n,) that is decided about each row."""
        decision = self._answer(X).decision
        return np.asarray(self.classes_[decision])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability (n, 2) of each class."""
        return self._answer(X).chance.astype(np.float64)

    def _answer(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.predictor_.answer(self._frame(X)[0], unseen=self.unseen, offer=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.string = tags.input_tags.categorical = False  # of arrays; frames may hold them
        return tags

    # --- to a data set -----------------------------------------------------------------------------------------

    def _frame(self, X: Any, y: Any = "no_validation") -> tuple[pd.DataFrame, Any]:
        """X as a frame, and y (n,) where it is given. Raises ValueError as scikit-learn does."""
        fitting = not isinstance(y, str)
        if fitting:
            self.label_ = read_schema(self.columns).label.column if isinstance(self.columns, str | Path) else None
        if isinstance(X, pd.DataFrame) and self.label_ is not None:
            X = X.drop(columns=self.label_, errors="ignore")  # rows to come have none
        if isinstance(X, pd.DataFrame) and (self.columns or not _is_numeric(X)):
            validate_data(self, X, reset=fitting, skip_check_array=True)
            if fitting:
                y = column_or_1d(y, warn=True)
                check_consistent_length(X, y)
            frame = X.infer_objects()
        else:
            found = validate_data(self, X, y, reset=fitting) if fitting else validate_data(self, X, reset=False)
            values, y = found if fitting else (found, y)
            named = getattr(self, "feature_names_in_", [f"x{i}" for i in range(values.shape[1])])
            frame = pd.DataFrame(values, columns=list(named))
        if fitting:
            check_classification_targets(y)
            kind = type_of_target(y, input_name="y")
            if kind not in ("binary",):
                raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        return frame, y

    def _dataset(self, frame: pd.DataFrame, codes: NDArray[np.int64], weight: NDArray[Any] | None) -> Dataset:
        """The data set of rows, split as the schema says. Raises ValueError in the words of this class."""
        try:
            schema = self._schema(frame, weighted=weight is not None)
            whole = frame.assign(**{schema.label.column: np.array(self._class_texts(), dtype=object)[codes]})
            if weight is not None:
                whole[str(schema.weights)] = weight
            texts = {name for name, rule in schema.columns.items() if rule.type in LEVELLED}
            remarks: list[Remark] = []
            cells = tidy(whole.reset_index(drop=True), texts, remarks)
            settled = settle_cells(schema, RawTable(Path("X"), schema.file, cells, []), "X")
            dataset = from_settled(settled, name=self.name or "memory", where="X", seed=self.seed, groupless=True)
        except ValueError as error:
            if isinstance(self.columns, str | Path):
                raise
            raise ValueError(OF_SCHEMAS.sub("", str(error))) from None
        for remark in remarks:
            warn_once(f"X, {remark}")
        return dataset

    def _class_texts(self) -> list[str]:
        """The texts of the two classes, as a record has them. Raises ValueError where they are the same, or empty."""
        texts = [write_cell(value) for value in self.classes_]
        if len({*texts, ""}) < 3:
            raise ValueError(f"the classes {self.classes_.tolist()} are {texts} as texts; expected two that differ")
        return texts

    def _schema(self, frame: pd.DataFrame, *, weighted: bool) -> TableSchema:
        """The meaning of the columns: numbers are numbers, texts and sensitive columns levels, but for ``columns``."""
        columns, said = self.columns or {}, None
        if isinstance(columns, str | Path):
            said = read_schema(columns)
            columns = _of_features(said, frame, weighted=weighted)
        given: dict[str, Any] = dict(columns)
        sensitive = names(self.sensitive) if said is None or self.sensitive is not None else said.sensitive
        graph = self.graph if said is None or self.graph is not None else _among_features(said)
        every = {str(name): frame[name] for name in frame.columns}
        rules = {
            name: given.pop(name, None) or _rule(cells, name in sensitive) for name, cells in every.items()
        } | given
        label, weights = (_unused(name, frame) for name in ("label", "weights"))
        content: dict[str, Any] = {
            "file": MEMORY,
            "columns": rules | {label: {"type": "binary"}} | ({weights: {"type": "continuous"}} if weighted else {}),
            "sensitive": sensitive,
            "label": {"column": label, "positive": self._class_texts()[1]},
            "weights": weights if weighted else None,
            "graph": None if graph is None else {child: names(of) for child, of in graph.items()},
            "split": {"shares": tuple(self.split or (WHOLE if self.name is None else FILED))},
        }
        if said is not None:
            content |= self._beside_columns(said, weighted=weighted)
        return from_plain(content, "TrilemmaClassifier")

    def _beside_columns(self, said: TableSchema, *, weighted: bool) -> dict[str, Any]:
        """The parts of a schema beside its columns, as far as the parameters do not say otherwise."""
        found: dict[str, Any] = {
            "file": said.file.model_copy(update={"path": "", "names": ()}),
            "rows": said.rows,
            "actionable": said.actionable,
            "groups": said.groups if self.sensitive is None else Groups(each=said.groups.each),
        }
        found |= {} if weighted else {"weights": said.weights}
        return found | ({"split": said.split} if self.name is not None and self.split is None else {})

    # --- training ----------------------------------------------------------------------------------------------

    def _train(self, dataset: Dataset) -> tuple[StoredModel, int | None]:
        """The trained model as a record would give it back, and the number of its record."""
        params = self._params(dataset)
        if self.name is not None:
            _require_groups(dataset)
            folder = Path("outputs") / f"{datetime.now():%Y-%m-%d/%H-%M-%S}-{secrets.token_hex(3)}"
            [outcome] = number_records([carry_out(params, folder, lambda _: None, dataset=dataset)])
            if outcome.record is None or outcome.status == "failed":
                raise ValueError(outcome.with_record)
            return from_database(outcome.record, self.name, params["device"]), outcome.record
        check(params)
        params = params | {"operating_points": None, "evaluation": params["evaluation"] | {"metrics": {}}}
        run = build_run(params, dataset=dataset)
        decide = train_once(run)
        if len(dataset.groups) > 1 and not dataset.sensitive and not isinstance(decide, Threshold):
            raise ValueError(
                f"decide={self.decide} has a threshold for each group, and sensitive_features are no columns of the "
                "rows that it is to decide about; name sensitive columns of X"
            )
        checkpoint_of(run).unlink(missing_ok=True)
        return assemble(to_plain(loadable_part(run, decide)), content(run.model.eval()), params["device"]), None

    def _params(self, dataset: Dataset) -> Params:
        """The configuration of the training, as the command line would compose it."""
        said = {
            "regularizer": self.regularizer if isinstance(self.regularizer, str) else list(self.regularizer),
            "epsilon": self.epsilon,
            "model": self.model,
            "decide": self.decide,
            "trainer.epochs": self.epochs,
            "trainer.batch_size": self.batch_size,
            "trainer.lr": self.lr,
            "scm": self.scm or ("learned" if self.graph else None),
            "seed": self.seed,
            "device": self.device,
            "fit_on": "valid" if len(dataset.valid.y) else "train",
        }
        words = [override(key, _plain(value)) for key, value in said.items() if value is not None]
        table = {"name": dataset.name, "path": "", "schema": dataset.schema}
        return compose_params([*words, *self._further_words()], table)

    def _further_words(self) -> tuple[str, ...]:
        """The words of ``overrides``. Raises ValueError for one that chooses other data."""
        words = names(self.overrides)
        for word in words:
            if word.lstrip("+~").partition("=")[0].split(".")[0] == "dataset":
                raise ValueError(f"overrides={word!r}: the data are X and y; columns, graph and split say what of them")
        return words


def _plain(value: Any) -> Any:
    """A parameter as Python's own kind of number, which a grid of numpy's is not."""
    return value.item() if isinstance(value, np.generic) else value


def _of_features(said: TableSchema, frame: pd.DataFrame, *, weighted: bool) -> dict[str, Any]:
    """The rules of a schema for the columns of a frame; its weights, where others are given, are ignored.

    Raises:
        ValueError: a column that the schema trains on is missing.
    """
    there, label = list(map(str, frame.columns)), said.label.column
    rules = {name: rule for name, rule in said.columns.items() if name != label}
    if weighted and said.weights is not None:
        rules[said.weights] = Rule(type="ignore")
    lacking = [name for name, rule in rules.items() if rule.type != "ignore" and name not in there]
    if lacking:
        raise ValueError(f"X lacks {lacking}, of which the schema speaks{near(lacking[0], there)}")
    return {name: rule for name, rule in rules.items() if name in there}


def _among_features(said: TableSchema) -> Mapping[str, Sequence[str]] | None:
    """The graph of a schema less its label, which is no column of X."""
    graph = said.graph
    return None if graph is None else {child: of for child, of in graph.items() if child != said.label.column}


def _is_numeric(frame: pd.DataFrame) -> bool:
    return all(pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes)


def _rule(cells: "pd.Series[Any]", sensitive: bool) -> Rule | dict[str, Any]:
    """The rule of a column by its type. Raises ValueError for a sensitive number of too many levels."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return {"type": "date", "as_number": "days"}
    if not pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells):
        return {"type": "categorical"}
    if sensitive:  # groups, of which there are a few
        proposal = propose_one(cells, MEMORY, sensitive=True, label=False, path="X")
        if proposal.refusal:
            raise ValueError(proposal.refusal)
        return proposal.rule
    return {"type": "continuous"}


def _unused(name: str, frame: pd.DataFrame) -> str:
    """A name that no column of the frame has."""
    there = set(map(str, frame.columns))
    while name in there:
        name += "_"
    return name


def _groups(features: Any, n: int, sensitive: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The group (n,) of each row by its sensitive features, and the names of the groups. Raises ValueError."""
    if sensitive is not None:
        raise ValueError("sensitive names columns of X, sensitive_features gives others; give one of them")
    if isinstance(features, pd.Series):
        features = features.to_frame(features.name or "group")
    frame = features if isinstance(features, pd.DataFrame) else pd.DataFrame(np.asarray(features))
    if len(frame) != n:
        raise ValueError(f"sensitive_features has {len(frame)} rows, and X has {n}")
    if frame.isna().to_numpy().any():
        raise ValueError("sensitive_features holds missing values; give every row a group, such as 'unknown'")
    called = [name if isinstance(name, str) else f"group{name or ''}" for name in frame.columns]
    labels = [
        ",".join(write_level(name, str(text)) for name, text in zip(called, row, strict=True))
        for row in frame.itertuples(index=False)
    ]
    groups, of = np.unique(labels, return_inverse=True)
    if len(groups) < 2:
        raise ValueError(f"sensitive_features is {groups[0]!r} in every row, so there are no groups to compare")
    return of, tuple(map(str, groups))


def _in_groups(dataset: Dataset, of: NDArray[np.int64], groups: tuple[str, ...]) -> Dataset:
    """The data set with groups of its rows that no column tells."""

    def split(rows: Batch) -> Batch:
        return rows._replace(s=torch.from_numpy(of)[rows.index])

    return replace(
        dataset, groups=groups, train=split(dataset.train), valid=split(dataset.valid), test=split(dataset.test)
    )


def _require_groups(dataset: Dataset) -> None:
    """Refuses to file a run without sensitive columns, which its metrics are of. Raises ValueError."""
    if not dataset.sensitive:
        raise ValueError(
            f"name={dataset.name!r}: a run that is filed is judged by groups; name columns of X as sensitive"
        )
