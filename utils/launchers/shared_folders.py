"""The folders of a sweep, which every node of a cluster has to see, and the variables by which it finds them."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SHARED = (
    "Project, Python environment, data, databases, weights and the folder of the sweep must be on a file system that "
    "the nodes share: start there, or name folders there by TRILEMMA_DATA, TRILEMMA_EVALS, TRILEMMA_WEIGHTS and "
    "hydra.sweep.dir"
)
PASSED_ON = ("PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def list_variables() -> dict[str, str]:
    """Returns the variables of the environment by which jobs on nodes find the program, its folders and its threads."""
    return {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith("TRILEMMA_")}


@contextmanager
def tokens_in(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Files in these folders that are there for a moment."""
    made = [folder / f".seen-{secrets.token_hex(4)}" for folder in dict.fromkeys(folders)]
    try:
        try:
            for path in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        except OSError as error:
            raise ValueError(f"cannot write to {path.parent} ({error.strerror}), where the jobs would") from None
        yield made
    finally:
        for path in made:
            with suppress(OSError):  # of a folder that could not be made
                path.unlink()
