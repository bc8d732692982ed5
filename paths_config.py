"""The folders of data, evaluations and weights.

Each folder has an environment variable that overrides its default inside the project:
``TRILEMMA_DATA`` (``data/``), ``TRILEMMA_EVALS`` (``evals/``), ``TRILEMMA_WEIGHTS`` (``weights/``). Tests that
read tables which once went wrong look for them in ``TRILEMMA_CASES``, which has no default.

``TRILEMMA_DELIVER=1``, which launchers set for jobs on other machines, says that locks in these folders may not hold
between all that write to them: records are then delivered beside the database, and filed by a process without it.
"""

import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def _folder(variable: str, default: str) -> Path:
    given = Path(os.environ.get(variable) or ROOT / default)
    return _resolve(given) if given.is_absolute() else given.expanduser().resolve()


@cache
def _resolve(folder: Path) -> Path:
    return folder.resolve()


def data() -> Path:
    """Folder of the raw data files, as their publishers name them."""
    return _folder("TRILEMMA_DATA", "data")


def cases() -> Path | None:
    """Folder of the tables that once went wrong, or None where ``TRILEMMA_CASES`` is unset: tests then skip."""
    given = os.environ.get("TRILEMMA_CASES")
    return Path(given).expanduser().resolve() if given else None


def evals() -> Path:
    """Folder of the databases, one ``<dataset>.json`` each."""
    return _folder("TRILEMMA_EVALS", "evals")


def weights() -> Path:
    """Folder of the trained weights, ``<dataset>/<run_id>.safetensors``."""
    return _folder("TRILEMMA_WEIGHTS", "weights")


def weights_file(relative: str) -> Path:
    """A file of the weights folder. Raises ValueError where the path leads out of it, as ``inside``."""
    return inside(weights(), relative, "its weights")


def poison() -> Path:
    """Folder of the rows that were added to poison a training, ``<dataset>/<run_id>.csv``, and of their traces."""
    return evals() / "poison"


def poison_file(relative: str) -> Path:
    """A file of the poison folder. Raises ValueError where the path leads out of it, as ``inside``."""
    return inside(poison(), relative, "its added rows")


def inside(folder: Path, relative: str, what: str) -> Path:
    """The file of that path below a folder: one rule for writing and for reading.

    The path is judged as it is written, since a record's comes from outside. Where the owner of the folder has made
    a part of it a symbolic link, to another disk say, the link is followed.

    Raises:
        ValueError: an absolute path, one with ``..`` or without a name.
    """
    path = Path(relative)
    if path.anchor or ".." in path.parts or not path.name or "\0" in relative:
        raise ValueError(f"{what} {relative!r} lie outside {folder}")
    return folder / path


def delivers() -> bool:
    """Returns whether this process delivers its records for others to file. Raises ValueError: neither 1 nor 0."""
    given = os.environ.get("TRILEMMA_DELIVER", "")
    if given not in ("", "0", "1"):
        raise ValueError(f"TRILEMMA_DELIVER={given}: expected 1, so that records are delivered, or 0")
    return given == "1"


def database(dataset: str) -> Path:
    """The TinyDB file of one data set."""
    return evals() / f"{dataset}.json"


def is_database(path: Path) -> bool:
    """Returns whether there is the file of a database, or a journal or deliveries that will become one."""
    beside = (path, path.with_name(f"{path.name}.journal"), path.with_name(f"{path.name}.inbox"))
    return any(part.exists() for part in beside)


def databases() -> list[str]:
    """Names of the data sets that have a database, in alphabetical order."""
    parts = ("*.json", "*.json.journal", "*.json.inbox")
    return sorted({path.name.partition(".json")[0] for part in parts for path in evals().glob(part)})
