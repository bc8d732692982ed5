"""ProPublica's COMPAS data (Angwin, Larson, Mattu, Kirchner, "Machine Bias", 2016): no new offence in two years?

Rows as in ProPublica's analysis; causal graph of Nabi and Shpitser, AAAI 2018 (arXiv 1705.10378).
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.datasets.fetch import indicator, locate, one_of, parse_numbers, read_lines
from utils.datasets.tabular import assemble, binary, continuous, mark, unknown_name
from utils.system.console import count
from utils.types import Dataset

FILE = "compas/compas-scores-two-years.csv"
URL = (
    "https://raw.githubusercontent.com/propublica/compas-analysis/"
    "bafff5da3f2e45eca6c2d5055faad269defd135a/compas-scores-two-years.csv"
)
SHA256 = "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"

NEEDED = (
    *("age", "sex", "race", "priors_count", "two_year_recid"),
    *("days_b_screening_arrest", "is_recid", "c_charge_degree", "score_text"),
)
RACES = ("African-American", "Asian", "Caucasian", "Hispanic", "Native American", "Other")

COLUMNS = (
    *continuous("age"),
    *binary("sex"),  # male = 1
    *binary("race"),  # Caucasian = 1
    *continuous("priors_count"),
)
PARENTS = {"race": ("age", "sex"), "priors_count": ("age", "sex", "race")}


def read(path: Path, needed: Sequence[str] = NEEDED) -> pd.DataFrame:
    """The needed columns of the raw file, as text.

    Raises ValueError, naming the file, for a missing column or a row of another length than the header.
    """
    header, *rows = filter(None, csv.reader(read_lines(path)))  # blank lines are empty lists
    for column in needed:
        if column not in header:
            raise unknown_name(str(path), column, header)
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"{path}, row {number}: {count(len(row), 'field')}, but its header has {len(header)}.")
    places = {column: header.index(column) for column in needed}  # the first of the name: some come twice
    return pd.DataFrame({column: [row[i] for row in rows] for column, i in places.items()}, dtype=str)


def keep_analysed(raw: pd.DataFrame, source: str | Path = "compas") -> pd.DataFrame:
    """The rows that ProPublica analysed: charged within 30 days of the arrest, no ordinary traffic offence, scored."""
    dated = raw[raw["days_b_screening_arrest"] != ""].reset_index(drop=True)
    near = np.abs(parse_numbers(dated, "days_b_screening_arrest", source)) <= 30
    known = (dated["is_recid"] != "-1") & (dated["c_charge_degree"] != "O") & ~dated["score_text"].isin(["", "N/A"])
    return dated[near & known].reset_index(drop=True)


def encode(raw: pd.DataFrame, source: str | Path = "compas") -> pd.DataFrame:
    """The raw attributes as numbers in natural units.

    Raises ValueError naming ``source``, column, row and value for anything the publisher does not list.
    """
    return pd.DataFrame(
        {
            "age": parse_numbers(raw, "age", source),
            "sex": indicator(raw, "sex", source, ones=["Male"], zeros=["Female"]),
            "race": one_of(raw, "race", source, RACES, lambda race: race == "Caucasian"),
            "priors_count": parse_numbers(raw, "priors_count", source),
        }
    )


def label(raw: pd.DataFrame, source: str | Path = "compas") -> NDArray[np.int64]:
    """1 where no new offence is known within two years (n,): the favourable outcome."""
    return indicator(raw, "two_year_recid", source, ones=["0"], zeros=["1"]).astype(np.int64)


def compas(
    *,
    name: str,
    seed: int,
    split: Sequence[float],
    sensitive: str | Sequence[str],
    actionable: str | Sequence[str] | None,
) -> Dataset:
    """COMPAS, 6,172 of the 7,214 rows."""
    path = locate(FILE, url=URL, sha256=SHA256)
    raw = keep_analysed(read(path), path)
    columns = mark(COLUMNS, sensitive, actionable)
    frame = encode(raw, path)
    return assemble(name, frame, label(raw, path), columns=columns, split=split, seed=seed, parents=PARENTS)
