"""Settings of options that a sweep goes through, ``-m attack=bo_poison,cell_poison attack.poison.budget=60``."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

_in_common: list[list[str]] = []  # while what jobs have in common is composed: what the command line sweeps


@cache
def leave_to_jobs() -> None:
    """Lets Hydra leave settings of swept options to the jobs where what these have in common lacks the key.

    Before the jobs Hydra composes what they have in common, in which a swept group has its default option. The keys of
    the others may be different ones, and a job that lacks one is refused by itself.
    """
    load: Any = ConfigLoaderImpl.load_configuration
    apply = ConfigLoaderImpl._apply_overrides_to_config

    def load_configuration(self: Any, config_name: Any, overrides: list[str], run_mode: RunMode, **other: Any) -> Any:
        _in_common[:] = [find_swept(overrides)] if run_mode is RunMode.MULTIRUN else []
        try:
            return load(self, config_name, overrides, run_mode, **other)
        finally:
            _in_common.clear()

    def apply_one_by_one(overrides: list[Override], cfg: DictConfig) -> None:
        if not _in_common:
            apply(overrides, cfg)
            return
        swept = [*_in_common[0], *map(str, OmegaConf.select(cfg, "hydra.sweeper.params") or ())]
        for override in overrides:
            try:
                apply([override], cfg)
            except ConfigCompositionException:
                if override.is_add() or override.is_delete() or not _is_of(override.key_or_group, swept):
                    raise

    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[assignment, method-assign]
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(apply_one_by_one)  # type: ignore[method-assign]


def find_swept(words: Sequence[str]) -> list[str]:
    """Returns the groups and keys that words sweep; none where Hydra cannot read them, which it says itself."""
    try:
        read = OverridesParser.create().parse_overrides(list(words))
    except HydraException:
        return []
    return [of.key_or_group for of in read if of.is_sweep_override()]


def _is_of(key: str, groups: Sequence[str]) -> bool:
    """Returns whether a key is a setting of one of the groups' options."""
    return key.startswith(tuple(f"{group.replace('/', '.')}." for group in groups))
