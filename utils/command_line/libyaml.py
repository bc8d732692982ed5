"""Reading yaml by libyaml, which reads the same as PyYAML does by itself in a fifth of the time."""

from functools import cache
from typing import Any

import yaml
from omegaconf import _utils

OWN = _utils.get_yaml_loader  # gives a class of its own every time


@cache
def read_by_libyaml() -> None:
    """Lets OmegaConf, and so Hydra, read files by libyaml where PyYAML was built with it."""
    if not yaml.__with_libyaml__:
        return
    own: Any = OWN()

    class Loader(yaml.cyaml.CParser, own):
        def __init__(self, stream: Any):
            yaml.cyaml.CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    _utils.get_yaml_loader = lambda: Loader
