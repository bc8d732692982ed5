"""Files of settings are read and written by libyaml as PyYAML itself does it."""

import pytest
import yaml
from omegaconf import OmegaConf, _utils, omegaconf

from utils.command_line.libyaml import OWN, OWN_DUMPER, use_libyaml
from utils.words.ranges import CONFIG

ODD = "x: 1e3\ny: 1_000\nz: 12:30\nt: 2020-01-01\nf: .5\nn: ~\ns: 'é'\nl: [a, null, .inf]\n"


@pytest.fixture
def loaders(monkeypatch):
    """PyYAML's own reader as OmegaConf has it, and libyaml's."""
    monkeypatch.setattr(_utils, "get_yaml_loader", OWN)
    monkeypatch.setattr(omegaconf, "get_omega_conf_dumper", OWN_DUMPER)
    use_libyaml.__wrapped__()
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


def test_what_it_writes_is_what_is_read_back(monkeypatch, loaders):
    """To the letter, but for where a long text is folded."""
    odd = {"x": 1e-7, "s": "é: 1\n# no", "yes": "yes", "n": None, "i": "12", "t": "2020-01-01", "l": [{}, [], "${a.b}"]}
    files = [yaml.load(path.read_text(encoding="utf-8"), loaders[0]) for path in sorted(CONFIG.rglob("*.yaml"))]
    for value in (odd, *filter(None, files)):
        short = OmegaConf.create(value)
        written = OmegaConf.to_yaml(short)
        with monkeypatch.context() as patch:
            patch.setattr(omegaconf, "get_omega_conf_dumper", OWN_DUMPER)
            own = OmegaConf.to_yaml(short)
        assert yaml.load(written, loaders[0]) == yaml.load(own, loaders[0]) == value
        if max(map(len, own.splitlines())) < 60:
            assert written == own
