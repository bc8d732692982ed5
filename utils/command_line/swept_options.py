"""Settings of options that a sweep goes through, ``-m attack=bo_poison,cell_poison attack.poison.budget=60``."""

from collections.abc import Collection, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException


def leave_to_jobs(words: Sequence[str], groups: Collection[str]) -> list[str]:
    """The words, with the settings of options that are swept as choices of one value, which each job has of its own.

    Before the jobs Hydra composes what they have in common, in which a swept group has its default option, whose keys
    may be others.
    """
    read = {word: _read(word) for word in words}
    swept = {of.key_or_group for of in read.values() if of and of.is_sweep_override()} & set(groups)
    found = []
    for word, of in read.items():
        key, equals, value = word.partition("=")
        left = of and not of.is_sweep_override() and equals and value and key.partition(".")[0] in swept and "." in key
        choice = f"{key}=choice({value})"
        found.append(choice if left and _read(choice) else word)
    return found


def _read(word: str) -> Override | None:
    """What Hydra reads; None where it is no word of its grammar, which Hydra says."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None
