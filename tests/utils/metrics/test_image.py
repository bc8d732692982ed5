"""The metrics of config/evaluation/image.yaml together, on a network that recognises digits."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from utils import build
from utils.metrics.masking import warnings_of
from utils.runs.judging import evaluate
from utils.types import Batch

RADIUS = 0.1


@pytest.fixture(scope="module")
def settings(option):
    def make(**changes):
        epsilon = {"radius": RADIUS, "evaluate": [RADIUS]}
        groups = {"evaluation": option("evaluation", "image"), "attack": option("attack", "pgd_pixels")}
        configuration = OmegaConf.create(groups | {"epsilon": epsilon})
        for key, value in changes.items():
            OmegaConf.update(configuration, key.replace("__", "."), value)
        return OmegaConf.to_container(configuration, resolve=True)

    return make


@pytest.fixture(scope="module")
def judged(settings, digits, image_context):
    """All figures of 80 digits."""
    model, split = digits()
    batch, params = Batch(*(column[:80] for column in split)), settings()
    ctx = replace(image_context(batch), attack=build.bind(params["attack"]["evasion"], "attack"))
    nodes = params["evaluation"]["metrics"].items()
    return evaluate(model, batch, ctx, {name: build.bind(node, name) for name, node in nodes})


def test_every_stronger_attack_leaves_fewer_rows(judged):
    ladder = ["accuracy", *(f"robust_accuracy_after_{name}_{RADIUS}" for name in ("pgd", "apgd_ce", "apgd_t"))]
    shares = [judged[key] for key in ladder]
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < shares[0]
    assert shares[-1] == judged[f"robust_accuracy_{RADIUS}"] == judged["robust_accuracy"]


def test_the_attack_of_the_group_has_a_figure_beside_the_ensemble(judged):
    assert judged[f"robust_accuracy_pgd_linf_{RADIUS}"] >= judged["robust_accuracy"]


def test_an_honest_network_raises_no_warning(judged):
    assert warnings_of(judged) == []


def test_the_norm_of_all_attacks_is_one_word(settings):
    def norms(node):
        if not isinstance(node, dict):
            return set()
        own = {node["norm"]} if node.get("_target_") == "utils.threats.pixels" else set()
        return own.union(*(norms(value) for value in node.values()))

    assert norms(settings(evaluation__norm="l2")["evaluation"]["metrics"]) == {"l2"}
