"""Statlog German credit (Hofmann 1994, doi 10.24432/C5NC77): is a customer a good credit risk?

The file codes sex and marital status in one attribute. Both sexes share one distinction in it, single or not, and
that is what is kept beside sex: the finer codes exist for one sex only, and as columns would give it away.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from utils.datasets.fetch import indicator, locate, one_of, parse_numbers, read_fields
from utils.datasets.tabular import assemble, binary, continuous, mark
from utils.types import Column, Dataset

FILE = "german/german.data"
URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/german.data"
SHA256 = "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871"

MALE, FEMALE = ("A91", "A93", "A94"), ("A92", "A95")
SINGLE, NOT_SINGLE = ("A93", "A95"), ("A91", "A92", "A94")

# attribute -> its codes in the file; no codes for a number
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "checking_status": ("A11", "A12", "A13", "A14"),
    "duration": (),  # months
    "credit_history": ("A30", "A31", "A32", "A33", "A34"),
    "purpose": ("A40", "A41", "A42", "A43", "A44", "A45", "A46", "A48", "A49", "A410"),  # A47 is announced, never used
    "credit_amount": (),  # Deutsche Mark
    "savings": ("A61", "A62", "A63", "A64", "A65"),
    "employment": ("A71", "A72", "A73", "A74", "A75"),
    "installment_rate": (),  # percent of the income at disposal, in four steps
    "personal_status_sex": (*MALE, *FEMALE),
    "other_debtors": ("A101", "A102", "A103"),
    "residence_since": (),
    "property": ("A121", "A122", "A123", "A124"),
    "age": (),
    "other_installment_plans": ("A141", "A142", "A143"),
    "housing": ("A151", "A152", "A153"),
    "existing_credits": (),
    "job": ("A171", "A172", "A173", "A174"),
    "people_liable": (),
    "telephone": ("A191", "A192"),  # A192 = yes = 1
    "foreign_worker": ("A202", "A201"),  # A201 = yes = 1
}
HEADER = (*ATTRIBUTES, "risk")


def _columns() -> Iterator[Column]:
    for attribute, codes in ATTRIBUTES.items():
        if attribute == "personal_status_sex":
            yield from binary("sex", "single")
        elif not codes:
            yield from continuous(attribute)
        elif len(codes) == 2:
            yield from binary(attribute)
        else:
            yield from binary(*(f"{attribute}={code}" for code in codes), attribute=attribute)


COLUMNS = tuple(_columns())


def read(path: Path) -> pd.DataFrame:
    """The raw file as text, one column per attribute and ``risk``."""
    return pd.DataFrame(read_fields(path, HEADER, separator=None, comment="#"))


def encode(raw: pd.DataFrame, source: str | Path = "german") -> pd.DataFrame:
    """Turns all attributes into numbers in natural units: of two codes 0/1, of more one-hot.

    Raises ValueError naming ``source``, column, row and value for anything the publisher does not list.
    """
    encoded: dict[str, NDArray[np.float64]] = {}
    for attribute, codes in ATTRIBUTES.items():
        if attribute == "personal_status_sex":
            encoded["sex"] = indicator(raw, attribute, source, ones=MALE, zeros=FEMALE)
            encoded["single"] = indicator(raw, attribute, source, ones=SINGLE, zeros=NOT_SINGLE)
        elif not codes:
            encoded[attribute] = parse_numbers(raw, attribute, source)
        elif len(codes) == 2:
            encoded[attribute] = indicator(raw, attribute, source, ones=codes[1:], zeros=codes[:1])
        else:
            for code in codes:
                encoded[f"{attribute}={code}"] = one_of(raw, attribute, source, codes, code.__eq__)
    return pd.DataFrame(encoded)


def label(raw: pd.DataFrame, source: str | Path = "german") -> NDArray[np.int64]:
    """1 for a good credit risk (n,)."""
    return indicator(raw, "risk", source, ones=["1"], zeros=["2"]).astype(np.int64)


def german(
    *,
    name: str,
    seed: int,
    split: Sequence[float],
    sensitive: str | Sequence[str],
    actionable: str | Sequence[str] | None,
) -> Dataset:
    """German credit, 1,000 rows of 20 attributes. No causal graph is known."""
    path = locate(FILE, url=URL, sha256=SHA256)
    raw = read(path)
    columns = mark(COLUMNS, sensitive, actionable)
    return assemble(name, encode(raw, path), label(raw, path), columns=columns, split=split, seed=seed)
