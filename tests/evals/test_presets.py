"""The presets of published studies, as Hydra composes them."""

from itertools import product

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from evals import table
from utils.command_line.overrides import CONFIG


def preset(name, *words):
    """The composed configuration, and the jobs of its sweep as (data set, regularizer, seed)."""
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=[f"+experiment={name}", *words], return_hydra_config=True)
    swept = OmegaConf.to_container(cfg.hydra.sweeper.params)
    parse = OverridesParser.create().parse_override
    values = [list(parse(f"{key}={swept[key]}").sweep_string_iterator()) for key in ("dataset", "regularizer", "seed")]
    return cfg, list(product(*values))


def test_the_whole_table_trains_every_published_method_on_every_set():
    figures, _ = table.read_published("capify")
    _, jobs = preset("capify_table")
    assert set(zip(figures["dataset"], figures["regularizer"], strict=True)) <= {job[:2] for job in jobs}


@pytest.mark.parametrize(("regularizer", "eps"), [("sensei", 0.1), ("sensr", 0.1), ("sensei_causal", 0.0025)])
def test_the_whole_table_gives_infairness_methods_their_usual_eps(regularizer, eps):
    """It is the square of the radius."""
    cfg, _ = preset("capify_table", f"regularizer={regularizer}")
    assert cfg.epsilon.radius**2 == pytest.approx(eps)


def test_the_whole_table_has_twenty_seeds_by_default():
    _, jobs = preset("capify_table")
    assert len(jobs) == len(set(jobs)) == 6 * 12 * 20


@pytest.mark.parametrize("regularizer", ["erm", "llr", "capify", "causal_adv"])
def test_the_whole_table_is_the_small_one_with_more_seeds(regularizer):
    (small, _), (whole, _) = (preset(name, f"regularizer={regularizer}") for name in ("capify_small", "capify_table"))
    assert (small.experiment, whole.experiment) == ("capify_small", "capify_table")
    for part in ("dataset", "scm", "epsilon", "evaluation", "trainer", "regularizer", "fit_on"):
        assert small[part] == whole[part]
    assert whole.dataset.split == [0.8, 0.0, 0.2]
    assert whole.hydra.mode == small.hydra.mode


def study(name):
    """The settings that the trade-off study sweeps over, and its configuration."""
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=[f"+experiment={name}"], return_hydra_config=True)
    parse = OverridesParser.create().parse_override
    swept = OmegaConf.to_container(cfg.hydra.sweeper.params)
    parsed = {key: parse(f"{key}={value}") for key, value in swept.items()}
    return {
        key: list(of.sweep_string_iterator()) if of.is_sweep_override() else [of.get_value_element_as_str()]
        for key, of in parsed.items()
    }, cfg


def test_the_study_of_faces_has_the_published_networks_radii_labels_and_rates():
    swept, cfg = study("aia_celeba")
    assert swept["model"] == ["resnet18_narrow", "densenet"]
    assert swept["epsilon.radius"] == ["0.003", "0.01"]
    assert (cfg.dataset.labels, cfg.dataset.size, cfg.decide.probability) == ("published", 64, 0.5)
    trainer = cfg.trainer
    assert (trainer.epochs, trainer.lr, trainer.weight_decay, trainer.batch_size) == (10, 0.1, 5e-4, 128)
    assert (list(trainer.schedule.at), trainer.augment.padding) == ([0.3, 0.5, 0.8], 4)
    assert cfg.evaluation.metrics.l2.radii == [1.0]
    assert cfg.evaluation.metrics.l1.radii == [20]


@pytest.mark.parametrize("name", ["aia_small", "aia_celeba", "aia_celeba_small"])
def test_every_study_has_a_setting_that_weighs_no_group(name):
    swept, _ = study(name)
    assert "[1,1]" in swept["prepare.weights"]
    assert swept["regularizer"][0] == "erm"


def test_the_small_studies_of_faces_and_of_the_whole_differ_in_size_alone():
    """In what is swept, the small one leaves out the second network and has more seeds."""
    whole, small = study("aia_celeba")[0], study("aia_celeba_small")[0]
    assert {key: whole[key] for key in small if key != "seed"} == {key: small[key] for key in small if key != "seed"}
