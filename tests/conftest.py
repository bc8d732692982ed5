"""Small data sets, causal models and contexts that many tests share."""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from omegaconf import OmegaConf
from torch import nn

from tests.commands import house
from tests.composing import compose_once
from utils import build, seeding
from utils.datasets.imf import imf
from utils.datasets.lin import lin
from utils.datasets.loan import loan
from utils.datasets.nlm import nlm
from utils.datasets.tabular import assemble
from utils.decides.threshold import Threshold
from utils.losses.objective import Weighted, make_objective
from utils.models.mlp import MLP
from utils.regularizers.erm import erm
from utils.scms import judgement, scoring
from utils.scms.known import known
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.threats import everywhere
from utils.training.one_model import fit
from utils.types import SCM, Column, Context, Dataset

settings.register_profile("shared machines", deadline=None, max_examples=40)  # where an example's seconds say nothing
settings.register_profile("thorough", deadline=None, max_examples=400)  # by hand: --hypothesis-profile=thorough
settings.load_profile("shared machines")

# new ones until the young are searched, and searches of the young, of the middle, until the older are:
# by Python's own numbers a twentieth of the tests' time
OBJECTS_BETWEEN_SEARCHES = (50_000, 20, 20)
gc.disable()  # until all tests are collected: nothing of what is imported and collected goes away


def pytest_collection_finish() -> None:
    """Leaves what was imported and collected out of every later search for garbage, and searches less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*OBJECTS_BETWEEN_SEARCHES)
    gc.enable()


SPLIT = [0.64, 0.16, 0.20]
GENERATED = {
    "lin": (lin, ["x1"], ["x2", "x3"]),
    "nlm": (nlm, ["x1"], ["x2", "x3"]),
    "imf": (imf, ["x1"], ["x2", "x3"]),
    "loan": (loan, ["gender"], ["education", "income", "savings"]),
}
LEARNED = {"hidden": 20, "steps": 200, "batch_size": 100, "lr": 0.005, "keep": "last", "noise": "additive"}
FITTED = {
    "discrete": "anm",
    "nodes": {},
    "coupling": "gumbel",
    "draws": 1,
    "sampling": "residuals",
    "radius_unit": "noise",
}


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    """One, as runs have by default, or as many as ``TRILEMMA_TEST_THREADS`` says."""
    torch.set_num_threads(int(os.environ.get("TRILEMMA_TEST_THREADS", 1)))


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C is an exception, also where whoever started the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _quick_composing() -> Iterator[None]:
    """Commands in this process take what was composed before them: .03 s in place of .4 s; processes as ever."""
    with pytest.MonkeyPatch.context() as patch:
        compose_once(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_kept() -> Iterator[None]:
    """References of causal models are grown anew in this process, so that tests judge the code and not a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "keep_references", scoring.references)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_power_cuts() -> Iterator[None]:
    """Nothing in this process waits for the disk, some ten times a run: only a power cut could tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty house, whose folder is the working directory."""
    with house(tmp_path) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _the_same_weights() -> None:
    """Models that a test makes start from the same weights every time."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed asks every kind of device, which takes .6 ms


@pytest.fixture(scope="session")
def dataset() -> Callable[..., Dataset]:
    """A data set by name and number of rows; "toy" has a binary column with a parent."""

    @cache
    def make(name: str, rows: int = 500, seed: int = 0) -> Dataset:
        if name == "toy":
            return toy(rows, seed)
        function, sensitive, actionable = GENERATED[name]
        return function(name=name, rows=rows, split=SPLIT, sensitive=sensitive, actionable=actionable, seed=seed)

    return make


def toy(rows: int, seed: int) -> Dataset:
    """a ~ Bern(.5); b ~ Bern(.1 + .2 a); c = a + b + N(0, 1)."""
    rng = np.random.default_rng(seed)
    a = (rng.random(rows) < 0.5).astype(float)
    b = (rng.random(rows) < 0.1 + 0.2 * a).astype(float)
    c = a + b + rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-c))).astype(np.int64)
    columns = (Column("a", "binary", sensitive=True), Column("b", "binary"), Column("c", "continuous", actionable=True))
    graph = {"b": ("a",), "c": ("a", "b")}
    return assemble("toy", {"a": a, "b": b, "c": c}, y, columns=columns, split=SPLIT, seed=seed, parents=graph)


@pytest.fixture(scope="session")
def scm(dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SCM]:
    """A causal model by the name of its data set; "learned", "linear" (the same as "toy") and "threshold" fit "toy"."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def make(name: str) -> SCM:
        if name == "learned":
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TRILEMMA_WEIGHTS", str(folder))
                return learned(dataset("toy"), seed=0, **LEARNED, **FITTED)
        if name in ("toy", "linear", "threshold"):
            discrete = "threshold" if name == "threshold" else "anm"
            return linear(dataset("toy"), seed=0, **FITTED | {"discrete": discrete})
        return known(dataset(name), seed=0, draws=1, sampling="noise", radius_unit="noise")

    return make


@pytest.fixture(scope="session")
def context(dataset: Callable[..., Dataset], scm: Callable[[str], SCM]) -> Callable[..., Context]:
    """A fresh context of a data set, its attack being the default of the ``attack`` group."""

    def make(name: str, *, radius: float = 0.05, causal: str | None = None, seed: int = 0) -> Context:
        return Context(
            scm=scm(causal or name),
            columns=dataset(name).columns,
            attack=build.bind(_option("attack", "pgd")["evasion"], "attack"),
            epsilon=everywhere(radius),
            decide=Threshold(0.5),
            seed=seed,
            generator=seeding.generator(seed, "attack"),
        )

    return make


@pytest.fixture(scope="session")
def trained(dataset: Callable[..., Dataset], context: Callable[..., Context]) -> Callable[[str], nn.Module]:
    """A small MLP trained on a data set, shared: tests must leave it as it is."""

    @cache
    def make(name: str) -> nn.Module:
        data = dataset(name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = MLP(len(data.columns), 1, hidden=[32, 32], activation="tanh")
        _train_on(data, model, context(name), {"erm": Weighted(1.0, erm)}, nominal=0.0, epochs=15)
        return model.requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def train_on() -> Callable[..., None]:
    """Fit a model with the trainer's default settings."""
    return _train_on


@pytest.fixture(scope="session")
def option() -> Callable[[str, str], dict]:
    """An option of a config group as plain values, interpolations left as they are."""
    return _option


def _train_on(
    data: Dataset,
    model: nn.Module,
    ctx: Context,
    terms: Mapping[str, Weighted],
    *,
    nominal: float,
    epochs: int,
    seed: int = 0,
) -> None:
    fit(
        model,
        make_objective(nominal, terms),
        data.train,
        data.valid,
        ctx,
        make_optimizer=torch.optim.Adam,
        epochs=epochs,
        batch_size=100,
        lr=0.01,
        weight_decay=0.0,
        order=seeding.generator(seed, "order"),
        watch=lambda epoch, figures: None,
    )


def _option(group: str, name: str) -> dict:
    path = Path(__file__).parent.parent / "config" / group / f"{name}.yaml"
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
