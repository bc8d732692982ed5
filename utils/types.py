"""The nouns of the program and the types of its methods; nothing else.

A method is a function of three arguments, ``(predict, batch, ctx)``; everything else it needs is bound by
its yaml. Shapes: n rows, d columns, k logits, L sensitive levels, m models.

Many models of one structure can be trained and judged as a **stack**: each with its own rows, (m, n, *), its own
parameters, scaling and random streams. Methods need not know: they treat the last dimensions as they would of one
model, never mix rows of two models, and let what stands in front broadcast: a mean over the last dimension is one
loss of a model, and (m,) of a stack. A setting that differs in the stack is (m, 1).

Images are rows too, (n, c, h, w). A split keeps them as bytes; the rows taken from it are numbers in [0, 1], the
input range of every image model, whose normalisation is its own first layer. Image models form no stacks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from utils.seeding import Rows, Source, normal, uniform

Predict = Callable[[Tensor], Tensor]  # x (..., n, d) -> logits (..., n, k); k = 1 for two classes
Scalar = float | Tensor  # a number, or (m, 1) for those of a stack
# in signatures, of settings that are written otherwise than a method takes them, or that mean more than their type
Radius = Annotated[float, "written as a number or a fraction"]
Radii = Annotated[Mapping[str, float], "written as a list of them; each by its spelling, which keys of metrics keep"]
AttackName = Annotated[str, "of the option that the metric judges; it is left out where a headline attack is as strong"]


class Batch(NamedTuple):
    """Rows of a data set. A split is its largest batch."""

    x: Tensor  # (n, d), model space: continuous columns standardised, binary ones 0/1; images (n, c, h, w)
    y: Tensor  # (n,) int64, class
    s: Tensor  # (n,) int64, index into Dataset.groups
    w: Tensor  # (n,) float, weight of the row in the loss
    index: Tensor  # type: ignore[assignment]  # (n,) int64, row number in the original data; hides tuple.index

    def rows(self, keep: Tensor | slice) -> "Batch":
        """The rows selected by ``keep``, an index or a mask; images as numbers in [0, 1]."""
        chosen = Batch(*(column[keep] for column in self))
        if chosen.x.dtype is not torch.uint8:
            return chosen
        return chosen._replace(x=chosen.x.to(torch.get_default_dtype()).div_(255))

    def parts(self, size: int) -> "Iterator[Batch]":
        """Yields all rows in their order, at most ``size`` at a time."""
        return (self.rows(slice(start, start + size)) for start in range(0, len(self.y), size))

    def of_each(self, keep: Tensor) -> "Batch":
        """The rows ``keep`` (m, k) of each model of a stack."""
        model = torch.arange(len(keep), device=keep.device).unsqueeze(1)
        return Batch(*(column[model, keep] for column in self))

    def of_model(self, i: int) -> "Batch":
        """The rows of one model of a stack."""
        return Batch(*(column[i] for column in self))

    def to(self, device: torch.device | str) -> "Batch":
        """The same rows on another device."""
        return Batch(*(column.to(device) for column in self))


MISSING_LEVEL = "missing"  # the text of the level that missing cells are


@dataclass(frozen=True)
class Column:
    """One feature, as the schema of a data set states it."""

    name: str
    kind: Literal["continuous", "binary", "categorical"]
    sensitive: bool = False
    actionable: bool = False  # the individual can change it
    levels: tuple[float, ...] = ()  # of a binary or categorical column, in natural units
    integer: bool = False  # of a continuous column: it holds whole numbers
    bounds: tuple[float, float] | None = None  # of a continuous column: what new rows may hold, natural units
    attribute: str = ""  # of a 0/1 column: what it is an indicator of; of the columns of an attribute one is 1
    cut: tuple[str, float, float] | None = None  # of a 0/1 column that another implies: 1 where low <= other < high
    texts: tuple[str, ...] = ()  # what the owner calls each level, as levels; of an indicator such as ("", "asian")
    discrete: Literal["", "ordered", "count"] = ""  # of whole numbers: an order of levels, or a declared count
    tells: str = ""  # of a 0/1 column: that which holds one number, its median, wherever this is 1: it is missing there


class Mechanism(NamedTuple):
    """The structural equation of one node, x = push(u, *parents), and its inverse u = pull(x, *parents).

    A node is a column, x and u (...), or the indicators of one attribute, x and u (..., k). Where several noises agree
    with a value, as of a level, the inverse is a ``posterior``: u = pull(x, chance, *parents) draws one of them by
    numbers from U(0, 1) of the shape of x.
    """

    columns: tuple[int, ...]
    parents: tuple[int, ...]
    push: Callable[..., Tensor]
    pull: Callable[..., Tensor]
    posterior: bool = False


def _of_node(columns: Mapping[int, Tensor], places: tuple[int, ...]) -> Tensor:
    """The columns (...) of a node as its mechanism takes them."""
    return columns[places[0]] if len(places) == 1 else torch.stack([columns[i] for i in places], -1)


def _by_column(node: Tensor, places: tuple[int, ...]) -> dict[int, Tensor]:
    return {places[0]: node} if len(places) == 1 else dict(zip(places, node.unbind(-1), strict=True))


def _columns_of(x: Tensor, places: Sequence[int]) -> dict[int, Tensor]:
    """Columns (...) of x (..., d), all at once: gradients of one that is selected alone have the size of all."""
    chosen = x if len(places) == x.shape[-1] else x[..., list(places)]
    return dict(zip(places, chosen.unbind(-1), strict=True))


def _with_columns(x: Tensor, columns: Mapping[int, Tensor]) -> Tensor:
    """x (..., d) with some columns (...) in place of its own."""
    if len(columns) == x.shape[-1]:
        return torch.stack([columns[i] for i in range(len(columns))], -1)
    if not columns:
        return x
    places = torch.tensor(list(columns), device=x.device)
    return x.index_copy(-1, places, torch.stack(list(columns.values()), -1))


class Independence(NamedTuple):
    """An independence that a causal graph implies, tested on data."""

    one: str
    other: str
    given: tuple[str, ...]  # the parents of ``one``
    correlation: float  # of what is left of the two
    p: float  # after Holm


class Variant(NamedTuple):
    """Another fit of structural equations: to another graph, or to training rows that count more or less."""

    parents: Mapping[str, tuple[str, ...]] | None = None  # child -> parents, columns; None: as it is
    counts: Tensor | None = None  # (n,) how often each training row is in a sample of them; None: once


class Judgement(NamedTuple):
    """The verdict of data on a causal model."""

    facts: Mapping[str, float] = {}  # those of the SCM, and more
    independences: Sequence[Independence] = ()
    warnings: Sequence[str] = ()


class KnownRows(Protocol):
    """The rows of a batch, of which an SCM need not be asked anew in every epoch of a training."""

    def find(self, of: "Callable[[SCM, Tensor], Tensor]", scm: "SCM", x: Tensor) -> Tensor | None:
        """Returns what a function of SCM and rows gives for x (n, d), where that is known."""
        ...


@dataclass(frozen=True)
class SCM:
    """An invertible structural causal model over the columns of a data set, in units of its own.

    ``own = loc + scale * x`` maps model space to the SCM's units. Every function broadcasts over leading
    dimensions, so rows, sensitive levels, draws and samples are one tensor operation.
    """

    names: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]  # one per node, every parent before its children; without parents x is its noise
    sensitive: tuple[int, ...]  # columns of the sensitive attributes
    levels: Tensor  # (L, len(sensitive)), every combination of levels of the attributes, own units
    loc: Tensor  # (d,)
    scale: Tensor  # (d,)
    unit: Tensor  # (d,) latent step per unit of radius; 0 at the sensitive columns and where no radius moves the noise
    sample_noise: Callable[[int, np.random.Generator], Tensor]  # n -> (n, d)
    radius_unit: str = "noise"  # what one unit of radius means, for records and labels
    facts: Mapping[str, float] = field(default_factory=dict)  # e.g. held-out R^2 per equation
    draws: int = 1  # of the noise of every row, in an evaluation; 1 where no noise is a posterior
    fresh: bool = False  # discrete columns of a twin are drawn anew: the coupling ``independent``
    judgement: Callable[[], Judgement] = Judgement  # by the data that it was fitted to
    refit: Callable[[Sequence[Variant]], "Sequence[SCM]"] | None = None  # equations that agree are taken as they are
    missing: Mapping[int, tuple[int, Tensor]] = field(default_factory=dict)  # column: its flag, what it holds at 1
    whole: tuple[Tensor, Tensor, Tensor] | None = None  # (d,) each: step between whole numbers, or 0, least, largest
    known: "KnownRows | None" = field(default=None, compare=False, repr=False)  # in a training, those of the batch

    @property
    def posterior(self) -> tuple[int, ...]:
        """The columns whose noise is drawn from its posterior."""
        return tuple(i for m in self.mechanisms if m.posterior for i in m.columns)

    @cached_property
    def linked(self) -> tuple[int, ...]:
        """The columns that equations read or give, in order."""
        nodes = {i for m in self.mechanisms if m.parents for i in (*m.columns, *m.parents)}
        return tuple(sorted(nodes.union(*((i, flag) for i, (flag, _) in self.missing.items()))))

    def own(self, x: Tensor) -> Tensor:
        """Model space to the SCM's units, (..., d) -> (..., d). Raises ValueError where there is no causal model."""
        if not self.names:
            raise ValueError("this method needs a structural causal model, and images have none (scm=none)")
        return self.loc + self.scale * x

    def model(self, v: Tensor) -> Tensor:
        """The SCM's units to model space, (..., d) -> (..., d)."""
        return (v - self.loc) / self.scale

    def to_noise(self, v: Tensor, chance: Tensor | None = None) -> Tensor:
        """Abduction: features in own units (..., d) -> exogenous noise (..., d).

        Args:
            v: features, own units.
            chance: numbers from U(0, 1) that broadcast with v (..., d), by which a posterior is drawn; None takes
                1/2 everywhere, the middle of the noises that agree with a value.
        """
        if chance is not None:
            v, chance = torch.broadcast_tensors(v, chance)
        elif self.posterior:
            chance = v.new_full(v.shape, 0.5)
        columns = _columns_of(v, self.linked)
        noise = dict(columns)
        drawn = {} if chance is None else _columns_of(chance, self.linked)
        for m in self.mechanisms:
            if m.parents:
                by = (_of_node(drawn, m.columns),) if m.posterior else ()
                node = m.pull(_of_node(columns, m.columns), *by, *(columns[p] for p in m.parents))
                noise |= _by_column(node, m.columns)
        return _with_columns(v, noise)

    def to_features(self, u: Tensor, do: Mapping[int, Tensor] | None = None) -> Tensor:
        """Prediction: noise (..., d) -> features in own units, with the columns in ``do`` set by intervention."""
        do = do or {}
        columns = _columns_of(u, self.linked) | {i: value.expand(u.shape[:-1]) for i, value in do.items()}
        for m in self.mechanisms:
            if m.parents and m.columns[0] not in do:
                node = m.push(_of_node(columns, m.columns), *(columns[p] for p in m.parents))
                columns |= _by_column(node, m.columns)
            if (i := m.columns[0]) in self.missing:
                flag, held = self.missing[i]
                columns[i] = torch.where(columns[flag] > 0.5, held, columns[i])
        return _with_columns(u, columns)

    def around(self, u: Tensor, do: Mapping[int, Tensor]) -> Callable[[Tensor], Tensor]:
        """Returns how shifts (..., d) of the noise u (..., d), 0 in the columns in ``do``, move it in model space."""
        return lambda shift: self.model(self.to_features(u + shift, do))

    def rounded(self, v: Tensor) -> Tensor:
        """Features in own units (..., d) with the nearest whole number in range in columns that hold whole numbers."""
        if self.whole is None:
            return v
        step, least, largest = self.whole
        nearest = least + step * ((v - least) / torch.where(step > 0, step, 1)).round()
        return torch.where(step > 0, torch.minimum(torch.maximum(nearest, least), largest), v)


