"""UCI Adult (Becker and Kohavi 1996, doi 10.24432/C5XW20): does an income exceed 50,000 dollars a year?

Columns and causal graph of Nabi and Shpitser, "Fair Inference on Outcomes", AAAI 2018 (arXiv 1705.10378).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.datasets.fetch import indicator, locate, parse_numbers, read_fields
from utils.datasets.tabular import assemble, binary, continuous, mark
from utils.types import Dataset

FOLDER = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
TRAIN = ("adult.data", "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d")
TEST = ("adult.test", "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05")

HEADER = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)
MARRIED = ("Married-civ-spouse", "Married-spouse-absent", "Married-AF-spouse")
UNMARRIED = ("Never-married", "Divorced", "Separated", "Widowed")

COLUMNS = (
    *binary("sex"),  # male = 1
    *continuous("age"),
    *binary("native_country"),  # United States = 1
    *binary("married"),
    *continuous("education_num", "hours_per_week"),
)
ROOTS = ("sex", "age", "native_country")
PARENTS = {"married": ROOTS, "education_num": (*ROOTS, "married"), "hours_per_week": (*ROOTS, "married")}


def read(path: Path) -> pd.DataFrame:
    """The raw file as text, one column per attribute, without the comment that opens ``adult.test``."""
    return pd.DataFrame(read_fields(path, HEADER, separator=",", comment="|"))


def encode(raw: pd.DataFrame, source: str | Path = "adult") -> pd.DataFrame:
    """The raw attributes as numbers in natural units; an unknown native country ("?") counts as not the US.

    Raises ValueError naming ``source``, column, row and value for anything the publisher does not list.
    """
    return pd.DataFrame(
        {
            "sex": indicator(raw, "sex", source, ones=["Male"], zeros=["Female"]),
            "age": parse_numbers(raw, "age", source),
            "native_country": (raw["native-country"] == "United-States").to_numpy(np.float64),
            "married": indicator(raw, "marital-status", source, ones=MARRIED, zeros=UNMARRIED),
            "education_num": parse_numbers(raw, "education-num", source),
            "hours_per_week": parse_numbers(raw, "hours-per-week", source),
        }
    )


def label(raw: pd.DataFrame, source: str | Path = "adult") -> NDArray[np.int64]:
    """1 where the income exceeds 50,000 dollars (n,); ``adult.test`` ends its labels with a dot."""
    return indicator(raw, "income", source, ones=[">50K", ">50K."], zeros=["<=50K", "<=50K."]).astype(np.int64)


def adult(
    *,
    name: str,
    seed: int,
    split: Sequence[float],
    sensitive: str | Sequence[str],
    actionable: str | Sequence[str] | None,
    test_file: bool,
) -> Dataset:
    """Adult, 32,561 rows, or 48,842 with the publisher's test file, which are pooled and split anew."""
    files = [TRAIN, TEST] if test_file else [TRAIN]
    paths = [locate(f"adult/{file}", url=f"{FOLDER}/{file}", sha256=sha256) for file, sha256 in files]
    raws = [read(path) for path in paths]
    frame = pd.concat([encode(raw, path) for raw, path in zip(raws, paths, strict=True)], ignore_index=True)
    y = np.concatenate([label(raw, path) for raw, path in zip(raws, paths, strict=True)])
    columns = mark(COLUMNS, sensitive, actionable)
    return assemble(name, frame, y, columns=columns, split=split, seed=seed, parents=PARENTS)
