"""Yaml by libyaml, which reads and writes the same as PyYAML does by itself in a fraction of the time."""

from functools import cache
from typing import Any

import yaml
from omegaconf import _utils, omegaconf

OWN = _utils.get_yaml_loader  # gives a class of its own every time
OWN_DUMPER = _utils.get_omega_conf_dumper


@cache
def use_libyaml() -> None:
    """Lets OmegaConf, and so Hydra, read and write files by libyaml where PyYAML was built with it."""
    if not yaml.__with_libyaml__:
        return
    reads: Any = OWN()
    writes: Any = OWN_DUMPER()

    class Loader(yaml.cyaml.CParser, reads):
        def __init__(self, stream: Any):
            yaml.cyaml.CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    class Dumper(yaml.cyaml.CEmitter, writes):
        def __init__(self, stream: Any, default_style: Any, default_flow_style: Any, sort_keys: bool, **layout: Any):
            yaml.cyaml.CEmitter.__init__(self, stream, **layout)
            yaml.representer.Representer.__init__(self, default_style, default_flow_style, sort_keys)
            yaml.resolver.Resolver.__init__(self)

    _utils.get_yaml_loader = lambda: Loader
    omegaconf.get_omega_conf_dumper = lambda: Dumper
