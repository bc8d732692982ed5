"""The special functions of scipy, without all that its package imports beside them.

``import scipy.special`` rewrites the documentation of a hundred functions and imports a reader of Fortran: .15 CPU-s.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import scipy

PACKAGE = "scipy.special"


def special() -> Any:
    """Returns a module that has the functions of ``scipy.special`` which are ufuncs, such as ``betaincinv``."""
    if PACKAGE not in sys.modules:
        bare = ModuleType(PACKAGE)
        bare.__path__ = [str(Path(scipy.__file__).parent / "special")]
        sys.modules[PACKAGE] = bare  # its own beginning is passed over
        try:
            return importlib.import_module(f"{PACKAGE}._ufuncs")
        except ImportError:  # of a version that lays them out otherwise
            pass
        finally:
            del sys.modules[PACKAGE]
    return importlib.import_module(PACKAGE)
