"""Tells by the words of a command if it is one run or a sweep, without composing a configuration for that."""

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from utils.command_line.overrides import CONFIG

OTHER_FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")  # whose files may set anything
SETTING = ("hydra", "hydra.mode", "hydra.searchpath")  # by these words a mode may be set, all others of Hydra set none


class OnlyComposingTellsError(Exception):
    """Words that name a file which is none of ours, or Hydra's own settings."""


@cache
def compose_once() -> None:
    """Lets Hydra compose the whole configuration once in place of twice.

    Before it composes what it runs, it composes the same to see whether that sets ``hydra.mode``, as presets do.
    """
    by_composing: Any = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        try:
            return find_mode(overrides, sys.argv[1:])
        except OnlyComposingTellsError:
            return by_composing(self, config_name, overrides)

    Hydra.get_mode = get_mode  # type: ignore[method-assign]


def find_mode(overrides: Sequence[str], words: Sequence[str]) -> RunMode | None:
    """Returns the mode that a preset among the overrides sets, else None.

    Args:
        overrides: as Hydra reads them.
        words: those of the command line, of which flags may name other files.

    Raises:
        OnlyComposingTellsError: words that may set a mode in another way.
    """
    if any(word.partition("=")[0] in OTHER_FOLDERS for word in words):
        raise OnlyComposingTellsError
    found = None
    for key, _, value in (override.lstrip("+~").partition("=") for override in overrides):
        if key in SETTING:
            raise OnlyComposingTellsError
        if key == "experiment":
            found = _mode_of_preset(value)
    return found


def _mode_of_preset(name: str) -> RunMode | None:
    path = CONFIG / "experiment" / f"{name}.yaml"
    if not path.is_file():
        raise OnlyComposingTellsError
    preset = OmegaConf.load(path)
    if any(isinstance(part, str) and part != "_self_" for part in OmegaConf.select(preset, "defaults") or []):
        raise OnlyComposingTellsError  # another preset is part of it
    mode = OmegaConf.select(preset, "hydra.mode")
    return None if mode is None else RunMode[mode]