@dataclass(frozen=True)
class Dataset:
    """A data set, split and scaled: what every other part needs to know of the data.

    Of images there are no columns but a ``shape``; ``loc`` and ``scale`` are then of their channels, (c,) float32.
    Those of columns are float64 on the CPU, as natural units are.
    """

    name: str
    columns: tuple[Column, ...]
    classes: int
    groups: tuple[str, ...]  # names of the sensitive levels, the product over sensitive attributes
    train: Batch
    valid: Batch
    test: Batch
    loc: Tensor  # (d,) float64: natural units = loc + scale * x, estimated on the training split
    scale: Tensor  # (d,) float64
    fingerprint: str  # hash of the rows and labels before splitting
    parents: Mapping[str, tuple[str, ...]] | None = None  # the causal graph, or None where none is known
    scm: SCM | None = None  # the true SCM, or None
    shape: tuple[int, ...] = ()  # (c, h, w) of images
    class_names: tuple[str, ...] = ()  # of images, and what the owner of a table calls its classes
    facts: Mapping[str, float] = field(default_factory=dict)  # figures of the test rows that no model changes
    schema: Mapping[str, Any] | None = None  # of a user's own table, settled: how its cells become these rows
    unjudged: int = 0  # rows of the test split beside ``test``, where evaluation.rows leaves some out

    @property
    def sensitive(self) -> tuple[int, ...]:
        """Indices of the sensitive columns."""
        return tuple(i for i, c in enumerate(self.columns) if c.sensitive)


