"""The metrics of config/evaluation/faces.yaml together, on a linear model of two classes and two groups."""

from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from tests.test_uncertainty import ENDS, NO_SHARE
from utils import build
from utils.metrics.directions import describe, direction, under_norms
from utils.runs.judging import evaluate

SMALL = {"rows": 60, "steps": 5, "queries": 20}
HEADLINES = ["robust_accuracy_linf_0.01", "robust_accuracy_l2_1.0", "robust_accuracy_l1_20"]


@pytest.fixture(scope="module")
def judged(option, linear_task, image_context):
    """All figures of 90 images, the last ten of them of group 1."""
    node = {group: option(group, name) for group, name in (("evaluation", "faces"), ("epsilon", "faces"))}
    node["attack"] = option("attack", "pgd_pixels")
    node["evaluation"] |= SMALL
    params = OmegaConf.to_container(OmegaConf.create(node), resolve=True)
    model, batch = linear_task(classes=2, shape=(3, 6, 6))
    batch = batch._replace(s=(torch.arange(len(batch.y)) >= 80).long())
    attack = build.bind(params["attack"]["evasion"], "attack")
    ctx = replace(image_context(batch), attack=attack, groups=2)

    def logit(x):
        z = model(x)
        return (z[..., 1:] - z[..., :1]) / 10

    nodes = params["evaluation"]["metrics"]
    return evaluate(logit, batch, ctx, build.bind_metrics(nodes, params["attack"]["evasion"], at_training_radius=True))


def test_there_is_a_robust_accuracy_in_each_norm_with_its_worst_group(judged):
    worst = [key.replace("accuracy_", "accuracy_worst_group_") for key in HEADLINES]
    assert under_norms(judged) == [key for pair in zip(HEADLINES, worst, strict=True) for key in pair]


def test_every_share_has_its_interval(judged):
    plain = [key for key in judged if not key.endswith(ENDS) and not NO_SHARE.fullmatch(key)]
    assert [key for key in plain if not {f"{key}_low", f"{key}_high"} <= judged.keys()] == []


def test_the_black_box_attack_stands_behind_apgd(judged):
    for norm in ("linf_0.01", "l2_1.0", "l1_20"):
        apgd, both = (judged[f"robust_accuracy_after_{attack}_{norm}"] for attack in ("apgd_ce", "square"))
        assert judged[f"robust_accuracy_{norm}"] == both <= apgd <= judged["accuracy"] + 0.2


def test_as_many_rows_are_judged_as_asked_for(judged):
    assert [judged[f"robust_rows_{norm}"] for norm in ("linf", "l2", "l1")] == [60] * 3


def test_every_key_has_words_and_every_robust_accuracy_a_direction(judged):
    assert [key for key in judged if "_" in describe(key)] == []
    assert {direction(key) for key in under_norms(judged)} == {1}
