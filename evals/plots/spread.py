"""Error bars: the spread of a setting's figures over its seeds, or over the test rows."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.records.seed_intervals import METHOD

Floats = NDArray[np.float64]


def bars(how: str, runs: pd.DataFrame, settings: pd.DataFrame, keys: Sequence[str]) -> Floats:
    """Lower and upper ends about the means of every setting, (settings, keys, 2); both the mean where unknown.

    ``how`` is a key of BARS: ``sd``, one standard deviation over seeds either side; ``ci``, the 95 % interval of the
    mean over seeds by Student's t; ``rows``, that of single runs over their test rows, ends averaged over seeds.

    Raises:
        ValueError: another word, or ``rows`` where no run has an interval.
    """
    if how not in BARS:
        raise ValueError(f"bars={how}: expected {', '.join(BARS)}")
    ends = np.stack([BARS[how](runs, settings, key) for key in keys], axis=1).reshape(-1, len(keys), 2)
    if how == "rows" and np.isnan(ends).all():
        raise ValueError(
            f"bars=rows: no run here has an interval over test rows ({keys[0]}_low); train with intervals, or bars=sd"
        )
    means = settings[list(keys)].to_numpy(dtype=float)[..., None]
    return np.where(np.isnan(ends), means, ends)


def _sd(runs: pd.DataFrame, settings: pd.DataFrame, key: str) -> Floats:
    mean, sd = settings[key].to_numpy(), settings[f"{key}_sd"].to_numpy()
    return np.stack([mean - sd, mean + sd], axis=-1)


def _over_seeds(runs: pd.DataFrame, settings: pd.DataFrame, key: str) -> Floats:
    return settings[[f"{key}_low", f"{key}_high"]].to_numpy(dtype=float)


def _over_rows(runs: pd.DataFrame, settings: pd.DataFrame, key: str) -> Floats:
    ends = [f"{key}_low", f"{key}_high"]
    if not set(ends) <= set(runs.columns):
        return np.full((len(settings), 2), np.nan)
    means = runs.groupby(["dataset", "group_id"])[ends].mean()
    return means.loc[list(zip(settings["dataset"], settings["group_id"], strict=True))].to_numpy(dtype=float)


BARS: dict[str, Callable[[pd.DataFrame, pd.DataFrame, str], Floats]] = {
    **{"sd": _sd, "ci": _over_seeds, "rows": _over_rows},
}
WORDS = {
    "sd": "mean ± sd over seeds",
    "ci": f"95 % interval over seeds ({METHOD})",
    "rows": "95 % interval over test rows",
}
