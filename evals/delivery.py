"""Rows that somebody delivered, audited beside rows that one trusts, before anything is trained on them.

``python -m evals.delivery reference=old.csv new=new.csv label=hired sensitive=sex``, or ``schema=people.yaml``, or
``dataset=compas_two_years`` with a CSV as ``added=`` reads it; options and defaults stand in ``config/delivery.yaml``.
"""

import sys
from typing import Any

from omegaconf import DictConfig

import paths_config
from evals.looking.delivery_rows import read_delivery
from evals.looking.delivery_text import to_csv, to_text
from evals.records import query
from evals.table import format_of, hand_out
from utils import seeding
from utils.poisoning.audit import FEWEST, audit
from utils.system.console import count

OPTIONS = paths_config.ROOT / "config" / "delivery.yaml"
FORMATS = {"text": to_text, "csv": to_csv}
RANGES = {"seed": (0, 2**63 - 1), "splits": (FEWEST, 99_999), "nearest": (1, 100), "rows": (100, 1_000_000)}


def delivery(options: DictConfig) -> None:
    """Reads both files, compares them, prints or writes the audit."""
    in_format = format_of(options, FORMATS)
    for key in RANGES:
        _require_whole(key, options[key])
    read = read_delivery(options)
    found = audit(
        read.trusted,
        read.delivered,
        read.groups,
        read.classes,
        splits=options.splits,
        nearest=options.nearest,
        most=options.rows,
        rng=seeding.rng(options.seed, "delivery"),
    )
    hand_out(in_format(read, found), options.out, f"an audit of {count(found.delivered, 'row')}")


def _require_whole(key: str, value: Any) -> None:
    """Refuses what is no whole number in its range. Raises ValueError."""
    low, high = RANGES[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{key}={value}: expected a whole number in [{low}, {high}]")


if __name__ == "__main__":
    sys.exit(query.command(delivery, OPTIONS, sys.argv[1:]))