class Decide(Protocol):
    """A decision from logits to labels, with the thresholds fitted once and stored with the model."""

    @property
    def monotone(self) -> bool:
        """Returns whether a larger logit never loses class 1; not so where a coin is tossed anew for every logit."""
        ...

    def __call__(self, logits: Tensor, s: Tensor) -> Tensor:
        """Logits (..., k) and groups (...) -> labels (...)."""
        ...

    def margin(self, logits: Tensor, s: Tensor) -> Tensor:
        """Signed distance (...) of a two-class logit from its threshold; class 1 where it is >= 0."""
        ...


class StoredDecide(Decide, Protocol):
    """A decision that a record can hold."""

    def to_record(self) -> dict[str, Any]:
        """Returns what makes it again: a target under ``utils.decides`` and its settings."""
        ...


class Emphasis(NamedTuple):
    """Weight of each row in the two parts of a robust loss, (n,) each."""

    natural: Tensor  # of the classification loss
    boundary: Tensor  # of the distance between the answers at x and at x'


@runtime_checkable
class Adaptation(Protocol):
    """Adapts the training to the classes from what it observes; a term beside those that it adapts.

    An ``nn.Module`` whose buffers are its state, which checkpoints keep. Only a training changes it: where
    ``ctx.epoch`` is None nothing is observed.
    """

    listens: bool  # whether it learns from what terms observe; if not, from the validation rows
    sets_margins: bool  # whether it changes the radius of rows, which one of several adaptations may

    def acts_from(self, epochs: int) -> int:
        """Returns the first epoch of a training, from 0, whose steps may be adapted; ``epochs`` or more: none is."""
        ...

    def adapted(self, batch: Batch, ctx: "Context") -> "Context":
        """The context with the radius and the emphasis of each row of the batch."""
        ...

    def observed(self, logits: Tensor, batch: Batch, ctx: "Context") -> None:
        """Takes note of the logits (n, k), detached, on the batch as the inner attack left it."""
        ...

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: "Context") -> None:
        """Takes note of the end of an epoch, with the model in eval mode and the whole validation split."""
        ...

    def class_weights(self) -> Mapping[str, list[float]]:
        """Returns what is now in force for each class, for the record."""
        ...

    def remarks(self, classes: Sequence[str]) -> list[str]:
        """Returns what the record warns of after a training; ``classes`` are names, empty where they have none."""
        ...


