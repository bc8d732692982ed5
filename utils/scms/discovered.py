"""A causal graph proposed by data, by the PC algorithm (Spirtes and Glymour 1991) of causal-learn: a start, no truth.

- A tie between two attributes is taken away where some set of others makes them independent. The test is the
  generalised covariance measure (Shah and Peters 2020, arXiv 1804.07203) of encoded attributes: indicators of levels,
  and of numbers three cosines of their ranks, less what kernel ridge regression on the set explains of them. It needs
  no distribution, and sees dependence in the mean of what is encoded, not any other.
- Sensitive attributes are roots, and the label is left out: it is a cause of nothing here.
- What the data leave open is directed by the order of the columns, as ``extend`` says.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from utils import seeding
from utils.scms.alternatives import attribute_of
from utils.scms.independence import left_over
from utils.types import Column, Dataset
from utils.words.quoting import copyable, override

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
By = Literal["root", "data", "order"]
MOST_SETS = 500  # of attributes, given which ties are tested
PARTS = 100  # of the rows, at least, of which bootstrap samples are drawn
COSINES = 3  # of the ranks of a number
RARE, MOST_LEVELS = 20, 10  # rows of a level, and levels of an attribute, that are told apart
LEAST = 1e-30  # variance of a product of residuals
SAME = 0.9995  # correlation of the ranks of numbers that tell each other


class Arrow(NamedTuple):
    """An arrow of a proposed graph."""

    cause: str
    effect: str
    by: By  # a sensitive root, the data, or the order of columns where these leave it open or contradict themselves
    tied: float | None  # share of bootstrap samples in which the two are tied
    drawn: float | None  # share of them in which this very arrow comes out


class Proposal(NamedTuple):
    """A proposed graph between attributes."""

    arrows: tuple[Arrow, ...]
    names: tuple[str, ...]  # of all attributes that were looked at
    rows: int
    given: int  # the largest set of attributes, given which ties were tested
    alpha: float
    samples: int
    implied: tuple[tuple[str, str], ...]  # attributes of which the first tells the second, so that it hides its ties

    @property
    def graph(self) -> dict[str, list[str]]:
        """The graph, child -> parents."""
        found: dict[str, list[str]] = {}
        for arrow in self.arrows:
            found.setdefault(arrow.effect, []).append(arrow.cause)
        return found


def discovered(dataset: Dataset, *, seed: int, alpha: float, rows: int, samples: int) -> NoReturn:
    """Refuses to be a causal model: nobody has seen the graph. ``propose`` makes it.

    Raises:
        ValueError: always, with the command that proposes a graph.
    """
    if dataset.shape:
        raise ValueError("scm=discovered is for tables, and images have no attributes; leave it out")
    name, does = (f"{dataset.name}.yaml", "writes it into the schema") if dataset.schema else (dataset.name, "shows it")
    command = copyable("python", "-m", "evals.scm", override("dataset", name), "scm=discovered")
    raise ValueError(
        f"scm=discovered proposes a graph that nobody has seen, and is no causal model: {command} {does}; edit it, "
        "then train by it with scm=learned"
    )


def propose(dataset: Dataset, *, seed: int, alpha: float, rows: int, samples: int) -> Proposal:
    """The graph that the training rows propose.

    Args:
        dataset: whose own graph is not looked at.
        seed: of the rows that are taken, and of the bootstrap.
        alpha: level of each test; a tie is kept where every test is at or below it.
        rows: at most.
        samples: of the bootstrap, by which the arrows' shares are counted.

    Raises:
        ValueError: there are no two attributes, as of images, or causal-learn is not installed.
    """
    if len({attribute_of(c) for c in dataset.columns if not c.cut}) < 2:
        raise ValueError(f"data set {dataset.name}: no two attributes are there, between which an arrow could be")
    tests = _Tests(dataset, seed=seed, rows=rows, samples=samples)
    roots = np.array([_is_sensitive(dataset, name) for name in tests.names])
    order = sorted(range(len(roots)), key=lambda i: (not roots[i], i))
    found = [_search(tests, sample, roots, alpha) for sample in range(samples + 1)]
    graphs = [extend(tied, arrow, order) for tied, arrow in found]
    compelled, graph = found[0][1], graphs[0]
    arrows = []
    for i, j in zip(*np.nonzero(graph), strict=True):
        by: By = "root" if roots[i] else "data" if compelled[i, j] else "order"
        shares = [_share([own[i, j] for own in of]) for of in ([tied for tied, _ in found[1:]], graphs[1:])]
        arrows.append(Arrow(tests.names[i], tests.names[j], by, *shares))
    return Proposal(tuple(arrows), tests.names, tests.rows, tests.given, alpha, samples, tuple(tests.implied()))


def _share(of: Sequence[bool]) -> float | None:
    return sum(map(bool, of)) / len(of) if of else None


def extend(tied: Flags, arrow: Flags, order: Sequence[int]) -> Flags:
    """A graph without a cycle (a, a) that has the ties and, as far as they do not contradict themselves, the arrows.

    After Dor and Tarsi (1992): again and again an attribute that may be nobody's cause becomes the effect of all that
    it is still tied to, the last one in the order first. It may be where no arrow leaves it and no collider arises
    that is not there. Where there is none, the last one in the order from which no arrow leaves, or the last.
    """
    found, left = np.zeros_like(tied), list(order)
    while left:
        candidates = left[::-1]
        ends = [i for i in candidates if not arrow[i, left].any()]
        sink = next((i for i in ends if _may_end(i, tied, arrow, left)), (ends or candidates)[0])
        left.remove(sink)
        found[left, sink] = tied[left, sink]
    return found


def _may_end(i: int, tied: Flags, arrow: Flags, left: Sequence[int]) -> bool:
    """Returns whether all that is tied to i by an open tie is tied to all else that is tied to i."""
    near = [j for j in left if tied[i, j]]
    return all(tied[j, k] for j in near if not arrow[j, i] for k in near if k != j)


# --- search ----------------------------------------------------------------------------------------------------


def _search(tests: "_Tests", sample: int, roots: Flags, alpha: float) -> tuple[Flags, Flags]:
    """Ties (a, a), and those that the PC algorithm directs, in a bootstrap sample, or (0) in the rows themselves."""
    pc, background = _library()
    names = [f"X{i}" for i in range(len(roots))]
    knowledge = background(names, roots)
    data = np.zeros((max(tests.rows, len(roots)), len(roots)))  # the library reads its shape alone
    ended = pc(
        data,
        alpha,
        "of_attributes",
        background_knowledge=knowledge,
        show_progress=False,
        uc_rule=2,  # colliders by the set of the largest p-value, where it is clear (Ramsey 2016, arXiv 1610.00378)
        node_names=names,
        max_k=tests.given,
        tests=tests,
        sample=sample,
    )
    marks = ended.G.graph  # [i, j] = -1 and [j, i] = 1 is i -> j
    tied = marks != 0
    arrow = (marks == -1) & (marks.T == 1)
    arrow[roots], arrow[:, roots] = tied[roots], False
    return tied, arrow


@cache
def _library() -> tuple[Any, Any]:
    """The search of causal-learn, which asks ``_Tests``, and what makes the roots known to it. Raises ValueError."""
    try:  # which takes three seconds
        from causallearn.graph.GraphNode import GraphNode
        from causallearn.search.ConstraintBased.PC import pc
        from causallearn.utils.cit import CIT_Base, register_ci_test
        from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge
    except ImportError:
        raise ValueError(
            "scm=discovered needs causal-learn, which is not installed: pip install -r requirements/causal.txt"
        ) from None

    class OfAttributes(CIT_Base):
        """The p-values of ``_Tests`` in one sample."""

        def __init__(self, data: Any, *, tests: "_Tests", sample: int) -> None:
            super().__init__(data)
            self.method, self.tests, self.sample = "of_attributes", tests, sample

        def __call__(self, x: int, y: int, given: Sequence[int]) -> float:
            if len(given) > self.tests.given:  # which the search for colliders asks for
                return 0.0
            return float(self.tests.p_values(tuple(sorted(map(int, given))))[self.sample, x, y])

    def background(names: Sequence[str], roots: Flags) -> BackgroundKnowledge:
        nodes, known = [GraphNode(name) for name in names], BackgroundKnowledge()
        for effect in np.flatnonzero(roots):
            for cause in (cause for cause in nodes if cause is not nodes[effect]):
                known.add_forbidden_by_node(cause, nodes[effect])
        return known

    register_ci_test("of_attributes", OfAttributes)
    return pc, background


# --- tests -----------------------------------------------------------------------------------------------------


class _Tests:
    """p-values of the independence of every two attributes given others, in the rows and in bootstrap samples."""

    def __init__(self, dataset: Dataset, *, seed: int, rows: int, samples: int) -> None:
        order = seeding.rng(seed, "graph rows").permutation(len(dataset.train.y))[:rows]
        each = max(1, len(order) // PARTS)
        number = len(order) // each
        keep = order[: number * each]
        self.rows = len(keep)
        encoded = _encode(dataset.columns, dataset.train.x[torch.from_numpy(keep).to(dataset.train.x.device)])
        self.names = tuple(encoded)
        self.x = torch.cat(list(encoded.values()), 1)
        sizes = torch.tensor([of.shape[1] for of in encoded.values()])
        self.owner = torch.arange(len(sizes)).repeat_interleave(sizes)  # of each encoded column
        self.pairs = sizes.unsqueeze(1) * sizes
        # a sample draws parts of the rows, so that what a set explains is found once
        drawn = seeding.rng(seed, "graph samples").multinomial(number, np.full(number, 1 / number), samples)
        self.weights = torch.cat([torch.ones(1, number), torch.from_numpy(drawn).float()])
        self.given = _largest_set(len(sizes))
        self.p_values = cache(self._p_values)

    def implied(self) -> Iterator[tuple[str, str]]:
        """Yields attributes of which the first tells the second, by no more levels than a tenth of the rows.

        Of numbers with more values those are told that rise or fall with each other, such as years and months.
        """
        weights = torch.from_numpy(seeding.rng(0, "levels").random(len(self.owner)))
        codes = [
            (self.x[:, of] @ weights[of]).mul(1e9).round().unique(return_inverse=True)[1]
            for of in (self.owner == i for i in range(len(self.pairs)))
        ]
        levels = [int(code.max()) + 1 for code in codes]
        for i, j in itertools.permutations(range(len(codes)), 2):
            together = (codes[i] * levels[j] + codes[j]).unique()
            if levels[j] > 1 and levels[i] <= self.rows / 10 and len(together) == levels[i]:
                yield self.names[i], self.names[j]
        many = [i for i, k in enumerate(levels) if k > self.rows / 10]
        ranks = [
            self.x[:, self.owner == i][:, 0] for i in many
        ]  # a cosine of them that falls from the first to the last
        for (i, one), (j, other) in itertools.permutations(zip(many, ranks, strict=True), 2):
            if abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) > SAME:
                yield self.names[i], self.names[j]

    def _p_values(self, given: tuple[int, ...]) -> Floats:
        """(samples + 1, a, a), after Bonferroni over the encoded columns of both attributes; 0 is of the rows."""
        parts = self._left_over(given).float().reshape(len(self.weights[0]), -1, self.x.shape[1])
        total, squares = (
            (self.weights @ (of.mT @ of).flatten(1)).reshape(-1, self.x.shape[1], self.x.shape[1])
            for of in (parts, parts.square())
        )
        size = self.weights @ parts.square().sum(1)
        alike = size.unsqueeze(2) * size.unsqueeze(1) / self.rows  # ``squares``, were the sizes independent
        # of two rare levels that never meet, which few rows may do by chance, what is seen has hardly any spread
        spread = torch.maximum(squares - total.square() / self.rows, alike)
        z = torch.where(spread > LEAST, total.abs() / spread.clamp_min(LEAST).sqrt(), 0.0)
        largest = self._over_attributes(self._over_attributes(z).mT).mT
        return (self.pairs * torch.erfc(largest.double() / math.sqrt(2))).clamp_max(1).numpy()

    def _left_over(self, given: tuple[int, ...]) -> Tensor:
        """The encoded columns (n, e) less what those of some attributes explain of them."""
        return left_over(self.x[:, torch.isin(self.owner, torch.tensor(given, dtype=torch.long))], self.x)

    def _over_attributes(self, z: Tensor) -> Tensor:
        """The largest of (b, r, e) over the columns of each attribute, (b, r, a)."""
        place = self.owner.expand(z.shape)
        return z.new_zeros(*z.shape[:2], len(self.pairs)).scatter_reduce(2, place, z, "amax")


def _largest_set(attributes: int) -> int:
    """The size of sets of others up to which there are at most MOST_SETS of them; 1 at least."""
    size, sets = 1, 1 + attributes
    while size < attributes - 2 and sets + math.comb(attributes, size + 1) <= MOST_SETS:
        size += 1
        sets += math.comb(attributes, size)
    return size


def _encode(columns: Sequence[Column], x: Tensor) -> dict[str, Tensor]:
    """The attributes of rows x (n, d) as columns (n, e) in [-1, 1].

    A flag of missing numbers belongs to what it tells of; an attribute that another implies is left out.
    """
    x, found = x.double().cpu(), dict[str, list[Tensor]]()
    for i, c in enumerate(columns):
        if not c.cut:
            found.setdefault(attribute_of(c), []).append(_encode_column(c, x[:, i]))
    return {name: _merge_rare(torch.cat(of, 1)) for name, of in found.items()}


def _encode_column(column: Column, x: Tensor) -> Tensor:
    """A column (n,) as columns (n, e): indicators of its levels, or cosines of the ranks of its values."""
    values, place, counts = x.unique(return_inverse=True, return_counts=True)
    if column.kind == "binary":
        return (place == len(values) - 1).double().unsqueeze(1)
    if column.kind == "categorical":
        return one_hot(place).double()
    rank = (counts.cumsum(0) - counts.double() / 2) / len(x)  # of values that occur more than once the middle
    angle = math.pi * rank.unsqueeze(1) * torch.arange(1, COSINES + 1)
    return angle.cos()[place]


def _merge_rare(encoded: Tensor) -> Tensor:
    """Columns (n, e) with those of all but the MOST_LEVELS most frequent levels, and of those of few rows, as one.

    Products of rare ones are too far from normal to test.
    """
    rows = encoded.sum(0)
    frequent = rows >= max(RARE, float(rows.sort(descending=True).values[:MOST_LEVELS][-1]))
    rare = ((encoded == 0) | (encoded == 1)).all(0) & ~frequent
    return torch.cat([encoded[:, ~rare], encoded[:, rare].sum(1, keepdim=True)], 1) if rare.any() else encoded


def _is_sensitive(dataset: Dataset, name: str) -> bool:
    return any(c.sensitive for c in dataset.columns if attribute_of(c) == name)
