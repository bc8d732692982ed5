"""A sweep is told from a run as Hydra tells it, without a composition for that."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

import paths_config
from tests.commands import ROOT, SMALL, command, house
from utils.command_line.overrides import normalise
from utils.command_line.run_mode import OnlyComposingTellsError, find_mode
from utils.run_store import RunStore

PRESETS = sorted(path.stem for path in (ROOT / "config/experiment").glob("*.yaml"))


@pytest.fixture
def hydra():
    """Hydra on our configuration, as a command makes it."""
    GlobalHydra.instance().clear()
    yield Hydra.create_main_hydra2("train", create_config_search_path(f"file://{ROOT / 'config'}"))
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_mode_of_a_preset_is_what_composing_it_gives(hydra, preset):
    words = normalise([f"experiment={preset}"])
    composed = hydra.compose_config("train", [*words], run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False)
    try:
        assert find_mode(words, []) == composed.hydra.mode
    except OnlyComposingTellsError:
        assert "defaults" in (ROOT / f"config/experiment/{preset}.yaml").read_text()  # another preset is part of it


def test_most_presets_are_told_without_composing():
    told = 0
    for preset in PRESETS:
        try:
            find_mode([f"+experiment={preset}"], [])
            told += 1
        except OnlyComposingTellsError:
            pass
    assert told > len(PRESETS) / 2


@pytest.mark.parametrize("word", ["hydra.mode=MULTIRUN", "+hydra.mode=RUN", "hydra.searchpath=[file:///tmp]"])
def test_words_that_may_set_the_mode_are_left_to_hydra(word):
    with pytest.raises(OnlyComposingTellsError):
        find_mode([word], [])


@pytest.mark.parametrize("flag", ["--config-dir=mine", "-cd"])
def test_files_of_other_folders_are_left_to_hydra(flag):
    with pytest.raises(OnlyComposingTellsError):
        find_mode(["seed=1"], [flag])


def test_a_run_composes_its_configuration_once(tmp_path, monkeypatch):
    composed = []
    load = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "load_configuration",
        lambda self, *given, **named: composed.append(1) or load(self, *given, **named),
    )
    with house(tmp_path):
        assert command("train", *SMALL, "dataset.rows=60").code == 0
    assert len(composed) == 1


def test_a_mode_that_a_word_sets_holds(tmp_path):
    with house(tmp_path):
        ran = command("train", *SMALL, "dataset.rows=60", "seed=0,1", "hydra.mode=MULTIRUN")
        filed = {record["seed"] for record in RunStore(paths_config.database("loan")).all()}
    assert ran.code == 0, ran
    assert filed == {0, 1}