def _unobserved(logits: Tensor, batch: Batch) -> None:
    """Ignores logits that nobody asked for."""


@dataclass(frozen=True)
class Context:
    """The context of a method, beside the model and the rows. Never mutated: use ``dataclasses.replace``."""

    scm: SCM
    columns: tuple[Column, ...]
    attack: "Attack"
    epsilon: "Epsilon"
    decide: Decide
    seed: int | tuple[int, ...]  # of each model of a stack
    generator: Source  # stream of the attacks' random numbers
    groups: int = 1  # sensitive groups of the data, the range of Batch.s
    progress: float = 1.0  # share of the training done, for schedules
    epoch: int | None = None  # of the training, from 0; None outside one
    epochs: int = 0  # of the training
    emphasis: Emphasis | None = None  # of the rows in robust losses; None: 1 for each
    towards: Tensor | None = None  # (n,) classes that inner attacks lead the rows to; None: away from their own
    observe: Callable[[Tensor, Batch], None] = _unobserved  # hears the logits on training adversarial examples
    view: Predict | None = None  # the model that is trained, in eval mode with constant weights

    each: "tuple[Context, ...]" = ()  # of a stack, the contexts of its models

    @property
    def own_seed(self) -> int:
        """The seed of one model; a stack has none of its own."""
        if isinstance(self.seed, tuple):
            raise TypeError("a stack has a seed for each model")
        return self.seed

    def steady(self, predict: Predict) -> Predict:
        """The model as an attack sees it in training: no running statistics move, no weight gets a gradient."""
        return predict if self.view is None else self.view

    def on(self, batch: Batch) -> "Context":
        """Returns the context of some rows: random numbers that belong to rows follow them."""
        if not isinstance(self.generator, Rows):
            return self
        return replace(self, generator=self.generator.of(batch.index))

    def normal(self, like: Tensor) -> Tensor:
        """Standard-normal numbers of the shape, type and device of ``like`` (c, ..., n, *), from the own stream."""
        return normal(like, self.generator)

    def uniform(self, like: Tensor) -> Tensor:
        """Numbers from U(0, 1), likewise."""
        return uniform(like, self.generator)

    def of_each(self, figures: "Callable[..., Figures]", *rows: Any) -> "Figures | list[Figures]":
        """``figures(ctx, *rows)`` of the model; of a stack, of every model with its own context and rows (m, *)."""
        if not self.each:
            return figures(self, *rows)
        return [figures(own, *(of[i] for of in rows)) for i, own in enumerate(self.each)]


