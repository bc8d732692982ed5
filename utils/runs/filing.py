"""The records of many jobs in their databases: filed where they were delivered, and found by their runs."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import paths_config
from utils.run_store import RunStore, store_of
from utils.runs.outcomes import Outcome
from utils.system.console import format_error, warn


def file_delivered() -> None:
    """Files what was delivered to any database and writes journals into files, so that any TinyDB sees every record.

    A database that another process writes to, or that cannot be written to, is left as it is, with a warning.
    """
    for dataset in () if paths_config.delivers() else paths_config.databases():
        path = paths_config.database(dataset)
        if any(path.with_name(f"{path.name}{part}").exists() for part in (".journal", ".inbox")):
            try:
                RunStore(path).fold()
            except OSError as error:
                later = f"python -m evals.database fold dataset={dataset}"
                warn(f"{format_error(error)}; the records are there, `{later}` files them later")


def number_records(ended: Sequence[Outcome]) -> list[Outcome]:
    """Returns how jobs ended with the numbers that the records of their runs have now, by one look at each database.

    One whose record is gone, or whose database cannot be read, keeps the number that it has.
    """
    runs: dict[str, list[str]] = {}
    for of in ended:
        if of.record is not None and of.dataset is not None and of.run_id is not None:
            runs.setdefault(of.dataset, []).append(of.run_id)
    numbers: dict[tuple[str | None, str | None], int] = {}
    for dataset, own in runs.items():
        with suppress(ValueError, OSError):  # whoever reads its records tells
            numbers |= {(dataset, run): number for run, number in store_of(dataset).number(own).items()}
    found = [numbers.get((of.dataset, of.run_id), of.record) for of in ended]
    return [of if of.record == number else replace(of, record=number) for of, number in zip(ended, found, strict=True)]
