"""Files of settings are read by libyaml as PyYAML itself reads them."""

import pytest
import yaml
from omegaconf import OmegaConf, _utils

from utils.command_line.libyaml import OWN, read_by_libyaml
from utils.words.ranges import CONFIG

ODD = "x: 1e3\ny: 1_000\nz: 12:30\nt: 2020-01-01\nf: .5\nn: ~\ns: 'é'\nl: [a, null, .inf]\n"


@pytest.fixture
def loaders(monkeypatch):
    """PyYAML's own reader as OmegaConf has it, and libyaml's."""
    monkeypatch.setattr(_utils, "get_yaml_loader", OWN)
    read_by_libyaml.__wrapped__()
    return OWN(), _utils.get_yaml_loader()


def test_every_file_of_settings_is_the_same(loaders):
    assert issubclass(loaders[1], yaml.cyaml.CParser)
    files = sorted(CONFIG.rglob("*.yaml"))
    assert len(files) > 100
    for text in (ODD, *(path.read_text(encoding="utf-8") for path in files)):
        first, second = (yaml.load(text, Loader=loader) for loader in loaders)
        assert repr(first) == repr(second)


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [1,\n"])
def test_what_is_no_yaml_is_refused_with_its_line(tmp_path, loaders, text):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError, match="line 2"):
        OmegaConf.load(tmp_path / "own.yaml")
