"""What tests remember of composed configurations is what Hydra would compose anew."""

import copy

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import Container, DictConfig, ListConfig, OmegaConf

from paths_config import ROOT
from tests.composing import COMPOSE, CREATE

LINES = (
    ("train", ()),
    ("train", ("epsilon.radius=0.3", "regularizer=[causal_adv,adversarial]", "seed=3")),
    ("train", ("dataset=digits", "regularizer=[trades,dafa]", "trainer/schedule=cosine")),
    ("train", ("+experiment=capify_small", "hydra.mode=RUN")),
    ("train", ("model=random_forest", "~evaluation.metrics.group", "+evaluation.metrics.mine={a: 1}")),
    ("evaluate", ("attack=causal_pgd", "id=1")),
)


def composed(config_name, words):
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose(config_name, overrides=list(words), return_hydra_config=True)


def nodes(node, key=""):
    """Every part with what OmegaConf knows of it: its type, flags and text, interpolations as they are."""
    of = node._metadata
    yield key, type(node), of.ref_type, of.object_type, of.optional, of.flags or {}
    if not isinstance(node, Container) or node._is_none() or node._is_missing() or node._is_interpolation():
        yield key, node._value()
    elif isinstance(node, DictConfig):
        for name in node:
            yield from nodes(node._get_node(name), f"{key}.{name}")
    elif isinstance(node, ListConfig):
        for i in range(len(node)):
            yield from nodes(node._get_node(i), f"{key}.{i}")


@pytest.mark.parametrize(("config_name", "words"), LINES)
def test_a_remembered_configuration_is_one_composed_anew(monkeypatch, config_name, words):
    """Also after another command has changed its copy, and beside other values of the same options."""
    with monkeypatch.context() as patch:
        patch.setattr(config_loader_impl, CREATE.__name__, CREATE)
        patch.setattr(ConfigLoaderImpl, COMPOSE.__name__, COMPOSE)
        anew = list(nodes(composed(config_name, words)))
    composed(config_name, (*words, "seed=9") if config_name == "train" else words)
    changed = composed(config_name, words)
    OmegaConf.update(changed, "hydra.job.name", "other", force_add=True)
    assert list(nodes(changed)) != anew
    assert list(nodes(composed(config_name, words))) == anew


def test_options_of_a_folder_beside_the_project_s_are_read_every_time(tmp_path):
    (tmp_path / "dataset").mkdir()
    for rows in (70, 80):
        (tmp_path / "dataset" / "mine.yaml").write_text(f"defaults: [lin]\nrows: {rows}\n")
        words = ("dataset=mine", f"hydra.searchpath=[file://{tmp_path}]")
        assert composed("train", words).dataset.rows == rows


@pytest.mark.parametrize("part", [None, "hydra", "trainer"])
def test_a_copy_of_a_part_is_omegaconf_s_own(part):
    whole = composed("train", ("regularizer=[causal_adv,adversarial]",))
    node = whole if part is None else whole[part]
    own = DictConfig.__deepcopy__.__closure__[0].cell_contents(node, {})
    copied = copy.deepcopy(node)
    assert list(nodes(copied)) == list(nodes(own)) == list(nodes(node))
    assert copied._get_parent() is own._get_parent() is node._get_parent()
    copied._content.clear()
    assert list(nodes(node)) == list(nodes(own))
