"""OpenML's ``compas-two-years``, rebuilt from ProPublica's file: does a defendant reoffend within two years?

ProPublica's rows of African-American and Caucasian defendants, 5,278 (3,175 and 2,103), 13 features in OpenML's order.
The bounds are those within which published data poisoning searches new rows; the data exceed some of them. The file's
age categories are named "25 - 45" and "Greater than 45", but in every row of it 45 is of the older ones.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.datasets.compas import FILE, NEEDED, RACES, SHA256, URL, keep_analysed
from utils.datasets.compas import read as read_columns
from utils.datasets.fetch import indicator, locate, one_of, parse_numbers
from utils.datasets.tabular import assemble, binary, mark
from utils.types import Column, Dataset

COUNTS = ("juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
OF_BOTH = ("African-American", "Caucasian")  # races
AGES = {  # column: the file's category, and the ages of it, low <= age < high
    "age_cat_25_45": ("25 - 45", 25.0, 45.0),
    "age_cat_greater_than_45": ("Greater than 45", 45.0, math.inf),
    "age_cat_less_than_25": ("Less than 25", -math.inf, 25.0),
}


def _whole(name: str, low: float, high: float) -> Column:
    return Column(name, "continuous", integer=True, bounds=(low, high))


def _age_category(name: str, low: float, high: float) -> Column:
    return Column(name, "binary", levels=(0.0, 1.0), attribute="age_cat", cut=("age", low, high))


COLUMNS = (
    *binary("sex"),  # male = 1
    _whole("age", 18, 80),
    *(_whole(name, 0, 10) for name in COUNTS[:3]),
    _whole("priors_count", 0, 25),
    *(_age_category(name, low, high) for name, (_, low, high) in AGES.items()),
    *binary("race_african_american", "race_caucasian", attribute="race"),
    *binary("c_charge_degree_f", "c_charge_degree_m", attribute="c_charge_degree"),  # felony, misdemeanour
)
PARENTS = {"race_caucasian": ("race_african_american",)}  # by definition: with it, counterfactuals are of one race


def read(path: Path) -> pd.DataFrame:
    """The needed columns of ProPublica's file, as text, of the rows that OpenML has."""
    raw = keep_analysed(read_columns(path, (*NEEDED, "age_cat", *COUNTS[:3])), path)
    return raw[raw["race"].isin(OF_BOTH)].reset_index(drop=True)


def encode(raw: pd.DataFrame, source: str | Path = "compas") -> pd.DataFrame:
    """The raw attributes as numbers in natural units; categories are the file's own.

    Raises ValueError naming ``source``, column, row and value for anything the publisher does not list.
    """
    categories = [category for category, _, _ in AGES.values()]
    ages = {name: one_of(raw, "age_cat", source, categories, own.__eq__) for name, (own, _, _) in AGES.items()}
    degree = partial(indicator, raw, "c_charge_degree", source)
    return pd.DataFrame(
        {
            "sex": indicator(raw, "sex", source, ones=["Male"], zeros=["Female"]),
            "age": parse_numbers(raw, "age", source),
            **{name: parse_numbers(raw, name, source) for name in COUNTS},
            **ages,
            "race_african_american": one_of(raw, "race", source, RACES, "African-American".__eq__),
            "race_caucasian": one_of(raw, "race", source, RACES, "Caucasian".__eq__),
            "c_charge_degree_f": degree(ones=["F"], zeros=["M"]),
            "c_charge_degree_m": degree(ones=["M"], zeros=["F"]),
        }
    )


def label(raw: pd.DataFrame, source: str | Path = "compas") -> NDArray[np.int64]:
    """1 where a new offence is known within two years (n,), as in OpenML: a false positive is flagged wrongly."""
    return indicator(raw, "two_year_recid", source, ones=["1"], zeros=["0"]).astype(np.int64)


def compas_two_years(
    *,
    name: str,
    seed: int,
    split: Sequence[float],
    sensitive: str | Sequence[str],
    actionable: str | Sequence[str] | None,
) -> Dataset:
    """COMPAS as OpenML has it, 5,278 rows; of the two indicators of race the first stands for both."""
    path = locate(FILE, url=URL, sha256=SHA256)
    raw = read(path)
    columns = mark(COLUMNS, sensitive, actionable)
    frame = encode(raw, path)
    return assemble(name, frame, label(raw, path), columns=columns, split=split, seed=seed, parents=PARENTS)
