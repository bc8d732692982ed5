"""Hydra's composing of a configuration, of which the tests of one process do each part once.

Commands in this process parse and compose again and again what files and words say that have not changed: two fifths of
the time of tests of mistakes. Here a text is parsed once, options that are chosen are put together once, and every
command gets a copy. Processes that a test starts compose as ever.
"""

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO, Any

import omegaconf.base
import pytest
import yaml
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from paths_config import ROOT

CREATE = config_loader_impl.create_defaults_list
COMPOSE = ConfigLoaderImpl._compose_config_from_defaults_list


def compose_once(patch: pytest.MonkeyPatch) -> None:
    """Lets Hydra remember what it has composed, until the patch is undone."""
    patch.setattr(OmegaConf, "load", staticmethod(_loading(OmegaConf.load)))
    patch.setattr(Hydra, "get_mode", _mode_of_words(Hydra.get_mode))
    patch.setattr(omegaconf.base, "parse", cache(omegaconf.base.parse))  # of interpolations, into trees that are read
    patch.setattr(config_loader_impl, CREATE.__name__, _chosen(CREATE))
    patch.setattr(ConfigLoaderImpl, COMPOSE.__name__, _merged(COMPOSE))
    patch.setattr(DictConfig, "__deepcopy__", _pickled(DictConfig.__deepcopy__))
    patch.setattr(OverridesParser, "parse_rule", _read_once(OverridesParser.parse_rule))
    patch.setattr(CachingConfigRepository, "__init__", _of_copied_sources)


def _loading(load: Callable[..., Any]) -> Callable[..., Any]:
    def load_parsed(file: str | Path | IO[Any]) -> DictConfig | ListConfig:
        text = Path(file).read_text("utf-8") if isinstance(file, str | Path) else file.read()
        try:
            return pickle.loads(_parsed(text))
        except yaml.YAMLError:
            if not isinstance(file, str | Path):
                file.seek(0)
            return load(file)  # whose error names the file

    return load_parsed


@cache
def _parsed(text: str) -> bytes:
    """The configuration of a file, of which each use takes a copy; an empty file holds none."""
    found = yaml.load(text, get_yaml_loader())
    return pickle.dumps(OmegaConf.create({} if found is None else found))


def _mode_of_words(mode: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra composes a whole configuration to read its mode, which only a word on it can change."""

    def mode_of_words(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return mode(self, config_name, overrides) if any("hydra.mode" in word for word in overrides) else None

    return mode_of_words


def _sources(repo: Any) -> tuple[str, ...] | None:
    """Where the options of a command are from; None where a folder beside the project's own may change."""
    folders = [source for source in repo.get_sources() if source.scheme() == "file"]
    own = all(Path(source.path) == ROOT / "config" for source in folders)
    return tuple(source.full_path() for source in repo.get_sources()) if own else None


def _chosen(create: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command follow from its words that name options; what else they say is put beside these."""
    known: dict[str, Any] = {}

    def chosen(repo: Any, config_name: str, overrides_list: list[Any], **how: Any) -> Any:
        words = {"config_name": config_name, "overrides_list": overrides_list, **how}
        if (sources := _sources(repo)) is None:
            return create(repo, **words)
        own = defaults_list.Overrides(repo=repo, overrides_list=overrides_list)
        key = repr((sources, config_name, own.override_choices, own.append_group_defaults, own.deletions, how))
        if key not in known:
            known[key] = create(repo, **words)
        return replace(known[key], config_overrides=own.config_overrides)

    return chosen


def _merged(compose: Callable[..., Any]) -> Callable[..., Any]:
    """The configuration of a list of options, of which each use takes a copy."""
    known: dict[str, bytes] = {}

    def merged(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
        if (sources := _sources(repo)) is None:
            return compose(self, defaults, repo)
        if (key := repr((sources, defaults))) not in known:
            known[key] = pickle.dumps(compose(self, defaults, repo))
        return pickle.loads(known[key])

    return merged


def _pickled(copied: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a mapping by way of bytes, in a fifth of the time; it stands where the mapping stands."""

    def pickled(self: DictConfig, memo: dict[int, Any]) -> Any:
        if memo:  # part of a larger copy
            return copied(self, memo)
        above = self.__dict__["_parent"]
        self.__dict__["_parent"] = None
        try:
            found = pickle.loads(pickle.dumps(self))
        finally:
            self.__dict__["_parent"] = above
        found.__dict__["_parent"] = above
        return found

    return pickled


def _read_once(parse: Callable[..., Any]) -> Callable[..., Any]:
    """A word of a command line, of which each use takes a copy; one that cannot be read is read every time."""
    known: dict[tuple[str, str], bytes] = {}

    def read(self: OverridesParser, s: str, rule_name: str) -> Any:
        if (s, rule_name) not in known:
            known[s, rule_name] = pickle.dumps(parse(self, s, rule_name))
        return pickle.loads(known[s, rule_name])

    return read


def _of_copied_sources(self: CachingConfigRepository, delegate: Any) -> None:
    """The same as Hydra's own, the copy by way of bytes."""
    self.delegate = pickle.loads(pickle.dumps(delegate))
    self.cache = {}
