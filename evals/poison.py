"""The effects of training rows that were added, removed or changed, and which hold on rows that the search never saw.

``python -m evals.poison dataset=compas_two_years [where="..."] [metrics=all] [format=csv] [out=table.csv]``; options
and defaults stand in ``config/poison.yaml``. Differences are those of single seeds, with the rows as they are and as
changed; their intervals are Student's t, since seeds are few.
"""

import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
from omegaconf import DictConfig

import paths_config
from evals.poisoning.paired import Setting, list_paired, settings_of
from evals.poisoning.poison_formats import latex, markdown, to_csv
from evals.records import query
from evals.table import format_of, hand_out
from utils.system.console import count
from utils.words.near import near

OPTIONS = paths_config.ROOT / "config" / "poison.yaml"
FORMATS = {"markdown": markdown, "csv": to_csv, "latex": latex}


def parse_metrics(option: Any, settings: Sequence[Setting]) -> list[str]:
    """The metrics of the second table. Raises ValueError for one that is not known before and after."""
    words = [word.strip() for word in str("" if option is None else option).strip("[]").split(",") if word.strip()]
    runs = pd.concat([setting.runs for setting in settings])
    known = [key for key in list_paired(query.metrics(runs)) if any(s.change(key, "test").n for s in settings)]
    for word in words:
        if word not in (*known, "all"):
            raise ValueError(
                f"metrics={word} is not known with and without the changed rows{near(word, known)} "
                f"There is {', '.join(known)}"
            )
    return known if "all" in words else words


def poison(options: DictConfig) -> None:
    """Reads the database, builds the tables, prints or writes them."""
    in_format = format_of(options, FORMATS)
    settings = settings_of(query.read(str(options.dataset)), options.where)
    text = in_format(settings, parse_metrics(options.metrics, settings))
    hand_out(text, options.out, count(len(settings), "setting"))


if __name__ == "__main__":
    sys.exit(query.command(poison, OPTIONS, sys.argv[1:]))