class Answer(NamedTuple):
    """The answers of a learner on the validation rows, once trained on other rows."""

    logits: Tensor | None  # (r, n, k), of each of r inner seeds; None where it failed
    error: str = ""  # why it failed
    seconds: float = 0.0  # CPU-seconds of its fits and predictions


Refit = Callable[[Sequence[Batch]], Callable[[], list[Answer]]]  # training rows -> begins; then -> waits for all


@dataclass(frozen=True)
class Victim:
    """Whoever trains on rows that may be changed: all that a poisoner may know. The test rows are not part of it."""

    columns: tuple[Column, ...]  # the schema
    groups: tuple[str, ...]
    loc: Tensor  # (d,) float64: natural units = loc + scale * x
    scale: Tensor  # (d,) float64
    train: Batch
    valid: Batch  # that the poison is judged by
    refit: Refit  # trains on rows in place of ``train``, on many such sets side by side
    fit: Callable[[Batch], nn.Module] | None  # training rows -> the model; None of learners without gradients
    loss: Callable[[Predict, Batch], Tensor] | None  # that it minimises, (), on the weighted rows; None likewise
    fit_decide: "FitDecide"
    seed: int
    run: str  # equal for runs that differ in the budget of their search alone
    journal: Path  # where evaluations are kept as they are made
    earlier: Sequence[Path]  # other journals; what they hold of this search with another budget is not made again
    watch: Callable[[int, Mapping[str, float]], None]  # hears the evaluations made and what is best so far


@dataclass(frozen=True)
class Poisoned:
    """The training rows as a poisoner changed them, and how it came to that."""

    train: Batch  # all of them; those that it adds last, with index -1, -2, ...
    natural: Tensor  # (m, d) float64, those that it adds in natural units
    before: Mapping[str, float]  # metrics on the validation rows, mean over inner seeds, without the rows
    after: Mapping[str, float]  # and with them
    steps: Sequence[tuple[int, float]]  # evaluations after which the best value changed, from 0 on, and this value
    facts: Mapping[str, Any]  # what a record should say beside: evaluations, failures, seconds, ...
    reasons: Mapping[int, str] = field(default_factory=dict)  # index of a row that it removes or changes -> why

    @property
    def rows(self) -> Batch:
        """The rows (m, d) that are added."""
        return self.train.rows(slice(len(self.train.y) - len(self.natural), None))


Poison = Callable[[Victim], Poisoned]
Attack = Callable[[Predict, Batch, Context], Tensor]  # -> x' like batch.x, detached
Term = Callable[[Predict, Batch, Context], Tensor]  # -> loss of rows (n,) or of a batch (); of a stack (m, n) or (m,)
Figures = Mapping[str, float | None]
Metric = Callable[[Predict, Batch, Context], Figures | Sequence[Figures]]  # a sequence of a stack, one of each model
Epsilon = Callable[[Batch, Context], Tensor]  # -> radius per row (n,)
# training rows, names of groups -> these rows, left out or repeated, with other weights or labels, none made up
Prepare = Callable[[Batch, Sequence[str], np.random.Generator], Batch]


class FitDecide(Protocol):
    """The fitting of thresholds."""

    def __call__(
        self, logits: Tensor, batch: Batch, groups: Sequence[str], classes: Sequence[str] = (), /
    ) -> StoredDecide:
        """Returns the thresholds by logits (n, k), rows, names of groups and, for errors, of classes."""
        ...
