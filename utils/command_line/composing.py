"""A configuration from words in Python, as the command line composes it."""

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.command_line.overrides import CONFIG, explain, normalise, resolve
from utils.records.typed import Params

TABLE = ("dataset=table", "dataset.path=memory")


def compose_params(words: Sequence[str], table: Mapping[str, Any] | None = None) -> Params:
    """The resolved configuration of a training, as ``train.py`` makes it; ``table``: settings of a table in memory.

    Raises:
        ValueError: a word that ``train.py`` would refuse.
    """
    try:
        cfg, chosen = _compose(tuple(normalise([*(TABLE if table is not None else ()), *words])))
        return resolve(cfg, chosen, table)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error)) from error


@lru_cache(maxsize=256)
def _from_hydra(words: tuple[str, ...]) -> Any:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG)):
        return compose("train", list(words), return_hydra_config=True)


def _compose(words: tuple[str, ...]) -> tuple[Any, Mapping[str, Any]]:
    """A configuration without Hydra's own part, and the chosen options."""
    cfg = copy.deepcopy(_from_hydra(words))
    chosen: Any = OmegaConf.to_container(cfg.hydra.runtime.choices)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg, chosen
