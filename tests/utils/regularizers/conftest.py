"""Small images, a network for them and the context of their training, in double precision."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from utils import build, seeding
from utils.decides.threshold import Threshold
from utils.records.settings import TERM_KEYS, own_settings
from utils.scms.none import none
from utils.threats import everywhere
from utils.types import SCM, Batch, Context, Dataset

RADIUS = 8 / 255


@pytest.fixture(scope="session")
def images() -> Callable[..., Batch]:
    """Rows (n, 1, 4, 4) of the classes in turn, away from black and white by more than the radius."""

    def make(n: int = 12, classes: int = 3) -> Batch:
        x = 0.2 + 0.6 * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        y = torch.arange(n) % classes
        return Batch(x, y, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.float64), torch.arange(n))

    return make


@pytest.fixture(scope="session")
def image_context() -> Callable[..., Context]:
    """A context of images in training, by epoch; the model may be seen by attacks through ``view``."""

    def make(batch: Batch, **changes) -> Context:
        return Context(
            **{
                "scm": none(SimpleNamespace(loc=torch.zeros(1, dtype=torch.float64)), seed=0),
                "columns": (),
                "attack": lambda predict, rows, ctx: rows.x,
                "epsilon": everywhere(RADIUS),
                "decide": Threshold(0.5),
                "seed": 0,
                "generator": seeding.Rows(seeding.derive(0, "attack"), batch.index),
            }
            | changes
        )

    return make


@pytest.fixture
def network() -> nn.Module:
    """Three classes; batch norm tells training from use."""
    parts = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)]
    return nn.Sequential(*parts).double()


@pytest.fixture
def linear() -> nn.Module:
    """z = w x + b of two classes."""
    return nn.Sequential(nn.Flatten(-3), nn.Linear(16, 1)).double()


@pytest.fixture(scope="session")
def regularizer(option: Callable[[str, str], dict]) -> Callable[[str], dict]:
    """The settings of an option that stands alone."""

    def read(name: str) -> dict:
        alone = OmegaConf.create({"regularizer": option("regularizer", name)})
        return OmegaConf.to_container(alone, resolve=True)["regularizer"][name]

    return read


@pytest.fixture(scope="session")
def term(regularizer: Callable[[str], dict]) -> Callable:
    """A term of an option with some settings changed."""

    def make(name: str, **changes) -> Callable:
        return build.terms({"regularizer": {name: regularizer(name) | changes}})[name].term

    return make


@pytest.fixture(scope="session")
def own_term(regularizer: Callable[[str], dict]) -> Callable:
    """A term of an option fitted to a data set and its causal model, some settings of its search changed."""

    def make(name: str, data: Dataset, scm: SCM, **search) -> Callable:
        node = regularizer(name)
        params = {"regularizer": {name: node | {"search": node["search"] | search}}}
        return build.own_terms(build.terms(params), params, data, scm)[name].term

    return make


@pytest.fixture(scope="session")
def adaptation(regularizer: Callable[[str], dict]) -> Callable:
    """An adaptation of an option with some settings changed."""

    def make(name: str, *, classes: int = 3, **changes) -> nn.Module:
        node = regularizer(name) | changes
        return build.bind(own_settings(node, TERM_KEYS), f"regularizer.{name}", classes=classes)

    return make


@pytest.fixture
def same_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets inFairness draw its random starts as a context of seed 0 does."""

    def begin() -> None:
        stream = seeding.generator(0, "attack")
        monkeypatch.setattr(torch, "rand_like", lambda x: seeding.uniform(x.unsqueeze(0), stream)[0])

    return begin


class Heard:
    """A model that keeps what it was asked."""

    def __init__(self, model: Callable):
        self.model, self.rows = model, []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.rows.append(x)
        return self.model(x)


@pytest.fixture
def heard() -> Callable[[Callable], Heard]:
    """Makes a model keep the rows that it was asked for."""
    return Heard
